"""From latent code and therapy to an outcome; each head owns its loss.

A loss is of each row; what rows weigh is the caller's, and only a partial likelihood needs to know.
"""

from __future__ import annotations

from enum import Enum

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn
from torch.nn import functional

from omics_twin.models.layers import MemberLinear
from omics_twin.models.partial_likelihood import breslow_hazard, cox_partial_likelihood


class Link(Enum):
    """What a head's predictor is of the mean that it stands for."""

    IDENTITY = "identity"
    LOGIT = "logit"
    # One predictor for each interval, of which each speaks of who has had no event before.
    HAZARDS = "hazards"
    LOG_LOG = "log_log"


class ResponseSurface(nn.Module):
    """A score as a function of latent code and therapy code.

    Prognosis (latent), average effect (therapy), effect modification (bilinear) and what is left
    (a small network that starts at zero) are separate terms, so each can be shrunk on its own.
    """

    def __init__(
        self,
        members: int,
        latent: int,
        code: int,
        hidden: int,
        outputs: int,
        *,
        generator: Generator,
    ) -> None:
        super().__init__()
        self.prognosis = MemberLinear(members, latent, outputs, gain=1.0, generator=generator)
        self.effect = MemberLinear(members, code, outputs, gain=0.3, generator=generator)
        self.modified = MemberLinear(members, latent, code * outputs, gain=0.3, generator=generator)
        self.inner = MemberLinear(members, latent + code, hidden, gain=1.0, generator=generator)
        self.outer = MemberLinear(members, hidden, outputs, gain=0.0, generator=generator)
        # Weight decay shrinks what is said about a patient; the gain, which is not decayed, lets
        # a member say it as firmly as its own patients bear out.
        self.gain = nn.Parameter(torch.ones(members, 1, 1))

    @torch.no_grad()
    def begin_silent(self) -> None:
        """Start at zero, where linear effects are known already."""
        for layer in (self.prognosis, self.effect, self.modified):
            layer.weight.zero_()

    def forward(
        self, latent: Float[Tensor, "member row latent"], code: Float[Tensor, "member row code"]
    ) -> Float[Tensor, "member row output"]:
        """Return the score of each row."""
        modified = self.modified(latent).unflatten(-1, (-1, code.shape[-1]))
        hidden = functional.gelu(self.inner(torch.cat([latent, code], dim=-1)))
        score = (
            self.prognosis(latent)
            + self.effect(code)
            + (modified * code.unsqueeze(-2)).sum(dim=-1)
            + self.outer(hidden)
        )
        return score * self.gain


class BinaryHead(nn.Module):
    """Probability of a response."""

    outputs = 1
    link = Link.LOGIT

    def __init__(self, name: str, members: int, prevalence: Float[Tensor, " member"]) -> None:
        super().__init__()
        self.quantities = (name,)
        self.units = ("probability",)
        self.level = nn.Parameter(torch.logit(prevalence.clamp(0.01, 0.99)).view(members, 1))

    def described(self) -> dict[str, str]:
        """Return what, beside its tensors, restores the head."""
        return {"kind": "binary", "name": self.quantities[0], "unit": self.units[0]}

    def loss(
        self,
        score: Float[Tensor, "member row output"],
        target: Float[Tensor, "row field"],
        weights: Float[Tensor, "member row"] | None = None,
    ) -> Float[Tensor, "member row"]:
        """Return the negative log-likelihood [nat]; zero where the outcome is unknown."""
        observed = target[:, 0]
        known = ~torch.isnan(observed)
        logits = self.predictor(score)[..., 0]
        truth = torch.nan_to_num(observed).expand_as(logits)
        return functional.binary_cross_entropy_with_logits(logits, truth, reduction="none") * known

    def predictor(
        self, score: Float[Tensor, "member row output"]
    ) -> Float[Tensor, "member row predictor"]:
        """Return the log-odds of the response."""
        return score + self.level.unsqueeze(-1)

    def trajectory(
        self, predictor: Float[Tensor, "member row predictor"], days: Float[Tensor, " time"]
    ) -> Float[Tensor, "member row time quantity"]:
        """Return the probability of the response, the same on every day asked about."""
        probability = torch.sigmoid(predictor[..., 0])
        return probability[..., None, None].expand(*probability.shape, len(days), 1)


