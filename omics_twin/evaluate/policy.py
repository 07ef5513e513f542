"""What following a rule would have been worth, judged by doubly robust scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.stats import rankdata

from omics_twin.errors import CohortError, nearest
from omics_twin.evaluate.doubly_robust import Scores
from omics_twin.evaluate.propensity import effective_sample_size

DRAWS = 2000
LEVEL = 0.95
BLOCK = 250


@dataclass(frozen=True)
class Followed:
    """The outcome of each patient if a rule were followed; only its means say something.

    Attributes
    ----------
    values
        Score of the arm chosen.
    effective_patients
        Kish's effective number of patients whose own therapy was the one chosen.
    by_arm
        The same among those for whom each arm was chosen, shape (arm,).
    """

    values: Float[ndarray, "repeat patient"]
    effective_patients: float
    by_arm: Float[ndarray, " arm"]

    @property
    def mean(self) -> Float[ndarray, " patient"]:
        """Each patient's mean over repeats."""
        return self.values.mean(axis=0)


def following(scores: Scores, chosen: Int[ndarray, "... patient"]) -> Followed:
    """Return what follows if each patient gets the chosen arm.

    The choice for a patient must not have been learned from that patient's outcome or therapy.
    So "what was received" is no choice here: for that, see :func:`as_treated`.

    Parameters
    ----------
    chosen
        Index of the arm, per repeat of cross-validation if there are several.

    Raises
    ------
    CohortError
        If choices do not fit, or an arm is chosen that was not open to a patient.

    Examples
    --------
    >>> from omics_twin.evaluate.doubly_robust import doubly_robust
    >>> scores = doubly_robust(np.array([1.0, 0.0]), np.array([0, 1]), np.full((2, 2), 0.5),
    ...                        np.full((2, 2), 0.25))
    >>> following(scores, np.array([0, 0])).mean.tolist()
    [1.75, 0.25]
    """
    repeats, patients, arm_count = scores.values.shape
    chosen = np.atleast_2d(chosen)
    if chosen.shape[1:] != (patients,) or len({1, repeats, len(chosen)}) > 2:
        raise CohortError(
            f"choices have shape {chosen.shape}, the scores {(repeats, patients)} of repeats "
            "and patients; expected one arm per patient in each repeat"
        )
    if chosen.min() < 0 or chosen.max() >= arm_count:
        raise CohortError(
            f"choices reach from {chosen.min()} to {chosen.max()}, expected 0 to {arm_count - 1}"
        )
    closed = ~scores.eligible[np.arange(patients), chosen]
    if closed.any():
        raise CohortError(
            f"the rule chooses an arm that was not open to {int(closed.any(axis=0).sum())} of "
            f"{patients} patients; choose among the eligible arms"
        )
    shape = (max(repeats, len(chosen)), patients)
    chosen = np.broadcast_to(chosen, shape)
    scored = np.broadcast_to(scores.values, (*shape, arm_count))
    values = np.take_along_axis(scored, chosen[..., None], axis=2)[..., 0]
    agrees = np.where(chosen == scores.arms, scores.weights, 0.0).mean(axis=0)
    by_arm = [
        effective_sample_size(np.where(scores.arms == arm, agrees, 0.0)) for arm in range(arm_count)
    ]
    return Followed(values, effective_sample_size(agrees), np.array(by_arm))


def as_treated(scores: Scores) -> Followed:
    """Return what happened under the therapies received: the reference of every rule.

    Examples
    --------
    >>> from omics_twin.evaluate.doubly_robust import doubly_robust
    >>> scores = doubly_robust(np.array([1.0, 0.0]), np.array([0, 1]), np.full((2, 2), 0.5),
    ...                        np.full((2, 2), 0.25))
    >>> as_treated(scores).mean.tolist()
    [1.0, 0.0]
    """
    patients, arm_count = scores.values.shape[1:]
    by_arm = np.bincount(scores.arms, minlength=arm_count).astype(np.float64)
    return Followed(scores.outcome[None], float(patients), by_arm)


