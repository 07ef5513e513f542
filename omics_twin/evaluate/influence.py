"""How much does each patient move a metric? Standard errors without drawing patients again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import rankdata, t

from omics_twin.errors import CohortError
from omics_twin.evaluate.calibration import wilson_interval
from omics_twin.evaluate.checks import both_classes, predicted_binary, survival_times
from omics_twin.evaluate.metrics import CLOSEST, calibration_slope_intercept
from omics_twin.evaluate.survival import StepFunction, kaplan_meier, uncensored

_BLOCK = 512


@dataclass(frozen=True)
class Estimate:
    """A number over some patients, and how much each of them moves it.

    Attributes
    ----------
    influence
        What the number would change by, were a patient counted twice, times the number of
        patients: its mean is 0, and its spread is that of the number.
    share
        Whether the number lies between 0 and 1.
    clusters
        Of each patient, where patients of one cluster are right or wrong together, such as those
        who are held out together on a simulated copy; ``None``: each on their own.

    References
    ----------
    The infinitesimal jackknife: Efron 1982, The Jackknife, the Bootstrap and Other Resampling
    Plans, doi:10.1137/1.9781611970319. For the AUC it is DeLong's variance (DeLong et al. 1988,
    doi:10.2307/2531595). Of clusters: Liang and Zeger 1986, doi:10.1093/biomet/73.1.13.
    """

    value: float
    influence: Float[ndarray, " patient"]
    share: bool = False
    clusters: Int[ndarray, " patient"] | None = None

    @property
    def patients(self) -> int:
        """How many patients the number is over."""
        return len(self.influence)

    @property
    def parts(self) -> Float[ndarray, " part"]:
        """What each patient, or each cluster, adds to the number's error; they add up to 0."""
        each = self.influence / self.patients
        return each if self.clusters is None else np.bincount(self.clusters, weights=each)

    @property
    def freedom(self) -> int:
        """How many patients, or clusters, there are beside one."""
        if self.clusters is None:
            return self.patients - 1
        return len(np.unique(self.clusters)) - 1

    @property
    def standard_error(self) -> float:
        """Of the number, over patients or clusters like these; NaN for a single one."""
        if self.freedom < 1:
            return float("nan")
        return float(np.sqrt((self.parts**2).sum() * (self.freedom + 1) / self.freedom))

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return the bounds of the number: of Student's t, for a share on the scale of its logit.

        A share of none or of all patients has Wilson's bounds.

        Raises
        ------
        CohortError
            If there is one patient or cluster only.

        Examples
        --------
        >>> lower, upper = mean_of(np.array([0.0, 1.0] * 50), share=True).interval()
        >>> round(lower, 2), round(upper, 2)
        (0.4, 0.6)
        """
        error = self.standard_error
        if not np.isfinite(error):
            raise CohortError("one patient or one cluster of patients tells no interval")
        reach = float(t.ppf(0.5 + level / 2.0, self.freedom))
        if not self.share:
            return self.value - reach * error, self.value + reach * error
        if not 0.0 < self.value < 1.0:
            lower, upper = wilson_interval(self.value * self.patients, self.patients, level)
            return float(lower), float(upper)
        middle, half = logit(self.value), reach * error / (self.value * (1.0 - self.value))
        return float(expit(middle - half)), float(expit(middle + half))


def averaged(estimates: Sequence[Estimate]) -> Estimate:
    """Return the mean of a number over repeats of cross-validation, which are no new patients.

    Examples
    --------
    >>> averaged([mean_of(np.array([0.0, 2.0])), mean_of(np.array([2.0, 4.0]))]).value
    2.0
    """
    return Estimate(
        float(np.mean([each.value for each in estimates])),
        np.mean([each.influence for each in estimates], axis=0),
        estimates[0].share,
        estimates[0].clusters,
    )


def mean_of(values: Float[ndarray, " patient"], *, share: bool = False) -> Estimate:
    """Return a mean over patients."""
    mean = float(values.mean())
    return Estimate(mean, values - mean, share)


def share_inside(
    inside: Float[ndarray, "patient cell"], clusters: Int[ndarray, " patient"] | None = None
) -> Estimate:
    """Return the share of a patient's cells that are 1, every cell of every patient counted once.

    Parameters
    ----------
    inside
        1 where an interval holds the truth, else 0; NaN where nothing was said.
    clusters
        See :class:`Estimate`.

    Raises
    ------
    CohortError
        If nothing was said of anybody.

    Examples
    --------
    >>> share_inside(np.array([[1.0, 1.0], [0.0, np.nan]])).value
    0.6666666666666666
    """
    return replace(mean_of_cells(inside), share=True, clusters=clusters)


def mean_of_cells(values: Float[ndarray, "patient cell"]) -> Estimate:
    """Return a mean in which every cell that is not NaN counts once; a patient's are together.

    Raises
    ------
    CohortError
        If nothing is known of anybody.

    Examples
    --------
    >>> mean_of_cells(np.array([[1.0, 3.0], [5.0, np.nan]])).value
    3.0
    """
    said = np.isfinite(values)
    number, held = said.sum(axis=1), np.where(said, values, 0.0).sum(axis=1)
    if not number.sum():
        raise CohortError(f"nothing was told of any of {len(values)} patients")
    value = float(held.sum() / number.sum())
    return Estimate(value, (held - value * number) / number.mean())


def joined(
    estimates: Sequence[Estimate], rows: Sequence[Int[ndarray, " _own"]], patients: int
) -> Estimate:
    """Return the mean of numbers over sets of patients that overlap, as of several landmarks.

    Parameters
    ----------
    rows
        Of each number, whom it is over: places among all patients.
    patients
        How many there are in all.

    Examples
    --------
    >>> parts = [mean_of(np.array([0.0, 2.0])), mean_of(np.array([4.0]))]
    >>> joined(parts, [np.array([0, 1]), np.array([1])], 2).value
    2.5
    """
    influence = np.zeros(patients)
    for each, own in zip(estimates, rows, strict=True):
        influence[own] += each.influence * patients / (len(own) * len(estimates))
    value = float(np.mean([each.value for each in estimates]))
    return Estimate(value, influence, estimates[0].share)


def less(first: Estimate, second: Estimate) -> Estimate:
    """Return how much larger the first of two numbers over the same patients is.

    Examples
    --------
    >>> less(mean_of(np.array([1.0, 2.0])), mean_of(np.array([0.0, 1.0]))).interval()
    (1.0, 1.0)
    """
    return Estimate(first.value - second.value, first.influence - second.influence)


def auc_of(
    probability: Float[ndarray, " patient"], outcome: Float[ndarray, " patient"]
) -> Estimate:
    """Return the area under the ROC curve.

    Raises
    ------
    CohortError
        If only one class is present, or ranges are wrong.

    Examples
    --------
    >>> auc_of(np.array([0.1, 0.4, 0.35, 0.8]), np.array([0.0, 0.0, 1.0, 1.0])).value
    0.75
    """
    probability, outcome = predicted_binary(probability, outcome)
    both_classes(outcome, "the ROC curve")
    positive = outcome == 1.0
    among, rank = len(outcome), rankdata(probability)
    above = (rank[positive] - rankdata(probability[positive])) / (~positive).sum()
    below = 1.0 - (rank[~positive] - rankdata(probability[~positive])) / positive.sum()
    value = float(above.mean())
    influence = np.empty(among)
    influence[positive] = (above - value) * among / positive.sum()
    influence[~positive] = (below - value) * among / (~positive).sum()
    return Estimate(value, influence, share=True)


def uno_c_of(
    risk: Float[ndarray, " patient"],
    time: Float[ndarray, " patient"],
    event: Float[ndarray, " patient"],
    censoring: StepFunction,
    until_days: float,
) -> Estimate:
    """Return Uno's c as :func:`omics_twin.evaluate.concordance.concordance_uno` gives it.

    The censoring is taken as known. In time that grows with the square of the patients.

    Raises
    ------
    CohortError
        If no pair is comparable, or nobody is left uncensored at a counted event.

    Examples
    --------
    >>> from omics_twin.evaluate.survival import censoring_survival
    >>> time, event = np.array([1.0, 2.0, 3.0]), np.array([1.0, 1.0, 0.0])
    >>> uno_c_of(np.array([3.0, 1.0, 2.0]), time, event, censoring_survival(time, event), 9.0).value
    0.6666666666666666

    References
    ----------
    Uno et al. 2011, doi:10.1002/sim.4154; the variance of a ratio of sums over pairs: Kang et al.
    2015, Statistics in Medicine, doi:10.1002/sim.6370.
    """
    risk, time, event = survival_times(risk=risk, time=time, event=event)
    counted = np.flatnonzero((event == 1.0) & (time < until_days))
    weights = 1.0 / uncensored(censoring, time[counted]) ** 2
    concordant, comparable = np.zeros(len(time)), np.zeros(len(time))
    for start in range(0, len(counted), _BLOCK):
        rows, weight = counted[start : start + _BLOCK], weights[start : start + _BLOCK, None]
        first = time[rows, None]
        later = (time > first) | ((time == first) & (event == 0.0))
        pairs = weight * later
        higher = risk[rows, None]
        won = pairs * ((higher > risk) + 0.5 * (higher == risk))
        for total, each in ((comparable, pairs), (concordant, won)):
            total += each.sum(axis=0)
            total[rows] += each.sum(axis=1)
    if comparable.sum() <= 0:
        raise CohortError(f"no two of {len(time)} patients can be compared: judge more together")
    value = float(concordant.sum() / comparable.sum())
    # Every pair is in the sums of both of its patients.
    influence = 2.0 * len(time) * (concordant - value * comparable) / comparable.sum()
    return Estimate(value, influence, share=True)


def survival_gap_of(
    survival: Float[ndarray, " patient"],
    time: Float[ndarray, " patient"],
    event: Float[ndarray, " patient"],
    horizon_days: float,
) -> Estimate:
    """Return the observed survival at a horizon (Kaplan-Meier) less the mean that was predicted.

    Parameters
    ----------
    survival
        Predicted probability of no event by the horizon.

    Raises
    ------
    CohortError
        If follow-up ends before the horizon while patients are still at risk.

    Examples
    --------
    >>> survival_gap_of(np.array([0.5, 0.5]), np.array([1.0, 3.0]), np.array([1.0, 0.0]), 2.0).value
    0.0
    """
    survival, time, event = survival_times(survival=survival, time=time, event=event)
    curve = kaplan_meier(time, event)
    if curve.days[-1] < horizon_days and curve.survival[-1] > 0:
        raise CohortError(
            f"{len(time)} patients are followed until day {curve.days[-1]:g}, the horizon is day "
            f"{horizon_days:g}: choose an earlier horizon"
        )
    observed = float(curve.at(horizon_days))
    place = np.searchsorted(curve.days, time)
    rest = curve.at_risk - np.bincount(place, weights=event)
    # Where nobody is left the curve is at 0, and nobody moves it.
    early = (curve.days <= horizon_days) & (rest > 0)
    lost = np.where(early, 1.0 / np.where(rest > 0, rest, 1.0), 0.0)
    gained = np.cumsum(lost - np.where(early, 1.0 / curve.at_risk, 0.0))
    moved = gained[place] - np.where(event == 1.0, lost[place], 0.0)
    influence = len(time) * observed * moved - (survival - survival.mean())
    return Estimate(observed - float(survival.mean()), influence)


def slope_of(
    probability: Float[ndarray, " patient"], outcome: Float[ndarray, " patient"]
) -> Estimate:
    """Return the logistic calibration slope: below 1, predictions are too extreme.

    Raises
    ------
    CohortError
        If no finite slope exists, see
        :func:`omics_twin.evaluate.metrics.calibration_slope_intercept`.

    Examples
    --------
    >>> outcome = np.array([1.0] + [0.0] * 4 + [1.0] * 4 + [0.0])
    >>> round(slope_of(np.array([0.2] * 5 + [0.8] * 5), outcome).value, 6)
    1.0
    """
    slope, _ = calibration_slope_intercept(probability, outcome)
    score = logit(np.clip(probability, CLOSEST, 1.0 - CLOSEST))
    furthest = float(np.abs(slope * score).max()) + 50.0

    def rest(intercept: float) -> float:
        return float((outcome - expit(intercept + slope * score)).sum())

    fitted = expit(brentq(rest, -furthest, furthest) + slope * score)
    columns = np.column_stack([score, np.ones_like(score)])
    curvature = columns.T @ (columns * (fitted * (1.0 - fitted))[:, None]) / len(score)
    influence = columns * (outcome - fitted)[:, None] @ np.linalg.inv(curvature)
    return Estimate(slope, influence[:, 0])


def rmse_of(predicted: Float[ndarray, " patient"], outcome: Float[ndarray, " patient"]) -> Estimate:
    """Return the root of the mean squared error, in the outcome's unit.

    Examples
    --------
    >>> rmse_of(np.array([1.0, 2.0]), np.array([1.0, 4.0])).value
    1.4142135623730951
    """
    squared = (predicted - outcome) ** 2
    root = float(np.sqrt(squared.mean()))
    return Estimate(root, (squared - root**2) / (2.0 * max(root, CLOSEST)))
