"""MLflow never unpickles anything for us, whatever the environment says."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

from omics_twin.cli import main
from omics_twin.tracking import tracker

_FORBIDDEN = "MLFLOW_ALLOW_PICKLE_DESERIALIZATION"


class _Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("exploded",)


def test_a_pickled_model_is_refused_even_where_the_environment_allows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(_FORBIDDEN, "true")
    (tmp_path / "python_model.pkl").write_bytes(pickle.dumps(_Bomb()))
    (tmp_path / "MLmodel").write_text(
        "flavors:\n  python_function:\n    loader_module: mlflow.pyfunc.model\n"
        "    python_model: python_model.pkl\n    python_version: 3.11.0\n"
        "    cloudpickle_version: 3.1\n"
    )
    mlflow = tracker()
    with pytest.raises(mlflow.exceptions.MlflowException, match="[Pp]ickle"):
        mlflow.pyfunc.load_model(str(tmp_path))
    assert not (tmp_path / "exploded").exists()


def test_every_command_forbids_pickles_and_telemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(_FORBIDDEN, "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "false")
    assert main(["rank"]) == 1
    assert os.environ[_FORBIDDEN] == "false"
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
