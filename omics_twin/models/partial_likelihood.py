"""Cox's partial likelihood for all members of an ensemble at once, in O(n log n)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

_TINY = 1e-300


def cox_partial_likelihood(
    predictor: Float[Tensor, "member row"],
    time: Float[Tensor, " row"],
    event: Float[Tensor, " row"],
    weights: Float[Tensor, "member row"] | None = None,
    entry: Float[Tensor, " row"] | None = None,
) -> Float[Tensor, "member row"]:
    """Return each row's part of the negative log partial likelihood, ties after Efron [nat].

    Times its weight and summed over the rows, it is the member's likelihood. The risk sets are
    made of the rows that are given: of a minibatch it is the likelihood of that batch alone, not
    an unbiased part of the cohort's, and batches should hold many events. Rows that weigh 0 are in
    nobody's risk set. Sums are in double precision.

    Parameters
    ----------
    predictor
        Log relative hazards.
    time, event
        Time to event or censoring [day]; 1 for an event.
    weights
        How much each row counts for a member, as an event and in risk sets; None: all alike.
    entry
        When follow-up began; a row is at risk after it. None: before every event.

    Examples
    --------
    >>> found = cox_partial_likelihood(torch.zeros(1, 2), torch.tensor([1.0, 2.0]), torch.ones(2))
    >>> round(float(found.sum()), 3)
    0.693

    References
    ----------
    Cox 1972, doi:10.1111/j.2517-6161.1972.tb00899.x. Ties: Efron 1977,
    doi:10.1080/01621459.1977.10480613; with weights as in Therneau and Grambsch 2000,
    doi:10.1007/978-1-4757-3294-8.
    """
    sets = _RiskSets.of(predictor, time, event, weights, entry)
    at_risk = sets.at_risk[:, sets.day].clamp(min=_TINY)
    tied = sets.among_days(sets.hazard * sets.counted)[:, sets.day]
    number = sets.among_days(sets.counted)
    # The first of tied events leaves the others at risk, the last one none of them.
    before = sets.counted.cumsum(dim=1) - number.cumsum(dim=1)[:, sets.day]
    rank = before + number[:, sets.day] - sets.counted
    tied_share = rank / number[:, sets.day].clamp(min=1.0)
    log_risk = torch.log((at_risk - tied_share * tied).clamp(min=_TINY)) * sets.counted
    mean = sets.among_days(log_risk) / number.clamp(min=1.0)
    sorted_loss = (mean[:, sets.day] + sets.shift - sets.predictor) * sets.counted
    loss = torch.empty_like(sorted_loss).index_copy(1, sets.order, sorted_loss)
    return loss.to(predictor)


def breslow_hazard(
    predictor: Float[Tensor, "member row"],
    time: Float[Tensor, " row"],
    event: Float[Tensor, " row"],
    days: Float[Tensor, " time"],
    weights: Float[Tensor, "member row"] | None = None,
) -> Float[Tensor, "member time"]:
    """Return each member's cumulative hazard at days, of a patient whose predictor is 0.

    Examples
    --------
    >>> breslow_hazard(torch.zeros(1, 2), torch.tensor([1.0, 2.0]), torch.ones(2),
    ...                torch.tensor([0.5, 2.0])).tolist()
    [[0.0, 1.5]]

    References
    ----------
    Breslow 1974, Biometrics, doi:10.2307/2529620.
    """
    sets = _RiskSets.of(predictor, time, event, weights, None)
    deaths = sets.among_days(sets.weights * sets.counted)
    log_steps = torch.log(deaths.clamp(min=_TINY)) - torch.log(sets.at_risk.clamp(min=_TINY))
    steps = torch.where(deaths > 0, torch.exp(log_steps - sets.shift), 0.0)
    total = torch.nn.functional.pad(steps.flip(1).cumsum(dim=1), (1, 0))
    place = torch.searchsorted(sets.days.flip(0), days.to(sets.days), right=True)
    return total[:, place].to(predictor)


@dataclass(frozen=True)
class _RiskSets:
    """Rows in order of falling time, and who is at risk on each distinct day.

    Attributes
    ----------
    hazard
        Weighted relative hazard of each row, over ``exp(shift)``, (member, row).
    counted
        1 for the events that count for a member, (member, row).
    day
        Index of each row's day in ``days``, which fall, (row,).
    at_risk
        Sum of the hazards at risk, (member, day).
    """

    order: Int[Tensor, " row"]
    day: Int[Tensor, " row"]
    days: Float[Tensor, " day"]
    predictor: Float[Tensor, "member row"]
    weights: Float[Tensor, "member row"]
    counted: Float[Tensor, "member row"]
    hazard: Float[Tensor, "member row"]
    at_risk: Float[Tensor, "member day"]
    shift: Float[Tensor, "member 1"]

    @staticmethod
    def of(
        predictor: Tensor, time: Tensor, event: Tensor, weights: Tensor | None, entry: Tensor | None
    ) -> _RiskSets:
        order = torch.argsort(time, descending=True, stable=True)
        days, day, size = torch.unique_consecutive(
            time[order].double(), return_inverse=True, return_counts=True
        )
        sorted_predictor = predictor.double()[:, order]
        counts = torch.ones_like(sorted_predictor)
        if weights is not None:
            counts = weights.to(sorted_predictor)[:, order]
        inside = torch.where(counts > 0, sorted_predictor.detach(), -torch.inf)
        shift = inside.amax(dim=1, keepdim=True).nan_to_num(neginf=0.0)
        hazard = torch.where(counts > 0, counts * torch.exp(sorted_predictor - shift), 0.0)
        at_risk = hazard.cumsum(dim=1)[:, size.cumsum(dim=0) - 1]
        if entry is not None:
            at_risk = at_risk - _not_entered(hazard, entry.double()[order], days)
        counted = (event.to(counts)[order] > 0.5) * (counts > 0)
        return _RiskSets(
            order, day, days, sorted_predictor, counts, counted.to(counts), hazard, at_risk, shift
        )

    def among_days(self, values: Float[Tensor, "member row"]) -> Float[Tensor, "member day"]:
        """Return the sum over the rows of each day."""
        total = values.new_zeros(len(values), len(self.days))
        return total.index_add(1, self.day, values)


def _not_entered(hazard: Tensor, entry: Tensor, days: Tensor) -> Float[Tensor, "member day"]:
    """Return the hazards of those who enter on each day or after it."""
    late = torch.argsort(entry, descending=True)
    total = torch.nn.functional.pad(hazard[:, late].cumsum(dim=1), (1, 0))
    return total[:, torch.searchsorted(-entry[late], -days, right=True)]
