"""What a visit under therapy tells a hybrid twin is what Bayes' theorem says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_t

from omics_twin.errors import TwinError
from omics_twin.twin.course import logged
from omics_twin.twin.hybrid import HybridTwin
from omics_twin.types import Dose, Intervention, Observation, TwinState
from tests.twins import DESIGN, hybrid_twin, neural_twin, visit_of

PATIENTS = ("ada", "ben", "cem", "dua")
CONTROL = Intervention("control", (Dose("paclitaxel"),))
BOTH = Intervention("both", (Dose("paclitaxel"), Dose("pembrolizumab")))
END = torch.tensor([84.0], dtype=torch.float64)


def mri(day: float, values: list[list[float]]) -> Observation:
    days = torch.full((len(values),), day, dtype=torch.float64)
    return Observation(PATIENTS[: len(values)], days, {"mri": torch.tensor(values)})


def started(twin: HybridTwin, draws: int = 12) -> TwinState:
    state = twin.start(PATIENTS, draws=draws, seed=1)
    return twin.observe(state, visit_of(twin, PATIENTS, 0.0))


def probability(twin: HybridTwin, state: TwinState, under: Intervention) -> torch.Tensor:
    return twin.simulate(state, under, END).values[:, :, 0, 0]


def test_before_treatment_it_answers_as_the_network_does() -> None:
    twin = hybrid_twin()
    prior = twin.prior.observe(
        twin.prior.start(PATIENTS, draws=12, seed=1), visit_of(twin, PATIENTS, 0.0)
    )
    expected = twin.prior.simulate(prior, CONTROL, END).values[:, :, 0, 0]
    torch.testing.assert_close(probability(twin, started(twin), CONTROL), expected)


def test_odds_and_members_move_by_the_likelihood_of_the_visit() -> None:
    twin = hybrid_twin()
    before = started(twin)
    after = twin.observe(before, mri(21.0, [[-1.0, 0.3]] * 4), under=CONTROL)
    prior, found = probability(twin, before, CONTROL), probability(twin, after, CONTROL)
    course, agents = twin.course, torch.tensor([1.0, 0.0, 0.0])
    first = visit_of(twin, PATIENTS, 0.0).values["mri"].numpy()
    evidence = np.zeros((4, 12))
    later = np.array([-1.0, 0.3])
    for patient, draw in np.ndindex(4, 12):
        member = int(before.draws[0, draw, 0])
        covariance = course.covariance[member].numpy().astype(float)[:4, :4]
        offset, tails = float(course.offset[member, 0]), float(course.tails[member])
        values = np.concatenate([first[patient], later])
        values[::2] = np.log(values[::2] + offset)
        likely = []
        for kind in (0, 1):
            mean = course.level[member] + agents @ course.effects[member]
            mean = (mean + kind * course.response[member]).numpy()[:4]
            joint = multivariate_t.pdf(values, mean, covariance, df=tails)
            alone = multivariate_t.pdf(values[:2], mean[:2], covariance[:2, :2], df=tails)
            likely.append(joint / alone / (later[0] + offset))
        p = float(prior[patient, draw])
        evidence[patient, draw] = (1 - p) * likely[0] + p * likely[1]
        assert float(found[patient, draw]) == pytest.approx(
            p * likely[1] / evidence[patient, draw], rel=1e-3
        )
    weights = evidence / evidence.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(after.log_weights.exp().numpy(), weights, rtol=1e-3)


def test_two_visits_say_what_they_say_together_whatever_the_batches() -> None:
    twin = hybrid_twin()
    first, second = [[-1.0, 0.3]] * 4, [[-1.6, 0.1]] * 4
    after = twin.observe(started(twin), mri(21.0, first), under=CONTROL)
    after = twin.observe(after, mri(84.0, second), under=CONTROL)
    seen = torch.cat(
        [visit_of(twin, PATIENTS, 0.0).values["mri"], torch.tensor(first), torch.tensor(second)],
        dim=1,
    )
    agents = torch.tensor([[1.0, 0.0, 0.0]]).expand(4, -1)
    likely = twin.course.evidence(seen, agents)[:, started(twin).draws[0, :, 0].long()]
    prior = probability(twin, started(twin), CONTROL)
    odds = torch.logit(prior) + (likely[1] - likely[0]).T
    torch.testing.assert_close(
        torch.logit(probability(twin, after, CONTROL)), odds, rtol=1e-3, atol=1e-3
    )


def test_what_was_seen_under_one_therapy_tells_of_another() -> None:
    """Monte Carlo with one threshold per patient gives the same answer."""
    twin = hybrid_twin()
    before = started(twin)
    after = twin.observe(before, mri(21.0, [[-1.4, 0.3]] * 4), under=CONTROL)
    received, asked = (probability(twin, before, each) for each in (CONTROL, BOTH))
    seen = torch.full((4, 6), torch.nan)
    seen[:, :2] = visit_of(twin, PATIENTS, 0.0).values["mri"]
    seen[:, 2:4] = torch.tensor([-1.4, 0.3])
    agents = torch.tensor([[1.0, 0.0, 0.0]]).expand(4, -1)
    likely = twin.course.evidence(seen, agents)[:, before.draws[0, :, 0].long()].exp()
    threshold = (torch.arange(20000) + 0.5) / 20000
    responds = threshold < received.unsqueeze(-1)
    weight = torch.where(responds, likely[1].T.unsqueeze(-1), likely[0].T.unsqueeze(-1))
    would = (threshold < asked.unsqueeze(-1)).float()
    expected = (weight * would).sum(dim=-1) / weight.sum(dim=-1)
    torch.testing.assert_close(probability(twin, after, BOTH), expected, rtol=0, atol=2e-4)


def test_a_simulated_course_passes_through_what_was_measured() -> None:
    twin = hybrid_twin()
    state = twin.observe(started(twin), mri(21.0, [[-1.0, 0.3]] * 4), under=CONTROL)
    days = torch.tensor([0.0, 21.0, 84.0], dtype=torch.float64)
    course = twin.simulate(state, BOTH, days)
    assert course.names == ("pcr", "volume", "sphericity")
    first = visit_of(twin, PATIENTS, 0.0).values["mri"]
    torch.testing.assert_close(course.values[:, :, 0, 1:], first[:, None].expand(-1, 12, -1))
    torch.testing.assert_close(
        course.values[:, :, 1, 1:], torch.tensor([-1.0, 0.3]).expand(4, 12, 2)
    )
    assert float(course.values[:, :, 2, 1].std(dim=1).min()) > 0.1


def test_a_forecast_is_the_courses_own_t() -> None:
    twin = hybrid_twin(members=3)
    state = started(twin, draws=30000)
    draws = twin.forecast(state, torch.full((4,), 21.0, dtype=torch.float64), CONTROL)
    p = probability(twin, state, CONTROL)
    course, agents = twin.course, torch.tensor([1.0, 0.0, 0.0])
    first = visit_of(twin, PATIENTS, 0.0).values["mri"]
    for member in range(3):
        own = state.draws[0, :, 0].long() == member
        covariance, offset = course.covariance[member], course.offset[member]
        gain = covariance[2:4, :2] @ torch.linalg.inv(covariance[:2, :2])
        kinds = []
        for kind in (0.0, 1.0):
            mean = course.level[member] + agents @ course.effects[member]
            mean = mean + kind * course.response[member]
            kinds.append(mean[2:4] + (logged(first, offset) - mean[:2]) @ gain.T)
        share = p[:, own].mean(dim=1, keepdim=True)
        torch.testing.assert_close(
            logged(draws[:, own], offset).mean(dim=1),
            (1 - share) * kinds[0] + share * kinds[1],
            rtol=0,
            atol=0.05,
        )


def test_a_scheduled_visit_is_taken_in_once() -> None:
    twin = hybrid_twin()
    state = twin.observe(started(twin), mri(21.0, [[-1.0, 0.3]] * 4), under=CONTROL)
    with pytest.raises(TwinError, match="'mri@21' was already observed"):
        twin.observe(state, mri(22.0, [[-1.0, 0.3]] * 4), under=CONTROL)


def test_which_visits_were_shown_is_told() -> None:
    twin = hybrid_twin()
    values = [[-1.0, 0.3], [torch.nan, torch.nan], [-1.0, torch.nan], [0.1, 0.2]]
    state = twin.observe(started(twin), mri(84.0, values), under=CONTROL)
    assert twin.shown(state).tolist() == [
        [True, True, False, True],
        [True, True, False, False],
        [True, True, False, True],
        [True, True, False, True],
    ]


def test_a_network_of_times_is_refused() -> None:
    twin = hybrid_twin()
    network = neural_twin(kind="time_to_event", design=DESIGN.before_treatment())
    with pytest.raises(TwinError, match="expected a network of one yes-or-no outcome"):
        replace(twin, prior=network)