@dataclass(frozen=True)
class PolicyTable:
    """Values of rules and their differences to one of them; arrays are (rule,).

    Attributes
    ----------
    names, reference
        The rules in order, and the one that the differences are to.
    value, standard_error, lower, upper
        Mean outcome if a rule is followed, its standard error (from the spread of the scores),
        and bounds of the symmetric studentised bootstrap over patients.
    effective_patients
        See :class:`Followed`: how many patients' outcomes the value rests on.
    difference, difference_error, difference_lower, difference_upper
        The same for the paired difference to the reference; 0 for the reference itself.
    """

    names: tuple[str, ...]
    reference: str
    value: Float[ndarray, " rule"]
    standard_error: Float[ndarray, " rule"]
    lower: Float[ndarray, " rule"]
    upper: Float[ndarray, " rule"]
    effective_patients: Float[ndarray, " rule"]
    difference: Float[ndarray, " rule"]
    difference_error: Float[ndarray, " rule"]
    difference_lower: Float[ndarray, " rule"]
    difference_upper: Float[ndarray, " rule"]


def policy_values(
    rules: Mapping[str, Followed],
    reference: str,
    *,
    draws: int = DRAWS,
    level: float = LEVEL,
    seed: int = 0,
) -> PolicyTable:
    """Return the value of every rule and its difference to the reference, on the same draws.

    Repeats of cross-validation are averaged per patient first: they are no new patients. The
    interval says how sure the value of *these* rules is, not how they vary with the patients
    they were learned from; propensities and predictions are taken as given.

    Parameters
    ----------
    reference
        Name of the rule that others are compared with.
    draws, level, seed
        Of the bootstrap over patients.

    Raises
    ------
    CohortError
        If the reference is unknown or rules are about different patients.

    Examples
    --------
    >>> all_well = Followed(np.ones((1, 9)), 9.0, np.array([9.0]))
    >>> half = Followed(np.tile([0.0, 1.0, 0.5], 3)[None], 9.0, np.array([9.0]))
    >>> table = policy_values({"half": half, "well": all_well}, "half")
    >>> table.value.tolist(), table.difference.tolist()
    ([0.5, 1.0], [0.0, 0.5])

    References
    ----------
    Athey and Wager 2021, doi:10.3982/ECTA15732.
    """
    if reference not in rules:
        raise CohortError(f"unknown rule '{reference}'" + nearest(reference, rules))
    each = np.stack(_same_length({name: rule.mean for name, rule in rules.items()}), axis=1)
    names = tuple(rules)
    against = each - each[:, [names.index(reference)]]
    low, high = bootstrap_interval(np.hstack([each, against]), draws=draws, level=level, seed=seed)
    count = len(names)
    return PolicyTable(
        names,
        reference,
        each.mean(axis=0),
        standard_error(each),
        low[:count],
        high[:count],
        np.array([rule.effective_patients for rule in rules.values()]),
        against.mean(axis=0),
        standard_error(against),
        low[count:],
        high[count:],
    )


def _same_length(values: Mapping[str, ndarray]) -> list[ndarray]:
    lengths = {name: len(each) for name, each in values.items()}
    if len(set(lengths.values())) > 1 or min(lengths.values()) < 2:
        found = ", ".join(f"'{name}' {length}" for name, length in lengths.items())
        raise CohortError(f"patients per rule: {found}; expected the same two or more for all")
    return list(values.values())


def standard_error(values: Float[ndarray, "patient quantity"]) -> Float[ndarray, " quantity"]:
    """Return the standard error of the means over patients.

    Examples
    --------
    >>> standard_error(np.array([[0.0], [2.0]])).tolist()
    [1.0]
    """
    return np.asarray(values.std(axis=0, ddof=1) / np.sqrt(len(values)))


def bootstrap_interval(
    values: Float[ndarray, "patient quantity"],
    *,
    draws: int = DRAWS,
    level: float = LEVEL,
    seed: int = 0,
) -> tuple[Float[ndarray, " quantity"], Float[ndarray, " quantity"]]:
    """Return symmetric studentised bootstrap bounds of means over patients.

    Patients are drawn again with replacement, and the spread is estimated anew in each draw:
    scores weighted by 1 / propensity have heavy tails, and percentile bounds miss too often.

    Examples
    --------
    >>> low, high = bootstrap_interval(np.array([[0.0], [1.0]] * 50))
    >>> float(low[0]) < 0.5 < float(high[0])
    True

    References
    ----------
    Hall 1988, Journal of the Royal Statistical Society B,
    doi:10.1111/j.2517-6161.1988.tb01707.x.
    """
    rng = np.random.default_rng(seed)
    count, mean = len(values), values.mean(axis=0)
    rest, ratios = values - mean, []
    for start in range(0, draws, BLOCK):
        weights = drawn_again(rng, min(BLOCK, draws - start), count) / count
        shift = weights @ rest
        spread = np.sqrt(np.maximum(weights @ rest**2 - shift**2, 0.0))
        ratios.append(np.where(spread > 0, np.abs(shift) / np.where(spread > 0, spread, 1.0), 0.0))
    width = np.quantile(np.concatenate(ratios), level, axis=0) * values.std(axis=0)
    return mean - width, mean + width


