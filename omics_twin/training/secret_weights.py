"""How much each patient counts in training, by weights that are not told.

An attacker tells that a patient was learned from by an answer that fits the patient too well. How
well it would fit without the patient is known the less, the more the answer hangs on weights of
everybody that the attacker does not know (the weighted likelihood bootstrap, Newton & Raftery 1994,
doi:10.1111/j.2517-6161.1994.tb01956.x, of which all members share one draw: the mean over members
with weights of their own would show what the weights hide).

The weights are a function of what is known of all patients learned from, and of the key of the site
where it has one: who holds both trains the same twin again, and nobody else finds the weights.
"""

from __future__ import annotations

import hmac
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.stats import gamma
from torch import Tensor

from omics_twin.config import Config
from omics_twin.models.private_noise import NoiseSource
from omics_twin.tensors.members import MemberPlan
from omics_twin.training.tasks import Task
from omics_twin.trust.keys import SITE, named_key


def weighed(plan: MemberPlan, task: Task, config: Config) -> MemberPlan:
    """Return the plan with patients weighed as ``trainer.privacy.secret_weights`` asks for it."""
    variance = config.trainer.privacy.secret_weights
    if not variance:
        return plan
    weights = _weights(task, plan.seen.any(dim=0), variance)
    return replace(plan, training=plan.training * weights)


def _weights(
    task: Task, learned: Bool[Tensor, " patient"], variance: float
) -> Float[Tensor, " patient"]:
    """Return weights of mean 1, from a gamma distribution."""
    secret = hmac.new(named_key(SITE) or b"", b"omics_twin secret weights", "sha256")
    rows = learned.numpy()
    for values in task.matrices.values.values():
        secret.update(values.numpy()[rows].tobytes())
    for known in (task.outcome.values, task.outcome.event, task.outcome.by_cause, task.arms):
        secret.update(b"" if known is None else np.ascontiguousarray(known[rows]).tobytes())
    noise = NoiseSource(int.from_bytes(secret.digest()[:16], "big"), secret=True)
    drawn = noise.uniform((len(rows),), 0, 0).double().numpy()
    return torch.from_numpy(gamma.ppf(drawn, 1.0 / variance, scale=variance)).float()
