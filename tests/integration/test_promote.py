"""A version becomes the champion with its own whole card alone, and there is a way back."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from omics_twin.cli import main
from omics_twin.files import write_json, write_manifest
from omics_twin.lifecycle import versions
from omics_twin.recording import CARD, RunRecord, record_run
from omics_twin.report.model_card import write_card
from omics_twin.settings import TrackingSettings
from omics_twin.tracking import TrainedModel, load_model, tracker
from tests.conftest import SmallRun

NAME = "synthetic_response"


@dataclass(frozen=True)
class Store:
    """A registry with two versions of a small model, and what every command needs."""

    settings: TrackingSettings
    arguments: tuple[str, ...]

    def run(self, verb: str, *more: str) -> int:
        return main([verb, *more, *self.arguments])

    def version(self, alias: str) -> str | None:
        found = versions.aliased(NAME, alias, self.settings)
        return None if found is None else found.number

    def register(self, run: Path) -> str:
        record = RunRecord(NAME, {}, {}, {}, (), run)
        return record_run(record, self.settings)["model_uri"]


def retrained(small_run: SmallRun, folder: Path, *, noise: float) -> Path:
    """Make a run whose model differs: its heads are moved, so that it is worse."""
    import torch
    from safetensors.torch import load_file, save_file

    shutil.copytree(small_run.run, folder)
    weights = load_file(folder / "model" / "weights.safetensors")
    generator = torch.Generator().manual_seed(0)
    moved = {
        name: each + noise * torch.randn(each.shape, generator=generator)
        if each.is_floating_point() and name.startswith("network.") and each.ndim > 1
        else each
        for name, each in weights.items()
    }
    save_file(moved, folder / "model" / "weights.safetensors")
    write_manifest(folder / "model")
    write_card(TrainedModel.load(folder / "model"), folder)
    return folder


@pytest.fixture(scope="module")
def template(small_run: SmallRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a store with versions 1 and 2 once."""
    root = tmp_path_factory.mktemp("store")
    settings = TrackingSettings(uri=f"sqlite:///{root / 'mlflow.db'}")
    mlflow = tracker()
    mlflow.set_tracking_uri(settings.uri)
    mlflow.create_experiment("omics_twin", artifact_location=(root / "files").as_uri())
    store = Store(settings, ())
    assert store.register(small_run.run) == f"models:/{NAME}/1"
    assert store.register(retrained(small_run, root / "second", noise=1e-4)).endswith("/2")
    return root


