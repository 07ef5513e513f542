"""What would happen under each therapy, compared on the same draws."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from omics_twin.errors import TherapyError
from omics_twin.twin.draws import probability_best, weighted_mean, weighted_quantile
from omics_twin.types import Endpoint, Intervention, Ranking, Twin, TwinState


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
    read = [endpoint.read(twin.simulate(state, each, days)) for each in interventions]
    values = torch.stack(read, dim=2)
    merit = values if endpoint.higher_is_better else -values
    tail = (1.0 - interval) / 2.0

    def quantile(share: float) -> Tensor:
        return torch.stack([weighted_quantile(each, state.log_weights, share) for each in read], 1)

    return Ranking(
        patient_ids=state.patient_ids,
        interventions=tuple(each.name for each in interventions),
        endpoint=endpoint,
        interval=interval,
        expected=weighted_mean(values, state.log_weights),
        lower=quantile(tail),
        upper=quantile(1.0 - tail),
        probability_best=probability_best(merit, state.log_weights, eligible),
        support=support,
        eligible=eligible,
        reasons=tuple(tuple(each) for each in reasons),
    )


def order(ranking: Ranking, patient: int) -> list[int]:
    """Return a patient's eligible interventions, best first, by expected endpoint."""
    sign = -1.0 if ranking.endpoint.higher_is_better else 1.0
    chosen = torch.nonzero(ranking.eligible[patient])[:, 0].tolist()
    return sorted(chosen, key=lambda each: sign * float(ranking.expected[patient, each]))
