"""One suite for every twin: a new twin is accepted when it passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import pytest
import torch

from omics_twin.errors import TwinError
from omics_twin.settings import GeneEncoder
from omics_twin.therapy.rank import rank_therapies
from omics_twin.twin.draws import weighted_mean
from omics_twin.twin.ensemble_kalman import EnsembleKalman
from omics_twin.types import (
    NO_INTERVENTION,
    Dose,
    Endpoint,
    Intervention,
    Observation,
    SimulatesEach,
    Twin,
    TwinState,
)
from tests.twins import (
    hybrid_twin,
    laboratory_visit,
    neural_twin,
    response_twin,
    response_visit,
    visit_of,
    visit_twin,
)
from tests.twins_mechanistic import growth_process_twin, size_visit, tumour_twin, two_clones_twin

PATIENTS = ("ada", "ben", "cem", "dua", "eli")
DRAWS = 60


@dataclass(frozen=True)
class Case:
    """A twin and what it can be asked."""

    twin: Twin
    endpoint: Endpoint
    therapies: tuple[Intervention, ...]
    misspelt: tuple[str, str] = ("clincal", "clinical")
    measured: Callable[[Twin, Sequence[str], float, int], Observation] = visit_of
    any_agent: bool = False

    def visit(self, day: float, seed: int = 0) -> Observation:
        return self.measured(self.twin, PATIENTS, day, seed)


def _neural(gene_encoder: GeneEncoder | None = None, *, trees: bool = False) -> Case:
    return Case(
        twin=neural_twin(seed=3, gene_encoder=gene_encoder, trees=trees),
        endpoint=Endpoint("pcr", "pcr", 180.0),
        therapies=(
            Intervention("control", (Dose("paclitaxel"),)),
            Intervention("combination", (Dose("paclitaxel"), Dose("pembrolizumab"))),
        ),
    )


def _hybrid(*, trees: bool = False) -> Case:
    return replace(_neural(), twin=hybrid_twin(seed=3, trees=trees))


def _partly_measured(twin: Twin, patients: Sequence[str], day: float, seed: int) -> Observation:
    """Return a visit that leaves something to be drawn."""
    visit = laboratory_visit(twin, patients, day, seed)
    visit.values["laboratory"][:, 1] = torch.nan
    return visit


def _visits() -> Case:
    return Case(
        twin=visit_twin(seed=3),
        endpoint=Endpoint("event-free", "event_free", 700.0),
        therapies=(
            Intervention("placebo", (Dose("placebo"),)),
            Intervention("treated", (Dose("paclitaxel"),)),
        ),
        misspelt=("labratory", "laboratory"),
        measured=_partly_measured,
    )


def _mechanistic() -> Case:
    return Case(
        twin=tumour_twin(),
        endpoint=Endpoint("size", "size_mm", 168.0, higher_is_better=False),
        therapies=(
            Intervention("control", (Dose("paclitaxel", 0.3),)),
            Intervention("combination", (Dose("paclitaxel"), Dose("pembrolizumab"))),
        ),
        misspelt=("tumor", "tumour"),
        measured=size_visit,
    )


def _ensemble_kalman() -> Case:
    case = _mechanistic()
    return replace(case, twin=replace(tumour_twin(), assimilation=EnsembleKalman()))


def _growth_process() -> Case:
    return Case(
        twin=growth_process_twin(),
        endpoint=Endpoint("size", "size_mm", 168.0, higher_is_better=False),
        therapies=(NO_INTERVENTION, Intervention("treated", (Dose("paclitaxel"),))),
        misspelt=("tumor", "tumour"),
        measured=size_visit,
        any_agent=True,
    )


def _two_clones() -> Case:
    return replace(_growth_process(), twin=two_clones_twin())


def _response() -> Case:
    return replace(_neural(), twin=response_twin(seed=3), measured=response_visit)


def _causes() -> Case:
    twin = neural_twin(seed=3, kind="time_to_event", trees=True, causes=True)
    return replace(_neural(), twin=twin, endpoint=Endpoint("pcr", "pcr", 600.0))


CASES = {
    "neural": _neural,
    "causes": _causes,
    "neural, trees": partial(_neural, trees=True),
    "hybrid": _hybrid,
    "hybrid, trees": partial(_hybrid, trees=True),
    "visits": _visits,
    "mechanistic": _mechanistic,
    "ensemble Kalman": _ensemble_kalman,
    "growth process": _growth_process,
    "two clones": _two_clones,
    "neural prior": _response,
} | {f"neural, {each.value}": partial(_neural, each) for each in GeneEncoder}


@pytest.fixture(params=list(CASES.values()), ids=list(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    return request.param()


def answers(case: Case, state: TwinState, therapy: int = 1) -> torch.Tensor:
    trajectory = case.twin.simulate(state, case.therapies[therapy], case.endpoint.days())
    return case.endpoint.read(trajectory)


def spread(case: Case, state: TwinState) -> torch.Tensor:
    """Return the variance of the answer within each patient's belief."""
    values = answers(case, state)
    mean = weighted_mean(values, state.log_weights)
    return weighted_mean((values - mean[:, None]).square(), state.log_weights)


