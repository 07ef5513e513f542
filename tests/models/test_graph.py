"""First layers that know sets of genes or patients alike: what each may depend on, and its size."""

from __future__ import annotations

import pytest
import torch

from omics_twin.errors import TrainingError
from omics_twin.models.build import ChannelTensors, OutcomeTensors, build_network, restored_network
from omics_twin.models.graph import NeighbourInputLinear, Neighbours, mean_of_nearest
from omics_twin.models.layers import Copies, ProjectedInputLinear
from omics_twin.models.network import MultimodalNetwork
from omics_twin.models.variants import copied
from omics_twin.settings import GeneEncoder, NetworkSettings
from tests.genes import GENES, graph_of_genes, planted

ENCODERS = list(GeneEncoder)[1:]
ON_A_GRAPH = [GeneEncoder.GENE_GRAPH, GeneEncoder.PATHWAYS]
PATIENTS = 60


def network_of(
    encoder: GeneEncoder,
    *,
    members: int = 3,
    patients: int = PATIENTS,
    values: torch.Tensor | None = None,
) -> MultimodalNetwork:
    cohort = planted(patients, seed=0)
    graph = graph_of_genes()
    structure = {
        GeneEncoder.GENE_GRAPH: graph.propagated(GENES, teleport=0.3),
        GeneEncoder.PATHWAYS: graph.pooling(GENES),
    }.get(encoder)
    weights = torch.ones(members, patients)
    for member in range(members):
        weights[member, member::3] = 0.0
    binary = torch.zeros(len(GENES), dtype=torch.bool)
    fields = torch.stack([cohort.response, torch.zeros(patients)], dim=1)
    shown = cohort.values if values is None else values
    return build_network(
        {"expression": ChannelTensors(shown, binary, 0.0, False, structure)},
        OutcomeTensors("pcr", "binary", "1", fields),
        1,
        weights,
        NetworkSettings(
            latent=3, hidden=4, components=6, dropout=0.0, gene_encoder=encoder, neighbours=5
        ),
        seed=0,
    ).eval()


