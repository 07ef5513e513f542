"""Patients like this one: for whom the twin expects the same, and what happened to them.

References
----------
Hansen 2008, The prognostic analogue of the propensity score (doi:10.1093/biomet/asn004): patients
whose expected outcome is alike can be compared. Here the expectation is a vector, one number for
each therapy, so that patients who are alike would also be alike in what helps them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.stats import t as student

from omics_twin.answers.beliefs import beliefs_of, endpoint_values, received_of
from omics_twin.answers.patients import Patients, patients_in
from omics_twin.cohort.cohort import Cohort
from omics_twin.evaluate.calibration import wilson_interval
from omics_twin.evaluate.competing import followed_on
from omics_twin.evaluate.survival import kaplan_meier
from omics_twin.settings import Reading, TwinSettings
from omics_twin.tracking import TrainedModel
from omics_twin.twin.draws import weighted_mean
from omics_twin.types import Endpoint, TwinState

_SHARE, _LEAST = 0.1, 30
FEWEST = 5
# More are not looked through while somebody waits.
_LARGEST_POOL = 2000


@dataclass(frozen=True)
class ArmOutcome:
    """What happened to the similar patients who received one arm.

    Attributes
    ----------
    patients
        How many; None: one to four, or what would tell how many another arm has of them.
    events
        With the outcome, or with the event before the horizon; None where it is no count.
    observed, lower, upper
        The endpoint as it was observed, with its 95 % interval, in the endpoint's own units; NaN
        where it cannot be told.
    """

    arm: str
    label: str
    patients: int | None
    events: int | None
    observed: float
    lower: float
    upper: float


@dataclass(frozen=True)
class Company:
    """The patients most like this one.

    Attributes
    ----------
    nearest, pool
        How many were taken, and of how many.
    distance
        Largest distance of one of them: root mean square over the therapies of the difference in
        the expected endpoint.
    arms
        What happened to them, by arm received; arms that none of them received are absent.
    """

    nearest: int
    pool: int
    distance: float
    arms: tuple[ArmOutcome, ...]


@dataclass(frozen=True)
class Pool:
    """Patients that others are compared with: a known therapy and outcome, and some member's view.

    Attributes
    ----------
    source
        Name of the cohort that they come from.
    received, values, events
        Arm, outcome, and event where the outcome is a time, (patient,).
    expected
        See :func:`expectations`.
    """

    source: str
    patient_ids: tuple[str, ...]
    received: np.ndarray
    values: np.ndarray
    events: np.ndarray | None
    expected: Float[np.ndarray, "patient arm"]


def pool_of(model: TrainedModel, cohort: Cohort, settings: TwinSettings) -> Pool | None:
    """Return whom of a cohort others can be compared with; None where there is nobody.

    Every patient is answered by members that never saw them; who was seen by all of them is not
    taken.
    """
    if model.outcome not in cohort.outcomes:
        return None
    received = received_of(cohort, model.catalogue)
    outcome, values = cohort.outcomes[model.outcome], cohort.outcomes[model.outcome].values
    if outcome.cause is not None:
        values = followed_on(values, outcome.cause, cohort.patient_ids)
    known = np.isfinite(outcome.values) & np.array([a in model.catalogue.arms for a in received])
    known &= model.twin.membership.unseen(cohort.patient_ids).any(dim=1).numpy()
    places = np.flatnonzero(known)
    if not len(places):
        return None
    if len(places) > _LARGEST_POOL:
        drawn = np.random.default_rng([settings.seed, 19]).permutation(places)[:_LARGEST_POOL]
        places = np.sort(drawn)
    chosen = cohort.select([cohort.patient_ids[place] for place in places])
    return Pool(
        source=cohort.name,
        patient_ids=chosen.patient_ids,
        received=np.array([str(received[place]) for place in places]),
        values=values[places],
        events=None if outcome.events is None else outcome.events[places],
        expected=expectations(model, patients_in(model, chosen), settings),
    )


def similar_patients(
    model: TrainedModel, pool: Pool, patients: Patients, settings: TwinSettings
) -> Company | None:
    """Return what happened to the patients for whom the twin expects the most alike.

    Compared is what was expected before treatment, of this patient too: what was measured later
    depends on the therapy and would bias what is said of it.

    Parameters
    ----------
    patients
        The one patient asked about, who may be of the pool.

    Returns
    -------
    Company or None
        None where nobody else is in the pool.
    """
    others = np.flatnonzero(~np.isin(pool.patient_ids, patients.patient_ids))
    if not len(others):
        return None
    own = expectations(model, patients, settings)
    distance = np.sqrt(((pool.expected[others] - own) ** 2).mean(axis=1))
    size = min(len(others), max(_LEAST, round(_SHARE * len(others))))
    nearest = np.argsort(distance, kind="stable")[:size]
    taken = others[nearest]
    return Company(
        nearest=size,
        pool=len(others),
        distance=float(distance[nearest[-1]]),
        arms=_by_arm(
            model,
            pool.received[taken],
            pool.values[taken],
            None if pool.events is None else pool.events[taken],
        ),
    )


def expectations(
    model: TrainedModel, patients: Patients, settings: TwinSettings
) -> Float[np.ndarray, "patient arm"]:
    """Return the expected endpoint under every arm, as it is before treatment.

    Every member answers once, at the middle of its belief about the patient: what is compared
    must not differ by chance.
    """
    few = replace(settings, draws=model.twin.network.members)
    matrices, received = patients.matrices, patients.received
    parts = []
    for belief in beliefs_of(model, matrices, received, few, strata=patients.keys):
        state = _at_the_middle(belief.state)
        under = [
            weighted_mean(endpoint_values(model, state, each), state.log_weights)
            for each in model.catalogue.interventions()
        ]
        parts.append(torch.stack(under, dim=1).double().numpy())
    return np.concatenate(parts)


def _at_the_middle(state: TwinState) -> TwinState:
    """Return the belief without its noise."""
    noise = torch.tensor([name.startswith("noise_") for name in state.names])
    return replace(state, draws=torch.where(noise, 0.0, state.draws))


def _by_arm(
    model: TrainedModel,
    received: np.ndarray,
    values: Float[np.ndarray, " patient"],
    events: Bool[np.ndarray, " patient"]
    | Int[np.ndarray, " patient"]
    | Float[np.ndarray, " patient"]
    | None,
) -> tuple[ArmOutcome, ...]:
    found = []
    hidden = _hidden({arm: int((received == arm).sum()) for arm in model.catalogue.arms})
    for arm, label in zip(model.catalogue.arms, model.catalogue.labels, strict=True):
        here = received == arm
        count = int(here.sum())
        if not count:
            continue
        if arm in hidden:
            found.append(ArmOutcome(arm, label, None, None, np.nan, np.nan, np.nan))
            continue
        happened, *numbers = _observed(
            model, values[here], None if events is None else events[here]
        )
        found.append(ArmOutcome(arm, label, count, happened, *numbers))
    return tuple(found)


def _hidden(counts: Mapping[str, int]) -> set[str]:
    """Return the arms of which nothing is shown: those of few, and one more where these are alone.

    The total is told, so that a single arm left out would be the rest of it.
    """
    few = {arm for arm, count in counts.items() if 0 < count < FEWEST}
    others = [arm for arm, count in counts.items() if count >= FEWEST]
    alone = len(few) == 1 or 0 < sum(counts[arm] for arm in few) < FEWEST
    return few | ({min(others, key=lambda arm: counts[arm])} if alone and others else set())


def _observed(
    model: TrainedModel, values: np.ndarray, events: np.ndarray | None
) -> tuple[int | None, float, float, float]:
    """Return events, and the endpoint with its 95 % interval."""
    if model.outcome_kind == "binary":
        count = int(values.sum())
        lower, upper = wilson_interval(count, len(values))
        return count, count / len(values), float(lower), float(upper)
    if model.outcome_kind == "continuous" or events is None:
        mean, error = float(values.mean()), float(values.std(ddof=1) / len(values) ** 0.5)
        half = float(student.ppf(0.975, len(values) - 1)) * error
        return None, mean, mean - half, mean + half
    happened = int((events.astype(bool) & (values <= model.endpoint.horizon_days)).sum())
    return happened, *survival_observed(values, events, model.endpoint)


def survival_observed(
    time: Float[np.ndarray, " patient"], event: np.ndarray, endpoint: Endpoint
) -> tuple[float, float, float]:
    """Return a survival endpoint by Kaplan-Meier, with its 95 % interval.

    Parameters
    ----------
    time, event
        Time to event or censoring [day]; 1 for an event.

    Returns
    -------
    tuple of float
        NaN where nobody is followed up to the horizon while some are free of the event.

    Examples
    --------
    >>> endpoint = Endpoint("os", "os", 4.0, reading=Reading.MEAN_UP_TO_HORIZON)
    >>> time, event = np.array([2.0, 4.0]), np.array([1.0, 0.0])
    >>> [round(each, 2) for each in survival_observed(time, event, endpoint)]
    [0.75, 0.4, 1.0]

    References
    ----------
    Variance of the restricted mean: Klein & Moeschberger 2003, doi:10.1007/b97377, equation 4.5.2.
    """
    curve, horizon = kaplan_meier(time, event.astype(float)), endpoint.horizon_days
    if curve.days[-1] < horizon and curve.survival[-1] > 0:
        return np.nan, np.nan, np.nan
    if endpoint.reading is Reading.VALUE_AT_HORIZON:
        mean, error = float(curve.at(horizon)), float(curve.error_at(horizon))
    else:
        inside = curve.days < horizon
        edges = np.concatenate([[0.0], curve.days[inside], [horizon]])
        areas = np.diff(edges) * np.append(1.0, curve.survival[inside])
        beyond = areas[::-1].cumsum()[::-1][1:]
        risk = curve.at_risk[inside].astype(float)
        before = np.append(1.0, curve.survival[inside][:-1]) if inside.any() else np.zeros(0)
        died = np.where(before > 0, risk * (1.0 - curve.survival[inside] / before), 0.0)
        left = np.where(risk > died, risk * (risk - died), np.inf)
        mean = float(areas.sum()) / horizon
        error = float(np.sqrt((beyond**2 * died / left).sum())) / horizon
    half = 1.959964 * error
    return mean, max(0.0, mean - half), min(1.0, mean + half)
