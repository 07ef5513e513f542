"""Noisy gradient descent: what one patient can change is bounded, for every member by itself.

Every step sums the patients' gradients, each cut to a norm, and adds Gaussian noise (Abadi et al.
2016, doi:10.1145/2976749.2978318). All iterates are covered by the guarantee, not only the last
one, so some of the last become the members of an ensemble at no further cost; noisy gradient
descent is close to a sampler of the posterior (Wang, Fienberg & Smola 2015, arXiv:1502.07645).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import grad, vmap
from torch.nn import functional

from omics_twin.models.private_budget import Mechanism
from omics_twin.models.private_noise import NoiseSource

Parameters = Mapping[str, Tensor]
"""By name, each with a leading member axis."""

MemberLoss = Callable[..., Tensor]
"""From parameters and what is known of one patient to each member's loss, (member,)."""

# Most numbers of patients' gradients held at once: 256 MiB.
_NUMBERS = 2**26
_SAMPLED, _NOISE = 1, 2


def clipped_sums(
    loss: MemberLoss,
    parameters: Parameters,
    patients: Sequence[Tensor],
    weights: Float[Tensor, "member patient"],
    bound: float,
) -> dict[str, Tensor]:
    """Return each member's sum of patients' gradients, each of a norm of at most ``bound``.

    Members share no parameter, so the gradient of the sum of their losses holds every member's
    own gradient in its row.

    Parameters
    ----------
    patients
        What the loss takes after the parameters, each (patient, ...).
    weights
        1 where a patient takes part for a member, else 0: a larger one would break the bound.
    """
    numbers = sum(each.numel() for each in parameters.values())
    size = max(1, _NUMBERS // max(numbers, 1))
    one = grad(lambda values, *patient: loss(values, *patient).sum())
    gradients_of = vmap(one, in_dims=(None, *[0] * len(patients)))
    total = {name: torch.zeros_like(each) for name, each in parameters.items()}
    for start in range(0, weights.shape[1], size):
        rows = slice(start, start + size)
        gradients = gradients_of(dict(parameters), *(each[rows] for each in patients))
        flat = [each.reshape(*each.shape[:2], -1) for each in gradients.values()]
        norm = torch.cat(flat, dim=2).norm(dim=2)
        kept = weights[:, rows].T * (bound / norm.clamp(min=1e-12)).clamp(max=1.0)
        for name, each in gradients.items():
            total[name] += torch.einsum("pm,pm...->m...", kept, each)
    return total


@dataclass(frozen=True)
class Descent:
    """How parameters are learned from patients, with noise.

    Attributes
    ----------
    mechanism
        Of the gradients.
    bound
        Largest norm of one patient's gradient.
    learning_rate
        Of the noisy mean gradient.
    shrinkage
        Share of the parameters that is added to it, which draws them to zero.
    kept
        How many of the iterates of the second half are kept, evenly.
    """

    mechanism: Mechanism
    bound: float
    learning_rate: float
    shrinkage: float
    kept: int

    def iterates(
        self,
        loss: MemberLoss,
        parameters: Parameters,
        patients: Sequence[Tensor],
        training: Float[Tensor, "member patient"],
        sizes: Float[Tensor, " member"],
        noise: NoiseSource,
    ) -> list[dict[str, Tensor]]:
        """Return the iterates that are kept, the last one last.

        Parameters
        ----------
        training
            1 where a member learns from a patient, else 0.
        sizes
            Patients of each member, as far as they may be known.
        """
        steps, rate = self.mechanism.steps, self.mechanism.sample_rate
        chosen = {round(each) for each in torch.linspace(steps // 2, steps - 1, self.kept).tolist()}
        found, current = [], {name: each.clone() for name, each in parameters.items()}
        for step in range(steps):
            taking_part = training
            if rate < 1.0:
                drawn = noise.uniform(tuple(training.shape), _SAMPLED, step)
                taking_part = training * (drawn < rate).to(training)
            slopes = clipped_sums(loss, current, patients, taking_part, self.bound)
            for place, (name, slope) in enumerate(slopes.items()):
                drawn = noise.normal(tuple(slope.shape), _NOISE + place, step)
                noisy = slope + self.mechanism.noise_multiplier * self.bound * drawn
                mean = noisy / (rate * sizes).view(-1, *[1] * (slope.ndim - 1))
                slope = mean + self.shrinkage * current[name]
                current[name] = current[name] - self.learning_rate * slope
            if step in chosen:
                found.append(dict(current))
        return found


def linear_loss(
    parameters: Parameters,
    inputs: Float[Tensor, "member input"],
    agents: Float[Tensor, " agent"],
    target: Float[Tensor, ""],
) -> Float[Tensor, " member"]:
    """Return the negative log-likelihood of one patient's response under linear effects [nat].

    Parameters
    ----------
    parameters
        ``effects`` (member, input, 1 + agent): on prognosis and on every agent's effect;
        ``average`` (member, agent): of the agents; ``level`` (member,).
    """
    terms = torch.cat([agents.new_ones(1), agents])
    by_term = torch.einsum("mi,mit->mt", inputs, parameters["effects"])
    logit = by_term @ terms + parameters["average"] @ agents + parameters["level"]
    return functional.binary_cross_entropy_with_logits(
        logit, target.expand_as(logit), reduction="none"
    )


def slowed(loss: MemberLoss, paces: Parameters) -> MemberLoss:
    """Return a loss whose parameters act through factors, as a prior that shrinks them would."""

    def found(parameters: Parameters, *patient: Tensor) -> Tensor:
        return loss(times(parameters, paces), *patient)

    return found


def times(parameters: Parameters, paces: Parameters) -> dict[str, Tensor]:
    """Return parameters times their factors; what has none stays."""
    return {
        name: each * paces[name] if name in paces else each for name, each in parameters.items()
    }
