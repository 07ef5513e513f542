"""What would happen under each therapy, compared on the same draws."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from omics_twin.errors import TherapyError
from omics_twin.trust.privacy import count_in_words
from omics_twin.twin.calibration import sharpened
from omics_twin.twin.draws import probability_best, share_above, weighted_mean, weighted_quantile
from omics_twin.types import (
    Endpoint,
    Intervention,
    Ranking,
    SimulatesEach,
    Trajectory,
    Twin,
    TwinState,
)


def rank_therapies(
    twin: Twin,
    state: TwinState,
    interventions: Sequence[Intervention],
    endpoint: Endpoint,
    *,
    eligible: Bool[Tensor, "patient intervention"],
    support: Float[Tensor, "patient intervention"],
    reasons: Sequence[Sequence[str]],
    interval: float = 0.9,
    thin_support: int = 0,
    confidence: float = 0.0,
    power: float = 1.0,
    arms: float | Float[Tensor, "patient 1"] = 1.0,
) -> Ranking:
    """Return the interventions compared for every patient of the state.

    Parameters
    ----------
    twin, state
        Any twin and its belief about the patients.
    interventions
        What is compared.
    endpoint
        The question; its direction of merit decides what is best.
    eligible, support, reasons
        From :mod:`omics_twin.therapy.support`.
    interval
        Share of the belief inside ``lower`` and ``upper``.
    thin_support, confidence
        No intervention is recommended where the first rests on fewer patients of the stratum, or
        where it is not the one that most of them received and the belief that it is better is
        smaller.
    power, arms
        Exponent on the probabilities of being best, and share of the half-width that is kept of
        ``lower`` to ``upper``, of everybody or of each patient, see
        :class:`omics_twin.twin.calibration.Calibration`.

    Raises
    ------
    TherapyError
        If there is nothing to compare, or the interval is not between 0 and 1.
    """
    if not interventions:
        raise TherapyError("no therapy to rank: name at least one intervention")
    if not 0.0 < interval < 1.0:
        raise TherapyError(f"interval is {interval:g}, expected between 0 and 1, such as 0.9")
    days = endpoint.days()
    read = [endpoint.read(each) for each in _simulated(twin, state, interventions, days)]
    values = torch.stack(read, dim=2)
    merit = values if endpoint.higher_is_better else -values
    tail = (1.0 - interval) / 2.0

    def quantile(share: float) -> Tensor:
        return torch.stack([weighted_quantile(each, state.log_weights, share) for each in read], 1)

    expected = weighted_mean(values, state.log_weights)
    best = probability_best(merit, state.log_weights, eligible)
    sign = 1.0 if endpoint.higher_is_better else -1.0
    abstention = _abstention(
        merit, sign * expected, state, eligible, support, thin_support, confidence, interventions
    )
    return Ranking(
        patient_ids=state.patient_ids,
        interventions=tuple(each.name for each in interventions),
        endpoint=endpoint,
        interval=interval,
        expected=expected,
        lower=expected + arms * (quantile(tail) - expected),
        upper=expected + arms * (quantile(1.0 - tail) - expected),
        probability_best=best if power == 1.0 else sharpened(best, power),
        support=support,
        eligible=eligible,
        reasons=tuple(tuple(each) for each in reasons),
        abstained=torch.tensor([bool(each) for each in abstention], dtype=torch.bool),
        abstention=abstention,
    )


def _simulated(
    twin: Twin,
    state: TwinState,
    interventions: Sequence[Intervention],
    days: Float[Tensor, " time"],
) -> Iterator[Trajectory]:
    if isinstance(twin, SimulatesEach):
        return twin.simulate_each(state, interventions, days)
    return (twin.simulate(state, each, days) for each in interventions)


def _abstention(
    merit: Float[Tensor, "patient draw intervention"],
    expected: Float[Tensor, "patient intervention"],
    state: TwinState,
    eligible: Bool[Tensor, "patient intervention"],
    support: Float[Tensor, "patient intervention"],
    thin_support: int,
    confidence: float,
    interventions: Sequence[Intervention],
) -> tuple[str, ...]:
    """Return why nothing is recommended to each patient, empty where something is."""
    first, usual = first_and_usual(expected, eligible, support)
    better = superiority(merit, state.log_weights, first, usual)
    told = []
    for patient in range(len(first)):
        count = int(support[patient, first[patient]])
        belief, name = float(better[patient]), interventions[int(usual[patient])].name
        if not bool(eligible[patient].any()):
            told.append("no therapy is open")
        elif len(interventions) == 1:
            told.append("only one therapy is known: nothing is compared")
        elif count < thin_support:
            received = f"{count_in_words(count)} training patients"
            told.append(f"{received} of the stratum received the first, too few")
        elif first[patient] != usual[patient] and belief < confidence:
            told.append(
                f"the belief that the first is better than '{name}', which most of the stratum "
                f"received, is {_below(belief, confidence)}, below {confidence:g}"
            )
        else:
            told.append("")
    return tuple(told)


def first_and_usual(
    expected: Float[Tensor, "patient intervention"],
    eligible: Bool[Tensor, "patient intervention"],
    support: Float[Tensor, "patient intervention"],
) -> tuple[Int[Tensor, " patient"], Int[Tensor, " patient"]]:
    """Return the open intervention expected to be best, and the one that most received.

    Parameters
    ----------
    expected
        Higher is better.

    Examples
    --------
    >>> first, usual = first_and_usual(torch.tensor([[0.2, 0.4]]), torch.tensor([[True, True]]),
    ...                                torch.tensor([[30.0, 12.0]]))
    >>> int(first), int(usual)
    (1, 0)
    """
    first = torch.where(eligible, expected, -torch.inf).argmax(dim=1)
    return first, torch.where(eligible, support, -1.0).argmax(dim=1)


def superiority(
    merit: Float[Tensor, "patient draw intervention"],
    log_weights: Float[Tensor, "patient draw"],
    first: Int[Tensor, " patient"],
    second: Int[Tensor, " patient"],
) -> Float[Tensor, " patient"]:
    """Return the share of the belief in which one intervention is better; ties count half."""
    draws = merit.shape[1]

    def under(option: Tensor) -> Tensor:
        return merit.gather(2, option[:, None, None].expand(-1, draws, 1))[..., 0]

    return share_above(under(first), under(second), log_weights)


def order(ranking: Ranking, patient: int) -> list[int]:
    """Return a patient's eligible interventions, best first, by expected endpoint."""
    sign = -1.0 if ranking.endpoint.higher_is_better else 1.0
    chosen = torch.nonzero(ranking.eligible[patient])[:, 0].tolist()
    return sorted(chosen, key=lambda each: sign * float(ranking.expected[patient, each]))


def _below(belief: float, confidence: float) -> str:
    """Return a belief in two digits, or in as many as show that it is less."""
    digits = 2
    while digits < 6 and round(belief, digits) >= confidence:
        digits += 1
    return f"{belief:.{digits}f}"
