"""Deaths of two causes: learned apart, judged each, told in file and page."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from omics_twin.cli import main

PATIENTS = 160
META = "cancer_study_identifier: two\ngenetic_alteration_type: CLINICAL\n"
CAUSES = "{os:{cause_column:CAUSE,causes:{cancer:[tumour],other:[heart]}}}"
SMALL = [
    "model=small",
    "trainer.max_epochs=3",
    "split.folds=3",
    "split.repeats=1",
    "split.replicas=1",
    "tracking=off",
]


def write_two_causes(folder: Path) -> Path:
    """Write a study in which size leads to death of the cancer, and age to that of the heart."""
    rng = np.random.default_rng(0)
    age, size = rng.normal(60.0, 10.0, PATIENTS), rng.normal(25.0, 8.0, PATIENTS)
    rates = np.stack([np.exp((size - 25.0) / 6.0), 0.7 * np.exp((age - 60.0) / 8.0)], axis=1) / 90
    times = rng.exponential(1.0 / rates)
    months = np.minimum(times.min(axis=1), 72.0)
    dead = times.min(axis=1) < 72.0
    cause = np.where(dead, np.where(times.argmin(axis=1) == 0, "tumour", "heart"), "alive")
    names = "PATIENT_ID\tAGE\tSIZE\tOS_STATUS\tOS_MONTHS\tCAUSE"
    kinds = "STRING\tNUMBER\tNUMBER\tSTRING\tNUMBER\tSTRING"
    rows = [
        f"P{k}\t{age[k]:.1f}\t{size[k]:.1f}\t{'1:DECEASED' if dead[k] else '0:LIVING'}"
        f"\t{months[k]:.2f}\t{cause[k]}"
        for k in range(PATIENTS)
    ]
    head = [f"#{names}", f"#{names}", f"#{kinds}", "#1\t1\t1\t1\t1\t1", names]
    samples = ["#P\tS", "#P\tS", "#STRING\tSTRING", "#1\t1", "PATIENT_ID\tSAMPLE_ID"]
    files = {
        "meta_study.txt": "type_of_cancer: brca\ncancer_study_identifier: two\nname: Two\n"
        "description: Two causes\nadd_global_case_list: true\n",
        "meta_patients.txt": f"{META}datatype: PATIENT_ATTRIBUTES\ndata_filename: patients.txt\n",
        "meta_samples.txt": f"{META}datatype: SAMPLE_ATTRIBUTES\ndata_filename: samples.txt\n",
        "patients.txt": "\n".join([*head, *rows]) + "\n",
        "samples.txt": "\n".join([*samples, *(f"P{k}\tS{k}" for k in range(PATIENTS))]) + "\n",
    }
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """Return the run's folder and the settings that name the cohort."""
    folder = tmp_path_factory.mktemp("causes")
    root = write_two_causes(folder / "study")
    cohort = [f"cohort.root={root}", f"cohort.outcomes={CAUSES}"]
    asked = ["experiment=cbioportal_survival", "name=causes", f"output_root={folder}"]
    assert main(["train", *asked, *cohort, *SMALL]) == 0
    latest = json.loads((folder / "causes" / "latest.json").read_text())
    return Path(latest["run_folder"]), ["cohort=cbioportal", *cohort]


def test_every_cause_is_judged_beside_ridge_cox_of_every_cause(
    trained: tuple[Path, list[str]],
) -> None:
    run, _ = trained
    found = json.loads((run / "metrics.json").read_text())
    assert "ridge_cox_causes" in found["baselines"]
    assert set(found["by_cause"]) == {"cancer", "other"}
    events = [each["events"] for each in found["by_cause"].values()]
    assert all(each > 20 for each in events)
    for each in found["by_cause"].values():
        for learner in (each["model"], each["baselines"]["ridge_cox_causes"]):
            assert learner["c_index"]["mean"] > 0.65
            assert abs(learner["incidence_gap_at_horizon"]["mean"]) < 0.15


