"""Why the twin expects what it expects: an answer divided among the values it rests on.

Integrated gradients follow the straight line from the average patient to this one and add up how
much each value moves the answer on the way. The average is that of each ensemble member's own
training patients, with the same things measured: what was not measured is given nothing. Trees
beside the network step up or down where a value passes a threshold on that line, and the step is
given to that value. These are the reasons of the model, not causes in the patient.

References
----------
Sundararajan, Taly & Yan 2017, Axiomatic attribution for deep networks (arXiv:1703.01365): the
attributions add up to the difference between the two ends of the line (completeness).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from omics_twin.errors import TwinError
from omics_twin.models.companion import presence, tree_inputs
from omics_twin.models.encoders import ChannelEncoder
from omics_twin.models.fusion import Evidence, posterior
from omics_twin.models.graph import NeighbourInputLinear, PathwayInputLinear
from omics_twin.models.layers import MemberLinear, ProjectedInputLinear, with_values
from omics_twin.twin.neural import NeuralTwin
from omics_twin.types import Endpoint, Intervention, Trajectory, TwinState

# The line is smooth: twelve nodes are exact to about six digits.
_NODES = 12
# What stands beside the network, among what the line is followed in.
_BESIDE = "beside the network"


@dataclass(frozen=True)
class Shown:
    """What the twin was shown of some patients.

    Attributes
    ----------
    values
        Channel -> (patient, feature), NaN: not measured, or not shown.
    agents
        1 for each agent of the therapy under which follow-up visits were seen, (patient, agent).
    """

    values: Mapping[str, Float[Tensor, "patient feature_"]]
    agents: Float[Tensor, "patient agent"]


@dataclass(frozen=True)
class Attributions:
    """Answers divided among the values they rest on, for each member by itself.

    Attributes
    ----------
    values
        Channel -> how much each feature moves the endpoint, 0 where it was not measured,
        (intervention, member, patient, feature).
    start, end
        The endpoint at the average patient and at this one, (intervention, member, patient);
        their difference is the sum of ``values``.
    standard
        Channel -> the values on each member's standardised scale, 0 where not measured,
        (member, patient, feature).
    """

    values: Mapping[str, Float[Tensor, "intervention member patient feature_"]]
    start: Float[Tensor, "intervention member patient"]
    end: Float[Tensor, "intervention member patient"]
    standard: Mapping[str, Float[Tensor, "member patient feature_"]]


@dataclass(frozen=True)
class _Moved:
    """A channel on its way from the average to the patient, seen by some members.

    Attributes
    ----------
    there
        Where the line is followed, at the patient: what the first layer gives, followed by what
        the channel adds to the score; of a patient beside others, the patient's own components,
        (member, patient, output).
    step
        How far that is from where the average lies, (member, patient, output).
    """

    encoder: ChannelEncoder
    standard: Float[Tensor, "member patient feature"]
    there: Float[Tensor, "member patient output"]
    step: Float[Tensor, "member patient output"]


@dataclass(frozen=True)
class _Trees:
    """What stands beside the network, on the way from the average to the patient.

    Attributes
    ----------
    start, step, share
        The trees' score where the line begins, how far it is from there to the patient's, and how
        much it is given, (member, patient).
    parts
        Channel -> the part of the step that each feature takes, (member, patient, feature).
    before
        Channels that were shown before treatment.
    early
        The evidence of these along the line, and what they add to the score.
    """

    start: Float[Tensor, "member patient"]
    step: Float[Tensor, "member patient"]
    share: Float[Tensor, "member patient"]
    parts: Mapping[str, Float[Tensor, "member patient feature_"]]
    before: Collection[str]
    early: tuple[Evidence, Tensor] | None = None


def attributed(
    twin: NeuralTwin,
    state: TwinState,
    shown: Shown,
    interventions: Sequence[Intervention],
    endpoint: Endpoint,
    *,
    members: Int[Tensor, " member"],
    moved: Collection[str] | None = None,
    nodes: int = _NODES,
) -> Attributions:
    """Return the endpoint under each intervention, divided among the patients' values.

    The first layer, or the components it is learned from, are affine, so the line is followed
    behind them and the cost hardly depends on the number of features. Where a model looks at
    neighbours, these come and go along the line: twelve nodes then leave some per cent of the
    answer undivided, and more nodes leave less.

    Parameters
    ----------
    state
        The belief about the patients; its noise is used, so that the answers are its own.
    shown
        What led to the belief.
    members
        Who answers; see :func:`answering` for those that never saw a patient.
    moved
        Channels that start from the average; the others stay where they are. All by default.
    nodes
        Of the Gauss-Legendre quadrature along the line.

    Raises
    ------
    TwinError
        If there is no intervention, or an agent or a moved channel is not known to this twin.
    """
    _check(twin, interventions, moved)
    position, weight = _quadrature(nodes)
    fixed: list[tuple[Evidence, Tensor]] = []
    still: list[str] = []
    moving: dict[str, _Moved] = {}
    for channel, values in shown.values.items():
        encoder = cast(ChannelEncoder, twin.network.encoders[twin.network.channels.index(channel)])
        part = _moved(encoder, values, members)
        if moved is None or channel in moved:
            moving[channel] = part
        else:
            still.append(channel)
            fixed.append(_evidence(part, part.there.unsqueeze(2), shown, values, members))
    with torch.enable_grad():
        # From the average (0) to the patient (1): (member, patient, node, output).
        line = {
            name: (
                part.there.unsqueeze(2) - (1.0 - position)[:, None] * part.step.unsqueeze(2)
            ).requires_grad_()
            for name, part in moving.items()
        }
        found = [
            _evidence(moving[name], line[name], shown, shown.values[name], members) for name in line
        ]
        size = (len(members), len(state.patient_ids), len(position))
        parts = dict(zip([*still, *line], [*fixed, *found], strict=True))
        total = _sum(list(parts.values()), *size)
        trees = _trees(twin, state, shown, moving, members)
        if trees is not None:
            climbed = trees.start.unsqueeze(2) + position * trees.step.unsqueeze(2)
            line[_BESIDE] = climbed.unsqueeze(3).requires_grad_()
            early = _sum([parts[name] for name in parts if name in trees.before], *size)
            trees = replace(trees, early=early)
        answers, slopes = _answers(
            twin, state, *total, interventions, endpoint, members, line, trees
        )
    divided = {
        name: torch.stack(
            [
                part.standard * _pulled(part.encoder, (each[name] * weight).sum(2), members)
                for each in slopes
            ]
        )
        for name, part in moving.items()
    }
    for name, taken in ({} if trees is None else trees.parts).items():
        climb = torch.stack([(each[_BESIDE] * weight).sum(2) for each in slopes])
        divided[name] = divided[name] + climb * taken
    return Attributions(
        values=divided,
        start=torch.stack([each[:, :, 0] for each in answers]),
        end=torch.stack([each[:, :, -1] for each in answers]),
        standard={name: part.standard for name, part in moving.items()},
    )


def _trees(
    twin: NeuralTwin,
    state: TwinState,
    shown: Shown,
    moving: Mapping[str, _Moved],
    members: Int[Tensor, " member"],
) -> _Trees | None:
    """Return what stands beside the network; None where nothing does."""
    companion = twin.companion
    before = [each for each in twin.design.channels if not each.follow_up]
    early = [channel.name for channel in before if channel.name in shown.values]
    if companion is None or not early:
        return None
    absent = {
        c.name: torch.full((len(state.patient_ids), len(c.features)), torch.nan) for c in before
    }
    values = {name: shown.values.get(name, empty) for name, empty in absent.items()}
    end = tree_inputs(twin.network, values, members)
    start, place, places = end.clone(), 0, {}
    for channel in before:
        width = twin.network.encoder(channel.name).effects.shape[1]
        if channel.name in moving:
            places[channel.name] = slice(place, place + width)
            start[..., places[channel.name]] = 0.0
        place += width
    ends = [companion.scores(twin.network, each, members) for each in (start, end)]
    step = ends[1] - ends[0]
    taken = companion.divided(start, end, members)
    # Of the mean value; the score that it stands for is a curve of it.
    whole = taken.sum(dim=2)
    taken = taken * (step / torch.where(whole == 0, 1.0, whole)).unsqueeze(2)
    alike = (presence(values)[:, None] == companion.patterns).all(dim=2).float()
    return _Trees(
        start=ends[0],
        step=step,
        share=companion.share[members, None] * (companion.known[members].float() @ alike.T),
        parts={
            name: _of_features(moving[name], taken[..., each], members)
            for name, each in places.items()
        },
        before=early,
    )


def _of_features(
    part: _Moved, taken: Float[Tensor, "member patient input"], members: Int[Tensor, " member"]
) -> Float[Tensor, "member patient feature"]:
    """Return what each feature takes: of a component, by how much of it the feature makes up."""
    first = part.encoder.first
    if not isinstance(first, ProjectedInputLinear):
        return taken
    loadings = first.loadings(members).abs()
    # Of a patient beside others, the neighbours' components go with the patient's own.
    taken = taken.unflatten(2, (-1, loadings.shape[2])).sum(dim=2)
    size = part.standard.abs()
    whole = (size @ loadings).clamp(min=1e-12)
    return size * ((taken / whole) @ loadings.mT)


def answering(state: TwinState, patient: int) -> Int[Tensor, " member"]:
    """Return the members that answer for a patient: those whose draws have weight.

    Examples
    --------
    >>> state = TwinState(("a",), torch.zeros(1), torch.tensor([[[0.0], [1.0], [0.0], [1.0]]]),
    ...                   torch.tensor([[0.0, -torch.inf, 0.0, -torch.inf]]), ("member",), 0)
    >>> answering(state, 0).tolist()
    [0]
    """
    weighted = torch.isfinite(state.log_weights[patient])
    return state.draws[patient, weighted, 0].long().unique()


def _check(
    twin: NeuralTwin, interventions: Sequence[Intervention], moved: Collection[str] | None
) -> None:
    if not interventions:
        raise TwinError("no therapy to explain: name at least one intervention")
    for each in interventions:
        for drug in each.drugs:
            if drug not in twin.agents:
                raise TwinError(f"agent '{drug}' of '{each.name}' is not known to this twin")
    for channel in moved or ():
        if channel not in twin.network.channels:
            raise TwinError(
                f"unknown channel '{channel}', expected one of {', '.join(twin.network.channels)}"
            )


def _quadrature(nodes: int) -> tuple[Float[Tensor, " node"], Float[Tensor, "node 1"]]:
    """Return nodes on [0, 1] and their weights, the two ends added with weight 0."""
    place, weight = np.polynomial.legendre.leggauss(nodes)
    position = torch.tensor([0.0, *(0.5 * (place + 1.0)), 1.0], dtype=torch.float32)
    weights = torch.tensor([0.0, *(0.5 * weight), 0.0], dtype=torch.float32)
    return position, weights[:, None]


def _moved(
    encoder: ChannelEncoder,
    values: Float[Tensor, "patient feature"],
    members: Int[Tensor, " member"],
) -> _Moved:
    first = encoder.first
    measured = (~torch.isnan(values)).to(values)
    filled = torch.nan_to_num((values - encoder.location) / encoder.spread, nan=0.0)
    scale, offset = first.scale[members].unsqueeze(1), first.offset[members].unsqueeze(1)
    standard = (scale * filled + offset) * measured
    step = standard @ _slope(encoder, members)
    if isinstance(first, NeighbourInputLinear):
        return _Moved(encoder, standard, step, step)
    chosen = {name: each[members] for name, each in first.named_parameters()}
    if isinstance(first, ProjectedInputLinear):
        bias = chosen["map.bias"]
        given = step[..., : bias.shape[-1]] + bias
    else:
        chosen |= {name: each[members] for name, each in first.named_buffers()}
        given = with_values(first, chosen)(filled, measured, encoder.sometimes_missing)
    # Effects are linear and nothing at the average, so what they add is all a step; so are the
    # values whose effect bends, which are followed as they are.
    added = step[..., given.shape[-1] :]
    return _Moved(encoder, standard, torch.cat([given, added], dim=-1), step)


def _slope(
    encoder: ChannelEncoder, members: Int[Tensor, " member"]
) -> Float[Tensor, "member feature output"]:
    """Return how what the line is followed in depends on the standardised values."""
    first = encoder.first
    if isinstance(first, ProjectedInputLinear):
        loadings = first.loadings(members)
        if isinstance(first, NeighbourInputLinear):
            return loadings
        added = loadings @ encoder.effects[members]
        if isinstance(first, PathwayInputLinear):
            return torch.cat([first.slope(members), added], dim=-1)
        return torch.cat([loadings @ first.map.weight[members], added], dim=-1)
    own = torch.eye(first.scale.shape[1])[:, encoder.bent].expand(len(members), -1, -1)
    return torch.cat([first.pace * first.weight[members], encoder.effects[members], own], dim=-1)


def _pulled(
    encoder: ChannelEncoder,
    slope: Float[Tensor, "member patient output"],
    members: Int[Tensor, " member"],
) -> Float[Tensor, "member patient feature"]:
    """Return the slope of the features from that of what the line is followed in."""
    return slope @ _slope(encoder, members).mT


def _evidence(
    part: _Moved,
    line: Float[Tensor, "member patient node output"],
    shown: Shown,
    values: Float[Tensor, "patient feature"],
    members: Int[Tensor, " member"],
) -> tuple[Evidence, Float[Tensor, "member patient node term"]]:
    """Return the evidence along the line, and what is added to the score."""
    encoder = part.encoder
    terms = encoder.effects.shape[2]
    measured = (~torch.isnan(values)).to(values)
    first = _outputs(encoder, line, measured.amax(dim=1), members)
    parts = [encoder.latent, encoder.hidden, terms, len(encoder.bent)]
    linear, hidden, added, bent = first.split(parts, dim=-1)
    if len(encoder.bent):
        added = encoder.bending(added, bent, members)
    mean = linear + _mapped(encoder.second, functional.gelu(hidden), members)
    if encoder.under is not None:
        agents = shown.agents[None, :, None].expand(len(members), -1, 1, -1)
        mean = mean + _mapped(encoder.under, agents, members)
    share = measured.mean(dim=1).view(1, -1, 1, 1)
    precision = functional.softplus(encoder.certainty[members]).unsqueeze(2) * share
    return Evidence(shift=precision * mean, precision=precision.expand_as(mean)), added


def _outputs(
    encoder: ChannelEncoder,
    line: Float[Tensor, "member patient node output"],
    there: Float[Tensor, " patient"],
    members: Int[Tensor, " member"],
) -> Float[Tensor, "member patient node first"]:
    """Return the first layer's outputs, followed by what is added, along the line."""
    first = encoder.first
    if not isinstance(first, NeighbourInputLinear):
        return line
    both = first.with_neighbours(line.flatten(1, 2), members).unflatten(1, line.shape[1:3])
    both = both * there.view(1, -1, 1, 1)
    mapped = _mapped(first.map, both, members)
    return torch.cat([mapped, both @ encoder.effects[members].unsqueeze(1)], dim=-1)


