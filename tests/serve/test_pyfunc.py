"""The served model gives the answer that the command line gives."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import mlflow
import pytest
import requests

from omics_twin.asked import read_cohort
from omics_twin.cli import main
from omics_twin.cohort.cohort import Cohort
from omics_twin.config import load
from omics_twin.errors import ModelError, TwinError
from omics_twin.logs import quiet
from omics_twin.recording import packing
from omics_twin.report.console import Console
from omics_twin.serve.pyfunc import rank_record
from omics_twin.told import PatientRecord, record_of
from omics_twin.tracking import TrainedModel
from omics_twin.trust.consent import Purpose
from tests.conftest import SmallRun
from tests.serve.hospital import free_port


@pytest.fixture(scope="module")
def cohort(small_run: SmallRun) -> Cohort:
    config = load("rank", ["cohort=synthetic", f"synthetic_root={small_run.trial}"])
    return read_cohort(config, Console(quiet=True), Purpose.SCORING)


@pytest.fixture(scope="module")
def model(small_run: SmallRun) -> TrainedModel:
    return TrainedModel.load(small_run.model)


def patient_of(model: TrainedModel, cohort: Cohort, patient: str) -> PatientRecord:
    """Return a patient of the cohort as a client would send them."""
    measurements: dict[str, dict[str, Any]] = {}
    for channel in model.twin.design.channels:
        part = cohort.measurements.mod[channel.name]
        if channel.follow_up or patient not in part.obs_names:
            continue
        row = part[patient]
        columns = dict(zip(part.var_names, row.X[0].tolist(), strict=True))
        columns |= {name: row.obs[name].iloc[0] for name in part.uns["categories"]}
        measurements[channel.modality] = {
            name: value for name, value in columns.items() if value == value
        }
    stratum = cohort.strata.loc[patient].dropna().to_dict()
    visits = [{"day": 0.0, "values": measurements}]
    return record_of({"patient_id": patient, "visits": visits, "stratum": stratum})


def test_a_record_gets_the_lines_of_the_rank_pipeline(
    small_run: SmallRun, model: TrainedModel, cohort: Cohort, tmp_path: Path
) -> None:
    output = tmp_path / "ranking.json"
    draws = 8 * model.twin.network.members
    arguments = [f"model_uri={small_run.model}", "cohort=synthetic", f"output={output}"]
    arguments += [f"synthetic_root={small_run.trial}", f"twin.draws={draws}"]
    assert main(["rank", *arguments]) == 0
    lines = json.loads(output.read_text())["ranking"]
    for patient in cohort.patient_ids[:12]:
        expected = [each for each in lines if each["patient_id"] == patient and each["eligible"]]
        found = rank_record(model, patient_of(model, cohort, patient))
        assert [each["intervention"] for each in found] == [
            each["intervention"] for each in expected
        ]
        for mine, theirs in zip(found, expected, strict=True):
            for name, value in mine.items():
                if isinstance(value, float):
                    assert math.isclose(value, theirs[name], abs_tol=1e-5), name
                else:
                    assert value == theirs[name], name


def new_patient(**values: dict[str, object]) -> PatientRecord:
    stratum = {"hr_positive": "1", "her2_positive": "0"}
    visits = [{"day": 0, "values": values}]
    return record_of({"patient_id": "new", "visits": visits, "stratum": stratum})


def test_a_patient_of_whom_nothing_is_known_gets_the_population(model: TrainedModel) -> None:
    first, second = (rank_record(model, each) for each in (new_patient(), new_patient(clinical={})))
    assert first == second
    assert all(0.0 <= each["lower"] <= each["expected"] <= each["upper"] for each in first)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"age_year": 50}, r"unknown column 'age_year': did you mean 'age_years'\?"),
        ({"age_years": -5}, "column 'age_years' is below 18 year, where it must end"),
        ({"hr_positive": 2}, "column 'hr_positive' is binary, expected 0 or 1"),
        ({"stage": "V"}, "column 'stage' has an unknown level"),
    ],
)
def test_what_the_model_does_not_know_is_refused_by_name(
    model: TrainedModel, values: dict[str, object], sentence: str
) -> None:
    with pytest.raises(ModelError, match=sentence):
        rank_record(model, new_patient(clinical=values))


def test_an_unknown_modality_is_refused_by_name(model: TrainedModel) -> None:
    with pytest.raises(TwinError, match=r"unknown modality 'clinic': did you mean 'clinical'\?"):
        rank_record(model, new_patient(clinic={}))


@contextmanager
def served_by_mlflow(packed: Path) -> Iterator[str]:
    """Yield where `mlflow models serve` answers for a model."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", str(packed)]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(
        command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as server:
        try:
            url = f"http://127.0.0.1:{port}"
            while server.poll() is None:
                with suppress(requests.ConnectionError):
                    assert requests.get(f"{url}/ping", timeout=60).status_code == 200
                    break
                time.sleep(0.2)
            yield url
        finally:
            # It answers from a process of its own.
            os.killpg(server.pid, signal.SIGTERM)


def test_the_example_is_of_nobody_and_is_answered(small_run: SmallRun, tmp_path: Path) -> None:
    model = TrainedModel.load(small_run.model)
    [example] = packing(small_run.model)["input_example"]
    clinical = example["visits"][0]["values"]["clinical"]
    assert clinical["age_years"] == 64.0  # the middle of what is declared
    packed = tmp_path / "packed"
    with quiet("mlflow"):
        mlflow.pyfunc.save_model(path=str(packed), **packing(small_run.model))
    served = (packed / "serving_input_example.json").read_bytes()
    with served_by_mlflow(packed) as url:
        headers = {"content-type": "application/json"}
        answer = requests.post(f"{url}/invocations", served, headers=headers, timeout=60)
    expected = rank_record(model, record_of(example))
    assert answer.json()["predictions"] == json.loads(json.dumps(expected))
