"""Every choice composes, the schema is that of the code, and a run is known by its settings."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from omics_twin.config import (
    Config,
    combinations,
    config_folder,
    digest,
    groups,
    load,
    options,
    plain,
)
from omics_twin.dynamics.settings import DynamicsKind
from omics_twin.errors import ConfigError
from omics_twin.intake.declaration import CohortFormat
from omics_twin.intake.declared import check_declaration
from omics_twin.therapy.catalogue import Catalogue

CHOICES = [
    (group, option) for group in groups() if group != "experiment" for option in options(group)
]


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMICS_TWIN_DATA", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.mark.parametrize(("group", "option"), CHOICES, ids=["=".join(each) for each in CHOICES])
def test_every_option_of_every_group_composes(group: str, option: str) -> None:
    config = load("train", [f"{group}={option}"])
    assert type(getattr(config, group)) is type(getattr(Config(), group))


@pytest.mark.parametrize("experiment", options("experiment"))
def test_every_experiment_is_whole(experiment: str) -> None:
    config = load("train", [f"experiment={experiment}"])
    assert config.name == experiment
    if config.cohort.format is CohortFormat.TABLES:
        # A study of the portal says itself what it holds.
        check_declaration(config.cohort)
        if config.dynamics.kind is DynamicsKind.NONE:
            assert config.endpoint.outcome in config.cohort.outcomes
        else:
            assert config.dynamics.modality in config.cohort.modalities
    catalogue = Catalogue.declared(config.therapy)
    assert catalogue.known_agents or len(catalogue.arms) == 1
    compared = len(catalogue.arms) > 1
    assert (config.cohort.therapy is not None) == compared or config.dynamics.modality


def test_every_key_of_a_choice_is_a_field_of_its_settings() -> None:
    for group in groups():
        if group == "experiment":
            continue
        known = {each.name for each in fields(getattr(Config(), group))}
        for option in options(group):
            lines = (config_folder() / group / f"{option}.yaml").read_text().splitlines()
            keys = {line.split(":")[0] for line in lines if line[:1].isalpha()}
            assert keys <= known, f"{group}={option}"


def test_a_setting_that_is_not_written_out_can_be_set() -> None:
    assert load("train", ["therapy.thin_support=3"]).therapy.thin_support == 3


def test_a_declared_part_can_be_removed_and_a_setting_cannot() -> None:
    config = load("train", ["~cohort.modalities.radiomics"])
    assert "radiomics" not in config.cohort.modalities
    with pytest.raises(ConfigError, match="'trainer.seed' cannot be removed"):
        load("train", ["~trainer.seed"])


def test_settings_are_plain_values() -> None:
    found = plain(load("train", ["trainer.device=CPU"]))
    assert found["trainer"]["device"] == "CPU"
    assert found["verb"] == "train"


@pytest.mark.parametrize(
    "setting",
    ["trainer.seed=1", "model=medium", "split.replicas=2", "endpoint.horizon_days=90", "name=b"],
)
def test_another_setting_is_another_run(setting: str) -> None:
    assert digest(load("train", [setting]), "x") != digest(load("train", []), "x")


@pytest.mark.parametrize(
    "setting",
    [
        "output=elsewhere.csv",
        "output_root=elsewhere",
        "tracking=off",
        "patient=a",
        "synthetic_root=elsewhere",
    ],
)
def test_where_answers_go_does_not_change_a_run(setting: str) -> None:
    assert digest(load("train", [setting]), "x") == digest(load("train", []), "x")


def test_other_patients_are_another_run() -> None:
    config = load("train", [])
    assert digest(config, "x") != digest(config, "y")


def test_every_combination_is_one_run() -> None:
    found = combinations("train", ["trainer.seed=1,2", "split.replicas=2", "model=small,medium"])
    chosen = [(each.trainer.seed, each.split.replicas, each.model.intervals) for each in found]
    assert chosen == [(1, 2, 12), (1, 2, 16), (2, 2, 12), (2, 2, 16)]


def test_a_command_line_name_is_a_plain_name(tmp_path: Path) -> None:
    for name in ("..", "a/b", str(tmp_path), "", "-x", "a" * 101):
        with pytest.raises(ConfigError, match="'name' is"):
            Config(name=name)
