"""A marker that decides who benefits is found; where nothing does, none is."""

from __future__ import annotations

import lightning
import pytest
import torch
from torch import Tensor

from omics_twin.logs import quiet
from omics_twin.models.build import ChannelTensors, OutcomeTensors, build_network
from omics_twin.models.module import EnsembleModule
from omics_twin.settings import NetworkSettings, TrainerSettings
from omics_twin.tensors.batch import TrainingTensors
from omics_twin.tensors.design import Design
from omics_twin.twin.attribution import Shown, attributed
from omics_twin.twin.neural import Membership, NeuralTwin
from omics_twin.types import Dose, Endpoint, Intervention, Observation
from tests.twins import channel

PATIENTS, MARKERS, MEMBERS, DECIDES = 600, 10, 4, 6
ARMS = (
    Intervention("A", (Dose("paclitaxel"), Dose("x"))),
    Intervention("B", (Dose("paclitaxel"),)),
)


def trained(*, shuffled: bool) -> NeuralTwin:
    """Return a twin of a trial in which one marker decides who benefits from arm A."""
    generator = torch.Generator().manual_seed(8)
    values = torch.randn(PATIENTS, MARKERS, generator=generator)
    agents = torch.tensor([[1.0, 1.0], [1.0, 0.0]])[torch.arange(PATIENTS) % 2]
    logit = 0.8 * values[:, 0] + 2.0 * agents[:, 1] * values[:, DECIDES] - 0.3
    response = (torch.rand(PATIENTS, generator=generator) < torch.sigmoid(logit)).float()
    if shuffled:
        response = response[torch.randperm(PATIENTS, generator=generator)]
    fields = torch.stack([response, torch.ones(PATIENTS)], dim=1)
    weights = torch.ones(MEMBERS, PATIENTS)
    for member in range(MEMBERS):
        weights[member, torch.arange(PATIENTS) % MEMBERS == member] = 0.0
    binary = torch.zeros(MARKERS, dtype=torch.bool)
    network = build_network(
        {"markers": ChannelTensors(values, binary, 0.0, False)},
        OutcomeTensors("pcr", "binary", "1", fields),
        2,
        weights,
        NetworkSettings(latent=8, hidden=16, dropout=0.1, initial_precision=25.0),
        seed=0,
    )
    tensors = TrainingTensors(
        {"markers": values}, {"markers": 0.0}, agents, fields, weights, 1.0 - weights
    )
    settings = TrainerSettings(max_epochs=80, patience=20, modality_dropout=0.0)
    module = EnsembleModule(network, tensors, settings)
    with quiet("lightning.pytorch"):
        lightning.Trainer(
            max_epochs=80,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        ).fit(module)
    module.restore_best()
    ids = [f"trained{number}" for number in range(PATIENTS)]
    return NeuralTwin(
        name="reasons",
        network=network.eval().requires_grad_(requires_grad=False),
        design=Design((channel("markers", "markers", 0.0, [f"m{k}" for k in range(MARKERS)]),)),
        agents=("paclitaxel", "x"),
        membership=Membership.of(ids, torch.ones(MEMBERS, PATIENTS, dtype=torch.bool), "salt"),
    )


def parts(twin: NeuralTwin) -> tuple[Tensor, Tensor]:
    """Return new patients' values and their parts of the difference, (patient, marker)."""
    ids = [f"new{number}" for number in range(60)]
    values = torch.randn(60, MARKERS, generator=torch.Generator().manual_seed(21))
    visit = Observation(tuple(ids), torch.zeros(60, dtype=torch.float64), {"markers": values})
    state = twin.observe(twin.start(ids, draws=8 * MEMBERS, seed=0), visit)
    found = attributed(
        twin,
        state,
        Shown({"markers": values}, torch.zeros(60, 2)),
        ARMS,
        Endpoint("pcr", "pcr", 180.0),
        members=torch.arange(MEMBERS),
    )
    return values, (found.values["markers"][0] - found.values["markers"][1]).mean(dim=0)


@pytest.mark.filterwarnings("ignore:.*does not have many workers.*")
@pytest.mark.filterwarnings("ignore:.*LeafSpec.*")
def test_the_marker_that_decides_who_benefits_is_the_first_driver() -> None:
    values, found = parts(trained(shuffled=False))
    size = found.abs().mean(dim=0)
    assert int(size.argmax()) == DECIDES
    assert float(size[DECIDES]) > 2.0 * float(size[torch.arange(MARKERS) != DECIDES].max())
    together = torch.stack([values[:, DECIDES], found[:, DECIDES]])
    assert float(torch.corrcoef(together)[0, 1]) > 0.8
    # In patients in whom it is far from average it is the first reason, nearly always.
    far = values[:, DECIDES].abs() > 1.0
    first = found.abs().argmax(dim=1) == DECIDES
    assert float(first[far].float().mean()) > 0.9


@pytest.mark.filterwarnings("ignore:.*does not have many workers.*")
@pytest.mark.filterwarnings("ignore:.*LeafSpec.*")
def test_where_outcomes_are_shuffled_the_marker_is_no_longer_the_first_driver() -> None:
    _, real = parts(trained(shuffled=False))
    _, found = parts(trained(shuffled=True))
    size = found.abs().mean(dim=0)
    assert int(size.argmax()) != DECIDES
    assert float(size[DECIDES]) < 0.25 * float(real[:, DECIDES].abs().mean())