def _mapped(
    layer: MemberLinear,
    rows: Float[Tensor, "member patient node input"],
    members: Int[Tensor, " member"],
) -> Float[Tensor, "member patient node output"]:
    return rows @ layer.weight[members].unsqueeze(1) + layer.bias[members].unsqueeze(1)


def _sum(
    parts: Sequence[tuple[Evidence, Tensor]], members: int, patients: int, nodes: int
) -> tuple[Evidence, Tensor]:
    """Return the evidence of all channels, and all that they add, at every node."""
    if not parts:
        raise TwinError("nothing was shown: there is no value to divide the answer among")
    total, added = parts[0]
    for evidence, more in parts[1:]:
        total, added = total + evidence, added + more
    shape = (members, patients, nodes, -1)
    whole = Evidence(total.shift.expand(shape), total.precision.expand(shape))
    return whole, added.expand(shape)


def _answers(
    twin: NeuralTwin,
    state: TwinState,
    evidence: Evidence,
    added: Float[Tensor, "member patient node term"],
    interventions: Sequence[Intervention],
    endpoint: Endpoint,
    members: Int[Tensor, " member"],
    line: Mapping[str, Tensor],
    trees: _Trees | None,
) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    """Return the endpoint at every node, and its slopes along the line, by intervention."""
    code = _code(twin, state, evidence, added, members)
    chosen = {name: each[members] for name, each in twin.network.outcome.named_parameters()}
    moved = None
    if trees is not None and trees.early is not None and twin.companion is not None:
        early = _code(twin, state, *trees.early, members)
        rows = early.flatten(1, 3)
        usual = twin.companion.agents.expand(rows.shape[1], -1)
        outcome = with_values(twin.network.outcome, chosen)
        score = outcome.prognosis(rows, usual, twin.companion.causes[members])
        apart = line[_BESIDE] + twin.companion.usual[members].view(-1, 1, 1, 1)
        apart = apart - score.unflatten(1, early.shape[1:4])
        moved = (trees.share[..., None, None] * apart).flatten(1)
    answers, slopes = [], []
    for each in interventions:
        agents = torch.tensor([[float(agent in each.drugs) for agent in twin.agents]])
        found = _endpoint(twin, state, code, chosen, agents, endpoint, moved).mean(dim=3)
        # Every row of the line answers for itself, so one backward pass serves all of them.
        slope = torch.autograd.grad(found.sum(), list(line.values()), retain_graph=True)
        answers.append(found.detach())
        slopes.append(dict(zip(line, slope, strict=True)))
    return answers, slopes


