"""The therapies open to a patient, compared with the first; and those that are not open."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from omics_twin.answers.beliefs import Belief, endpoint_values
from omics_twin.errors import ModelError
from omics_twin.report.forest import Forest, Interval, forest
from omics_twin.report.words import Scale, probability, visible
from omics_twin.therapy.rank import order
from omics_twin.tracking import TrainedModel
from omics_twin.trust.privacy import count_in_words
from omics_twin.twin.draws import weighted_mean, weighted_quantile
from omics_twin.types import Ranking

_LONGEST_LABEL = 38


@dataclass(frozen=True)
class OpenTherapy:
    """A therapy open to the patient; numbers in the endpoint's own units.

    Attributes
    ----------
    arm, label
        The catalogue's name, and what people call it.
    difference, difference_lower, difference_upper
        To the first therapy, on the same draws; 0 for the first itself.
    tied
        Not clearly different from the first: the intervals overlap, or that of the difference
        holds 0.
    support, thin
        Training patients of the stratum who received it, and whether they are too few.
    """

    arm: str
    label: str
    expected: float
    lower: float
    upper: float
    difference: float
    difference_lower: float
    difference_upper: float
    probability_best: float
    support: int
    tied: bool
    thin: bool

    @property
    def received_by(self) -> str:
        """How many training patients of the stratum received it, in words."""
        return count_in_words(self.support)


@dataclass(frozen=True)
class ClosedTherapy:
    """A therapy that is not open to the patient, and why."""

    label: str
    reason: str


@dataclass(frozen=True)
class Comparison:
    """One patient's therapies; the open ones best first, those tied with the first on top.

    Attributes
    ----------
    abstention
        Why none of them is recommended; empty where one is.
    """

    opened: tuple[OpenTherapy, ...]
    closed: tuple[ClosedTherapy, ...]
    abstention: str = ""

    @property
    def tied(self) -> tuple[OpenTherapy, ...]:
        """The first and those not clearly different from it."""
        return tuple(each for each in self.opened if each.tied)

    @property
    def separate(self) -> tuple[OpenTherapy, ...]:
        """Those that are clearly different from the first."""
        return tuple(each for each in self.opened if not each.tied)

    @property
    def leaning(self) -> tuple[OpenTherapy, ...]:
        """Those tied with the first by their intervals, not by that of the difference."""
        return tuple(
            each
            for each in self.tied[1:]
            if not each.difference_lower <= 0.0 <= each.difference_upper
        )

    @property
    def thin(self) -> tuple[OpenTherapy, ...]:
        """Those with thin support."""
        return tuple(each for each in self.opened if each.thin)


def compare(model: TrainedModel, belief: Belief, ranking: Ranking) -> Comparison:
    """Return the comparison for the only patient of a belief.

    Raises
    ------
    ModelError
        If the model answers with something that is not a number.
    """
    best_first = order(ranking, 0)
    if best_first and not bool(torch.isfinite(ranking.expected[0, best_first]).all()):
        raise ModelError(
            f"model '{model.twin.name}' has no finite answer for patient "
            f"'{ranking.patient_ids[0]}': check the patient's values and the model"
        )
    opened = [_opened(model, belief, ranking, best_first[0], each) for each in best_first]
    closed = [index for index in range(len(ranking.interventions)) if index not in best_first]
    return Comparison(
        opened=tuple(sorted(opened, key=lambda each: not each.tied)),
        closed=tuple(
            ClosedTherapy(visible(model.catalogue.labels[index]), ranking.reasons[0][index])
            for index in closed
        ),
        abstention=_told(model, ranking.abstention[0]),
    )


def _told(model: TrainedModel, reason: str) -> str:
    """Return why nothing is recommended, therapies by what people call them."""
    for arm, label in zip(model.catalogue.arms, model.catalogue.labels, strict=True):
        reason = reason.replace(f"'{arm}'", label)
    return visible(reason)


def _opened(
    model: TrainedModel, belief: Belief, ranking: Ranking, first: int, option: int
) -> OpenTherapy:
    numbers = (ranking.expected, ranking.lower, ranking.upper, ranking.probability_best)
    expected, lower, upper, best = (float(each[0, option]) for each in numbers)
    difference, least, most = (0.0, 0.0, 0.0)
    if option != first:
        values = _values(model, belief, option) - _values(model, belief, first)
        weights, tail = belief.state.log_weights, (1.0 - ranking.interval) / 2.0
        difference = float(weighted_mean(values, weights)[0])
        least = float(weighted_quantile(values, weights, tail)[0])
        most = float(weighted_quantile(values, weights, 1.0 - tail)[0])
    overlap = lower <= float(ranking.upper[0, first]) and upper >= float(ranking.lower[0, first])
    support = int(ranking.support[0, option])
    return OpenTherapy(
        arm=model.catalogue.arms[option],
        label=visible(model.catalogue.labels[option]),
        expected=expected,
        lower=lower,
        upper=upper,
        difference=difference,
        difference_lower=least,
        difference_upper=most,
        probability_best=best,
        support=support,
        tied=overlap or least <= 0.0 <= most,
        thin=support < model.catalogue.thin_support,
    )


def _values(model: TrainedModel, belief: Belief, option: int) -> Tensor:
    arm = model.catalogue.arms[option]
    return endpoint_values(model, belief.state, model.catalogue.intervention(arm))


def plot_of(comparison: Comparison, scale: Scale) -> Forest | None:
    """Return the forest plot of the open therapies; None if there are none."""
    if not comparison.opened:
        return None
    factor = scale.horizon_months if scale.months else scale.factor
    return forest(
        [
            Interval(
                label=shortened(each.label),
                number=scale.in_months(each.expected)
                if scale.months
                else scale.value(each.expected),
                expected=factor * each.expected,
                lower=factor * each.lower,
                upper=factor * each.upper,
                tied=each.tied,
                thin=each.thin,
            )
            for each in comparison.opened
        ]
    )


def shortened(label: str, most: int = _LONGEST_LABEL) -> str:
    """Return a label that fits on a narrow screen."""
    return label if len(label) <= most else label[: most - 1].rstrip() + "…"


def table_of(comparison: Comparison, scale: Scale) -> list[dict[str, object]]:
    """Return the open therapies as the lines of a table."""
    return [
        {
            "therapy": each,
            "first": place == 0,
            "expected": scale.value(each.expected),
            "interval": scale.interval(each.lower, each.upper),
            "months": scale.in_months(each.expected),
            "months_interval": f"{scale.in_months(each.lower)} to {scale.in_months(each.upper)}",
            "difference": scale.difference(each.difference),
            "difference_interval": scale.difference_interval(
                each.difference_lower, each.difference_upper
            ),
            "months_difference": scale.difference_in_months(each.difference),
            "months_difference_interval": " to ".join(
                scale.difference_in_months(end)
                for end in (each.difference_lower, each.difference_upper)
            ),
            "probability_best": probability(each.probability_best),
        }
        for place, each in enumerate(comparison.opened)
    ]