def drawn_again(
    rng: np.random.Generator, draws: int, patients: int
) -> Float[ndarray, "draw patient"]:
    """Return how often each patient is drawn when as many are drawn with replacement.

    Examples
    --------
    >>> drawn_again(np.random.default_rng(0), 2, 5).sum(axis=1).tolist()
    [5.0, 5.0]
    """
    picked = rng.integers(patients, size=(draws, patients)) + patients * np.arange(draws)[:, None]
    times = np.bincount(picked.ravel(), minlength=draws * patients)
    return times.reshape(draws, patients).astype(np.float64)


class CoverageValue(NamedTuple):
    """Value when a rule is followed only for those it is most sure of; arrays are (share,).

    Attributes
    ----------
    share
        Share of patients for whom the rule is followed; the rest get the fallback.
    value, lower, upper
        Mean outcome of everybody, with bootstrap bounds (one share at a time).
    gain, gain_lower, gain_upper
        The paired difference to the fallback for all.
    """

    share: Float[ndarray, " share"]
    value: Float[ndarray, " share"]
    lower: Float[ndarray, " share"]
    upper: Float[ndarray, " share"]
    gain: Float[ndarray, " share"]
    gain_lower: Float[ndarray, " share"]
    gain_upper: Float[ndarray, " share"]


def coverage_value(
    rule: Followed,
    fallback: Followed,
    confidence: Float[ndarray, "... patient"],
    shares: Float[ndarray, " share"] | None = None,
    *,
    draws: int = DRAWS,
    level: float = LEVEL,
    seed: int = 0,
) -> CoverageValue:
    """Return what it is worth to follow a rule only where it is confident.

    Parameters
    ----------
    confidence
        Higher means surer; patients of equal confidence are followed in equal part. It must not
        use the patient's own outcome.
    shares
        Shares of patients followed, from 0 to 1; twenty-one even steps unless given.

    Raises
    ------
    CohortError
        If confidence does not fit the patients, or is not a number.

    Examples
    --------
    >>> rule = Followed(np.array([[1.0, 0.0]]), 2.0, np.array([2.0]))
    >>> other = Followed(np.array([[0.5, 0.5]]), 2.0, np.array([2.0]))
    >>> coverage_value(rule, other, np.array([0.9, 0.1]), np.array([0.0, 0.5, 1.0])).value.tolist()
    [0.5, 0.75, 0.5]
    """
    shares = np.linspace(0.0, 1.0, 21) if shares is None else shares
    confidence = np.atleast_2d(confidence)
    patients = rule.values.shape[1]
    repeats = {1, len(rule.values), len(fallback.values), len(confidence)}
    fits = confidence.shape[1] == fallback.values.shape[1] == patients and len(repeats) <= 2
    if not fits or not np.isfinite(confidence).all():
        raise CohortError(
            f"confidence has shape {confidence.shape}, the rule {rule.values.shape} and the "
            f"fallback {fallback.values.shape}; expected finite numbers for the same patients"
        )
    before = rankdata(-confidence, method="min", axis=1) - 1
    tied = rankdata(-confidence, method="max", axis=1) - before
    above = rule.values - fallback.values
    gains = np.stack(
        [
            (np.clip((share * patients - before) / tied, 0.0, 1.0) * above).mean(axis=0)
            for share in shares
        ],
        axis=1,
    )
    values = gains + fallback.mean[:, None]
    both = np.hstack([values, gains])
    low, high = bootstrap_interval(both, draws=draws, level=level, seed=seed)
    count, mean = len(shares), both.mean(axis=0)
    return CoverageValue(
        shares, mean[:count], low[:count], high[:count], mean[count:], low[count:], high[count:]
    )
