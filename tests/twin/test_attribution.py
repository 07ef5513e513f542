from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from omics_twin.errors import TwinError
from omics_twin.models.build import ChannelTensors, OutcomeTensors, build_network
from omics_twin.models.fusion import posterior
from omics_twin.models.graph import PathwayInputLinear
from omics_twin.settings import GeneEncoder, NetworkSettings, Reading
from omics_twin.tensors.design import Design
from omics_twin.twin.attribution import Attributions, Shown, answering, attributed
from omics_twin.twin.draws import weighted_mean
from omics_twin.twin.neural import Membership, NeuralTwin
from omics_twin.types import Dose, Endpoint, Intervention, TwinState
from tests.twins import AGENTS, channel, fill_effects, neural_twin, visit_of

OPTIONS = tuple(Intervention(agent, (Dose(agent),)) for agent in AGENTS)
ENDPOINTS = {
    "binary": Endpoint("pcr", "pcr", 180.0),
    "continuous": Endpoint("pcr", "pcr", 180.0),
    "time_to_event": Endpoint("pcr", "pcr", 600.0, reading=Reading.MEAN_UP_TO_HORIZON),
    "causes": Endpoint("pcr", "pcr", 600.0, reading=Reading.MEAN_UP_TO_HORIZON),
}
PATIENTS = ("p1", "p2", "trained3")


def twin_of(kind: str, *, trees: bool) -> NeuralTwin:
    """Return a twin of a kind of outcome, or of an event whose causes are told apart."""
    if kind == "causes":
        return neural_twin(kind="time_to_event", trees=trees, causes=True)
    return neural_twin(kind=kind, trees=trees)


def believed(twin: NeuralTwin, *, follow_up: bool = True) -> tuple[TwinState, Shown]:
    """Return the belief about three patients and what led to it."""
    state = twin.start(PATIENTS, draws=4 * twin.network.members, seed=1)
    agents = torch.zeros(len(PATIENTS), len(AGENTS))
    baseline = visit_of(twin, PATIENTS, 0.0)
    baseline.values["clinical"][0, 1] = torch.nan
    values = {"clinical": baseline.values["clinical"], "mri@0": baseline.values["mri"]}
    state = twin.observe(state, baseline)
    if follow_up:
        later = visit_of(twin, PATIENTS, 21.0)
        state = twin.observe(state, later, under=OPTIONS[1])
        values["mri@21"] = later.values["mri"]
        agents[:, 1] = 1.0
    return state, Shown(values, agents)


def explained(twin: NeuralTwin, endpoint: Endpoint, **asked: object) -> Attributions:
    """Return the attributions of all members for all patients."""
    state, shown = believed(twin)
    members = torch.arange(twin.network.members)
    return attributed(twin, state, shown, OPTIONS, endpoint, members=members, **asked)  # type: ignore[arg-type]


def total(found: Attributions) -> Tensor:
    """Return the sum over all features, (intervention, member, patient)."""
    return torch.stack([each.sum(dim=-1) for each in found.values.values()]).sum(dim=0)


@pytest.mark.parametrize("trees", [False, True])
@pytest.mark.parametrize("kind", ["binary", "continuous", "time_to_event", "causes"])
def test_the_attributions_add_up_to_the_difference_from_the_average_patient(
    kind: str, trees: bool
) -> None:
    found = explained(twin_of(kind, trees=trees), ENDPOINTS[kind])
    assert (found.end - found.start).abs().max() > 1e-3
    torch.testing.assert_close(total(found), found.end - found.start, atol=2e-6, rtol=1e-4)
    contrast = total(found)[0] - total(found)[1]
    ends = found.end[0] - found.end[1] - (found.start[0] - found.start[1])
    torch.testing.assert_close(contrast, ends, atol=2e-6, rtol=1e-4)


@pytest.mark.parametrize("trees", [False, True])
@pytest.mark.parametrize("kind", ["binary", "continuous", "time_to_event", "causes"])
def test_the_answer_that_is_divided_is_the_twins_own(kind: str, trees: bool) -> None:
    twin, endpoint = twin_of(kind, trees=trees), ENDPOINTS[kind]
    state, shown = believed(twin)
    for row, patient in enumerate(PATIENTS):
        members = answering(state, row)
        found = attributed(twin, state, shown, OPTIONS, endpoint, members=members)
        for place, option in enumerate(OPTIONS):
            values = endpoint.read(twin.simulate(state, option, endpoint.days()))
            expected = weighted_mean(values, state.log_weights)[row]
            assert float(found.end[place, :, row].mean()) == pytest.approx(
                float(expected), abs=2e-5
            ), patient


