"""A stored twin is the same twin to the last bit, and any other content is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from omics_twin.errors import ModelError
from omics_twin.files import write_manifest
from omics_twin.models.build import restored_network
from omics_twin.twin.hybrid import HybridTwin
from omics_twin.twin.neural import NeuralTwin
from omics_twin.twin.storage import load_twin, save_twin
from omics_twin.types import Dose, Intervention
from tests.twins import hybrid_twin, neural_twin, visit_of

RECORD = {"cohort": "study", "patients": 40}
PLAN = Intervention("combination", (Dose("paclitaxel"), Dose("carboplatin")))


def stored(folder: Path, kind: str = "binary") -> tuple[NeuralTwin, Path]:
    twin = neural_twin(kind=kind)
    save_twin(folder / "model", twin, RECORD)
    return twin, folder / "model"


def answer(twin: NeuralTwin | HybridTwin) -> torch.Tensor:
    patients = ("ada", "trained3")
    state = twin.start(patients, draws=30, seed=5)
    for day in (0.0, 21.0):
        state = twin.observe(state, visit_of(twin, patients, day), under=PLAN)
    days = torch.tensor([90.0, 180.0], dtype=torch.float64)
    return torch.cat(
        [twin.simulate(state, PLAN, days).values.flatten(), state.log_weights.flatten()]
    )


@pytest.mark.parametrize("kind", ["binary", "continuous", "time_to_event"])
def test_a_loaded_twin_answers_with_the_same_bits(tmp_path: Path, kind: str) -> None:
    twin, folder = stored(tmp_path, kind)
    loaded, record, *_ = load_twin(folder)
    assert torch.equal(answer(twin), answer(loaded))
    assert loaded.design == twin.design
    assert record == RECORD


def test_causes_are_stored_in_a_format_that_earlier_versions_refuse(tmp_path: Path) -> None:
    twin = neural_twin(kind="time_to_event", causes=True)
    save_twin(tmp_path / "model", twin, RECORD)
    loaded, *_ = load_twin(tmp_path / "model")
    assert loaded.quantities == ("pcr", "pcr: one", "pcr: other")
    assert torch.equal(answer(twin), answer(loaded))
    assert json.loads((tmp_path / "model" / "twin.json").read_text())["format"] == 3


def test_effects_of_an_earlier_version_do_not_fade(tmp_path: Path) -> None:
    twin = neural_twin(kind="time_to_event")
    weights = {k: v for k, v in twin.network.state_dict().items() if not k.endswith(".fade")}
    heads = [head.described() for _, head in twin.network.outcome.parts]
    again = restored_network(list(twin.network.channels), heads, weights)
    assert again.outcome.effects is not None
    assert bool((again.outcome.effects.fade == 0.0).all())


@pytest.mark.parametrize("make", [neural_twin, hybrid_twin])
def test_trees_are_stored_with_the_network(
    tmp_path: Path, make: Callable[..., NeuralTwin | HybridTwin]
) -> None:
    twin = make(trees=True)
    save_twin(tmp_path / "model", twin, RECORD)
    loaded, *_ = load_twin(tmp_path / "model")
    assert loaded.proposal.companion is not None
    assert torch.equal(answer(twin), answer(loaded))
    assert not torch.allclose(answer(make()), answer(loaded))


def test_a_course_is_stored_with_the_network(tmp_path: Path) -> None:
    twin = hybrid_twin()
    save_twin(tmp_path / "model", twin, RECORD)
    loaded, *_ = load_twin(tmp_path / "model")
    assert torch.equal(answer(twin), answer(loaded))
    assert loaded.design == twin.design


def test_a_course_of_an_earlier_version_is_to_be_trained_again(tmp_path: Path) -> None:
    save_twin(tmp_path / "model", hybrid_twin(), RECORD)
    weights = tmp_path / "model" / "weights.safetensors"
    kept = load(weights.read_bytes())
    weights.write_bytes(save({k: v for k, v in kept.items() if k != "course.tails"}))
    write_manifest(tmp_path / "model")
    with pytest.raises(ModelError, match="earlier version, without 'tails': train it again"):
        load_twin(tmp_path / "model")


def test_the_same_twin_is_stored_as_the_same_bytes(tmp_path: Path) -> None:
    _, first = stored(tmp_path / "a")
    _, second = stored(tmp_path / "b")
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes()


@pytest.mark.parametrize("name", ["weights.safetensors", "twin.json", "manifest.json"])
def test_any_flipped_bit_is_refused(tmp_path: Path, name: str) -> None:
    _, folder = stored(tmp_path)
    whole = (folder / name).read_bytes()
    places = np.random.default_rng(0).integers(0, 8 * len(whole), size=40)
    for place in [0, 8 * len(whole) - 1, *places.tolist()]:
        content = bytearray(whole)
        content[place // 8] ^= 1 << place % 8
        (folder / name).write_bytes(bytes(content))
        if name == "manifest.json" and bytes(content).split() == whole.split():
            continue
        with pytest.raises(ModelError):
            load_twin(folder)


def test_a_model_is_replaced_whole(tmp_path: Path) -> None:
    _, folder = stored(tmp_path)
    save_twin(folder, neural_twin(seed=1), {"cohort": "other"})
    assert load_twin(folder)[1] == {"cohort": "other"}
    assert [each.name for each in tmp_path.iterdir()] == ["model"]


def test_what_cannot_be_stored_leaves_the_model_that_was_there(tmp_path: Path) -> None:
    _, folder = stored(tmp_path)
    with pytest.raises(ValueError, match="JSON"):
        save_twin(folder, neural_twin(seed=1), {"loss": float("nan")})
    assert load_twin(folder)[1] == RECORD
    assert [each.name for each in tmp_path.iterdir()] == ["model"]


def test_a_model_of_a_later_format_is_refused(tmp_path: Path) -> None:
    _, folder = stored(tmp_path)
    path = folder / "twin.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 4'))
    write_manifest(folder)
    with pytest.raises(ModelError, match="has format 4, this version reads up to 3"):
        load_twin(folder)