@pytest.fixture
def store(template: Path, small_run: SmallRun, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Give the store without aliases but the challenger's; nothing else is changed by a test."""
    settings = TrackingSettings(uri=f"sqlite:///{template / 'mlflow.db'}")
    for alias in (versions.CHAMPION, versions.PREVIOUS):
        if versions.aliased(NAME, alias, settings) is not None:
            versions.drop_alias(NAME, alias, settings)
    versions.set_aliases(NAME, {versions.CHALLENGER: "2"}, settings)
    return Store(settings, (f"tracking.uri={settings.uri}", f"synthetic_root={small_run.trial}"))


def artefacts(store: Store, template: Path, number: int) -> Path:
    """Return the folder that the registry gives out as the files of a version."""
    digest = versions.version_of(f"models:/{NAME}/{number}", store.settings).tags["model_digest"]
    for card in (template / "files").rglob(CARD):
        if (card.parent / "model").is_dir() and digest in card.read_text():
            return card.parent
    raise AssertionError(f"version {number} has no files")


def test_a_registered_version_carries_its_card_and_is_the_challenger(
    template: Path, store: Store, small_run: SmallRun
) -> None:
    version = versions.version_of(f"models:/{NAME}/1", store.settings)
    assert version.tags["model_digest"] == TrainedModel.load(small_run.model).digest
    described = tracker().MlflowClient().get_model_version(NAME, "1").description
    assert described == json.loads((small_run.run / CARD).read_text())["summary"][:5000]
    assert (artefacts(store, template, 1) / CARD).read_bytes() == (
        small_run.run / CARD
    ).read_bytes()
    assert store.version(versions.CHALLENGER) == "2"


def test_promoting_and_rolling_back_move_the_champion(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    assert store.run("promote", f"model_uri=models:/{NAME}/1") == 0
    assert "wait for a person" in capsys.readouterr().err
    assert store.version(versions.CHAMPION) == "1"
    assert store.run("promote", f"model_uri=models:/{NAME}@challenger") == 0
    assert "is not shown to differ from the champion, version 1: auc" in capsys.readouterr().out
    assert (store.version(versions.CHAMPION), store.version(versions.PREVIOUS)) == ("2", "1")
    assert store.version(versions.CHALLENGER) is None
    told = versions.version_of(f"models:/{NAME}/2", store.settings).tags
    assert json.loads(told["compared"])["patients"] == 150
    assert store.run("rollback", f"name={NAME}") == 0
    assert (store.version(versions.CHAMPION), store.version(versions.PREVIOUS)) == ("1", "2")


def test_the_champion_loads_by_its_alias(store: Store, small_run: SmallRun) -> None:
    assert store.run("promote", f"model_uri=models:/{NAME}/1") == 0
    loaded = load_model(f"models:/{NAME}@champion", store.settings)
    assert loaded.digest == TrainedModel.load(small_run.model).digest


def refused(capsys: pytest.CaptureFixture[str]) -> str:
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    return lines[0]


def test_a_version_without_a_card_is_refused(
    template: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    card = artefacts(store, template, 2) / CARD
    kept = card.read_bytes()
    card.unlink()
    try:
        assert store.run("promote", f"model_uri=models:/{NAME}/2") == 1
    finally:
        card.write_bytes(kept)
    assert "version 2 of 'synthetic_response' is not promoted: no model card" in refused(capsys)
    assert store.version(versions.CHAMPION) is None


def test_a_version_with_the_card_of_another_model_is_refused(
    template: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    card = artefacts(store, template, 2) / CARD
    kept = card.read_bytes()
    card.write_bytes((artefacts(store, template, 1) / CARD).read_bytes())
    try:
        assert store.run("promote", f"model_uri=models:/{NAME}/2") == 1
    finally:
        card.write_bytes(kept)
    assert "its card does not hold: it is of a model with digest" in refused(capsys)


def test_a_version_whose_card_was_polished_is_refused(
    template: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    card = artefacts(store, template, 2) / CARD
    kept = card.read_bytes()
    content: dict[str, Any] = json.loads(kept)
    content["items"][-1]["told"] = ["Approved for care."]
    write_json(card, content)
    try:
        assert store.run("promote", f"model_uri=models:/{NAME}/2") == 1
    finally:
        card.write_bytes(kept)
    assert "it was changed after it was registered" in refused(capsys)


def test_a_version_whose_files_were_changed_is_refused(
    template: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = artefacts(store, template, 2) / "model" / "weights.safetensors"
    kept = weights.read_bytes()
    weights.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    try:
        assert store.run("promote", f"model_uri=models:/{NAME}/2") == 1
        told = refused(capsys)
        # With a manifest that was made to fit it is another model, which the card is not of.
        write_manifest(weights.parent)
        assert store.run("promote", f"model_uri=models:/{NAME}/2") == 1
    finally:
        weights.write_bytes(kept)
        write_manifest(weights.parent)
    assert "was changed after it was saved (SHA-256 differs)" in told
    assert "it is of a model with digest" in refused(capsys)


def test_a_worse_version_is_promoted_by_force_only(
    template: Path,
    store: Store,
    small_run: SmallRun,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    worse = store.register(retrained(small_run, tmp_path / "worse", noise=3.0))
    assert store.run("promote", f"model_uri=models:/{NAME}/1") == 0
    capsys.readouterr()
    assert store.run("promote", f"model_uri={worse}") == 1
    told = capsys.readouterr().err
    assert "is worse than the champion, version 1: auc" in told
    assert "add force=true" in told
    assert store.version(versions.CHAMPION) == "1"
    assert store.run("promote", f"model_uri={worse}", "force=true") == 0
    assert store.version(versions.CHAMPION) == worse.rsplit("/", 1)[1]


@pytest.mark.parametrize(
    ("verb", "arguments", "sentence"),
    [
        ("promote", ["model_uri=outputs/run"], "expected a registered version such as models:/"),
        ("promote", [f"model_uri=models:/{NAME}/77"], "the registry has no"),
        ("promote", ["model_uri=models:/nobody@champion"], "the registry has no"),
        ("rollback", [f"name={NAME}"], "has no champion: promote versions first"),
        ("rollback", ["name=nobody"], "the registry has no model 'nobody'"),
    ],
)
def test_what_cannot_be_promoted_is_said_in_one_sentence(
    store: Store,
    capsys: pytest.CaptureFixture[str],
    verb: str,
    arguments: list[str],
    sentence: str,
) -> None:
    assert store.run(verb, *arguments) == 1
    assert sentence in refused(capsys)


def test_promotion_needs_the_registry(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["promote", f"model_uri=models:/{NAME}/1", "tracking=off"]) == 1
    assert "leave tracking=off out" in refused(capsys)