def test_a_member_that_saw_the_patient_does_not_answer() -> None:
    twin = neural_twin()
    state, _ = believed(twin)
    assert answering(state, 0).tolist() == list(range(twin.network.members))
    unseen = torch.nonzero(twin.membership.unseen(["trained3"])[0])[:, 0]
    assert 0 < len(unseen) < twin.network.members
    assert answering(state, 2).tolist() == unseen.tolist()


@pytest.mark.parametrize("trees", [False, True])
def test_what_was_not_measured_is_given_nothing(trees: bool) -> None:
    found = explained(neural_twin(trees=trees), ENDPOINTS["binary"])
    assert bool((found.values["clinical"][:, :, 0, 1] == 0.0).all())
    assert bool((found.values["clinical"][:, :, 1, 1] != 0.0).any())


def test_a_patient_is_explained_as_among_others() -> None:
    twin, endpoint = neural_twin(), ENDPOINTS["binary"]
    state, shown = believed(twin)
    together = explained(twin, endpoint)
    alone = attributed(
        twin,
        replace(
            state,
            patient_ids=state.patient_ids[1:2],
            days=state.days[1:2],
            draws=state.draws[1:2],
            log_weights=state.log_weights[1:2],
        ),
        Shown({name: each[1:2] for name, each in shown.values.items()}, shown.agents[1:2]),
        OPTIONS,
        endpoint,
        members=torch.arange(twin.network.members),
    )
    for name, each in alone.values.items():
        torch.testing.assert_close(each[:, :, 0], together.values[name][:, :, 1])


def test_what_a_visit_changed_is_divided_among_the_values_of_that_visit() -> None:
    twin, endpoint = neural_twin(), ENDPOINTS["binary"]
    whole, visit = explained(twin, endpoint), explained(twin, endpoint, moved=["mri@21"])
    assert set(visit.values) == {"mri@21"}
    torch.testing.assert_close(visit.end, whole.end)
    torch.testing.assert_close(total(visit), visit.end - visit.start, atol=2e-6, rtol=1e-4)


def test_more_nodes_say_the_same() -> None:
    twin, endpoint = neural_twin(), ENDPOINTS["binary"]
    few, many = explained(twin, endpoint), explained(twin, endpoint, nodes=40)
    for name, each in few.values.items():
        torch.testing.assert_close(each, many.values[name], atol=1e-6, rtol=1e-4)


def test_what_neighbours_say_is_divided_among_the_values_that_chose_them() -> None:
    twin, endpoint = wide_twin(GeneEncoder.PATIENT_GRAPH), ENDPOINTS["binary"]
    visit = visit_of(twin, ["p"], 0.0)
    state = twin.observe(twin.start(["p"], draws=3, seed=0), visit)
    shown = Shown({"rna": visit.values["rna"]}, torch.zeros(1, len(AGENTS)))
    every = torch.arange(3)
    found = attributed(twin, state, shown, OPTIONS, endpoint, members=every, nodes=1000)
    assert (found.end - found.start).abs().max() > 0.1
    # Neighbours come and go along the line, at kinks that a quadrature meets coarsely.
    torch.testing.assert_close(total(found), found.end - found.start, atol=5e-3, rtol=0)


def wide_twin(gene_encoder: GeneEncoder = GeneEncoder.COMPONENTS) -> NeuralTwin:
    """Return a twin whose only channel enters as principal components."""
    generator = torch.Generator().manual_seed(4)
    design = Design((channel("rna", "rna", 0.0, [f"G{number}" for number in range(30)]),))
    loading = torch.randn(3, 30, generator=generator)
    values = torch.randn(50, 3, generator=generator) @ loading
    values += 0.3 * torch.randn(50, 30, generator=generator) + 2.0
    fields = torch.stack([(values[:, 0] > 2.0).float(), torch.zeros(50)], dim=1)
    network = build_network(
        {"rna": ChannelTensors(values, torch.zeros(30, dtype=torch.bool), 0.0, False)},
        OutcomeTensors("pcr", "binary", "1", fields),
        len(AGENTS),
        torch.ones(3, 50),
        NetworkSettings(
            latent=4,
            hidden=8,
            dropout=0.0,
            wide_features=10,
            components=4,
            gene_encoder=gene_encoder,
        ),
        seed=0,
    )
    fill_effects(network, generator)
    membership = Membership.of(["t"], torch.ones(3, 1, dtype=torch.bool), salt="test")
    return NeuralTwin("wide", network.eval().requires_grad_(False), design, AGENTS, membership)


