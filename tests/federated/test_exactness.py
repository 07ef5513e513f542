"""What sites find from sums is what one finds who holds the patients of all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from omics_twin.evaluate.conformal import conformal_quantile, mondrian_quantiles
from omics_twin.federated.exchange import Exchange
from omics_twin.models.build import ChannelTensors, OutcomeTensors, build_head, build_network
from omics_twin.models.effects import learn_effects
from omics_twin.models.heads import HazardHead
from omics_twin.models.network import MultimodalNetwork
from omics_twin.models.shared_module import SharedModule, module_of
from omics_twin.models.training import trained
from omics_twin.settings import (
    Combine,
    Device,
    FederationSettings,
    NetworkSettings,
    TrainerSettings,
)
from omics_twin.tensors.batch import TrainingTensors
from omics_twin.tensors.sums import Total, here
from omics_twin.twin.course_fit import fit_course
from omics_twin.twin.likeness import fit_likeness
from tests.federated.meetings import together

PATIENTS, MEMBERS, AGENTS = 160, 2, 2
SITES = ("north", "south", "east")
DAYS = {"clinical": 0.0, "rna": 0.0, "mri@21": 21.0}
WITHOUT = NetworkSettings(
    latent=2, hidden=4, wide_features=12, components=4, dropout=0.0, linear_effects=False
)


def everybody() -> TrainingTensors:
    """Return patients of whom sites see different kinds, with gaps, a wide modality and visits."""
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    site = torch.arange(PATIENTS) % 7 // 3
    clinical = 60.0 + 10.0 * drawn(PATIENTS, 5) + 8.0 * site[:, None]
    clinical[:, 4] = (drawn(PATIENTS) > 0.3).float()
    clinical[torch.rand(clinical.shape, generator=generator) < 0.1] = torch.nan
    rna = drawn(PATIENTS, 6) @ (drawn(6, 20) * torch.linspace(3.0, 1.0, 6)[:, None])
    rna = rna + 0.2 * drawn(PATIENTS, 20)
    agents = (torch.rand(PATIENTS, AGENTS, generator=generator) < 0.5).float()
    score = 0.5 * rna[:, 0] + agents[:, 1] * rna[:, 1] + torch.nan_to_num(clinical[:, 0] - 60) / 9
    response = (torch.rand(PATIENTS, generator=generator) < torch.sigmoid(score)).float()
    later = response[:, None] + 0.7 * drawn(PATIENTS, 1)
    later[drawn(PATIENTS) > 0.8] = torch.nan
    stopping = torch.stack([torch.arange(PATIENTS) % 5 == each for each in range(MEMBERS)]).float()
    return TrainingTensors(
        {"clinical": clinical, "rna": rna, "mri@21": later},
        DAYS,
        agents,
        torch.stack([response, torch.zeros(PATIENTS)], dim=1),
        1.0 - stopping,
        stopping,
    )


EVERYBODY = everybody()


def part(site: str, total: Total) -> TrainingTensors:
    """Return a site's patients; sites differ in number."""
    rows = torch.nonzero(torch.arange(PATIENTS) % 7 // 3 == SITES.index(site))[:, 0]
    return TrainingTensors(
        {name: each[rows] for name, each in EVERYBODY.channels.items()},
        DAYS,
        EVERYBODY.agents[rows],
        EVERYBODY.targets[rows],
        EVERYBODY.training[:, rows],
        EVERYBODY.stopping[:, rows],
        total,
    )


def network_of(tensors: TrainingTensors, settings: NetworkSettings = WITHOUT) -> MultimodalNetwork:
    """Return a network with its statistics, before anything is learned."""
    channels = {
        name: ChannelTensors(
            each,
            torch.arange(each.shape[1]) == (4 if name == "clinical" else -1),
            0.0,
            DAYS[name] > 0,
        )
        for name, each in tensors.channels.items()
    }
    outcome = OutcomeTensors("pcr", "binary", "1", tensors.targets)
    return build_network(
        channels, outcome, AGENTS, tensors.training, settings, seed=0, total=tensors.total
    )


def test_statistics_and_components_are_those_of_pooled_patients() -> None:
    pooled = network_of(EVERYBODY).state_dict()
    found = together(
        SITES, lambda site, told: network_of(part(site, told)).state_dict(), masked=True
    )
    for name, value in pooled.items():
        assert torch.equal(found[1][name], found[0][name]), name
        # Directions of a wide modality are iterated for.
        close = 1e-3 if name.startswith("encoders.1.first.directions") else 1e-5
        torch.testing.assert_close(found[0][name], value, rtol=close, atol=close)


def test_linear_effects_are_those_of_pooled_patients_to_a_millionth() -> None:
    settings = replace(WITHOUT, linear_effects=True, bent_effects=False, wide_features=50)

    def learned(tensors: TrainingTensors) -> dict[str, Tensor]:
        names = ("clinical", "mri@21")
        tensors = replace(
            tensors,
            channels={name: tensors.channels[name] for name in names},
            visit_days={name: DAYS[name] for name in names},
        )
        network = network_of(tensors, settings)
        learn_effects(network, tensors, torch.zeros(MEMBERS).long(), planned=torch.arange(MEMBERS))
        return network.state_dict()

    pooled = learned(EVERYBODY)
    assert float(pooled["encoders.0.effects"].abs().max()) > 0.1
    found = together(SITES, lambda site, told: learned(part(site, told)))[0]
    for name, value in pooled.items():
        # A root of a covariance is found to less than the covariance itself.
        close = 1e-4 if name.endswith("unknown") else 1e-6
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=close)