def test_a_twin_follows_the_protocol(case: Case) -> None:
    assert isinstance(case.twin, Twin)


def test_shapes_and_finiteness(case: Case) -> None:
    state = case.twin.start(PATIENTS, draws=DRAWS, seed=1)
    assert state.draws.shape == (5, DRAWS, len(state.names))
    assert torch.isfinite(state.draws).all()
    torch.testing.assert_close(state.log_weights.exp().sum(dim=1).float(), torch.ones(5))
    days = torch.tensor([0.0, 90.0, 180.0], dtype=torch.float64)
    trajectory = case.twin.simulate(state, case.therapies[0], days)
    assert trajectory.values.shape == (5, DRAWS, 3, len(trajectory.names))
    assert torch.isfinite(trajectory.values).all()
    assert len(trajectory.units) == len(trajectory.names)


def test_observing_narrows_the_belief(case: Case) -> None:
    before = case.twin.start(PATIENTS, draws=600, seed=1)
    after = case.twin.observe(before, case.visit(0.0))
    assert spread(case, after).mean() < spread(case, before).mean()


def test_an_all_missing_visit_leaves_the_belief_where_it_was(case: Case) -> None:
    state = case.twin.observe(case.twin.start(PATIENTS, draws=DRAWS, seed=1), case.visit(0.0))
    visit = case.visit(21.0)
    blank = replace(
        visit, values={k: torch.full_like(v, torch.nan) for k, v in visit.values.items()}
    )
    after = case.twin.observe(state, blank, under=case.therapies[0])
    torch.testing.assert_close(after.draws, state.draws, rtol=0, atol=0)
    torch.testing.assert_close(after.log_weights, state.log_weights, rtol=0, atol=0)


def test_nothing_is_changed_in_place(case: Case) -> None:
    state = case.twin.start(PATIENTS, draws=DRAWS, seed=1)
    draws, weights, days = state.draws.clone(), state.log_weights.clone(), state.days.clone()
    visit = case.visit(0.0)
    values = {name: each.clone() for name, each in visit.values.items()}
    case.twin.observe(state, visit)
    case.twin.simulate(state, case.therapies[1], case.endpoint.days())
    assert torch.equal(state.draws, draws)
    assert torch.equal(state.log_weights, weights)
    assert torch.equal(state.days, days)
    for name, each in visit.values.items():
        torch.testing.assert_close(each, values[name], rtol=0, atol=0, equal_nan=True)


