"""An event whose causes are told apart: each learned by its own hazard, which add up to it.

Who had the event of another cause is followed no longer as far as this one is concerned
(a cause-specific hazard), so every learner of a time to event learns each cause as it is; together
they give the survival without the event and the incidence of every cause.

References
----------
Prentice et al. 1978, Biometrics, doi:10.2307/2530374; in breast cancer: Wishart et al. 2010
(PREDICT), doi:10.1186/bcr2464.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from omics_twin.evaluate.competing import followed_on
from omics_twin.evaluate.design import Outcome


def of_one_cause(outcome: Outcome, which: int) -> Outcome:
    """Return the outcome from which one cause's hazard is learned, 1 for the first of them."""
    event = np.asarray(outcome.by_cause) == which
    return replace(outcome, event=event, by_cause=None, causes=())


def judged_by_cause(outcome: Outcome, which: int, patient_ids: Sequence[str]) -> Outcome:
    """Return the outcome by which predicted incidences of one cause are judged.

    The other causes compete with it, see :func:`omics_twin.evaluate.competing.followed_on`.
    """
    came = np.asarray(outcome.by_cause)
    cause = np.where(came == which, 1, np.where(came > 0, 2, 0))
    followed = followed_on(outcome.values, cause, patient_ids)
    alone = replace(of_one_cause(outcome, which), values=followed)
    return replace(alone, first_days=outcome.values, cause=cause)


def summed(
    survival: Float[ndarray, "cause *row time"],
) -> tuple[Float[ndarray, "*row time"], Float[ndarray, "cause *row time"]]:
    """Return survival without the event, and each cause's incidence, from those of each alone.

    Parameters
    ----------
    survival
        Probability of not having had the event of a cause by each day, were there no other; the
        hazards keep their proportion between two days, and before the first.

    Examples
    --------
    >>> alive, incidence = summed(np.array([[0.9], [0.8]]))
    >>> alive.round(3), incidence.round(3).tolist()
    (array([0.72]), [[0.09], [0.19]])
    """
    hazard = -np.log(np.clip(survival, 1e-12, 1.0))
    steps = np.diff(hazard, axis=-1, prepend=0.0)
    step = steps.sum(axis=0)
    alive = np.exp(-step.cumsum(axis=-1))
    before = np.concatenate([np.ones_like(alive[..., :1]), alive[..., :-1]], axis=-1)
    share = np.divide(steps, step, out=np.zeros_like(steps), where=step > 0)
    return alive, (share * (before - alive)).cumsum(axis=-1)
