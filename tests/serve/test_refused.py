"""Where the policy is to refuse, a hospital's system and a client get no number either."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import requests

from omics_twin.lifecycle.validity import REFUSED, governed_by
from omics_twin.settings import Unlike
from omics_twin.tracking import TrainedModel
from tests.conftest import SmallRun
from tests.serve.hospital import CANARY, running
from tests.serve.test_cds_hooks import TOLD, asked


def test_a_refused_patient_gets_a_card_and_lines_without_a_number(
    small_run: SmallRun, tmp_path: Path
) -> None:
    model = TrainedModel.load(small_run.model)
    assert model.likeness is not None
    ordinary = replace(model.likeness, calibration=model.likeness.calibration - 1e3)
    strict = governed_by(replace(model, likeness=ordinary), Unlike.REFUSE)
    strict.save(tmp_path / "run" / "model")
    (tmp_path / "server").mkdir()
    run = SmallRun(small_run.trial, tmp_path / "run", small_run.settings)
    with running(run, tmp_path / "server") as server:
        (card,) = asked(server, "SYN0000001").json()["cards"]
        answer = requests.post(
            f"{server.url}/invocations",
            json={"inputs": [{**TOLD, "patient_id": CANARY}]},
            timeout=60,
        )
    assert card["summary"] == "Twin gives no answer: the patient is unlike the training patients"
    assert card["indicator"] == "warning"
    assert "best with probability" not in card["detail"]
    lines = answer.json()["predictions"]
    assert {line["reason"] for line in lines} == {REFUSED}
    assert {line["expected"] for line in lines} == {None}
    assert all(line["unlike"] for line in lines)