def test_effects_of_two_causes_and_how_they_fade_are_those_of_pooled_patients() -> None:
    generator = torch.Generator().manual_seed(2)
    # To the week, as edges are where sites learn together.
    days = 7.0 * (60.0 * torch.rand(PATIENTS, generator=generator)).ceil()
    came = torch.randint(0, 3, (PATIENTS,), generator=generator)
    fields = torch.stack([days, (came == 1).float(), days, (came == 2).float()], dim=1)
    place = torch.arange(PATIENTS) % 7 // 3
    settings = replace(WITHOUT, linear_effects=True, bent_effects=False, wide_features=50)

    def effects(tensors: TrainingTensors, rows: Tensor) -> dict[str, Tensor]:
        names = ("clinical", "mri@21")
        told = replace(
            tensors,
            channels={name: tensors.channels[name] for name in names},
            visit_days={name: DAYS[name] for name in names},
            targets=fields[rows],
        )
        outcome = OutcomeTensors("os", "time_to_event", "day", told.targets, ("one", "other"))
        channels = {
            name: ChannelTensors(
                each, torch.zeros(each.shape[1], dtype=torch.bool), 0.0, DAYS[name] > 0
            )
            for name, each in told.channels.items()
        }
        network = build_network(
            channels, outcome, AGENTS, told.training, settings, seed=0, total=told.total
        )
        learn_effects(network, told, torch.zeros(MEMBERS).long(), planned=torch.arange(MEMBERS))
        kept = (".effects", ".bends", ".fade", ".average", ".level")
        return {k: v for k, v in network.state_dict().items() if k.endswith(kept)}

    found = together(
        SITES,
        lambda site, told: effects(
            part(site, told), torch.nonzero(place == SITES.index(site))[:, 0]
        ),
        masked=True,
    )
    for each in found[1:]:
        for name, value in each.items():
            assert torch.equal(value, found[0][name]), name
    assert bool((found[0]["outcome.effects.fade"] != 0.0).all())
    pooled = effects(EVERYBODY, torch.arange(PATIENTS))
    for name, value in pooled.items():
        # Edges of pooled patients lie elsewhere, and levels are those of intervals.
        if not name.endswith(".level"):
            torch.testing.assert_close(found[0][name], value, rtol=0.1, atol=0.05)


@pytest.mark.parametrize("combine", list(Combine))
def test_sites_end_with_one_network_that_learned_as_the_pooled_one(
    combine: Combine, tmp_path: Path
) -> None:
    settings = TrainerSettings(
        max_epochs=3,
        batch_size=60,
        modality_dropout=0.0,
        device=Device.CPU,
        federation=FederationSettings(sites=3, combine=combine),
    )

    def learned(tensors: TrainingTensors, name: str) -> tuple[dict[str, Tensor], Tensor]:
        module = module_of(network_of(tensors), tensors, settings)
        assert isinstance(module, SharedModule) == (tensors.total is not here)
        trained(module, settings, tmp_path / name, lambda _: None)
        return module.network.state_dict(), module.best_loss

    _, pooled = learned(EVERYBODY, "pooled")
    found = together(SITES, lambda site, told: learned(part(site, told), site), masked=True)
    for weights, loss in found[1:]:
        assert torch.equal(loss, found[0][1])
        for name, value in weights.items():
            assert torch.equal(value, found[0][0][name]), name
    # Batches differ, so after three epochs losses do too.
    assert float((found[0][1] - pooled).abs().mean()) < 0.08