class ContinuousHead(nn.Module):
    """Mean of a continuous outcome, in its own unit.

    Parameters
    ----------
    location, scale
        Mean and standard deviation of the outcome in each member's training patients (member,).
    """

    outputs = 1
    link = Link.IDENTITY

    def __init__(
        self,
        name: str,
        unit: str,
        location: Float[Tensor, " member"],
        scale: Float[Tensor, " member"],
    ) -> None:
        super().__init__()
        self.quantities = (name,)
        self.units = (unit,)
        self.level = nn.Parameter(torch.zeros(len(location), 1))
        # Parameters, not buffers: whatever differs between members is a parameter. Cloned, so that
        # restoring one cannot write into the other.
        self.location = nn.Parameter(location.view(-1, 1).clone(), requires_grad=False)
        self.scale = nn.Parameter(scale.view(-1, 1).clone(), requires_grad=False)

    def described(self) -> dict[str, str]:
        """Return what, beside its tensors, restores the head."""
        return {"kind": "continuous", "name": self.quantities[0], "unit": self.units[0]}

    def loss(
        self,
        score: Float[Tensor, "member row output"],
        target: Float[Tensor, "row field"],
        weights: Float[Tensor, "member row"] | None = None,
    ) -> Float[Tensor, "member row"]:
        """Return half the squared error on the standardised scale; zero where unknown."""
        observed = target[:, 0]
        known = ~torch.isnan(observed)
        truth = (torch.nan_to_num(observed) - self.location) / self.scale
        return 0.5 * (self.predictor(score)[..., 0] - truth).square() * known

    def predictor(
        self, score: Float[Tensor, "member row output"]
    ) -> Float[Tensor, "member row predictor"]:
        """Return the value on the standardised scale."""
        return score + self.level.unsqueeze(-1)

    def trajectory(
        self, predictor: Float[Tensor, "member row predictor"], days: Float[Tensor, " time"]
    ) -> Float[Tensor, "member row time quantity"]:
        """Return the expected value, the same on every day asked about."""
        value = predictor[..., 0] * self.scale + self.location
        return value[..., None, None].expand(*value.shape, len(days), 1)


class HazardHead(nn.Module):
    """Discrete-time hazard: logit of the risk of an event in each interval.

    The second output lets effects grow or fade with time (immunotherapy curves cross).

    Parameters
    ----------
    edges_days
        Interval edges from 0 to the end of observation, shape (interval + 1,) [day].
    hazard
        Risk of an event in each interval in each member's training patients (member, interval).

    References
    ----------
    Gensheimer & Narasimhan 2019, A scalable discrete-time survival model for neural networks
    (doi:10.7717/peerj.6257).
    """

    outputs = 2
    link = Link.HAZARDS
    edges_days: Tensor
    clock: Tensor

    def __init__(
        self,
        name: str,
        edges_days: Float[Tensor, " edge"],
        hazard: Float[Tensor, "member interval"],
    ) -> None:
        super().__init__()
        self.quantities = (name,)
        self.units = ("probability",)
        self.level = nn.Parameter(torch.logit(hazard.clamp(1e-3, 0.99)).unsqueeze(1))
        self.register_buffer("edges_days", edges_days)
        self.register_buffer("clock", torch.linspace(-1.0, 1.0, hazard.shape[1]))

    def described(self) -> dict[str, str]:
        """Return what, beside its tensors, restores the head."""
        return {"kind": "time_to_event", "name": self.quantities[0], "unit": self.units[0]}

    def predictor(
        self, score: Float[Tensor, "member row output"]
    ) -> Float[Tensor, "member row predictor"]:
        """Return the log-odds of an event in each interval."""
        return self.level + score[..., :1] + score[..., 1:] * self.clock

    def loss(
        self,
        score: Float[Tensor, "member row output"],
        target: Float[Tensor, "row field"],
        weights: Float[Tensor, "member row"] | None = None,
    ) -> Float[Tensor, "member row"]:
        """Return the negative log-likelihood [nat].

        Parameters
        ----------
        score
            Outputs of the response surface.
        target
            Time [day] and event (1) or censored (0); NaN where unknown. A patient censored inside
            an interval contributes the share of the interval that was observed.
        """
        alive, happened = self._seen(target)
        logits = self.predictor(score)
        return (functional.softplus(logits) * alive + functional.softplus(-logits) * happened).sum(
            dim=-1
        )

    def slopes(
        self, predictor: Float[Tensor, "member row interval"], target: Float[Tensor, "row field"]
    ) -> tuple[Tensor, Tensor]:
        """Return the first and second derivative of the loss in the predictor."""
        alive, happened = self._seen(target)
        hazard = torch.sigmoid(predictor)
        return alive * hazard - happened * (1.0 - hazard), (alive + happened) * hazard * (
            1.0 - hazard
        )

    def _seen(self, target: Float[Tensor, "row field"]) -> tuple[Tensor, Tensor]:
        """Return how much of each interval was lived through, and where the event came."""
        time, event = target[:, :1], target[:, 1:]
        known = ~torch.isnan(time)
        lower, upper = self.edges_days[:-1], self.edges_days[1:]
        time = torch.nan_to_num(time).clamp(max=float(self.edges_days[-1]))
        exposure = ((time - lower) / (upper - lower)).clamp(0.0, 1.0)
        inside = (time > lower) & (time <= upper) | ((time <= 0) & (lower == 0))
        beyond = torch.nan_to_num(target[:, :1]) > self.edges_days[-1]
        happened = inside & (torch.nan_to_num(event) > 0.5) & ~beyond
        return torch.where(happened, 0.0, exposure) * known, (happened & known).to(exposure)

    def cumulative_hazard(
        self, predictor: Float[Tensor, "member row predictor"], days: Float[Tensor, " time"]
    ) -> Float[Tensor, "member row time"]:
        """Return the cumulative hazard by each day (linear inside an interval)."""
        found = functional.pad(functional.softplus(predictor).cumsum(dim=-1), (1, 0))
        before, after, share = _between(self.edges_days.to(days), days)
        left, end = found[..., before], found[..., after]
        return left + share.to(left) * (end - left)

    def trajectory(
        self, predictor: Float[Tensor, "member row predictor"], days: Float[Tensor, " time"]
    ) -> Float[Tensor, "member row time quantity"]:
        """Return the probability of no event by each day."""
        return torch.exp(-self.cumulative_hazard(predictor, days)).unsqueeze(-1)


