"""A published twin says where its numbers are from, learns from visits and ranks doses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from omics_twin.cli import main
from omics_twin.therapy.regimens import DAILY, regimen
from omics_twin.twin.draws import weighted_mean
from omics_twin.twin.published import SUNITINIB, sunitinib
from omics_twin.types import Intervention, Observation


def test_every_number_has_a_source_and_a_status() -> None:
    for constant in SUNITINIB.values():
        assert constant.source.startswith("doi:")
        assert constant.status.split(",")[0].split(";")[0] in ("read", "computed", "assumed")
    assert "assumed" in sunitinib().prior.source  # type: ignore[attr-defined]


def test_more_of_the_drug_shrinks_the_tumour_and_costs_neutrophils() -> None:
    twin = sunitinib()
    state = twin.start(["ada", "ben"], draws=50, seed=1)
    seen = torch.tensor([[250.0, 6.0], [250.0, torch.nan]], dtype=torch.float64)
    visit = Observation(("ada", "ben"), torch.zeros(2).double(), {"visit": seen})
    state = twin.observe(state, visit)
    found = []
    for amount in (25.0, 75.0):
        plan = Intervention("x", regimen("sunitinib", amount, "mg", DAILY, 84.0))
        path = twin.simulate(state, plan, torch.tensor([84.0])).values[:, :, 0]
        found.append(weighted_mean(path, state.log_weights))
    assert (found[1][:, 0] < found[0][:, 0]).all()
    assert (found[1][:, 2] < found[0][:, 2]).all()


def test_doses_are_compared_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plans = tmp_path / "grid.json"
    limits = {"sunitinib": {"amount": 50.0, "reason": "the label's highest dose"}}
    grid = {"amounts": {"sunitinib": [25, 50, 75]}, "schedules": ["daily"], "limits": limits}
    plans.write_text(json.dumps(grid))
    output = tmp_path / "ranked.json"
    asked = ["model_uri=published:sunitinib", "patient=ada", "twin.draws=40"]
    given = [f"intervention={plans}", f"output={output}", f"beliefs={tmp_path}"]
    assert main(["simulate", *asked, *given]) == 0
    named = {plan["name"] for plan in json.loads(output.read_text())["plans"]}
    assert named == {"sunitinib 25 mg daily", "sunitinib 50 mg daily", "no intervention"}
    plans.write_text(json.dumps(grid | {"schedules": ["dayly"]}))
    assert main(["simulate", *asked, *given]) == 1
    assert "unknown schedule 'dayly': did you mean 'daily'?" in capsys.readouterr().err
    assert main(["simulate", "model_uri=published:sunitinip", *asked[1:], *given]) == 1
    assert "no published twin 'sunitinip': did you mean" in capsys.readouterr().err
