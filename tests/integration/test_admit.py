"""A chart is filled from a cohort or by FHIR, and told by the twin as the cohort is."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest
import torch

from omics_twin.answers.patients import patients_in
from omics_twin.bedside.record import patients_told
from omics_twin.chart.doses import doses_of
from omics_twin.chart.given import give
from omics_twin.chart.store import Chart
from omics_twin.cli import main
from omics_twin.cohort.cohort import Cohort, build_cohort
from omics_twin.cohort.records import records_in
from omics_twin.config import load
from omics_twin.errors import ConsentError
from omics_twin.intake.fhir_bundle import bundle_of
from omics_twin.intake.fhir_mapping_file import mapping_of
from omics_twin.intake.tables import read_tables
from omics_twin.settings import TwinSettings
from omics_twin.told import RecordedDose, record_of
from omics_twin.tracking import TrainedModel
from omics_twin.trust.consent import Decision, Entry, Purpose, permit
from tests.conftest import SmallRun

PATIENT = "SYN0000001"
ATC = "http://www.whocc.no/atc"
MAPPING = "conf/fhir/synthetic.yaml"


@pytest.fixture(scope="module")
def model(small_run: SmallRun) -> TrainedModel:
    return TrainedModel.load(small_run.model)


@pytest.fixture(scope="module")
def cohort(small_run: SmallRun) -> Cohort:
    config = load("rank", ["cohort=synthetic", f"synthetic_root={small_run.trial}"])
    tables = read_tables(config.cohort, scoring=True)
    return build_cohort(tables, permit(tables.patient_ids, ledger=None, purpose=Purpose.SCORING))


@pytest.fixture
def chart(tmp_path: Path) -> Iterator[Chart]:
    with closing(Chart.open(f"sqlite:///{tmp_path / 'chart.db'}")) as opened:
        yield opened


def admitted(chart: Chart, small_run: SmallRun, *more: str) -> int:
    place = f"chart={chart.engine.url.render_as_string(hide_password=False)}"
    trial = f"synthetic_root={small_run.trial}"
    return main(["admit", place, f"model_uri={small_run.run}", trial, *more])


def test_a_record_from_a_cohort_is_read_as_the_cohort_is(
    model: TrainedModel, cohort: Cohort
) -> None:
    few = cohort.select(cohort.patient_ids[:12])
    expected = patients_in(model, few)
    for row, record in enumerate(records_in(few)):
        told = patients_told(model, record, source="test", basis="test")
        assert told.keys == [expected.keys[row]]
        for name, values in expected.matrices.values.items():
            found = told.matrices.values[name][0]
            assert torch.allclose(found, values[row], rtol=1e-6, equal_nan=True), name


def test_the_chart_gives_what_the_cohort_gives(
    chart: Chart, small_run: SmallRun, tmp_path: Path
) -> None:
    one = ["cohort=synthetic", f"patient={PATIENT}"]
    for until, last in (("as_of_days=0", 0.0), ("as_of_days=21", 21.0)):
        assert admitted(chart, small_run, *one, until) == 0
        assert chart.record(PATIENT).visits[-1].day == last
    assert admitted(chart, small_run, *one) == 0
    output, trial = tmp_path / "r.json", f"synthetic_root={small_run.trial}"
    asked = ["rank", f"model_uri={small_run.run}", "cohort=synthetic", trial, "excluded=true"]
    assert main([*asked, f"patient={PATIENT}", "as_of_days=400", f"output={output}"]) == 0
    expected = json.loads(output.read_text())["ranking"]
    loaded = TrainedModel.load(small_run.model)
    lines = give(chart, loaded, PATIENT, TwinSettings(), by="test").lines
    assert [each["intervention"] for each in lines] == [each["intervention"] for each in expected]
    for mine, theirs in zip(lines, expected, strict=True):
        if theirs["expected"] is not None:
            assert mine["expected"] == pytest.approx(theirs["expected"], abs=1e-5)


def test_who_is_admitted_again_is_there_once_and_stays_withdrawn(
    chart: Chart, small_run: SmallRun, model: TrainedModel
) -> None:
    asked = ("cohort=synthetic", f"patient={PATIENT}", "as_of_days=21")
    assert admitted(chart, small_run, *asked) == 0
    before = chart.visits(PATIENT)
    withdrawn = Entry(PATIENT, Decision.WITHDRAW, "scoring", date.today())
    chart.add_consent(withdrawn, by="test")
    assert admitted(chart, small_run, *asked) == 0
    assert chart.visits(PATIENT) == before
    with pytest.raises(ConsentError, match="withdrawn"):
        give(chart, model, PATIENT, TwinSettings(), by="test")


def test_a_bundle_is_admitted_with_its_consent(
    chart: Chart,
    small_run: SmallRun,
    model: TrainedModel,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    record = record_of(
        {
            "patient_id": "p1",
            "stratum": {"hr_positive": "1", "her2_positive": "0"},
            "visits": [
                {"day": 0, "values": {"clinical": {"age_years": 51.0, "stage": "II"}}},
                {
                    "day": 21,
                    "values": {"radiomics": {"tumour_volume_cm3": 12.5}},
                    "under": "paclitaxel",
                },
            ],
        }
    )
    path = tmp_path / "bundle.json"
    bundle = bundle_of(record, mapping_of(Path(MAPPING)), date(2026, 1, 10))
    drip = {
        "resourceType": "MedicationAdministration",
        "status": "completed",
        "medicationCodeableConcept": {"coding": [{"system": ATC, "code": "L01CD01"}]},
        "subject": {"reference": "Patient/p1"},
        "effectiveDateTime": "2026-01-17",
        "dosage": {"dose": {"value": 140, "system": "http://unitsofmeasure.org", "code": "mg"}},
    }
    # Twice on a day: two doses.
    bundle["entry"] += [{"resource": drip}, {"resource": drip}]
    path.write_text(json.dumps(bundle))
    fhir = ("intake=fhir", f"intake.path={path}")
    assert admitted(chart, small_run, *fhir) == 1
    assert "mapping=conf/fhir/NAME.yaml" in capsys.readouterr().err
    # Nobody has said that the patient permits it: the chart is kept, and nothing is scored.
    for _ in range(2):
        assert admitted(chart, small_run, *fhir, f"mapping={MAPPING}") == 0
    assert chart.record("p1") == record
    given = RecordedDose(drug="paclitaxel", amount=140.0, start_days=7.0)
    assert [each.dose for each in doses_of(chart, "p1")] == [given, given]
    with pytest.raises(ConsentError, match="no consent for scoring"):
        give(chart, model, "p1", TwinSettings(), by="test")


def test_an_account_needs_a_role_and_a_password(
    chart: Chart, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = f"chart={chart.engine.url.render_as_string(hide_password=False)}"
    monkeypatch.setattr(sys, "stdin", io.StringIO("short\n"))
    assert main(["account", place, "account=nora", "role=clinician"]) == 1
    assert "expected 12 to 200" in capsys.readouterr().err
    monkeypatch.setattr(sys, "stdin", io.StringIO("a long password\n"))
    assert main(["account", place, "account=nora", "role=surgeon"]) == 1
    assert "unknown role 'surgeon'" in capsys.readouterr().err
    assert main(["account", place, "account=nora", "role=none"]) == 0
