"""How well a risk tells who has the event by a day from who does not, day by day."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from numpy.typing import ArrayLike

from omics_twin.errors import CohortError
from omics_twin.evaluate.checks import survival_times
from omics_twin.evaluate.survival import StepFunction, kaplan_meier, uncensored


class DynamicAuc(NamedTuple):
    """Areas under the ROC curves of cumulative cases and dynamic controls.

    Attributes
    ----------
    days, auc
        Shape (time,): the days judged [day] and the area at each.
    mean
        Over the days, each weighted by how many have the event since the day before.
    """

    days: Float[ndarray, " time"]
    auc: Float[ndarray, " time"]
    mean: float


def dynamic_auc(
    risk: ArrayLike,
    time: ArrayLike,
    event: ArrayLike,
    at_days: ArrayLike,
    censoring: StepFunction,
) -> DynamicAuc:
    """Return the AUC at each day: cases have had the event by then, controls have not.

    Cases weigh 1 / G(time), so that those lost before the day do not bias it. It says nothing
    about whether the predicted probabilities are right.

    Parameters
    ----------
    risk
        Shape (patient,), or (patient, time) for a risk that differs between days; higher risk
        means earlier.
    at_days
        Shape (time,), rising [day].
    censoring
        :func:`omics_twin.evaluate.survival.censoring_survival` of the training patients.

    Raises
    ------
    CohortError
        If nobody has the event by a day, nobody is followed beyond it, or the shapes do not fit.

    Examples
    --------
    >>> from omics_twin.evaluate.survival import censoring_survival
    >>> time, event = [1.0, 2.0, 3.0, 4.0], [1, 1, 0, 1]
    >>> dynamic_auc([4.0, 1.0, 2.0, 3.0], time, event, [1.5, 2.5],
    ...             censoring_survival(time, event)).auc.tolist()
    [1.0, 0.5]

    References
    ----------
    Uno et al. 2007, Journal of the American Statistical Association,
    doi:10.1198/016214507000000149. Hung and Chiang 2010, Canadian Journal of Statistics,
    doi:10.1002/cjs.10046. The mean: Lambert and Chevret 2016, doi:10.1177/0962280213515571.
    """
    time, event = survival_times(time=time, event=event)
    days = np.atleast_1d(np.asarray(at_days, dtype=np.float64))
    risk = _by_day(np.asarray(risk, dtype=np.float64), len(time), days)
    weights = np.zeros(len(time))
    counted = (event == 1.0) & (time <= days[-1])
    weights[counted] = 1.0 / uncensored(censoring, time[counted])
    areas = np.empty(len(days))
    for column, day in enumerate(days):
        case, control = weights * (time <= day), (time > day).astype(np.float64)
        if not case.any() or not control.any():
            raise CohortError(
                f"{int((case > 0).sum())} patients have the event by day {day:g} and "
                f"{int(control.sum())} are followed beyond it; expected at least one of each"
            )
        areas[column] = weighted_auc(risk[:, min(column, risk.shape[1] - 1)], case, control)
    gone = np.append(0.0, 1.0 - kaplan_meier(time, event).at(days))
    return DynamicAuc(days, areas, float(areas @ np.diff(gone) / gone[-1]))


def weighted_auc(
    risk: Float[ndarray, " patient"],
    case: Float[ndarray, " patient"],
    control: Float[ndarray, " patient"],
) -> float:
    """Return how often a case is at higher risk than a control, each pair by its weights.

    Ties count half.

    Examples
    --------
    >>> weighted_auc(np.array([2.0, 1.0]), np.array([1.0, 0.0]), np.array([0.0, 3.0]))
    1.0
    """
    order = np.argsort(risk)
    rising = risk[order]
    last = np.append(np.flatnonzero(rising[1:] != rising[:-1]), len(risk) - 1)
    controls = np.diff(np.cumsum(control[order])[last], prepend=0.0)
    cases = np.diff(np.cumsum(case[order])[last], prepend=0.0)
    won = cases @ (np.cumsum(controls) - 0.5 * controls)
    return float(won / (cases.sum() * controls.sum()))


def _by_day(risk: ndarray, patients: int, days: ndarray) -> Float[ndarray, "patient column"]:
    columns = risk[:, None] if risk.ndim == 1 else risk
    if columns.ndim != 2 or len(columns) != patients or columns.shape[1] not in (1, len(days)):
        raise CohortError(
            f"risk has shape {risk.shape}; expected ({patients},) or ({patients}, {len(days)})"
        )
    if not np.isfinite(columns).all():
        raise CohortError("'risk' holds values that are not finite; leave those patients out")
    if days.ndim != 1 or not len(days) or not (np.diff(days) > 0).all():
        raise CohortError(f"the days judged have shape {days.shape}, expected days that rise")
    return columns