class CoxHead(nn.Module):
    """Proportional hazards, learned by Cox's partial likelihood.

    The likelihood leaves the level and the shape of the baseline open: they are set after
    training, see :meth:`settle`, and until then are those of patients who are all alike.

    Parameters
    ----------
    edges_days
        Days from 0 to the end of observation between which the cumulative hazard is linear [day].
    hazard
        Cumulative hazard at the edges in each member's training patients (member, edge).

    References
    ----------
    Cox 1972, doi:10.1111/j.2517-6161.1972.tb00899.x; for a network: Katzman et al. 2018,
    doi:10.1186/s12874-018-0482-1.
    """

    outputs = 1
    link = Link.LOG_LOG
    edges_days: Tensor

    def __init__(
        self,
        name: str,
        edges_days: Float[Tensor, " edge"],
        hazard: Float[Tensor, "member edge"],
    ) -> None:
        super().__init__()
        self.quantities = (name,)
        self.units = ("probability",)
        end = hazard[:, -1:].clamp(min=1e-6)
        # Neither is learned: the likelihood does not depend on them.
        self.level = nn.Parameter(torch.log(end), requires_grad=False)
        self.shape = nn.Parameter((hazard / end).unsqueeze(1), requires_grad=False)
        self.register_buffer("edges_days", edges_days)

    def described(self) -> dict[str, str]:
        """Return what, beside its tensors, restores the head."""
        return {"kind": "proportional_hazards", "name": self.quantities[0], "unit": self.units[0]}

    def predictor(
        self, score: Float[Tensor, "member row output"]
    ) -> Float[Tensor, "member row predictor"]:
        """Return the logarithm of the cumulative hazard at the end of observation."""
        return score + self.level.unsqueeze(-1)

    def loss(
        self,
        score: Float[Tensor, "member row output"],
        target: Float[Tensor, "row field"],
        weights: Float[Tensor, "member row"] | None = None,
    ) -> Float[Tensor, "member row"]:
        """Return each row's part of the negative log partial likelihood [nat].

        Risk sets are made of the rows that are given, and of those that weigh more than 0: of a
        minibatch it is the likelihood of that batch.

        Parameters
        ----------
        target
            Time [day] and event (1) or censored (0); NaN where unknown.
        weights
            What each row counts for each member; None: all alike.
        """
        time, event, inside = self._observed(target, weights, score)
        return cox_partial_likelihood(score[..., 0], time, event, inside)

    @torch.no_grad()
    def settle(
        self,
        log_hazard: Float[Tensor, "member row"],
        target: Float[Tensor, "row field"],
        weights: Float[Tensor, "member row"],
    ) -> None:
        """Set level and shape to Breslow's baseline of the patients that count for each member.

        Parameters
        ----------
        log_hazard
            Logarithm of each row's expected relative hazard, without the level.
        """
        time, event, inside = self._observed(target, weights, log_hazard.unsqueeze(-1))
        found = breslow_hazard(log_hazard.double(), time, event, self.edges_days.double(), inside)
        end = found[:, -1:].clamp(min=1e-30)
        self.level.copy_(torch.log(end))
        self.shape.copy_((found / end).unsqueeze(1))

    @staticmethod
    def _observed(
        target: Tensor, weights: Tensor | None, score: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        known = ~torch.isnan(target[:, 0])
        rows = score[..., 0]
        inside = torch.ones_like(rows) if weights is None else weights.to(rows)
        return torch.nan_to_num(target[:, 0]), torch.nan_to_num(target[:, 1]), inside * known

    def trajectory(
        self, predictor: Float[Tensor, "member row predictor"], days: Float[Tensor, " time"]
    ) -> Float[Tensor, "member row time quantity"]:
        """Return the probability of no event by each day."""
        left, right, share = _between(self.edges_days.to(days), days)
        shape = self.shape[..., left] + share.to(predictor) * (
            self.shape[..., right] - self.shape[..., left]
        )
        # As a sum of logarithms: neither part need be within the range of a number alone.
        return torch.exp(-torch.exp(predictor + torch.log(shape))).unsqueeze(-1)


def _between(
    edges: Float[Tensor, " edge"], days: Float[Tensor, " time"]
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the edges around each day, and how far the day lies between them."""
    asked = days.clamp(0.0, float(edges[-1]))
    right = torch.searchsorted(edges, asked).clamp(1, len(edges) - 1)
    return right - 1, right, (asked - edges[right - 1]) / (edges[right] - edges[right - 1])


Head = BinaryHead | ContinuousHead | HazardHead | CoxHead