def test_genes_behind_principal_components_get_what_a_step_by_step_integral_gives_them() -> None:
    twin, endpoint = wide_twin(), ENDPOINTS["binary"]
    visit = visit_of(twin, ["p"], 0.0)
    state = twin.observe(twin.start(["p"], draws=3, seed=0), visit)
    shown = Shown({"rna": visit.values["rna"]}, torch.zeros(1, len(AGENTS)))
    found = attributed(twin, state, shown, OPTIONS[:1], endpoint, members=torch.arange(3))
    torch.testing.assert_close(total(found), found.end - found.start, atol=2e-6, rtol=1e-4)

    encoder, member = twin.network.encoders[0], 1
    mean = -encoder.first.offset[member] / encoder.first.scale[member]
    average = mean * encoder.spread + encoder.location
    noise = state.draws[:, member, 9:13]
    steps, slope = 400, torch.zeros(30)
    for step in range(steps):
        share = (step + 0.5) / steps
        values = average + share * (visit.values["rna"] - average)
        values.requires_grad_()
        evidence = twin.network.evidence("rna", values, torch.zeros(1, len(AGENTS)))
        centre, deviation = posterior(evidence)
        latent = centre + deviation * noise
        agents = torch.tensor([[1.0, 0.0, 0.0]])
        code = torch.cat([latent, encoder.added(values)], dim=-1)
        answer = twin.network.outcome(code, agents, torch.tensor([180.0]))[member, 0, 0, 0]
        slope += torch.autograd.grad(answer, values)[0][0] / steps
    expected = slope * (visit.values["rna"][0] - average)
    torch.testing.assert_close(found.values["rna"][0, member, 0], expected, atol=1e-5, rtol=1e-3)


def encoded(gene_encoder: GeneEncoder) -> NeuralTwin:
    """Return a twin of wide channels, in which the weights of genes were learned."""
    twin, generator = neural_twin(gene_encoder=gene_encoder), torch.Generator().manual_seed(5)
    for encoder in twin.network.encoders:
        if isinstance(encoder.first, PathwayInputLinear):
            encoder.first.gate.uniform_(-1.0, 1.0, generator=generator)
    return twin


@pytest.mark.parametrize("gene_encoder", list(GeneEncoder))
def test_behind_gene_sets_and_neighbours_the_answer_is_divided_as_well(
    gene_encoder: GeneEncoder,
) -> None:
    twin, endpoint = encoded(gene_encoder), ENDPOINTS["binary"]
    found = explained(twin, endpoint)
    assert (found.end - found.start).abs().max() > 1e-3
    if gene_encoder is not GeneEncoder.PATIENT_GRAPH:
        torch.testing.assert_close(total(found), found.end - found.start, atol=2e-6, rtol=1e-4)
    state, _ = believed(twin)
    values = endpoint.read(twin.simulate(state, OPTIONS[0], endpoint.days()))
    expected = weighted_mean(values, state.log_weights)[0]
    assert float(found.end[0, :, 0].mean()) == pytest.approx(float(expected), abs=2e-5)


def test_an_unknown_agent_or_channel_is_refused() -> None:
    twin, endpoint = neural_twin(), ENDPOINTS["binary"]
    state, shown = believed(twin)
    members = torch.arange(2)
    with pytest.raises(TwinError, match="agent 'aspirin' of 'A' is not known"):
        attributed(twin, state, shown, [Intervention("A", (Dose("aspirin"),))], endpoint,
                   members=members)  # fmt: skip
    with pytest.raises(TwinError, match="unknown channel 'ct'"):
        attributed(twin, state, shown, OPTIONS, endpoint, members=members, moved=["ct"])
    with pytest.raises(TwinError, match="no therapy to explain"):
        attributed(twin, state, shown, [], endpoint, members=members)
    with pytest.raises(TwinError, match="nothing was shown"):
        attributed(twin, state, Shown({}, shown.agents), OPTIONS, endpoint, members=members)