def said(network: MultimodalNetwork, values: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return network.evidence("expression", values, torch.zeros(len(values), 1)).shift


@pytest.mark.parametrize("encoder", ENCODERS)
def test_what_held_out_patients_have_changes_nothing_for_a_member(encoder: GeneEncoder) -> None:
    values = planted(PATIENTS, seed=0).values
    changed = values.clone()
    changed[0::3] = 5.0 + 3.0 * planted(PATIENTS, seed=1).values[0::3]
    asked = planted(8, seed=2).values
    first, second = (said(network_of(encoder, values=each), asked) for each in (values, changed))
    torch.testing.assert_close(first[0], second[0], atol=1e-3, rtol=1e-3)
    assert not torch.allclose(first[1], second[1], atol=1e-2)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_stored_network_answers_bit_for_bit_without_the_graph(encoder: GeneEncoder) -> None:
    network = network_of(encoder)
    heads = [head.described() for _, head in network.outcome.parts]
    restored = restored_network(["expression"], heads, network.state_dict())
    asked = planted(8, seed=2).values
    assert type(restored.encoders[0].first) is type(network.encoders[0].first)
    assert torch.equal(said(network, asked), said(restored, asked))


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_patient_who_was_not_measured_gives_no_evidence_and_adds_nothing(
    encoder: GeneEncoder,
) -> None:
    network = network_of(encoder)
    nothing = torch.full((2, len(GENES)), torch.nan)
    with torch.no_grad():
        network.encoders[0].effects.fill_(1.0)
        assert float(said(network, nothing).abs().max()) == 0.0
        assert float(network.encoders[0].added(nothing).abs().max()) == 0.0


@pytest.mark.parametrize("encoder", ON_A_GRAPH)
def test_the_graph_is_there_once_whatever_the_number_of_members_and_patients(
    encoder: GeneEncoder,
) -> None:
    def shared(network: MultimodalNetwork) -> list[tuple[int, ...]]:
        tensors = network.encoders[0].first.state_dict()
        members = network.members
        return [tuple(each.shape) for each in tensors.values() if each.shape[0] != members]

    pathways = graph_of_genes().pooling(GENES).shape[1]
    few = shared(network_of(encoder))
    assert few == [(len(GENES), pathways)]
    assert shared(network_of(encoder, members=9)) == few
    assert shared(network_of(encoder, patients=150)) == few


def test_a_gene_reaches_only_the_sets_it_is_in() -> None:
    network = network_of(GeneEncoder.PATHWAYS)
    first = network.encoders[0].first
    alone = [row for row in range(len(GENES)) if not bool(first.structure[row].any())]
    assert alone
    asked = planted(4, seed=2).values
    other = asked.clone()
    other[:, alone] += 10.0
    with torch.no_grad():
        first.gate.uniform_(-1.0, 1.0, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(said(network, asked), said(network, other))


def test_weights_of_genes_begin_as_the_mean_of_their_set_and_are_learned() -> None:
    network = network_of(GeneEncoder.PATHWAYS)
    first = network.encoders[0].first
    values = torch.randn(5, len(GENES), generator=torch.Generator().manual_seed(1))
    whole = torch.ones_like(values)
    learned = first(values, whole, torch.empty(0, dtype=torch.long))
    plain = ProjectedInputLinear.forward(first, values, whole, torch.empty(0, dtype=torch.long))
    torch.testing.assert_close(learned, plain, atol=1e-4, rtol=1e-4)
    learned[1].square().sum().backward()
    taught = first.gate.grad.abs().sum(dim=1) > 0
    assert taught.tolist() == [False, True, False]


def test_neighbours_are_the_nearest_training_patients_and_never_the_patient() -> None:
    generator = torch.Generator().manual_seed(0)
    stored = torch.randn(2, 30, 4, generator=generator)
    inside = torch.ones(2, 30)
    inside[1, 20:] = 0.0
    found = mean_of_nearest(stored, stored, inside, torch.tensor(3))
    for member, patient in [(0, 0), (0, 29), (1, 7)]:
        kept = inside[member] > 0
        distance = (stored[member] - stored[member, patient]).norm(dim=1)
        distance[~kept] = torch.inf
        distance[patient] = torch.inf
        near = distance.argsort()[:4]
        weight = (1.0 - (distance[near[:3]] / distance[near[3]]).square()).square()
        expected = (weight[:, None] * stored[member, near[:3]]).sum(dim=0) / weight.sum()
        torch.testing.assert_close(found[member, patient], expected, atol=1e-5, rtol=1e-4)


def test_the_mean_of_the_neighbours_moves_without_a_jump() -> None:
    generator = torch.Generator().manual_seed(0)
    stored = torch.randn(1, 40, 3, generator=generator)
    line = torch.linspace(0.0, 1.0, 4001)[None, :, None]
    asked = 2.0 * (line - 0.5) * torch.tensor([1.0, 0.5, -0.7])
    found = mean_of_nearest(asked, stored, torch.ones(1, 40), torch.tensor(4))[0]
    assert float((found[1:] - found[:-1]).norm(dim=1).max()) < 0.02


def test_what_is_stored_of_neighbours_is_components_of_training_patients_alone() -> None:
    network = network_of(GeneEncoder.PATIENT_GRAPH)
    first = network.encoders[0].first
    assert isinstance(first, NeighbourInputLinear)
    # A third of the patients is held out from each member.
    assert first.inside.sum(dim=1).tolist() == [40.0, 40.0, 40.0]
    assert first.stored.shape == (3, 40, 6)


def test_more_neighbours_than_training_patients_are_refused() -> None:
    with pytest.raises(TrainingError, match="leaves 6 training patients .* which is 7"):
        Neighbours.of([torch.randn(6, 2)], nearest=5)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_copies_of_a_member_say_what_it_says_and_share_what_is_not_learned(
    encoder: GeneEncoder,
) -> None:
    network = network_of(encoder)
    with torch.no_grad():
        for name, value in network.encoders[0].first.named_parameters():
            if name == "gate":
                value.uniform_(-1.0, 1.0, generator=torch.Generator().manual_seed(0))
    of = torch.tensor([2, 0, 2, 1, 1])
    copies = copied(network, Copies(3, of))
    asked = planted(6, seed=2).values
    torch.testing.assert_close(said(copies, asked), said(network, asked)[of])
    first, again = network.encoders[0].first, copies.encoders[0].first
    assert again.directions.data_ptr() == first.directions.data_ptr()
    if first.structure is not None:
        assert again.structure.data_ptr() == first.structure.data_ptr()
