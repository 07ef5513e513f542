"""One function ranks for every twin, in the endpoint's own direction."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from omics_twin.errors import TherapyError
from omics_twin.therapy.rank import order, rank_therapies
from omics_twin.types import Dose, Endpoint, Intervention, Ranking, TwinState
from tests.twins import neural_twin, visit_of

PATIENTS = ("ada", "ben", "cem")
THERAPIES = tuple(
    Intervention(name, tuple(Dose(each) for each in drugs))
    for name, drugs in (
        ("control", ["paclitaxel"]),
        ("immune", ["paclitaxel", "pembrolizumab"]),
        ("platinum", ["paclitaxel", "carboplatin"]),
    )
)
ENDPOINT = Endpoint("pcr", "pcr", 180.0)
TWIN = neural_twin(seed=3)


def belief() -> TwinState:
    state = TWIN.start(PATIENTS, draws=60, seed=1)
    return TWIN.observe(state, visit_of(TWIN, PATIENTS, 0.0))


def ranking(
    endpoint: Endpoint = ENDPOINT,
    *,
    closed: tuple[int, ...] = (),
    interval: float = 0.9,
    support: tuple[float, float, float] = (20.0, 20.0, 20.0),
    thin_support: int = 0,
    confidence: float = 0.0,
    power: float = 1.0,
    arms: float = 1.0,
) -> Ranking:
    eligible = torch.ones(3, 3, dtype=torch.bool)
    eligible[:, list(closed)] = False
    return rank_therapies(
        TWIN,
        belief(),
        THERAPIES,
        endpoint,
        eligible=eligible,
        support=torch.tensor([support] * 3),
        reasons=[[""] * 3] * 3,
        interval=interval,
        thin_support=thin_support,
        confidence=confidence,
        power=power,
        arms=arms,
    )


def test_the_order_follows_the_direction_of_merit() -> None:
    higher, lower = ranking(), ranking(replace(ENDPOINT, higher_is_better=False))
    for patient in range(3):
        assert order(higher, patient) == order(lower, patient)[::-1]
        best = order(higher, patient)[0]
        assert higher.expected[patient, best] == higher.expected[patient].max()
    torch.testing.assert_close(higher.expected, lower.expected)
    two = ranking(closed=(2,)), ranking(replace(ENDPOINT, higher_is_better=False), closed=(2,))
    torch.testing.assert_close(two[0].probability_best[:, 0], two[1].probability_best[:, 1])


def test_a_closed_therapy_has_no_place_and_no_chance() -> None:
    found = ranking(closed=(1,))
    assert all(1 not in order(found, patient) for patient in range(3))
    assert bool(torch.isnan(found.probability_best[:, 1]).all())
    torch.testing.assert_close(found.probability_best.nansum(dim=1), torch.ones(3))


def test_an_interval_holds_its_share_of_the_belief() -> None:
    wide, narrow = ranking(interval=0.9), ranking(interval=0.5)
    assert bool((wide.lower <= narrow.lower).all())
    assert bool((narrow.lower <= narrow.upper).all())
    assert bool((narrow.upper <= wide.upper).all())
    state = belief()
    values = ENDPOINT.read(TWIN.simulate(state, THERAPIES[0], ENDPOINT.days()))
    inside = (values >= narrow.lower[:, :1]) & (values <= narrow.upper[:, :1])
    share = (inside * state.log_weights.exp()).sum(dim=1)
    # 60 draws: one draw more or less on either side.
    torch.testing.assert_close(share, torch.full((3,), 0.5), atol=2.1 / 60, rtol=0)


def test_nothing_to_compare_is_refused() -> None:
    nothing = torch.zeros(3, 0)
    with pytest.raises(TherapyError, match="no therapy to rank"):
        rank_therapies(
            TWIN,
            belief(),
            (),
            ENDPOINT,
            eligible=nothing.bool(),
            support=nothing,
            reasons=[[], [], []],
        )


@pytest.mark.parametrize("interval", [0.0, 1.0, 95.0])
def test_an_impossible_interval_is_refused(interval: float) -> None:
    with pytest.raises(TherapyError, match="expected between 0 and 1"):
        ranking(interval=interval)


def test_nothing_is_recommended_where_the_first_rests_on_few_patients() -> None:
    first = order(ranking(), 0)[0]
    support = [20.0, 20.0, 20.0]
    support[first] = 3.0
    few, enough = (ranking(support=tuple(support), thin_support=each) for each in (4, 3))
    told = "fewer than 5 training patients of the stratum received the first, too few"
    assert few.abstention[0] == told
    assert bool(few.abstained[0])
    assert enough.abstention[0] == ""
    assert not bool(enough.abstained[0])


def test_a_doubtful_first_choice_is_not_recommended_over_the_usual_one() -> None:
    best = [order(ranking(), patient)[0] for patient in range(3)]
    support = [20.0, 20.0, 20.0]
    support[best[0]] = 30.0
    found = ranking(support=tuple(support), confidence=1.0)
    for patient in range(3):
        # Whoever would get the usual therapy anyway has nothing to be sure of.
        assert bool(found.abstained[patient]) == (best[patient] != best[0])
        assert bool(found.abstention[patient]) == bool(found.abstained[patient])
    other = [20.0, 20.0, 20.0]
    other[order(ranking(), 0)[-1]] = 30.0
    doubtful = ranking(support=tuple(other), confidence=1.0).abstention[0]
    assert f"'{THERAPIES[order(ranking(), 0)[-1]].name}', which most of the stratum" in doubtful
    assert not bool(ranking(support=tuple(other), confidence=0.0).abstained.any())


def test_nothing_open_is_nothing_recommended() -> None:
    found = ranking(closed=(0, 1, 2))
    assert found.abstention == ("no therapy is open",) * 3


def test_a_power_draws_the_chances_together_and_they_sum_to_one() -> None:
    own, flat = ranking(closed=(1,)), ranking(closed=(1,), power=0.5)
    torch.testing.assert_close(flat.probability_best.nansum(dim=1), torch.ones(3))
    assert bool(torch.isnan(flat.probability_best[:, 1]).all())
    largest = own.probability_best.nan_to_num().max(dim=1).values
    assert bool((flat.probability_best.nan_to_num().max(dim=1).values <= largest).all())
    torch.testing.assert_close(flat.expected, own.expected)


def test_intervals_under_one_arm_may_be_narrower_than_the_draws() -> None:
    own, half = ranking(), ranking(arms=0.5)
    torch.testing.assert_close(half.expected, own.expected)
    torch.testing.assert_close(half.upper - half.lower, 0.5 * (own.upper - own.lower))
    torch.testing.assert_close(half.probability_best, own.probability_best)


def test_a_therapy_without_another_to_compare_with_is_not_recommended() -> None:
    found = rank_therapies(
        TWIN,
        belief(),
        THERAPIES[:1],
        ENDPOINT,
        eligible=torch.ones(3, 1, dtype=torch.bool),
        support=torch.full((3, 1), 20.0),
        reasons=[[""]] * 3,
    )
    assert bool(found.abstained.all())
    assert set(found.abstention) == {"only one therapy is known: nothing is compared"}
