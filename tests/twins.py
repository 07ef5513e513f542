"""Small twins for tests, built without training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from omics_twin.dynamics.rates import ScheduledRates
from omics_twin.models.build import ChannelTensors, OutcomeTensors, build_network
from omics_twin.models.companion import fit_companion
from omics_twin.models.heads import HazardHead
from omics_twin.models.network import MultimodalNetwork
from omics_twin.models.prior_network import PriorNetwork
from omics_twin.models.visits import VisitNetwork
from omics_twin.settings import GeneEncoder, NetworkSettings
from omics_twin.tensors.batch import TrainingTensors
from omics_twin.tensors.design import ChannelDesign, Design, Feature
from omics_twin.twin.course import Course
from omics_twin.twin.hybrid import HybridTwin
from omics_twin.twin.mechanistic import MechanisticTwin
from omics_twin.twin.neural import Membership, NeuralTwin
from omics_twin.twin.neural_prior import Inputs, NeuralPrior
from omics_twin.twin.response import MeasuredNumbers
from omics_twin.twin.response import response_twin as assembled
from omics_twin.twin.visits import VisitTwin
from omics_twin.types import Modality, Observation, Twin

AGENTS = ("paclitaxel", "pembrolizumab", "carboplatin")
TRAINED = tuple(f"trained{i}" for i in range(40))


def channel(name: str, modality: str, day: float, features: Sequence[str]) -> ChannelDesign:
    """Return a channel of numbers."""
    return ChannelDesign(
        name=name,
        modality=modality,
        visit_day=day,
        window_days=10.0,
        minimum_frequency=0.0,
        absent_is_zero=False,
        features=tuple(
            Feature(each, each, None, "score", binary=False, log=False) for each in features
        ),
    )


DESIGN = Design(
    (
        channel("clinical", "clinical", 0.0, ["age", "stage", "grade"]),
        channel("mri@0", "mri", 0.0, ["volume", "sphericity"]),
        channel("mri@21", "mri", 21.0, ["volume", "sphericity"]),
        channel("mri@84", "mri", 84.0, ["volume", "sphericity"]),
    )
)

_SETTINGS = NetworkSettings(latent=4, hidden=8, dropout=0.0, intervals=5)
_WIDE = replace(_SETTINGS, wide_features=1, components=1, neighbours=4)


def fill_effects(network: MultimodalNetwork, generator: torch.Generator) -> None:
    """Give an untrained network linear effects, as training would."""
    with torch.no_grad():
        for name in network.channels:
            for value in (network.encoder(name).effects, network.encoder(name).unknown):
                value.copy_(0.3 * torch.randn(value.shape, generator=generator))


def neural_twin(
    seed: int = 0,
    kind: str = "binary",
    members: int = 6,
    gene_encoder: GeneEncoder | None = None,
    design: Design = DESIGN,
    trees: bool = False,
    causes: bool = False,
) -> NeuralTwin:
    """Return an untrained ensemble; its heads are scaled up so that its answers differ.

    With a gene encoder, every channel is wide, and pooled by three sets where there is a graph.
    With trees, a companion stands beside it that has learned from the same patients. With causes,
    of a time to event, two kinds of the event have hazards of their own.
    """
    generator = torch.Generator().manual_seed(seed)
    weights = torch.ones(members, len(TRAINED))
    fold = torch.arange(len(TRAINED)) % 3
    for member in range(members):
        weights[member, fold == member % 3] = 0.0
    channels = {
        each.name: ChannelTensors(
            values=torch.randn(len(TRAINED), len(each.features), generator=generator),
            binary=torch.zeros(len(each.features), dtype=torch.bool),
            minimum_frequency=0.0,
            follow_up=each.follow_up,
            structure=_sets(each, gene_encoder),
        )
        for each in design.channels
    }
    value = torch.rand(len(TRAINED), generator=generator)
    event = (torch.rand(len(TRAINED), generator=generator) > 0.3).float()
    first = {"binary": (value > 0.6).float(), "time_to_event": value * 900, "continuous": value}
    outcome = OutcomeTensors("pcr", kind, "1", torch.stack([first[kind], event], dim=1))
    if causes:
        came = (torch.rand(len(TRAINED), generator=generator) > 0.5).float()
        fields = [first[kind], event * came, first[kind], event * (1.0 - came)]
        outcome = OutcomeTensors("pcr", kind, "1", torch.stack(fields, dim=1), ("one", "other"))
    network = build_network(
        channels,
        outcome,
        len(AGENTS),
        weights,
        _SETTINGS if gene_encoder is None else replace(_WIDE, gene_encoder=gene_encoder),
        seed=seed,
    )
    fill_effects(network, generator)
    network.eval().requires_grad_(requires_grad=False)
    tensors = TrainingTensors(
        channels={name: each.values for name, each in channels.items()},
        visit_days={each.name: each.visit_day for each in design.channels},
        agents=torch.ones(len(TRAINED), len(AGENTS)),
        targets=outcome.fields,
        training=weights,
        stopping=1.0 - weights,
    )
    group, arms = torch.arange(members) % 3, torch.full((len(AGENTS),), 0.5)
    return NeuralTwin(
        name="small",
        network=network,
        design=design,
        agents=AGENTS,
        membership=Membership.of(TRAINED, weights > 0, salt="test"),
        companion=fit_companion(network, tensors, group, arms, seed=seed, trees=3)
        if trees
        else None,
    )


def hybrid_twin(seed: int = 0, members: int = 6, *, trees: bool = False) -> HybridTwin:
    """Return an untrained network that proposes, and a made-up course of two features."""
    generator = torch.Generator().manual_seed(seed + 1)
    # Three visits of two features; nothing that was given moves what is measured before.
    effects = 0.3 * torch.randn(members, len(AGENTS), 6, generator=generator)
    effects[..., :2] = 0.0
    root = 0.3 * torch.randn(members, 6, 6, generator=generator)
    # Of the first feature a logarithm is taken, by every member another one.
    offset = torch.stack([8.0 + torch.arange(members), torch.full((members,), torch.inf)], dim=1)
    level = 0.2 * torch.randn(members, 6, generator=generator)
    level[:, ::2] += offset[:, :1].log()
    course = Course(
        modality="mri",
        days=torch.tensor([0.0, 21.0, 84.0], dtype=torch.float64),
        offset=offset,
        level=level,
        response=torch.tensor([0.0, 0.0, -0.6, 0.1, -1.0, 0.2]).expand(members, -1).contiguous(),
        effects=effects,
        covariance=root @ root.mT + 0.3 * torch.eye(6),
        tails=torch.tensor([8.0, 16.0, 1e4]).repeat(members)[:members],
        lowest=torch.full((2,), -torch.inf),
    )
    prior = neural_twin(seed, members=members, design=DESIGN.before_treatment(), trees=trees)
    return HybridTwin(prior, course, DESIGN)


def response_twin(seed: int = 0, members: int = 3) -> MechanisticTwin:
    """Return an untrained prior whose members differ, for a volume, a shape and a response."""
    generator = torch.Generator().manual_seed(seed)
    mri = [
        Feature("log1p(volume)", "volume", None, "cm3", binary=False, log=True),
        Feature("sphericity", "sphericity", None, "1", binary=False, log=False),
    ]
    channels = [DESIGN.channels[0]]
    for each in DESIGN.channels[1:]:
        channels.append(replace(each, features=tuple(mri)))
    design = Design(tuple(channels))
    network, population = (
        PriorNetwork(members, 3 + 2 + 2, len(AGENTS), features=2, visits=3, hidden=4)
        for _ in range(2)
    )
    with torch.no_grad():
        for value in network.parameters():
            value.add_(0.1 * torch.randn(value.shape, generator=generator))
        population.propensity_sd.fill_(2.0)
        population.scale.add_(0.5)
        network.scale.sub_(0.3)
    dynamics = ScheduledRates(("volume", "sphericity"), (0.0, 21.0, 84.0), AGENTS)
    unit = torch.tensor([0.8, 0.1] + [0.8 / 21, 0.1 / 21] + [0.8 / 63, 0.1 / 63] + [1.0])
    prior = NeuralPrior(
        dynamics.parameters,
        network.beside(population),
        Inputs(
            design,
            tuple(torch.zeros(members, k) for k in (3, 2)),
            tuple(torch.ones(members, k) for k in (3, 2)),
            {},
        ),
        torch.tensor([2.0, 0.6, -0.03, 0.0, -0.01, 0.0, 0.0]).double().expand(2 * members, -1),
        unit.double().expand(2 * members, -1),
        Membership.of(TRAINED, torch.arange(members)[:, None] != torch.arange(40) % members, "x"),
    )
    observed = MeasuredNumbers(prior.modalities[1], (True, False), (0.1, 0.0), (0.05, 0.01))
    return assembled("volume", prior, dynamics, observed, "pcr")


def response_visit(
    twin: Twin, patient_ids: Sequence[str], day: float, seed: int = 0
) -> Observation:
    """Return a visit at which the tumour is measured; before treatment everything is."""
    found = visit_of(twin, patient_ids, day, seed)
    values = dict(found.values)
    size = torch.tensor([8.0, 0.6]) + torch.tensor([2.0, 0.05]) * values["mri"]
    return replace(found, values=values | {"mri": size.double()})


LABORATORY = Modality("laboratory", "mixed", ("bilirubin", "albumin", "age"))


def visit_twin(seed: int = 0, members: int = 6) -> VisitTwin:
    """Return an untrained recurrent ensemble whose members differ."""
    generator = torch.Generator().manual_seed(seed)
    root = 0.4 * torch.randn(members, 3, 3, generator=generator)
    network = VisitNetwork(
        torch.tensor([True, False, False]),
        torch.tensor([False, False, False]),
        torch.tensor([False, False, True]),
        torch.tensor([1.0, 3.5, 50.0]) + 0.1 * torch.randn(members, 3, generator=generator),
        torch.tensor([0.8, 0.5, 10.0]).expand(members, -1).contiguous(),
        root @ root.mT + 0.5 * torch.eye(3),
        torch.tensor([[0.0, 1.0, 20.0], [4.0, 6.0, 90.0]]).expand(members, -1, -1).contiguous(),
        HazardHead(
            "event_free",
            torch.tensor([0.0, 200.0, 700.0, 2000.0]),
            torch.full((members, 3), 0.2),
        ),
        agents=2,
        hidden=4,
        generator=generator,
    )
    with torch.no_grad():
        for part in (network.direct, network.drift):
            part.weight.copy_(0.3 * torch.randn(part.weight.shape, generator=generator))
    seen = torch.arange(members)[:, None] % 3 != torch.arange(len(TRAINED)) % 3
    return VisitTwin(
        name="visits",
        network=network.eval().requires_grad_(requires_grad=False),
        modality=LABORATORY,
        watched="bilirubin",
        outcome="event_free",
        agents=("paclitaxel", "placebo"),
        membership=Membership.of(TRAINED, seen, salt="test"),
    )


def laboratory_visit(
    twin: Twin, patient_ids: Sequence[str], day: float, seed: int = 0
) -> Observation:
    """Return a visit at which everything is measured."""
    generator = torch.Generator().manual_seed(seed + int(day))
    spread = torch.tensor([2.0, 0.4, 0.0])
    values = torch.tensor([3.0, 3.5, 50.0]) + spread * torch.rand(
        len(patient_ids), 3, generator=generator
    )
    days = torch.full((len(patient_ids),), day, dtype=torch.float64)
    return Observation(tuple(patient_ids), days, {"laboratory": values})


def _sets(of: ChannelDesign, gene_encoder: GeneEncoder | None) -> torch.Tensor | None:
    if gene_encoder not in (GeneEncoder.GENE_GRAPH, GeneEncoder.PATHWAYS):
        return None
    return torch.tensor([[0.5, 0.0, 0.3], [0.5, 0.4, 0.0], [0.0, 0.6, 0.7]])[: len(of.features)]


def visit_of(twin: Twin, patient_ids: Sequence[str], day: float, seed: int = 0) -> Observation:
    """Return a visit at which everything the twin can take on that day is measured."""
    generator = torch.Generator().manual_seed(seed + 1000)
    values = {
        modality.name: torch.randn(len(patient_ids), len(modality.features), generator=generator)
        for modality in twin.modalities
        if day <= 0 or modality.name == "mri"
    }
    days = torch.full((len(patient_ids),), day, dtype=torch.float64)
    return Observation(tuple(patient_ids), days, values)