def test_the_answer_does_not_depend_on_batch_mates_or_their_order(case: Case) -> None:
    def belief(chosen: list[int]) -> torch.Tensor:
        ids = tuple(PATIENTS[i] for i in chosen)
        visit = case.visit(0.0)
        some = Observation(
            ids, visit.days[chosen], {name: each[chosen] for name, each in visit.values.items()}
        )
        state = case.twin.observe(case.twin.start(ids, draws=DRAWS, seed=1), some)
        return answers(case, state)

    together = belief([0, 1, 2, 3, 4])
    torch.testing.assert_close(belief([3, 1]), together[[3, 1]], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(belief([2]), together[[2]], rtol=1e-5, atol=1e-6)


def test_the_same_seed_gives_the_same_answer(case: Case) -> None:
    def belief(seed: int) -> torch.Tensor:
        state = case.twin.observe(
            case.twin.start(PATIENTS, draws=DRAWS, seed=seed), case.visit(0.0)
        )
        return answers(case, state)

    assert torch.equal(belief(1), belief(1))
    assert not torch.equal(belief(1), belief(2))


def test_simulating_twice_gives_the_same_answer(case: Case) -> None:
    state = case.twin.start(PATIENTS, draws=DRAWS, seed=1)
    assert torch.equal(answers(case, state), answers(case, state))


def test_therapies_simulated_at_once_are_those_simulated_one_after_the_other(case: Case) -> None:
    if not isinstance(case.twin, SimulatesEach):
        return
    state = case.twin.observe(case.twin.start(PATIENTS, draws=DRAWS, seed=1), case.visit(0.0))
    days = case.endpoint.days()
    for intervention, found in zip(
        case.therapies, case.twin.simulate_each(state, case.therapies, days), strict=True
    ):
        alone = case.twin.simulate(state, intervention, days)
        torch.testing.assert_close(found.values, alone.values)
        assert found.names == alone.names


def test_probabilities_of_being_best_sum_to_one_and_ties_are_split(case: Case) -> None:
    state = case.twin.observe(case.twin.start(PATIENTS, draws=DRAWS, seed=1), case.visit(0.0))
    twice = (*case.therapies, replace(case.therapies[0], name="control again"))
    everyone = torch.ones(5, 3, dtype=torch.bool)
    ranking = rank_therapies(
        case.twin,
        state,
        twice,
        case.endpoint,
        eligible=everyone,
        support=torch.ones(5, 3),
        reasons=[[""] * 3] * 5,
    )
    torch.testing.assert_close(ranking.probability_best.sum(dim=1).float(), torch.ones(5))
    torch.testing.assert_close(ranking.probability_best[:, 0], ranking.probability_best[:, 2])
    assert (ranking.lower <= ranking.expected).all()
    assert (ranking.expected <= ranking.upper).all()


def test_a_wrong_endpoint_gives_the_sentence_that_says_what_is_simulated(case: Case) -> None:
    state = case.twin.start(PATIENTS, draws=DRAWS, seed=1)
    wrong = Endpoint("glucose", "blood_glucose", 1.0)
    trajectory = case.twin.simulate(state, case.therapies[0], wrong.days())
    with pytest.raises(TwinError, match="reads quantity 'blood_glucose', but this twin simulates:"):
        wrong.read(trajectory)


def test_an_unknown_agent_is_refused_by_name(case: Case) -> None:
    if case.any_agent:
        pytest.skip("this twin knows treated from not treated, whatever the agent")
    state = case.twin.start(PATIENTS, draws=DRAWS, seed=1)
    with pytest.raises(TwinError, match="agent 'paclitaxol' of 'typo' is not known"):
        case.twin.simulate(state, Intervention("typo", (Dose("paclitaxol"),)), case.endpoint.days())


def test_no_intervention_can_be_simulated(case: Case) -> None:
    state = case.twin.start(PATIENTS, draws=DRAWS, seed=1)
    trajectory = case.twin.simulate(state, NO_INTERVENTION, case.endpoint.days())
    assert torch.isfinite(trajectory.values).all()


def test_an_unknown_modality_is_refused_by_name(case: Case) -> None:
    state = case.twin.start(PATIENTS, draws=DRAWS, seed=1)
    wrong, meant = case.misspelt
    visit = replace(case.visit(0.0), values={wrong: torch.zeros(5, 3)})
    with pytest.raises(TwinError, match=rf"modality '{wrong}': did you mean '{meant}'\?"):
        case.twin.observe(state, visit)


def test_other_patients_than_the_states_are_refused(case: Case) -> None:
    state = case.twin.start(PATIENTS, draws=DRAWS, seed=1)
    visit = replace(case.visit(0.0), patient_ids=PATIENTS[::-1])
    with pytest.raises(TwinError, match="expected the same patients in the same order"):
        case.twin.observe(state, visit)


def test_a_visit_before_the_last_one_is_refused(case: Case) -> None:
    state = case.twin.start(PATIENTS, draws=DRAWS, seed=1)
    state = case.twin.observe(state, case.visit(84.0), under=case.therapies[0])
    with pytest.raises(TwinError, match="is before the last one: order visits by day"):
        case.twin.observe(state, case.visit(21.0), under=case.therapies[0])


@pytest.mark.parametrize("patients", [(), ("ada", "ada")], ids=["none", "twice"])
def test_no_patient_or_one_twice_is_refused(case: Case, patients: tuple[str, ...]) -> None:
    with pytest.raises(TwinError, match="expected at least one and each once"):
        case.twin.start(patients, draws=DRAWS, seed=1)
