"""Privately trained twins: what they keep of their patients, and what an attack makes of twins."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from omics_twin import config
from omics_twin.asked import read_cohort
from omics_twin.cli import main
from omics_twin.report.console import Console
from omics_twin.settings import TrackingSettings
from omics_twin.tracking import TrainedModel, load_model
from omics_twin.training import private, tasks
from omics_twin.trust.consent import Purpose
from tests.conftest import SmallRun

PRIVATE = (
    "trainer.privacy.epsilon=8",
    "trainer.privacy.delta=1e-3",
    "trainer.privacy.steps=6",
    "trainer.privacy.members=2",
)


def trained(small_run: SmallRun, folder: Path, *settings: str) -> Path:
    arguments = ["experiment=synthetic_response", *small_run.settings, f"output_root={folder}"]
    assert main(["train", *arguments, *settings]) == 0
    latest = json.loads((folder / "synthetic_response" / "latest.json").read_text())
    return Path(latest["run_folder"])


@pytest.fixture(scope="module")
def private_run(small_run: SmallRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(small_run, tmp_path_factory.mktemp("private"), *PRIVATE)


@pytest.fixture
def private_model(private_run: Path) -> TrainedModel:
    return load_model(str(private_run), TrackingSettings(enabled=False))


def test_a_private_twin_keeps_nobodys_traces(private_model: TrainedModel) -> None:
    assert private_model.likeness is None
    assert len(private_model.twin.proposal.membership.digests) == 0
    assert "fingerprint" not in private_model.provenance
    assert private_model.twin.network.members == 2
    # A modality of 200 genes is narrow enough; visits under therapy are not learned from.
    assert all(channel.visit_day <= 0 for channel in private_model.twin.design.channels)


def test_a_private_twin_tells_its_guarantee_and_what_is_outside_it(
    private_model: TrainedModel,
) -> None:
    told = private_model.provenance["privacy"]
    assert 7.8 < told["epsilon"] <= 8.0
    assert told["delta"] == 1e-3
    assert told["holds"]
    assert set(told["noise"]) == {"standards", "support", "effects"}
    assert told["outside"]
    assert "auc" in told["attack"]


def test_noise_is_never_the_same_unless_its_seed_is_given_which_voids_the_guarantee(
    small_run: SmallRun, tmp_path: Path
) -> None:
    told = []
    for seed in ("7", "7", "null"):
        asked = config.load(
            "train",
            [
                "experiment=synthetic_response",
                *small_run.settings,
                *PRIVATE,
                f"output_root={tmp_path}",
                f"trainer.privacy.noise_seed={seed}",
            ],
        )
        console = Console()
        cohort = read_cohort(asked, console, Purpose.SCORING)
        task, asked = private.prepared(tasks.task_of(cohort, asked, console), asked, console)
        told.append(private.released(task, asked, {"privacy": {"attack": {}}}))
    weights = [dict(each.twin.network.named_parameters()) for each in told]
    name = "outcome.effects.average"
    assert torch.equal(weights[0][name], weights[1][name])
    assert not torch.equal(weights[0][name], weights[2][name])
    assert [each.provenance["privacy"]["holds"] for each in told] == [False, False, True]


def test_a_private_twin_answers(small_run: SmallRun, private_run: Path, tmp_path: Path) -> None:
    asked = ["cohort=synthetic", f"cohort.root={small_run.trial}", f"model_uri={private_run}"]
    assert main(["rank", *asked, "tracking=off", f"output={tmp_path / 'r.csv'}"]) == 0
    assert (tmp_path / "r.csv").read_text().count("\n") > 150


def test_training_without_a_budget_says_so_and_reports_the_attack(small_run: SmallRun) -> None:
    found = json.loads((small_run.run / "metrics.json").read_text())["privacy"]
    assert found["epsilon"] is None
    assert found["mechanism"] == "none"
    assert list(found["attack"]["attacks"]) == ["loss"]
    kept = load_model(str(small_run.run), TrackingSettings(enabled=False)).provenance["privacy"]
    assert kept == found


def test_whole_ensembles_are_attacked_and_those_already_trained_are_kept(
    small_run: SmallRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["experiment=synthetic_response", *small_run.settings, f"output_root={tmp_path}"]
    asked += ["attack.folds=2", "attack.repeats=2", "model.linear_effects=false", "twin.draws=80"]
    asked += ["~cohort.modalities.transcriptomics", "~cohort.modalities.radiomics"]
    assert main(["attack", *asked]) == 0
    run = Path(
        json.loads((tmp_path / "synthetic_response" / "latest-attack.json").read_text())[
            "run_folder"
        ]
    )
    found = json.loads((run / "attack.json").read_text())
    assert found["attack"]["twins"] == 4
    assert "advantage" in capsys.readouterr().out
    for each in ("attack.json", "tracking.json", "without-1-1.safetensors"):
        (run / each).unlink()
    assert main(["attack", *asked]) == 0
    again = capsys.readouterr().out
    assert "without fold 2 of repeat 2" in again
    assert "without fold 1 of repeat 1" not in again
    assert json.loads((run / "attack.json").read_text()) == found


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("endpoint=progression_free_survival", "learns a yes or no"),
        ("trainer.privacy.delta=0.05", "less than one in the number of patients"),
        ("model.wide_features=2", "has at most 2 features"),
        ("trainer.privacy.members=9", "'trainer.privacy.members' is 9"),
    ],
)
def test_what_cannot_be_trained_privately_is_refused(
    small_run: SmallRun,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    setting: str,
    sentence: str,
) -> None:
    own = [each for each in PRIVATE if each.split("=")[0] != setting.split("=")[0]]
    extra = ["model.components=1"] if "wide" in setting else []
    asked = ["experiment=synthetic_response", *small_run.settings, f"output_root={tmp_path}"]
    assert main(["train", *asked, *own, setting, *extra]) == 1
    assert sentence in capsys.readouterr().err
