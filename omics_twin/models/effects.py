"""Effects that are linear in the measurements, shrunk as far as the patients ask for.

The score of a patient under a therapy is a sum over what was measured of a prognostic part and,
for every agent given, a part by which the marker changes that agent's effect. The problem is
convex, so every member's optimum is found, for all members in one batched product; the network
then learns only what is left. A penalty path is followed twice, once for few strong effects
(lasso) and once for many weak ones (ridge); a member's effects are the average over both paths,
weighted by how likely they make the inner validation patients of its fold.

Where everybody is treated alike, the components of wide channels are shrunk as their features are
(by ridge alone, under several weights beside the narrow channels), not each as much as the other.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.func import functional_call

from omics_twin.models.encoders import bent_values
from omics_twin.models.heads import HazardHead, Head, Link
from omics_twin.models.layers import ProjectedInputLinear
from omics_twin.models.network import MultimodalNetwork, symmetric_root, with_time
from omics_twin.tensors.batch import TrainingTensors
from omics_twin.tensors.sums import Total, here

_STEPS, _NEWTON = 40, 15
_PATH = 8
# Strongest and weakest penalty as a share of the lasso's that leaves nothing.
_LASSO = (1.0, 0.02)
_RIDGE = (10.0, 0.1)
# What wide channels are multiplied by, so that genes do not drown what is clinical.
_STRENGTHS = (0.3, 0.1)
# Most standardised inputs held at once: 1 GiB.
_NUMBERS = 2**28

# Where the components of wide channels stand among the inputs, and the turn of each, see
# :meth:`omics_twin.models.layers.ProjectedInputLinear.strength`.
Wide = tuple[tuple[slice, Float[Tensor, "member component component"]], ...]


@dataclass(frozen=True)
class EffectsProblem:
    """What the effects of some members are learned from.

    Attributes
    ----------
    inputs
        Standardised as each member sees them, zero where not measured, (member, row, input).
    agents
        1 for each agent received, (row, agent).
    targets
        The fields of the head, (row, field).
    offset
        Score that is known already, (member, row).
    training, stopping
        Member weights, each (member, row).
    group
        Members that weigh the penalties together, (member,): the replicas of a fold.
    bends
        What lets an effect on prognosis bend, see
        :func:`omics_twin.models.encoders.bent_values`, (member, row, bend).
    total
        Completes sums over these rows where others are learned from elsewhere.
    wide
        What of the inputs are components of a wide channel.
    fade
        Of a score's effect with time, see :class:`omics_twin.models.network.LinearEffects`;
        None: there is none.
    """

    inputs: Float[Tensor, "member row input"]
    agents: Float[Tensor, "row agent"]
    targets: Float[Tensor, "row field"]
    offset: Float[Tensor, "member row"]
    training: Float[Tensor, "member row"]
    stopping: Float[Tensor, "member row"]
    group: Int[Tensor, " member"]
    bends: Float[Tensor, "member row bend"]
    total: Total = here
    wide: Wide = ()
    fade: Float[Tensor, "member 1 1"] | None = None


@dataclass(frozen=True)
class Effects:
    """What the measurements add to a score.

    Attributes
    ----------
    weight
        Of each input on prognosis (first) and on each agent's effect, (member, input, 1 + agent).
    average
        Each agent's average effect, (member, agent).
    level
        The head's level, (member, ...).
    bends
        Of each bend on prognosis, (member, bend).
    """

    weight: Float[Tensor, "member input term"]
    average: Float[Tensor, "member agent"]
    level: Tensor
    bends: Float[Tensor, "member bend"]


def fit_effects(problem: EffectsProblem, head: Head, *, average: bool = True) -> Effects:
    """Return every member's effects.

    Parameters
    ----------
    head
        With parameters of these members only.
    average
        Whether the level and the agents' average effects are learned too; if not, they stay.

    References
    ----------
    Beck & Teboulle 2009, A fast iterative shrinkage-thresholding algorithm
    (doi:10.1137/080716542); O'Donoghue & Candes 2015, Adaptive restart for accelerated gradient
    schemes (doi:10.1007/s10208-013-9150-3); Yao et al. 2018, Using stacking to average predictive
    distributions (doi:10.1214/17-BA1091), for the weights of the average.
    """
    points, losses = [], []
    # Of thousands of genes each tells a little: a few strong effects are not looked for there.
    lassos = (0.0,) if problem.wide else (1.0, 0.0)
    for strength in _STRENGTHS if problem.wide else (1.0,):
        wide = tuple((place, strength * turn) for place, turn in problem.wide)
        turned = problem
        if wide:
            turned = replace(problem, inputs=_turned(problem.inputs.mT, wide).mT)
        for bent in (False, True) if problem.bends.shape[2] else (False,):
            solver = _Solver(turned, head, average=average, bent=bent)
            for lasso in lassos:
                for weight, level in solver.path(lasso):
                    losses.append(solver.stopping(weight, level))
                    points.append((_turned(weight, wide), level))
    alike = (problem.group[:, None] == problem.group[None, :]).to(problem.training)
    lost = torch.stack(losses) @ alike
    (stopped,) = problem.total("stopping patients", problem.stopping.sum(dim=1))
    patients = stopped @ alike
    members = alike.sum(dim=0)
    share = torch.softmax(-patients * (lost - lost.amin(dim=0)) / members, dim=0)

    def averaged(values: Sequence[Tensor]) -> Tensor:
        weighed = [
            each * part.view(-1, *[1] * (each.ndim - 1))
            for each, part in zip(values, share, strict=True)
        ]
        return torch.stack(weighed).sum(dim=0)

    weight = averaged([each for each, _ in points])
    level = averaged([each for _, each in points])
    inputs = problem.inputs.shape[2]
    return Effects(weight[:, :inputs], weight[:, -1, 1:], level, weight[:, inputs:-1, 0])


def _turned(values: Float[Tensor, "member input *any"], wide: Wide) -> Tensor:
    """Return values by input, those of wide channels turned."""
    turned = values.clone()
    for place, turn in wide:
        turned[:, place] = turn @ values[:, place]
    return turned


class _Solver:
    """Accelerated proximal gradient for all members at once."""

    def __init__(self, problem: EffectsProblem, head: Head, *, average: bool, bent: bool) -> None:
        members, rows, inputs = problem.inputs.shape
        bends = problem.bends.shape[2]
        self.problem, self.head = problem, head
        # A column of ones carries the agents' average effects.
        parts = [problem.inputs, problem.bends * float(bent), torch.ones(members, rows, 1)]
        self.design = torch.cat(parts, dim=2)
        self.terms = torch.cat([torch.ones(rows, 1), problem.agents], dim=1)
        (trained,) = problem.total("training patients", problem.training.sum(dim=1, keepdim=True))
        self.share = problem.training / trained.clamp(min=1e-9)
        self.free = torch.ones(inputs + bends + 1, self.terms.shape[1])
        self.free[inputs:-1, 0] = float(bent)
        self.free[inputs:-1, 1:] = 0.0
        self.free[-1] = float(average)
        self.free[-1, 0] = 0.0
        # One bounded curvature serves weights and level; a time to event has about one event.
        curvature = torch.tensor(0.25 if head.link is Link.LOGIT else 1.0)
        if problem.fade is not None and head.outputs > 1:
            curvature = curvature * (1.0 + problem.fade[:, 0, 0].abs()).square()
        self.step = (1.0 / (curvature * (self._largest() + 1.0))).view(-1, 1, 1)
        self.level_step = self.step.view(-1, *[1] * (head.level.ndim - 1)) * float(average)

    def path(self, lasso: float) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield weights and level from the strongest penalty to the weakest, each warm."""
        weight = torch.zeros(len(self.design), *self.free.shape)
        level = self.head.level.detach().clone()
        slope, _ = self._slopes(weight, level)
        top = (slope * self.free).abs().flatten(1).amax(dim=1).view(-1, 1, 1)
        first, last = _LASSO if lasso else _RIDGE
        for place in torch.linspace(0.0, 1.0, _PATH).tolist():
            penalty = top * first * (last / first) ** place
            weight, level = self._solve(weight, level, penalty, lasso)
            yield weight, level

    def stopping(self, weight: Tensor, level: Tensor) -> Float[Tensor, " member"]:
        """Return each member's loss on its inner validation rows."""
        counted = self.problem.stopping
        losses = self._losses(self._score(weight), level, counted) * counted
        lost, patients = self.problem.total(
            "loss on inner validation", losses.sum(dim=1), counted.sum(dim=1)
        )
        return lost / patients.clamp(min=1e-9)

    def _solve(
        self, weight: Tensor, level: Tensor, penalty: Tensor, lasso: float
    ) -> tuple[Tensor, Tensor]:
        ahead, ahead_level, momentum = weight, level, 1.0
        cut = self.step * penalty * lasso
        # The ridge's share of the penalty is a proximal step too: stable however strong it is.
        shrunk = 1.0 / (1.0 + self.step * penalty * (1.0 - lasso))
        for _ in range(_STEPS):
            slope, level_slope = self._slopes(ahead, ahead_level)
            moved = ahead - self.step * slope * self.free
            moved = shrunk * moved.sign() * (moved.abs() - cut).clamp(min=0.0)
            moved_level = ahead_level - self.level_step * level_slope
            uphill = ((ahead - moved) * (moved - weight)).flatten(1).sum(dim=1) > 0
            following = (1.0 + (1.0 + 4.0 * momentum**2) ** 0.5) / 2.0
            push = torch.where(uphill, 0.0, (momentum - 1.0) / following).view(-1, 1, 1)
            ahead = moved + push * (moved - weight)
            ahead_level = moved_level + push.view_as(self.level_step) * (moved_level - level)
            weight, level, momentum = moved, moved_level, following
        return weight, level

    def _score(self, weight: Tensor) -> Float[Tensor, "member row"]:
        # Few terms and many inputs: four times as fast with the terms first, here and in `_back`.
        by_term = torch.bmm(weight.transpose(1, 2).contiguous(), self.design.transpose(1, 2))
        return (by_term * self.terms.T).sum(dim=1)

    def _slopes(self, weight: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            score = self._score(weight).requires_grad_()
            free_level = level.detach().requires_grad_()
            loss = (self._losses(score, free_level, self.share) * self.share).sum()
            # A partial likelihood leaves the level open.
            by_score, by_level = torch.autograd.grad(
                loss, [score, free_level], allow_unused=True, materialize_grads=True
            )
        found, level_slope = self.problem.total("slopes", self._back(by_score), by_level)
        return found, level_slope

    def _back(self, score: Float[Tensor, "member row"]) -> Float[Tensor, "member input term"]:
        return torch.bmm(score.unsqueeze(1) * self.terms.T, self.design).transpose(1, 2)

    def _losses(self, score: Tensor, level: Tensor, weights: Tensor) -> Float[Tensor, "member row"]:
        full = (score + self.problem.offset).unsqueeze(-1)
        fade = self.problem.fade
        full = with_time(full, full.new_zeros(len(full), 1, 1) if fade is None else fade, self.head)
        arguments = (full, self.problem.targets, weights)
        found: Tensor = functional_call(_HeadLoss(self.head), {"head.level": level}, arguments)
        return found

    def _largest(self) -> Float[Tensor, " member"]:
        """Return the largest eigenvalue of the design's second moment, by power iteration."""
        vector = self.free.expand(len(self.design), -1, -1)
        for _ in range(20):
            vector = vector / vector.flatten(1).norm(dim=1).clamp(min=1e-12).view(-1, 1, 1)
            (product,) = self.problem.total(
                "curvature", self._back(self._score(vector) * self.share)
            )
            vector = product * self.free
        return 1.1 * vector.flatten(1).norm(dim=1)


def fit_fade(
    score: Float[Tensor, "member row"],
    start: Float[Tensor, "member 1 1"],
    problem: EffectsProblem,
    head: HazardHead,
) -> tuple[Float[Tensor, "member 1 1"], Float[Tensor, "member 1 interval"]]:
    """Return by how much a score's effect on hazards fades with time, and the levels beside it.

    One number for each member, by maximum likelihood with a standard normal prior: a convex
    problem, by Newton's method.

    Parameters
    ----------
    score
        What the effects say.
    start
        Where the search begins.
    """
    fade, level = start.clone(), head.level.detach().clone()
    weights = problem.training.unsqueeze(-1)
    way = score.unsqueeze(-1) * head.clock
    for _ in range(_NEWTON):
        predictor = level + score.unsqueeze(-1) + fade * way
        first, second = (weights * each for each in head.slopes(predictor, problem.targets))
        by_fade, by_level, bend, cross, own = problem.total(
            "slopes of fading",
            (first * way).sum(dim=(1, 2)),
            first.sum(dim=1),
            (second * way.square()).sum(dim=(1, 2)),
            (second * way).sum(dim=1),
            second.sum(dim=1),
        )
        own = own.clamp(min=1e-6)
        left = by_fade + fade[:, 0, 0] - (cross * by_level / own).sum(dim=1)
        step = -left / (1.0 + bend - (cross.square() / own).sum(dim=1)).clamp(min=1e-6)
        step = step.clamp(-1.0, 1.0)
        fade = fade + step.view_as(fade)
        moved = -(by_level + cross * step.unsqueeze(1)) / own
        level = level + moved.clamp(-1.0, 1.0).unsqueeze(1)
    return fade, level


class _HeadLoss(nn.Module):
    """A head's loss as a module's forward, for ``functional_call``."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.head = head

    def forward(self, score: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        return self.head.loss(score, targets, weights)


@torch.no_grad()
def learn_effects(
    network: MultimodalNetwork,
    tensors: TrainingTensors,
    group: Int[Tensor, " member"],
    *,
    planned: Int[Tensor, " member"],
    shown: Mapping[str, Float[Tensor, " member"]] | None = None,
) -> None:
    """Find every member's effects and add them to those that the network has already.

    A network that goes on from another cohort's is so shrunk towards that cohort's effects.

    First those of what is measured before treatment; then, with these fixed, those of the
    follow-up visits, from every prefix of the visits, so that the answer before treatment is
    that of a network which never saw a follow-up.

    Parameters
    ----------
    group
        Members that weigh the penalties together, (member,): the replicas of a fold.
    planned
        Members of a group that repeat the same planned member have the same effects, which are
        found once, (member,).
    shown
        Channel -> 1 for the members that are shown it; None: all are shown all.
    """
    inputs = sum(each.effects.shape[1] for each in map(network.encoder, network.channels))
    (patients,) = tensors.total("patients", torch.tensor(float(len(tensors.agents))))
    most = max(1, _NUMBERS // (max(1, inputs) * int(patients)))
    first, again = _once(torch.stack([group, planned], dim=1))
    order = first[torch.argsort(group[first], stable=True)]
    start = 0
    while start < len(order):
        # Replicas of a fold stay together.
        stop = min(start + most, len(order))
        while stop < len(order) and group[order[stop]] == group[order[stop - 1]]:
            stop += 1
        for head in range(len(network.outcome.heads)):
            some = order[start:stop]
            _Learner(network, tensors, some, group[some], shown, head).learn()
        start = stop
    _repeat(network, first[again])


def _once(keys: Int[Tensor, "member key"]) -> tuple[Int[Tensor, " first"], Int[Tensor, " member"]]:
    """Return the first member of every key, and which of these each member repeats."""
    unique, again = torch.unique(keys, dim=0, return_inverse=True)
    places = torch.arange(len(keys))
    first = torch.full((len(unique),), len(keys)).scatter_reduce(0, again, places, "amin")
    return first, again


def _repeat(network: MultimodalNetwork, of: Int[Tensor, " member"]) -> None:
    """Give every member the effects of the member it repeats."""
    encoders = [network.encoder(name) for name in network.channels]
    values = [value for each in encoders for value in (each.effects, each.bends, each.unknown)]
    if network.outcome.effects is not None:
        values += [network.outcome.effects.average, network.outcome.effects.fade]
    for value in [*values, *(head.level for _, head in network.outcome.parts)]:
        value.copy_(value[of])


@dataclass(frozen=True)
class _Learner:
    """Some members whose effects on the score of one head are found together."""

    network: MultimodalNetwork
    tensors: TrainingTensors
    members: Int[Tensor, " chosen"]
    group: Int[Tensor, " chosen"]
    shown: Mapping[str, Float[Tensor, " member"]] | None
    head: int

    def learn(self) -> None:
        effects = self.network.outcome.effects
        if effects is None:
            return
        before = [name for name, day in self.tensors.visit_days.items() if day <= 0]
        everyone = torch.arange(len(self.tensors.agents))
        all_seen = {name: torch.ones(len(everyone)) for name in before}
        problem = self._problem(everyone, all_seen, self._score(all_seen))
        found = fit_effects(problem, self._own_head())
        effects.average[self.members, self.head] += found.average
        self.network.outcome.parts[self.head][1].level[self.members] = found.level
        self._store(before, found)
        head = self._own_head()
        if isinstance(head, HazardHead):
            own = (self.members, slice(None), slice(self.head, self.head + 1))
            fitted = fit_fade(self._score(all_seen), effects.fade[own], problem, head)
            effects.fade[own], self.network.outcome.parts[self.head][1].level[self.members] = fitted
        days = sorted({day for day in self.tensors.visit_days.values() if day > 0})
        if days:
            rows, seen = _prefixes(self.tensors, days)
            offset = self._score(all_seen)[:, rows] + self._score(seen, rows, average=False)
            found = fit_effects(self._problem(rows, seen, offset), self._own_head(), average=False)
            self._store(list(seen), found)

    @property
    def _terms(self) -> slice:
        """Where the terms of the head stand among those of all heads."""
        size = 1 + self.tensors.agents.shape[1]
        return slice(self.head * size, (self.head + 1) * size)

    def _own_head(self) -> Head:
        """Return the head with the parameters of these members."""
        head = copy.deepcopy(self.network.outcome.parts[self.head][1])
        for name, value in list(head.named_parameters()):
            setattr(head, name, nn.Parameter(value.detach()[self.members], requires_grad=False))
        return head

    def _inputs(self, name: str) -> Float[Tensor, "chosen patient input"]:
        values = self.network.encoder(name).standardised(self.tensors.channels[name], self.members)
        if self.shown is None:
            return values
        return values * self.shown[name][self.members].view(-1, 1, 1)

    def _problem(self, rows: Tensor, seen: Mapping[str, Tensor], offset: Tensor) -> EffectsProblem:
        inputs = {name: self._inputs(name) for name in seen}
        # What a channel adds is nothing where it is not seen, bent or not.
        bends = [self._bends(name, inputs[name])[:, rows] * seen[name][:, None] for name in seen]
        return EffectsProblem(
            torch.cat([inputs[name][:, rows] * seen[name][:, None] for name in seen], dim=2),
            self.tensors.agents[rows],
            self.tensors.targets[rows, 2 * self.head : 2 * self.head + 2],
            offset,
            self.tensors.training[self.members][:, rows],
            self.tensors.stopping[self.members][:, rows],
            self.group,
            torch.cat(bends, dim=2),
            self.tensors.total,
            self._wide(inputs),
            None
            if self.network.outcome.effects is None
            else self.network.outcome.effects.fade[self.members, :, self.head : self.head + 1],
        )

    def _wide(self, inputs: Mapping[str, Tensor]) -> Wide:
        """Return the components of wide channels where everybody is treated alike.

        Where therapies differ, few programmes decide who gains from which: those are what the
        components stand for, and are looked for as they are.
        """
        found, start = [], 0
        for name, each in inputs.items():
            stop, first = start + each.shape[2], self.network.encoder(name).first
            if isinstance(first, ProjectedInputLinear):
                found.append((slice(start, stop), first.strength(self.members)))
            start = stop
        if not found:
            return ()
        agents = nn.functional.pad(self.tensors.agents, (0, 1), value=1.0)
        (received,) = self.tensors.total("agents received", agents.sum(dim=0))
        differ = (received > 0.5) & (received < received[-1] - 0.5)
        return () if bool(differ.any()) else tuple(found)

    def _bends(
        self, name: str, inputs: Float[Tensor, "chosen patient input"]
    ) -> Float[Tensor, "chosen patient bend"]:
        return bent_values(inputs[..., self.network.encoder(name).bent])

    def _added(self, name: str) -> Float[Tensor, "chosen patient term"]:
        """Return what a channel adds by the effects that are known so far, of all heads."""
        encoder, inputs = self.network.encoder(name), self._inputs(name)
        added = torch.bmm(inputs, encoder.effects[self.members])
        return encoder.bending(added, inputs[..., encoder.bent], self.members)

    def _score(
        self, seen: Mapping[str, Tensor], rows: Tensor | None = None, *, average: bool = True
    ) -> Float[Tensor, "chosen row"]:
        """Return the score of the rows by the effects that are known so far; all rows if None."""
        rows = torch.arange(len(self.tensors.agents)) if rows is None else rows
        terms = torch.cat([torch.ones(len(rows), 1), self.tensors.agents[rows]], dim=1)
        score = torch.zeros(len(self.members), len(rows))
        for name, each in seen.items():
            score = score + (self._added(name)[:, rows, self._terms] * terms).sum(dim=-1) * each
        effects = self.network.outcome.effects
        if average and effects is not None:
            score = score + effects.average[self.members, self.head] @ self.tensors.agents[rows].T
        return score

    def _store(self, names: Sequence[str], found: Effects) -> None:
        """Add to each channel's effects what was found, and measure the spread of what it adds."""
        encoders = [self.network.encoder(name) for name in names]
        weights = found.weight.split([each.effects.shape[1] for each in encoders], dim=1)
        sizes = [each.bends.shape[1] // each.heads for each in encoders]
        bends = found.bends.split(sizes, dim=1)
        for name, encoder, weight, bend in zip(names, encoders, weights, bends, strict=True):
            encoder.effects[self.members, :, self._terms] += weight
            own = slice(self.head * bend.shape[1], (self.head + 1) * bend.shape[1])
            encoder.bends[self.members, own] += bend
            added = self._added(name)
            there = (~torch.isnan(self.tensors.channels[name]).all(dim=1)).float()
            share = self.tensors.training[self.members] * there
            (count,) = self.tensors.total("measured patients", share.sum(dim=1, keepdim=True))
            share = (share / count.clamp(min=1e-9)).unsqueeze(-1)
            (mean,) = self.tensors.total("mean effect", (added * share).sum(dim=1, keepdim=True))
            centred = added - mean
            (covariance,) = self.tensors.total(
                "covariance of effects", torch.bmm((centred * share).mT, centred)
            )
            encoder.unknown[self.members] = symmetric_root(covariance)


def _prefixes(tensors: TrainingTensors, days: list[float]) -> tuple[Tensor, dict[str, Tensor]]:
    """Return a row for each patient and prefix of visits with a measurement, and what it shows."""
    later = [name for name, day in tensors.visit_days.items() if day > 0]
    came = torch.zeros(len(tensors.agents), dtype=torch.bool)
    rows: list[Tensor] = []
    seen: dict[str, list[Tensor]] = {name: [] for name in later}
    for day in days:
        for name in later:
            if tensors.visit_days[name] == day:
                came = came | ~torch.isnan(tensors.channels[name]).all(dim=1)
        rows.append(torch.nonzero(came)[:, 0])
        for name in later:
            reached = float(tensors.visit_days[name] <= day)
            seen[name].append(torch.full((len(rows[-1]),), reached))
    return torch.cat(rows), {name: torch.cat(each) for name, each in seen.items()}