def _code(
    twin: NeuralTwin,
    state: TwinState,
    evidence: Evidence,
    added: Float[Tensor, "member patient node term"],
    members: Int[Tensor, " member"],
) -> Float[Tensor, "member patient node draw code"]:
    """Return each member's own draws of the code, at every node."""
    rows = _rows(twin, state, members)
    first = 1 + 2 * twin.network.latent
    noise = state.draws[:, rows, first : first + twin.network.latent].transpose(0, 1)
    unmeasured = twin.unmeasured(state)[:, rows].transpose(0, 1)
    mean, deviation = posterior(evidence)
    latent = mean.unsqueeze(3) + deviation.unsqueeze(3) * noise.unsqueeze(2)
    return torch.cat([latent, added.unsqueeze(3) + unmeasured.unsqueeze(2)], dim=-1)


def _rows(
    twin: NeuralTwin, state: TwinState, members: Int[Tensor, " member"]
) -> Int[Tensor, "member draw"]:
    """Return each member's own draws, as many for every member."""
    rounds = state.draws.shape[1] // twin.network.members
    owner = state.draws[0, :, 0].long()
    return torch.stack([torch.nonzero(owner == member)[:rounds, 0] for member in members])


def _endpoint(
    twin: NeuralTwin,
    state: TwinState,
    code: Float[Tensor, "member patient node draw code"],
    chosen: Mapping[str, Tensor],
    agents: Float[Tensor, "1 agent"],
    endpoint: Endpoint,
    moved: Float[Tensor, "member row"] | None,
) -> Float[Tensor, "member patient node draw"]:
    """Return the endpoint of every code; of survival, given no event up to the last visit."""
    days = endpoint.days()
    reached = state.days.clamp(min=0.0)
    asked = torch.cat([days.double(), reached.unique()]).float()
    rows = code.flatten(1, 3)
    everyone = agents.expand(rows.shape[1], -1)
    outcome = with_values(twin.network.outcome, chosen)
    values = outcome(rows, everyone, asked, moved=moved).unflatten(1, code.shape[1:4])
    now = torch.searchsorted(asked[len(days) :], reached.float()) + len(days)
    at_visit = torch.stack([values[:, row, :, :, day] for row, day in enumerate(now.tolist())], 1)
    future = values[..., : len(days), :]
    read = outcome.given_event_free(future, at_visit.unsqueeze(4)).flatten(1, 3)
    trajectory = Trajectory(
        patient_ids=state.patient_ids,
        days=days.double(),
        values=read,
        log_weights=torch.zeros(read.shape[:2]),
        names=outcome.quantities,
        units=outcome.units,
    )
    return endpoint.read(trajectory).unflatten(1, code.shape[1:4])