def test_a_step_of_all_sites_has_the_gradient_of_pooled_patients() -> None:
    settings = TrainerSettings(
        batch_size=PATIENTS, modality_dropout=0.0, federation=FederationSettings(sites=3)
    )

    def gradient(tensors: TrainingTensors) -> dict[str, Tensor]:
        network = network_of(tensors)
        for name, each in network.named_parameters():
            if name.endswith("certainty"):
                # Codes are then known, and nothing hangs on the noise that each site draws.
                each.data.fill_(1e6)
        module = module_of(network, tensors, settings)
        module.training_step(0, 0).backward()
        module.on_before_optimizer_step(torch.optim.SGD(network.parameters()))
        return {
            name: each.grad for name, each in network.named_parameters() if each.grad is not None
        }

    pooled = gradient(EVERYBODY)
    found = together(SITES, lambda site, told: gradient(part(site, told)), masked=True)[0]
    assert found.keys() == pooled.keys()
    for name, value in pooled.items():
        torch.testing.assert_close(found[name], value, rtol=0.02, atol=0.005)


def test_hazards_are_those_of_pooled_patients_to_the_week() -> None:
    generator = torch.Generator().manual_seed(1)
    days = 400.0 * torch.rand(PATIENTS, generator=generator) + 30.0
    event = (torch.rand(PATIENTS, generator=generator) < 0.6).float()
    fields = torch.stack([days, event], dim=1)
    place = torch.arange(PATIENTS) % 7 // 3

    def head(rows: Tensor, total: Total) -> HazardHead:
        outcome = OutcomeTensors("os", "time_to_event", "day", fields[rows])
        found = build_head(outcome, EVERYBODY.training[:, rows], WITHOUT, total)
        assert isinstance(found, HazardHead)
        return found

    pooled = head(torch.arange(PATIENTS), here)
    found = together(
        SITES,
        lambda site, told: head(torch.nonzero(place == SITES.index(site))[:, 0], told),
        masked=True,
    )
    for each in found:
        assert torch.equal(each.edges_days, found[0].edges_days)
        assert torch.equal(each.level, found[0].level)
    # Rounded up to the week; pooled edges lie between two events, which are days apart.
    gap = found[0].edges_days - pooled.edges_days
    assert float(gap.min()) >= -0.01
    assert float(gap.max()) < 30.0
    asked = torch.linspace(0.0, 420.0, 20)
    curves = [
        each.trajectory(each.predictor(torch.zeros(MEMBERS, 1, 2)), asked)
        for each in (found[0], pooled)
    ]
    torch.testing.assert_close(curves[0], curves[1], rtol=0.0, atol=0.05)


def test_a_course_and_what_patients_look_like_are_those_of_pooled_patients() -> None:
    first = EVERYBODY.channels["rna"][:, :1]
    later = EVERYBODY.channels["mri@21"]
    visits = torch.stack([first, later], dim=1)
    days = torch.tensor([0.0, 21.0], dtype=torch.float64)
    seen = EVERYBODY.training > 0
    values = {name: EVERYBODY.channels[name] for name in ("clinical", "rna")}

    def found(rows: Tensor, total: Total) -> dict[str, Tensor]:
        course = fit_course(
            "mri",
            days,
            visits[rows],
            EVERYBODY.targets[rows, 0],
            EVERYBODY.agents[rows],
            seen[:, rows],
            total,
        )
        likeness = fit_likeness({name: each[rows] for name, each in values.items()}, total)
        assert likeness is not None
        told = {name: getattr(course, name) for name in ("level", "response", "effects")}
        looks = likeness.channels["clinical"]
        return told | {"covariance": course.covariance, "mean": looks.mean, "scale": looks.scale}

    pooled = found(torch.arange(PATIENTS), here)
    place = torch.arange(PATIENTS) % 7 // 3

    def work(site: str, told: Exchange) -> dict[str, Tensor]:
        return found(torch.nonzero(place == SITES.index(site))[:, 0], told)

    for each in together(SITES, work, masked=True):
        for name, value in pooled.items():
            torch.testing.assert_close(each[name], value, rtol=1e-5, atol=1e-5)


def test_conformal_quantiles_are_exactly_those_of_pooled_patients() -> None:
    generator = np.random.default_rng(0)
    scores = generator.standard_t(2, size=(PATIENTS, 3))
    scores[generator.random(scores.shape) < 0.2] = np.nan
    group = np.where(np.arange(PATIENTS) < 60, "a", "b")
    at = {site: np.arange(PATIENTS) // 60 == place for place, site in enumerate(SITES)}

    def told(site: str, total: Exchange) -> tuple[float, dict[str, float]]:
        own, named = scores[at[site]], group[at[site]].tolist()
        groups = mondrian_quantiles(own, named, 0.9, every=["a", "b"], total=total)
        return conformal_quantile(own, 0.9, total=total), groups

    pooled = conformal_quantile(scores, 0.9), mondrian_quantiles(scores, group.tolist(), 0.9)
    assert set(pooled[1]) == {"a", "b"}
    assert together(SITES, told, masked=True) == [pooled] * 3