def test_predictions_hold_the_incidence_of_every_cause(
    trained: tuple[Path, list[str]], tmp_path: Path
) -> None:
    run, cohort = trained
    output = tmp_path / "predictions.csv"
    asked = ["intervention=as_treated", f"output={output}"]
    assert main(["predict", f"model_uri={run}", *cohort, *asked]) == 0
    rows = list(csv.DictReader(output.read_text().splitlines()))
    assert len(rows) == PATIENTS
    both = np.array([[float(r[f"incidence of {c}"]) for c in ("cancer", "other")] for r in rows])
    assert bool(((both >= 0) & (both.sum(axis=1, keepdims=True) <= 1)).all())
    patients = (Path(cohort[1].split("=", 1)[1]) / "patients.txt").read_text().splitlines()[5:]
    age, size = np.array([line.split("\t")[1:3] for line in patients], dtype=float).T
    assert np.corrcoef(both[:, 0], size)[0, 1] > 0.5
    assert np.corrcoef(both[:, 1], age)[0, 1] > 0.5


def test_the_page_tells_every_cause(trained: tuple[Path, list[str]], tmp_path: Path) -> None:
    run, cohort = trained
    output = tmp_path / "page.html"
    assert main(["report", f"model_uri={run}", *cohort, "patient=P3", f"output={output}"]) == 0
    page = output.read_text()
    assert "Every cause of the event" in page
    assert "within 5 years" in page
    assert page.count('class="forest curves stacked"') == 1
    section = page[page.index('<h2 id="causes">') :]
    section = section[: section.index("</section>")]
    told = [
        float(line.split("</span>")[1].split("\N{NO-BREAK SPACE}")[0])
        for line in section.splitlines()
        if "Expected: </span>" in line
    ]
    assert len(told) == 3
    assert sum(told) == pytest.approx(100.0, abs=2.0)


def test_patients_without_strata_are_scored(
    trained: tuple[Path, list[str]], tmp_path: Path
) -> None:
    run, cohort = trained
    folder = tmp_path / "scored"
    asked = ["tracking=off", f"output={folder}"]
    assert main(["score", f"model_uri={run}", *cohort, *asked]) == 0
    assert sum(pq.read_metadata(each).num_rows for each in folder.glob("*.parquet")) == PATIENTS


def test_every_cause_is_judged_in_another_cohort_that_tells_them_apart(
    trained: tuple[Path, list[str]], tmp_path: Path
) -> None:
    run, cohort = trained
    output = tmp_path / "evaluated.json"
    assert main(["evaluate", f"model_uri={run}", *cohort, f"output={output}"]) == 0
    found = json.loads(output.read_text())["by_cause"]
    assert {name: each["model"]["c_index"]["mean"] > 0.65 for name, each in found.items()} == {
        "cancer": True,
        "other": True,
    }


def test_other_causes_than_those_of_the_model_to_start_from_are_refused(
    trained: tuple[Path, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, cohort = trained
    swapped = "{os:{cause_column:CAUSE,causes:{other:[heart],cancer:[tumour]}}}"
    asked = ["experiment=cbioportal_survival", f"output_root={tmp_path}", cohort[1]]
    more = [f"cohort.outcomes={swapped}", f"trainer.start_from={run}", *SMALL]
    assert main(["train", *asked, *more]) == 1
    assert "tells the causes 'cancer', 'other' of 'os' apart, the cohort" in capsys.readouterr().err


def test_a_cause_of_too_few_is_refused_before_training(
    trained: tuple[Path, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, cohort = trained
    rare = "{os:{cause_column:CAUSE,causes:{any:[tumour,heart],fall:[fell]}}}"
    asked = ["experiment=cbioportal_survival", f"output_root={tmp_path}", cohort[1]]
    assert main(["train", *asked, f"cohort.outcomes={rare}", *SMALL]) == 1
    assert "cause 'fall' of outcome 'os' has 0 events, expected at least 20" in (
        capsys.readouterr().err
    )


def test_who_is_not_told_apart_elsewhere_is_judged_all_the_same(
    trained: tuple[Path, list[str]], tmp_path: Path
) -> None:
    run, cohort = trained
    output = tmp_path / "evaluated.json"
    elsewhere = [each for each in cohort if not each.startswith("cohort.outcomes")]
    assert main(["evaluate", f"model_uri={run}", *elsewhere, f"output={output}"]) == 0
    assert json.loads(output.read_text())["model"]["c_index"]["mean"] > 0.6
