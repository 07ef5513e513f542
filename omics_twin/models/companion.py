"""Trees that answer beside the network: grown apart from it, and mixed by what they are worth.

A member's trees learn prognosis from the patients that the member itself learns from, and see what
its encoders see before treatment. How much of a patient's prognosis is taken from them is found on
the inner validation patients of the fold, whom neither learned from: between nothing and all, the
mean over every share, weighted by how likely it makes these patients. What a therapy changes stays
the network's: trees are not told which one was given, and every arm is moved alike.

References
----------
van der Laan, Polley and Hubbard 2007, Super learner (doi:10.2202/1544-6115.1309); for survival:
Golmakani and Polley 2020 (doi:10.1515/ijb-2019-0065). Weights as in Yao et al. 2018
(doi:10.1214/17-BA1091). Trees: Geurts, Ernst and Wehenkel 2006 (doi:10.1007/s10994-006-6226-1);
those of a time to event split and answer as in LeBlanc and Crowley 1992 (doi:10.2307/2532300).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from omics_twin.models.fusion import posterior
from omics_twin.models.heads import BinaryHead, ContinuousHead, CoxHead, Head
from omics_twin.models.network import MultimodalNetwork
from omics_twin.models.partial_likelihood import breslow_hazard
from omics_twin.tensors.batch import TrainingTensors

# Members add up: those of a fold together have hundreds.
TREES = 50
_LEAF = 5
# No tree of a large cohort has more leaves than this.
_LEAVES = 128
_SHARES = 21
# Fewer training patients with just these modalities tell trees nothing.
_FEWEST = 10
# A leaf of few patients is not taken at its word.
_PROBABILITY, _HAZARD = 0.01, 0.02
_ROWS = 2048
# Most nodes that are looked at together.
_NODES = 2**20


@dataclass(frozen=True)
class Companion:
    """Trees of every member, as tensors.

    A node whose value of ``feature`` is at most ``threshold`` is followed by the next node, else by
    the node ``right``.

    Attributes
    ----------
    roots
        Where each tree begins, (member, tree).
    feature, threshold, right
        Of each node, (node,); ``right`` is 0 at a leaf.
    value
        Of each leaf, (node,): probability, standardised value, or hazard relative to everybody's.
    centre, usual
        Mean score of the trees, and of the network under ``agents``, in each member's inner
        validation patients, (member,).
    share
        How much of the prognosis is taken from the trees, (member,).
    agents
        Mean over the arms, under which the network's own prognosis is read, (agent,).
    patterns
        Which channels before treatment were measured together, (pattern, channel).
    known
        Whether enough of a member's training patients had just these, (member, pattern).
    causes
        Logarithm of the share of each cause among the events that each member learned from, by
        which the network's prognosis is that of the event; 0 where none are told apart,
        (member, head).
    """

    roots: Int[Tensor, "member tree"]
    feature: Int[Tensor, " node"]
    threshold: Float[Tensor, " node"]
    right: Int[Tensor, " node"]
    value: Float[Tensor, " node"]
    centre: Float[Tensor, " member"]
    usual: Float[Tensor, " member"]
    share: Float[Tensor, " member"]
    agents: Float[Tensor, " agent"]
    patterns: Bool[Tensor, "pattern channel"]
    known: Bool[Tensor, "member pattern"]
    causes: Float[Tensor, "member head"]

    def to_tensors(self) -> dict[str, Tensor]:
        """Return the tensors by name."""
        return {each.name: getattr(self, each.name).contiguous() for each in fields(self)}

    @staticmethod
    def from_tensors(stored: Mapping[str, Tensor]) -> Companion | None:
        """Return what :meth:`to_tensors` returned, before it had causes or now; None: nothing."""
        if not stored:
            return None
        alone = {"causes": torch.zeros(len(stored["share"]), 1)}
        return Companion(**(alone | dict(stored)))

    def mean_values(
        self, inputs: Float[Tensor, "chosen row input"], members: Int[Tensor, " chosen"]
    ) -> Float[Tensor, "chosen row"]:
        """Return the mean value of some members' trees."""
        roots = self.roots[members].long()
        rows = max(1, _NODES // roots.numel())
        parts = [self._mean_values(each, roots) for each in inputs.split(rows, dim=1)]
        return torch.cat(parts, dim=1)

    def _mean_values(
        self, inputs: Float[Tensor, "chosen row input"], roots: Int[Tensor, "chosen tree"]
    ) -> Float[Tensor, "chosen row"]:
        node = roots.unsqueeze(1).expand(-1, inputs.shape[1], -1)
        while True:
            right = self.right[node].long()
            inside = right > 0
            if not bool(inside.any()):
                return self.value[node].mean(dim=2)
            at_most = inputs.gather(2, self.feature[node].long()) <= self.threshold[node]
            node = torch.where(inside, torch.where(at_most, node + 1, right), node)

    def answered(
        self,
        network: MultimodalNetwork,
        values: Mapping[str, Float[Tensor, "patient feature_"]],
        members: Int[Tensor, " chosen"],
    ) -> tuple[Float[Tensor, "chosen patient"], Float[Tensor, "chosen patient"]]:
        """Return some members' trees' score about its mean, and the share that it is given.

        Trees have no share where what was measured together was so in too few training patients:
        there the network, which was shown every subset, answers alone.

        Parameters
        ----------
        values
            Channel before treatment -> measurements, NaN: not measured.
        """
        score = self.scores(network, tree_inputs(network, values, members), members)
        alike = (presence(values)[:, None] == self.patterns).all(dim=2).float()
        return score, self.share[members, None] * (self.known[members].float() @ alike.T)

    def scores(
        self,
        network: MultimodalNetwork,
        inputs: Float[Tensor, "chosen row input"],
        members: Int[Tensor, " chosen"],
    ) -> Float[Tensor, "chosen row"]:
        """Return the score of some members' trees about its mean."""
        score = score_of(network.outcome.parts[0][1], self.mean_values(inputs, members))
        return score - self.centre[members, None]

    def divided(
        self,
        start: Float[Tensor, "chosen row input"],
        end: Float[Tensor, "chosen row input"],
        members: Int[Tensor, " chosen"],
    ) -> Float[Tensor, "chosen row input"]:
        """Return how much each input moves the mean value on the straight line between two ends.

        The value is constant but for steps, and every step is where one input passes a threshold.
        """
        shape, trees = end.shape, self.roots.shape[1]
        start, end = start.flatten(0, 1), end.flatten(0, 1)
        roots = self.roots[members].long().repeat_interleave(shape[1], dim=0).flatten()
        line = _Line(
            torch.arange(len(end)).repeat_interleave(trees),
            roots,
            torch.zeros(len(roots)),
            torch.ones(len(roots)),
            torch.zeros_like(roots),
            torch.arange(len(roots)),
        )
        leaves = []
        while len(line.row):
            inside = self.right[line.node] > 0
            leaves.append(line.at(~inside))
            line = self._further(line.at(inside), start, end)
        line = _Line.joined(leaves)
        line = line.at(line.low.argsort(stable=True))
        line = line.at(line.tree.argsort(stable=True))
        value = self.value[line.node]
        step = torch.where(line.tree[1:] == line.tree[:-1], value[1:] - value[:-1], 0.0) / trees
        place = (line.row[1:], line.passed[1:])
        return torch.zeros_like(end).index_put(place, step, accumulate=True).view(shape)

    def _further(
        self, line: _Line, start: Float[Tensor, "row input"], end: Float[Tensor, "row input"]
    ) -> _Line:
        """Return the parts of lines one node further, cut where they pass its threshold."""
        feature, threshold = self.feature[line.node].long(), self.threshold[line.node]
        first = start[line.row, feature]
        way = end[line.row, feature] - first
        cut = (threshold - first) / torch.where(way == 0, 1.0, way)
        passes = (way != 0) & (cut > line.low) & (cut < line.high)
        low, high = line.at(passes), line.at(passes)
        cut = cut[passes]
        low, high = replace(low, high=cut), replace(high, low=cut, passed=feature[passes])
        whole = line.at(~passes)
        parts = _Line.joined([whole, low, high])
        feature = self.feature[parts.node].long()
        first = start[parts.row, feature]
        middle = first + 0.5 * (parts.low + parts.high) * (end[parts.row, feature] - first)
        at_most = middle <= self.threshold[parts.node]
        return replace(
            parts, node=torch.where(at_most, parts.node + 1, self.right[parts.node].long())
        )


@dataclass(frozen=True)
class _Line:
    """Parts of lines through trees: whose, at which node, from where to where on the line.

    Attributes
    ----------
    passed
        The input that passed a threshold where the part begins.
    """

    row: Int[Tensor, " part"]
    node: Int[Tensor, " part"]
    low: Float[Tensor, " part"]
    high: Float[Tensor, " part"]
    passed: Int[Tensor, " part"]
    tree: Int[Tensor, " part"]

    def at(self, chosen: Tensor) -> _Line:
        return _Line(*(getattr(self, each.name)[chosen] for each in fields(self)))

    @staticmethod
    def joined(parts: Sequence[_Line]) -> _Line:
        return _Line(
            *(torch.cat([getattr(part, each.name) for part in parts]) for each in fields(_Line))
        )


def presence(
    values: Mapping[str, Float[Tensor, "patient feature_"]],
) -> Bool[Tensor, "patient channel"]:
    """Return which channels each patient was measured in."""
    return torch.stack([~torch.isnan(each).all(dim=1) for each in values.values()], dim=1)


def tree_inputs(
    network: MultimodalNetwork,
    values: Mapping[str, Float[Tensor, "patient feature_"]],
    members: Int[Tensor, " chosen"],
) -> Float[Tensor, "chosen patient input"]:
    """Return what trees split on: what encoders see of each channel, and who was measured in it."""
    parts = [network.encoder(name).standardised(each, members) for name, each in values.items()]
    there = presence(values).float().expand(len(members), -1, -1)
    return torch.cat([*parts, there], dim=2)


def score_of(head: Head, mean: Tensor) -> Tensor:
    """Return the score that trees' mean value stands for, on the scale of a head's."""
    if isinstance(head, BinaryHead):
        return torch.logit(mean, eps=_PROBABILITY)
    if isinstance(head, ContinuousHead):
        return mean
    return mean.clamp(min=_HAZARD).log()


@torch.no_grad()
def fit_companion(
    network: MultimodalNetwork,
    tensors: TrainingTensors,
    group: Int[Tensor, " member"],
    agents: Float[Tensor, " agent"],
    *,
    seed: int,
    trees: int = TREES,
) -> Companion:
    """Return the trees of every member of a trained network, and the share they have earned.

    A proportional-hazards head is given the baseline that goes with both. Of an event whose causes
    have heads of their own, trees learn the event itself, and move the hazard of every cause alike.

    Parameters
    ----------
    group
        Members that weigh the shares together, (member,): the replicas of a fold.
    agents
        Mean over the arms.
    trees
        Of each member.
    """
    heads = [head for _, head in network.outcome.parts]
    head = heads[0]
    causes = torch.zeros(network.members, len(heads))
    if len(heads) > 1:
        events = tensors.training @ torch.nan_to_num(tensors.targets[:, 1::2])
        causes = (events / events.sum(dim=1, keepdim=True)).log()
    names = [name for name, day in tensors.visit_days.items() if day <= 0]
    values = {name: tensors.channels[name] for name in names}
    forests, means = [], []
    for member, inputs in enumerate(tree_inputs(network, values, torch.arange(network.members))):
        forest = _forest(head, inputs.numpy(), tensors, member, seed, trees)
        forests.append(forest)
        means.append(torch.from_numpy(forest.predict(inputs.numpy())).float())
    score = score_of(head, torch.stack(means))
    own, usual = _own_scores(network, tensors, names, agents, causes)
    counted = tensors.stopping
    patients = counted.sum(dim=1).clamp(min=1e-9)
    centre = (score * counted).sum(dim=1) / patients
    level = (usual * counted).sum(dim=1) / patients
    apart = score - centre[:, None] - usual + level[:, None]
    share = _shares(heads, own, apart, tensors, group)
    if isinstance(head, CoxHead):
        head.settle(own[0][..., 0] + share[:, None] * apart, tensors.targets, counted)
    there = presence(values)
    patterns, which = torch.unique(there, dim=0, return_inverse=True)
    seen = (tensors.training > 0).float() @ functional.one_hot(which, len(patterns)).float()
    return Companion(
        **nodes_of(forests),
        centre=centre,
        usual=level,
        share=share,
        agents=agents,
        patterns=patterns,
        known=seen >= _FEWEST,
        causes=causes,
    )


def _forest(
    head: Head, inputs: np.ndarray, tensors: TrainingTensors, member: int, seed: int, trees: int
) -> Any:
    """Return one member's trees, grown on the patients whom it learns from."""
    from sklearn.ensemble import ExtraTreesRegressor

    weight = tensors.training[member]
    rows = torch.nonzero(weight > 0)[:, 0]
    target, counts, criterion = tensors.targets[rows, 0], weight[rows], "squared_error"
    if isinstance(head, ContinuousHead):
        target = (target - head.location[member]) / head.scale[member]
    elif not isinstance(head, BinaryHead):
        time, event = tensors.targets[rows, 0], tensors.targets[rows, 1::2].sum(dim=1)
        alike = torch.zeros(1, len(rows))
        days, place = torch.unique(time, return_inverse=True)
        hazard = breslow_hazard(alike, time, event, days, counts[None])[0, place]
        # Events in an exposure: a leaf's value is its hazard relative to everybody's.
        exposure = hazard.clamp(min=1e-3)
        target, counts, criterion = event / exposure, counts * exposure, "poisson"
    forest = ExtraTreesRegressor(
        n_estimators=trees,
        criterion=criterion,
        min_samples_leaf=max(_LEAF, len(rows) // _LEAVES),
        max_features=1.0 / 3.0,
        random_state=int(np.random.SeedSequence([seed, 41, member]).generate_state(1)[0]),
    )
    return forest.fit(inputs[rows.numpy()], target.numpy(), sample_weight=counts.numpy())


def nodes_of(forests: Sequence[Any]) -> dict[str, Tensor]:
    """Return the nodes of all trees after another, and where each tree begins."""
    trees = [tree.tree_ for forest in forests for tree in forest.estimators_]
    starts = np.cumsum([0, *(tree.node_count for tree in trees)])
    right, threshold = [], []
    for start, tree in zip(starts, trees, strict=False):
        # Grown depth first, so the left child is the next node.
        right.append(np.where(tree.children_right > 0, tree.children_right + start, 0))
        below = tree.threshold.astype(np.float32)
        # What compares with the threshold in double precision compares with this in single.
        threshold.append(
            np.where(below > tree.threshold, np.nextafter(below, np.float32(-np.inf)), below)
        )
    joined = {
        "feature": np.concatenate([np.maximum(tree.feature, 0) for tree in trees]).astype(np.int32),
        "threshold": np.concatenate(threshold),
        "right": np.concatenate(right).astype(np.int32),
        "value": np.concatenate([tree.value[:, 0, 0] for tree in trees]).astype(np.float32),
        "roots": starts[:-1].reshape(len(forests), -1).astype(np.int32),
    }
    return {name: torch.from_numpy(each) for name, each in joined.items()}


def _own_scores(
    network: MultimodalNetwork,
    tensors: TrainingTensors,
    names: Sequence[str],
    agents: Float[Tensor, " agent"],
    causes: Float[Tensor, "member head"],
) -> tuple[list[Float[Tensor, "member row output"]], Float[Tensor, "member row"]]:
    """Return every head's score under the therapies received, and what all say of the average."""
    own: list[list[Tensor]] = []
    usual: list[Tensor] = []
    for rows in torch.arange(len(tensors.agents)).split(_ROWS):
        values = {name: tensors.channels[name][rows] for name in names}
        shown = {name: torch.ones(len(rows)) for name in names}
        mean, _ = posterior(network.together(values, tensors.agents[rows], shown))
        added = [network.encoder(name).added(each) for name, each in values.items()]
        code = torch.cat([mean, torch.stack(added).sum(dim=0)], dim=-1)
        own.append([score for score, _ in network.outcome.scores(code, tensors.agents[rows])])
        usual.append(network.outcome.prognosis(code, agents.expand(len(rows), -1), causes))
    return [torch.cat(each, dim=1) for each in zip(*own, strict=True)], torch.cat(usual, dim=1)


def _shares(
    heads: Sequence[Head],
    own: Sequence[Float[Tensor, "member row output"]],
    apart: Float[Tensor, "member row"],
    tensors: TrainingTensors,
    group: Int[Tensor, " member"],
) -> Float[Tensor, " member"]:
    """Return the mean share over all from 0 to 1, weighted by what each makes likely.

    Parameters
    ----------
    apart
        The trees' score less the network's own prognosis, each about its mean.
    """
    every, losses = torch.linspace(0.0, 1.0, _SHARES), []
    targets = tensors.targets.split(2, dim=1)
    for share in every:
        way = functional.pad(share * apart.unsqueeze(-1), (0, heads[0].outputs - 1))
        loss = torch.stack(
            [
                head.loss(score + way, target, tensors.stopping)
                for head, score, target in zip(heads, own, targets, strict=True)
            ]
        )
        losses.append((loss.sum(dim=0) * tensors.stopping).sum(dim=1))
    alike = (group[:, None] == group[None, :]).to(apart)
    lost = torch.stack(losses) @ alike / alike.sum(dim=0)
    return every @ torch.softmax(lost.amin(dim=0) - lost, dim=0)
