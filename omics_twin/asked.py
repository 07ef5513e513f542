"""What a configuration asks for: its cohort, model, patients, and where the answer goes."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from omics_twin import consenting, tracking
from omics_twin.cohort.cohort import Cohort
from omics_twin.config import Config, load, options
from omics_twin.dynamics.settings import DynamicsKind
from omics_twin.errors import ConfigError
from omics_twin.intake.synthetic import generate
from omics_twin.intake.tables import read_tables
from omics_twin.lifecycle.validity import governed_by
from omics_twin.report.console import Console
from omics_twin.tracking import AnyModel
from omics_twin.trust.consent import Purpose
from omics_twin.trust.privacy import called_by, left_out_lines

# What `conf/config.yaml` chooses where nobody names a cohort.
_DEFAULT_COHORT = "synthetic"


def called(config: Config, patient: str) -> str:
    """Return what a patient is called here, who may be asked for by identifier or pseudonym."""
    return called_by(consenting.names_of(config), patient)


def read_cohort(config: Config, console: Console, purpose: Purpose) -> Cohort:
    """Read, check, ask for permission, build: the only way to a cohort."""
    root = Path(config.cohort.root)
    if config.cohort.name == "synthetic" and (purpose is Purpose.TRAINING or not root.exists()):
        console.say(f"synthetic trial of {config.intake.patients} patients in {root}")
        generate(config.intake, root, progress=console.progress("patients written"))
    tables = read_tables(config.cohort, scoring=purpose is not Purpose.TRAINING)
    cohort = consenting.permitted_cohort(tables, config, purpose)
    basis = cohort.permission.basis
    console.say(f"cohort {cohort.name}: {len(cohort.patient_ids)} patients, {basis}")
    for line in left_out_lines(cohort.left_out):
        console.warn(line)
    for note in cohort.notes:
        console.note(note)
    return cohort


def model_of_any_kind(config: Config) -> AnyModel:
    """Return the model that is asked, whether it ranks or learns from visit to visit."""
    model = tracking.load_any(config.model_uri or "", config.tracking)
    return governed_by(model, config.trust.unlike)


def check_ranks(config: Config, verb: str) -> None:
    """Refuse to do with a twin that learns from visit to visit what is done with one that ranks.

    Raises
    ------
    ConfigError
        In this case.
    """
    if config.dynamics.kind is not DynamicsKind.NONE:
        raise ConfigError(
            f"'{verb}' is for twins that rank, but dynamics is {config.dynamics.kind.name}, of a "
            "twin that learns from visit to visit: use 'train', or dynamics=none"
        )


def model_asked(config: Config, console: Console) -> tracking.TrainedModel:
    """Return the model that is asked, one that ranks.

    Raises
    ------
    ConfigError
        If none was named.
    """
    if not config.model_uri:
        raise ConfigError("no model was named: add model_uri=FOLDER or model_uri=models:/NAME/1")
    found = tracking.load_model(config.model_uri, config.tracking)
    return introduced(governed_by(found, config.trust.unlike), config, console)


_Model = TypeVar("_Model", bound=AnyModel)


def introduced(model: _Model, config: Config, console: Console) -> _Model:
    """Say which model is asked, and whether it knows its patients by the site's pseudonyms."""
    console.say(f"model {model.twin.name}: {model.title}")
    names = consenting.names_of(config)
    trained_by, own = model.provenance.get("pseudonyms", ""), "" if names is None else names.mark()
    if trained_by and trained_by != own:
        console.warn(
            "the model knows its training patients by pseudonyms of another key: they are answered "
            "as if they were new"
        )
    return model


def with_own_cohort(config: Config, model: tracking.TrainedModel) -> Config:
    """Return the configuration with the cohort that was named, else the one trained on."""
    own = str(model.provenance.get("cohort", ""))
    if (
        config.cohort.name != _DEFAULT_COHORT
        or own == _DEFAULT_COHORT
        or own not in options("cohort")
    ):
        return config
    chosen = load(config.verb, [f"cohort={own}", f"data_root={config.data_root}"])
    return replace(config, cohort=chosen.cohort)


def place_asked(config: Config) -> Path:
    """Return the folder to write a cohort's files to.

    Raises
    ------
    ConfigError
        If the cohort has parts, and no folder was named.
    """
    if not config.output and config.cohort.parts:
        raise ConfigError(
            f"cohort '{config.cohort.name}' has {len(config.cohort.parts)} parts and no folder of "
            "its own: add output=FOLDER"
        )
    return Path(config.output or config.cohort.root)


def output_asked(config: Config, *endings: str) -> Path:
    """Return the file that the answer is written to.

    Raises
    ------
    ConfigError
        If none is named, its name ends otherwise, or it cannot be written.
    """
    wanted = " or ".join(endings)
    if not config.output:
        raise ConfigError(f"no output was named: add output=FILE{endings[0]}")
    output = Path(config.output)
    if output.suffix not in endings:
        raise ConfigError(f"output is '{output}', expected a name that ends in {wanted}")
    if output.is_dir():
        raise ConfigError(f"output '{output}' is a folder, expected a file that ends in {wanted}")
    above = next(each for each in output.absolute().parents if each.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise ConfigError(f"output '{output}' cannot be written: '{above}' is no writable folder")
    return output


def folder_asked(config: Config) -> Path:
    """Return the folder that the answer is written to.

    Raises
    ------
    ConfigError
        If none is named, or it is a file.
    """
    if not config.output:
        raise ConfigError("no output was named: add output=FOLDER")
    if Path(config.output).is_file():
        raise ConfigError(f"output '{config.output}' is a file, expected a folder")
    return Path(config.output)


def patients_asked(cohort: Cohort, config: Config) -> Cohort:
    """Return the cohort of the patient that was named; of everybody where nobody was."""
    return cohort.select([called(config, config.patient)]) if config.patient else cohort
