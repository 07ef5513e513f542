"""A recurrent network of many visits on any days: one batched pass trains a whole ensemble."""

from __future__ import annotations

import copy
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor, nn
from torch.nn import functional

from omics_twin.models.heads import HazardHead, Link
from omics_twin.models.layers import MemberLinear
from omics_twin.models.network import Widening

_YEAR = 365.25
_LEAST_SPREAD = 1e-3


class Memory(NamedTuple):
    """What is remembered of patients from visit to visit.

    Attributes
    ----------
    last, before
        The last standardised values, and those of the visit before, (member, row, feature).
    hidden
        (member, row, unit).
    """

    last: Tensor
    before: Tensor
    hidden: Tensor


class VisitNetwork(nn.Module):
    """From visit to visit: what is expected next, and the risk of an event from there.

    The last values, how they changed and what was given act on the risk directly, as in a
    landmark model; a gated recurrent unit adds what lies in the whole history. The next value of a
    number is Gaussian, that of a sign scored yes or no is Bernoulli.

    Parameters
    ----------
    log
        Which features are taken as logarithms, (feature,).
    binary
        Which are signs, 1 for yes, (feature,).
    location, scale
        Of every member's own training patients, (member, feature).
    fixed
        Which features never change in a training patient, (feature,).
    spread
        Covariance of the standardised features at a first visit, (member, feature, feature).
    range_
        Smallest and largest value of training patients, logarithms where taken,
        (member, 2, feature).
    head
        Risk of an event in intervals of the time after a visit.

    References
    ----------
    Cho et al. 2014, doi:10.3115/v1/D14-1179 (gated recurrent unit); van Houwelingen 2007,
    doi:10.1111/j.1467-9469.2006.00529.x (landmarking).
    """

    log: Tensor
    binary: Tensor
    fixed: Tensor
    location: Tensor
    scale: Tensor
    spread: Tensor
    range_: Tensor

    def __init__(
        self,
        log: Bool[Tensor, " feature"],
        binary: Bool[Tensor, " feature"],
        fixed: Bool[Tensor, " feature"],
        location: Float[Tensor, "member feature"],
        scale: Float[Tensor, "member feature"],
        spread: Float[Tensor, "member feature feature"],
        range_: Float[Tensor, "member 2 feature"],
        head: HazardHead,
        agents: int,
        hidden: int,
        generator: Generator,
    ) -> None:
        super().__init__()
        members, features = location.shape
        for name, value in (
            ("log", log),
            ("binary", binary),
            ("fixed", fixed),
            ("location", location),
            ("scale", scale),
            ("spread", spread),
            ("range_", range_),
        ):
            self.register_buffer(name, value)
        inputs = 3 * features + 1
        self.hidden = hidden
        self.gates = MemberLinear(
            members, inputs + hidden, 2 * hidden, gain=1.0, generator=generator
        )
        self.candidate = MemberLinear(
            members, inputs + hidden, hidden, gain=1.0, generator=generator
        )
        self.direct = MemberLinear(
            members, 2 * features + agents + 1, head.outputs, gain=0.0, generator=generator
        )
        self.history = MemberLinear(members, hidden, head.outputs, gain=0.1, generator=generator)
        self.drift = MemberLinear(
            members, 2 * features + hidden, features, gain=0.0, generator=generator
        )
        # Log standard deviation of what comes next, and how it grows with the time until then.
        self.doubt_level = nn.Parameter(torch.full((members, 1, features), -0.7))
        self.growth_level = nn.Parameter(torch.full((members, 1, features), 0.1))
        # Log-odds of a sign: how common it is, and how much likelier where it was there before.
        self.sign_level = nn.Parameter(torch.logit(location.clamp(0.01, 0.99)).unsqueeze(1))
        self.sign_stays = nn.Parameter(torch.ones(members, 1, features))
        self.head = head

    @property
    def members(self) -> int:
        """How many members there are."""
        return int(self.location.shape[0])

    @property
    def signs(self) -> Bool[Tensor, " feature"]:
        """Which features are signs that come and go."""
        return self.binary & ~self.fixed

    def standard(self, values: Float[Tensor, "row feature"]) -> Float[Tensor, "member row feature"]:
        """Return values as the members see them; NaN stays NaN."""
        logged = torch.where(self.log, torch.log1p(values.clamp(min=0.0)), values)
        return (logged - self.location.unsqueeze(1)) / self.scale.unsqueeze(1)

    def natural(
        self, standard: Float[Tensor, "member row feature"]
    ) -> Float[Tensor, "member row feature"]:
        """Return standardised values in their units, within the range of training patients.

        A sign is yes or no, whichever is nearer.
        """
        lowest, highest = self.range_.unsqueeze(2).unbind(dim=1)
        logged = standard * self.scale.unsqueeze(1) + self.location.unsqueeze(1)
        logged = torch.minimum(torch.maximum(logged, lowest), highest)
        logged = torch.where(self.binary, (logged > 0.5).to(logged), logged)
        return torch.where(self.log, torch.expm1(logged), logged)

    def completed(
        self,
        drawn: Float[Tensor, "member row feature"],
        found: Float[Tensor, "member row feature"],
    ) -> Float[Tensor, "member row feature"]:
        """Return drawn values as they would have been drawn given what was found.

        Exact for a Gaussian: what was not measured moves by its regression on how far the draw of
        what was measured is off (Matheron's rule). A sign is then taken as what it is nearer to.
        """
        moved = drawn.clone()
        patterns, which = torch.unique(~torch.isnan(found[0]), dim=0, return_inverse=True)
        for index, seen in enumerate(patterns):
            if not bool(seen.any()):
                continue
            rows = which == index
            off = torch.nan_to_num(found[:, rows] - drawn[:, rows])[..., seen]
            inner = self.spread[:, seen][:, :, seen]
            gain = torch.linalg.solve(inner, self.spread[:, seen])
            moved[:, rows] = drawn[:, rows] + off @ gain
        location, scale = self.location.unsqueeze(1), self.scale.unsqueeze(1)
        yes = (moved * scale + location > 0.5).to(moved)
        moved = torch.where(self.binary, (yes - location) / scale, moved)
        return torch.where(torch.isnan(found), moved, torch.nan_to_num(found))

    def nothing(self, rows: int) -> Memory:
        """Return the memory before any visit: average values."""
        empty = self.location.new_zeros(self.members, rows, self.location.shape[1])
        return Memory(empty, empty, empty.new_zeros(self.members, rows, self.hidden))

    def seen(
        self,
        memory: Memory,
        found: Float[Tensor, "member row feature"],
        gap_days: Float[Tensor, " row"],
        first: Bool[Tensor, " row"],
        measured: Bool[Tensor, "member row feature"] | None = None,
    ) -> Memory:
        """Return the memory after a visit; what was not measured keeps its last value.

        Parameters
        ----------
        found
            Standardised; NaN: not measured.
        gap_days
            Since the visit before [day].
        first
            Whose first visit it is, at which nothing has changed yet.
        measured
            What was measured, where some of what is found was drawn instead.
        """
        if measured is None:
            measured = ~torch.isnan(found)
        last = torch.where(torch.isnan(found), memory.last, torch.nan_to_num(found))
        before = torch.where(first[:, None], last, memory.last)
        gap = torch.log1p(gap_days / _YEAR).to(last).expand(self.members, -1).unsqueeze(-1)
        inputs = torch.cat([last, last - before, measured.to(last), gap], dim=-1)
        gates = torch.sigmoid(self.gates(torch.cat([inputs, memory.hidden], dim=-1)))
        reset, update = gates.chunk(2, dim=-1)
        new = torch.tanh(self.candidate(torch.cat([inputs, reset * memory.hidden], dim=-1)))
        return Memory(last, before, (1.0 - update) * memory.hidden + update * new)

    def score(
        self,
        memory: Memory,
        agents: Float[Tensor, "row agent"],
        since_days: Float[Tensor, " row"],
    ) -> Float[Tensor, "member row output"]:
        """Return what the head takes; ``since_days`` since the first visit [day]."""
        known = torch.cat([agents, torch.log1p(since_days / _YEAR)[:, None]], dim=-1)
        known = known.to(memory.last).expand(self.members, -1, -1)
        direct = torch.cat([memory.last, memory.last - memory.before, known], dim=-1)
        return self.direct(direct) + self.history(memory.hidden)

    def ahead(
        self,
        memory: Memory,
        gap_days: Float[Tensor, " row"],
        widening: Widening | None = None,
    ) -> tuple[Float[Tensor, "member row feature"], Float[Tensor, "member row feature"]]:
        """Return mean and standard deviation of the standardised values some days later.

        Of a sign that comes and goes the first is the log-odds of yes.

        Parameters
        ----------
        widening
            Moves what the members expect to change apart.
        """
        gap = torch.log1p(gap_days / _YEAR).to(memory.last)[:, None]
        known = torch.cat([memory.last, memory.last - memory.before, memory.hidden], dim=-1)
        changes = (~self.fixed).to(memory.last)
        drift = gap * self.drift(known)
        odds = self.sign_level + self.sign_stays * memory.last + drift
        if widening is not None:
            drift = widening(drift, link=Link.IDENTITY)
            odds = widening(odds, link=Link.LOGIT)
        doubt = (self.doubt_level + self.growth_level * gap).exp()
        mean = torch.where(self.signs, odds, memory.last + changes * drift)
        return mean, (_LEAST_SPREAD + changes * doubt).expand_as(mean)

    def surprise(
        self,
        memory: Memory,
        values: Float[Tensor, "row feature"],
        gap_days: Float[Tensor, " row"],
    ) -> Float[Tensor, "member row feature"]:
        """Return the negative log-likelihood of what was measured some days later [nat].

        It is 0 of what was not measured, and of what never changes.
        """
        mean, doubt = self.ahead(memory, gap_days)
        found = self.standard(values)
        z = (torch.nan_to_num(found) - mean) / doubt
        told = functional.softplus(mean) - torch.nan_to_num(values) * mean
        off = torch.where(self.signs, told, 0.5 * z.square() + doubt.log())
        return torch.where(torch.isnan(found) | self.fixed, 0.0, off)

    def loss(
        self,
        days: Float[Tensor, "row visit"],
        values: Float[Tensor, "row visit feature"],
        agents: Float[Tensor, "row agent"],
        target: Float[Tensor, "row 2"],
        share: float,
    ) -> Float[Tensor, "member row"]:
        """Return the negative log-likelihood of what followed each visit, summed over visits [nat].

        Parameters
        ----------
        days
            In order, NaN behind the last visit [day].
        target
            Day of the event or of the end of follow-up, and 1 for an event.
        share
            Weight of what was measured next, beside the event.
        """
        memory = self.nothing(len(days))
        total = memory.last.new_zeros(self.members, len(days))
        reached = days[:, 0]
        for visit in range(days.shape[1]):
            there = torch.isfinite(days[:, visit])
            now = torch.where(there, days[:, visit], reached)
            found = self.standard(values[:, visit])
            gap = (now - reached).float()
            if visit:
                off = self.surprise(memory, values[:, visit], gap)
                total = total + share * off.mean(dim=-1)
            first = torch.full_like(there, visit == 0)
            after = self.seen(memory, found, gap, first)
            keep = there[:, None]
            memory = Memory(
                *(torch.where(keep, new, old) for new, old in zip(after, memory, strict=True))
            )
            ahead = torch.stack([target[:, 0] - now, target[:, 1]], dim=1).float()
            score = self.score(memory, agents, (now - days[:, 0]).float())
            total = total + self.head.loss(score, ahead) * there
            reached = now
        return total

    def event_free(
        self,
        score: Float[Tensor, "member row output"],
        ahead_days: Float[Tensor, "row time"],
        widening: Widening | None = None,
    ) -> Float[Tensor, "member row time"]:
        """Return the probability of no event up to days of every row's own after its last visit.

        Inside an interval the logarithm is linear; beyond the last, nothing more happens.

        Parameters
        ----------
        widening
            Moves the members' log-odds of an event apart.
        """
        odds = self.head.predictor(score)
        if widening is not None:
            odds = widening(odds, link=self.head.link)
        steps = -functional.softplus(odds)
        log_survival = functional.pad(steps.cumsum(dim=-1), (1, 0))
        edges = self.head.edges_days
        asked = ahead_days.to(edges).clamp(0.0, float(edges[-1])).contiguous()
        after = torch.searchsorted(edges, asked).clamp(1, len(edges) - 1)
        share = (asked - edges[after - 1]) / (edges[after] - edges[after - 1])
        left = log_survival.gather(-1, (after - 1).expand(len(score), -1, -1))
        right = log_survival.gather(-1, after.expand(len(score), -1, -1))
        return torch.exp(left + share * (right - left))

    def of(self, member: Int[Tensor, " draw"]) -> VisitNetwork:
        """Return the network whose members are some of these, one more than once perhaps."""
        tensors = [*self.parameters(), *self.buffers()]
        # The tensors are not copied: those of the members are replaced, the others shared.
        made = copy.deepcopy(self, {id(each): each for each in tensors})
        with torch.no_grad():
            for part in made.modules():
                for name, value in part.named_parameters(recurse=False):
                    setattr(part, name, nn.Parameter(value[member], requires_grad=False))
        for name in ("location", "scale", "spread", "range_"):
            setattr(made, name, getattr(self, name)[member])
        return made
