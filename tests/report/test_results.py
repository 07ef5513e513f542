"""The page of results: one part for each tracked experiment, and numbers only."""

from __future__ import annotations

import copy
import io
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from omics_twin.cli import main
from omics_twin.errors import TrackingError
from omics_twin.past_runs import StoredRun, newest_runs
from omics_twin.recording import RunRecord, record_run
from omics_twin.report.results import FILES, KINDS, page, publish
from omics_twin.settings import TrackingSettings
from tests.conftest import SmallRun

# MLflow's storage library warns about itself.
pytestmark = pytest.mark.filterwarnings("ignore:.*noload.*:DeprecationWarning")


def _picture() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), "white").save(stream, "PNG")
    return stream.getvalue()


def _scores(auc: float, brier: float) -> dict[str, dict[str, float | None]]:
    return {"auc": {"mean": auc, "sd": 0.004}, "brier": {"mean": brier, "sd": None}}


def _gap(mean: float) -> dict[str, float]:
    return {"mean": mean, "lower": mean - 0.01, "upper": mean + 0.01}


def _rule(value: float, gain: float | None) -> dict[str, Any]:
    ends = {"lower": value - 0.05, "upper": value + 0.05, "effective_patients": 87.2}
    told = None if gain is None else {"mean": gain, "lower": gain - 0.02, "upper": gain + 0.02}
    return {"value": value, "gain": told, **ends}


_BENEFIT = {"slope": 0.87, "slope_error": 0.2, "mean_gap": -0.01, "mean_gap_error": 0.03}
_RATE = {"estimate": 0.06, "lower": -0.01, "upper": 0.13}
METRICS: dict[str, Any] = {
    "endpoint": "pcr",
    "outcome": "pcr",
    "cohort": "ispy2",
    "n": 883,
    "folds": 5,
    "repeats": 2,
    "model": _scores(0.779, 0.172),
    "baselines": {"logistic": _scores(0.785, 0.171), "trees": _scores(0.77, 0.1721)},
    "paired": {"logistic": {"auc": _gap(-0.006), "brier": _gap(0.001)}},
    "by_visit": {
        "day 0": {"n": 344, **_scores(0.8, 0.15), "baselines": {"logistic": _scores(0.79, 0.14)}},
        "day 21": {"n": 344, **_scores(0.85, 0.13)},
    },
    "truth": {
        "model": {"captured": 0.7, "followed": 0.5},
        "baselines": {"logistic": {"captured": 0.6, "followed": 0.48}},
        "best_single_arm": 0.4,
        "own_best_arm": 0.6,
        "interval_coverage": 0.91,
    },
    "calibration": {
        "spread": 1.4,
        "copy": {
            "before": {"benefit": {"coverage": 0.7, "by_stratum": {"HR+": 0.71, "HR-": 0.69}}},
            "after": {"benefit": {"coverage": 0.9, "by_stratum": {"HR+": 0.91, "HR-": 0.9}}},
        },
        "abstention": {"thin": 0.1, "curve": [{"confidence": 0.5, "recommended": 0.8}]},
    },
    "policy": {
        "unit": "probability",
        "horizon_days": None,
        "higher_is_better": True,
        "assignment": "RANDOMISED",
        "n": 883,
        "rules": {
            "omics_twin": _rule(0.45, None),
            "logistic": _rule(0.52, -0.07),
            "best_single_arm": _rule(0.44, 0.01),
            "therapy_received": _rule(0.32, 0.13),
        },
        "chosen": {"Ctr": 0.25, "TDM1/P": 0.75},
        "overlap": {
            "smallest": 0.019,
            "thin": 0.014,
            "very_thin": 0.001,
            "arms": {
                "Ctr": {"patients": 189, "effective_patients": 165.5},
                "TDM1/P": {"patients": 43, "effective_patients": 32.6},
            },
        },
        "calibration": {
            "Ctr": {"predicted": 0.28, "estimated": 0.2, "lower": 0.14, "upper": 0.26},
        },
        "benefit": _BENEFIT,
        "targeting": {
            "arm": "TDM1/P",
            "control": "Ctr",
            "n": 232,
            "autoc": _RATE,
            "qini": _RATE,
            "benefit": _BENEFIT,
        },
        "not_judged": {"best_per_receptor_subtype": "nobody's subtype is known"},
    },
}
ABLATION: dict[str, Any] = {
    **{key: METRICS[key] for key in ("endpoint", "cohort", "n", "folds", "repeats")},
    "headline": "auc",
    "measured_patients": {"clinical": 883, "mri": 344},
    "variants": {
        "all": {
            "hidden_in_training": [],
            "missing_at_bedside": [],
            "metrics": _scores(0.77, 0.17),
        },
        "only clinical": {
            "hidden_in_training": ["mri"],
            "missing_at_bedside": [],
            "metrics": _scores(0.7, 0.19),
            "difference_to_all": {"mean": -0.07, "lower": -0.1, "upper": -0.04},
        },
        "all, mri missing at the bedside": {
            "hidden_in_training": [],
            "missing_at_bedside": ["mri"],
            "metrics": _scores(0.76, 0.18),
            "difference_to_all": {"mean": -0.01, "lower": -0.02, "upper": 0.003},
        },
    },
}
SEARCH: dict[str, Any] = {
    **{key: METRICS[key] for key in ("endpoint", "cohort", "n")},
    "loss": "log_loss",
    "headline": "auc",
    "chosen": {"trainer.learning_rate": 0.0036, "model.hidden": 8},
    "nested": {
        "outer_folds": 5,
        "searched": {"auc": 0.781},
        "default": {"auc": 0.779},
        "difference": {"mean": 0.002, "lower": -0.003, "upper": 0.007},
    },
    "trials": {"outer-0": [{}] * 20, "final": [{}] * 24},
}


_VISITS = {"crps_mm": {"mean": 3.1, "sd": 0.2}, "interval_90_holds": {"mean": 0.9, "sd": 0.01}}
_CARRIED = {"crps_mm": {"mean": 3.4, "sd": 0.2}, "interval_90_holds": {"mean": 0.8, "sd": 0.01}}
_AHEAD = {"model": _VISITS, "baselines": {"persistence": _CARRIED}}
PROGRESSION: dict[str, Any] = {
    "cohort": "tumours",
    "endpoint": "next size [mm]",
    "n": 771,
    **_AHEAD,
    "by_landmark": {"day 365": {"n": 290, "events": 45, **_AHEAD}},
    "next_visit": {"ascites": {"n": 90, "brier": 0.07}, "albumin": {"n": 99, "crps": 0.21}},
    "by_group": {"one volume ahead": {"low": {"omics_twin": _VISITS, "persistence": _CARRIED}}},
    "one_ahead": {"endpoint": "next volume [cm3]", "n": 24, **_AHEAD},
    "by_scans_known": {"1": {"omics_twin": 5.4, "persistence": 5.6}},
    "calibration_of_forecasts": {"ks": 0.02},
}


def stored(kind: str = "train", **changes: Any) -> StoredRun:
    """Return a run with one picture that may be shown."""
    name, numbers, picture = {
        "train": ("metrics.json", METRICS, "policy.png"),
        "ablation": ("ablation.json", ABLATION, "ablation.png"),
        "search": ("search.json", SEARCH, "search.png"),
        "progression": ("metrics.json", PROGRESSION, "landmarks.png"),
    }[kind]
    content = json.dumps(copy.deepcopy(numbers) | changes).encode()
    return StoredRun(
        run_id=f"{kind}0123456789",
        experiment="ispy2_response",
        kind=kind,
        finished_on="2026-11-22",
        parameters={"split.replicas": "4"},
        tags={"commit": "abc123"},
        files={name: content, picture: _picture()},
    )


def row(text: str, start: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(f"| {start} |"))


def test_the_protocol_stands_above_the_numbers() -> None:
    text, _ = page([stored()], "results")
    assert (
        "Trained: cohort ispy2, endpoint pcr, 883 patients, 5 folds × 2 repeats, 40 members "
        "(4 per fold); commit abc123, 2026-11-22, run train012."
    ) in text


def test_the_best_value_is_marked_whoever_it_is() -> None:
    text, _ = page([stored()], "results")
    assert "**0.785 ± 0.004**" in row(text, "logistic")
    assert "0.172" in row(text, "trees")
    assert "**0.779" not in text
    assert "**0.171**" in row(text, "logistic")
    assert "The baseline 'logistic' is better than omics_twin on auc" in text
    assert row(text, "ispy2_response").endswith("| **0.785 ± 0.004** (logistic) |")
    better, _ = page([stored(model=_scores(0.79, 0.16))], "results")
    assert "**0.790 ± 0.004**" in row(better, "omics_twin")
    assert "is better than omics_twin" not in better


def test_the_value_of_every_rule_is_told_with_its_gain() -> None:
    text, _ = page([stored()], "results")
    assert "**0.520**" in row(text, "ranking of logistic")
    assert "-0.090 to -0.050" in row(text, "ranking of logistic")
    assert "| 87 |" in row(text, "best single arm")
    assert "Worth more than the ranking (the interval is below 0): ranking of logistic." in text
    assert "Not told apart from the ranking (the interval holds 0): best single arm." in text
    assert "(the interval of the gain is above 0): therapy received." in text
    assert "Not judged: best arm per receptor subtype: nobody's subtype is known" in text
    assert row(text, "Ctr") == "| Ctr | 189 | 166 | 25 % | 0.280 | 0.200 | 0.140 to 0.260 |"
    assert row(text, "TDM1/P").endswith("| 75 % |  |  |  |")
    assert "TDM1/P over Ctr: slope 0.87" in text
    assert "AUTOC +0.060" in text


def test_where_lower_is_better_the_lowest_value_is_marked() -> None:
    worth = METRICS["policy"] | {"higher_is_better": False}
    text, _ = page([stored(policy=worth)], "results")
    assert "**0.320**" in row(text, "therapy received")
    assert "value ↓" in text


def test_calibration_is_told_as_the_run_has_measured_it() -> None:
    text, _ = page([stored()], "results")
    assert row(text, "copy, before, benefit, by stratum").endswith("| 0.710 | 0.690 |")
    assert row(text, "copy, after, benefit").endswith("| 0.900 |")
    assert "| confidence | recommended |" in text
    assert "holds the true probability in 91 % of patients and arms" in text
    many = {"by_stratum": {f"stratum {n}": 0.9 for n in range(20)}}
    assert row(page([stored(calibration=many)], "results")[0], "by stratum, stratum 3")
    rows = {f"patient {n}": {"coverage": 0.9} for n in range(100)}
    text, _ = page([stored(calibration=rows)], "results")
    assert "patient 7" not in text
    assert "100 rows: see the run's metrics.json" in text


def test_the_twin_stands_beside_baselines_patient_by_patient_and_visit_by_visit() -> None:
    text, _ = page([stored()], "results")
    differences = text[text.index("### Paired differences") :]
    assert "| omics_twin less | auc ↑ (95 % interval) | brier ↓ (95 % interval) |" in differences
    assert row(differences, "logistic") == (
        "| logistic | -0.006 (-0.016 to +0.004) | +0.001 (-0.009 to +0.011) |"
    )
    visits = text[text.index("### As visits come in") :]
    at_once = "| to day 0, n = 344"
    assert f"{at_once} | omics_twin | **0.800 ± 0.004** | 0.150 |" in visits
    assert f"{at_once} | logistic | 0.790 ± 0.004 | **0.140** |" in visits
    assert "| to day 21, n = 344 | omics_twin | 0.850 ± 0.004 | 0.130 |" in visits


def test_what_the_page_does_not_know_is_named_and_not_shown() -> None:
    text, _ = page([stored(drivers={"SECRET-1": 0.3})], "results")
    assert "Not shown here, in the run's metrics.json: drivers." in text
    assert "SECRET-1" not in text


def test_a_section_that_a_run_has_not_is_not_there() -> None:
    whole, _ = page([stored()], "results")
    bare = {key: None for key in ("by_visit", "paired", "truth", "policy", "calibration")}
    text, _ = page([stored(**bare)], "results")
    for title in ("As visits", "Value of following the ranking", "### Calibration", "### Paired"):
        assert title in whole
        assert title not in text
    assert (
        "Nothing could be judged: too few"
        in page([stored(policy={"not_judged": {"all": "too few"}})], "results")[0]
    )


def test_ablation_and_search_stand_below_the_training() -> None:
    text, pictures = page([stored("ablation"), stored("search"), stored()], "results")
    places = [text.index(word) for word in ("Trained: ", "Ablation: ", "Search: ")]
    assert places == sorted(places)
    assert row(text, "only clinical").endswith("| -0.070 (-0.100 to -0.040) |")
    bedside = text[text.index("### What is lost at the bedside") :]
    assert row(bedside, "all, mri missing at the bedside")
    assert row(bedside, "all").endswith("|  |")
    assert "only clinical" not in bedside
    assert "auc, searched less default: +0.002 (95 % interval -0.003 to +0.007)" in text
    assert "at least 20 trials for each choice" in text
    assert "trainer.learning_rate 0.004, model.hidden 8" in text.replace("0.0036", "0.004")
    assert set(pictures) == {f"ispy2_response-{n}.png" for n in ("policy", "ablation", "search")}
    default, _ = page([stored("search", chosen={})], "results")
    assert "the default settings, which no trial beat" in default


def test_twins_that_learn_from_visit_to_visit_are_on_the_page() -> None:
    text, pictures = page([stored("progression")], "results")
    assert "Trained, visit by visit: cohort tumours, endpoint next size [mm], 771 patients" in text
    assert row(text, "ispy2_response") == (
        "| ispy2_response | 771 | crps_mm | **3.100 ± 0.200** | 3.400 ± 0.200 (persistence) |"
    )
    assert row(text, "day 365, n = 290, events 45").startswith("| day 365")
    assert row(text, "ascites").endswith("| 90 | 0.070 |")
    assert "### Next volume [cm3]" in text
    assert row(text, "1 known").endswith("**5.400** |")
    assert "Not shown here" not in text
    assert set(pictures) == {"ispy2_response-landmarks.png"}


def test_only_pictures_without_single_patients_are_asked_for() -> None:
    assert {"policy.png", "calibration.png", "metrics.json"} <= FILES
    assert FILES.isdisjoint({"roc.png", "survival.png", "config.json", "report.html"})


def test_names_cannot_break_the_page_or_leave_its_folder(tmp_path: Path) -> None:
    run = replace(stored(), experiment="../a|b <script>")
    publish([run], tmp_path / "docs" / "results.md")
    text = (tmp_path / "docs" / "results.md").read_text()
    assert "<script>" not in text
    assert row(text, "../a\\|b &lt;script>")
    found = [each.relative_to(tmp_path) for each in tmp_path.rglob("*.png")]
    assert found == [Path("docs/results/a_b_script-policy.png")]


def test_two_experiments_never_share_a_picture() -> None:
    other = replace(stored(), experiment="ispy2 response", run_id="9876")
    text, pictures = page([stored(), other], "results")
    assert set(pictures) == {"ispy2_response-policy.png", "9876-policy.png"}
    assert all(text.count(f"(results/{name})") == 1 for name in pictures)


@pytest.mark.parametrize("content", [None, b"{", b"[1]", b"{}", b'{"model": 3}'])
def test_a_run_that_cannot_be_read_is_named(content: bytes | None) -> None:
    files = {} if content is None else {"metrics.json": content}
    with pytest.raises(TrackingError, match="run 'train0123456789'.*run its verb again"):
        page([replace(stored(), files=files)], "results")


def test_a_picture_that_is_no_longer_shown_is_removed_and_others_are_kept(tmp_path: Path) -> None:
    place = tmp_path / "results.md"
    assert publish([stored(), stored("ablation")], place) == 2
    mine = tmp_path / "results" / "mine.png"
    mine.write_bytes(b"mine")
    assert publish([stored()], place) == 1
    assert {each.name for each in mine.parent.iterdir()} == {
        "mine.png",
        "ispy2_response-policy.png",
    }


def record(folder: Path, name: str, kind: str, content: dict[str, Any], commit: str) -> None:
    """Record a run in the store of the working folder."""
    folder.mkdir()
    files = {"train": "metrics.json", "ablation": "ablation.json", "bench": "bench.json"}
    (folder / files[kind]).write_text(json.dumps(content))
    for stem in ("policy", "roc"):
        (folder / f"{stem}.png").write_bytes(_picture())
    tags = {"commit": commit} | ({} if kind == "train" else {"kind": kind})
    parameters = {"name": name, "split.replicas": 4}
    run = RunRecord(f"{name} {kind}", parameters, tags, {"auc": 0.7}, [], folder)
    assert record_run(run, TrackingSettings(register=False))["run_id"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


def test_the_newest_run_of_each_experiment_and_kind_is_told(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record(here / "old", "oak_survival", "train", METRICS | {"n": 111}, "old")
    record(here / "other", "a_response", "train", METRICS | {"n": 222}, "other")
    record(here / "new", "oak_survival", "train", METRICS | {"n": 333}, "new")
    record(here / "part", "oak_survival", "ablation", ABLATION, "part")
    record(here / "else", "oak_survival", "bench", {}, "else")
    capsys.readouterr()
    assert main(["results"]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    assert told.out.splitlines()[-1] == "results: docs/results.md, with 2 pictures"
    text = (here / "docs" / "results.md").read_text()
    assert "commit old" not in text
    assert "oak_survival, bench" not in told.out
    for commit in ("new", "other", "part"):
        assert f"commit {commit}, " in text
    assert text.index("## a_response") < text.index("## oak_survival")
    assert {each.name for each in (here / "docs" / "results").iterdir()} == {
        "a_response-policy.png",
        "oak_survival-policy.png",
    }
    first = (here / "docs" / "results.md").read_bytes()
    assert main(["results", "output=again/results.md"]) == 0
    assert (here / "again" / "results.md").read_bytes() == first


def test_a_run_that_failed_is_not_told(here: Path) -> None:
    record(here / "whole", "oak_survival", "train", METRICS, "whole")
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{here / 'mlruns' / 'mlflow.db'}")
    known = client.get_experiment_by_name("omics_twin")
    assert known is not None
    failed = client.create_run(known.experiment_id)
    client.log_param(failed.info.run_id, "name", "oak_survival")
    client.set_terminated(failed.info.run_id, "FAILED")
    client.create_run(known.experiment_id)
    found = newest_runs(TrackingSettings(), KINDS, FILES)
    assert [each.tags["commit"] for each in found] == ["whole"]
    assert set(found[0].files) == {"metrics.json", "policy.png"}


def test_a_training_is_told_as_it_was_measured(here: Path, small_run: SmallRun) -> None:
    copied = here / "copy"
    shutil.copytree(small_run.run, copied, ignore=shutil.ignore_patterns("model"))
    run = RunRecord("synthetic_response", {"split.replicas": 2}, {}, {}, [], copied)
    record_run(run, TrackingSettings(register=False))
    assert main(["results"]) == 0
    text = (here / "docs" / "results.md").read_text()
    measured = json.loads((small_run.run / "metrics.json").read_text())
    assert "## synthetic_response" in text
    assert f"{measured['model']['auc']['mean']:.3f}" in row(text, "omics_twin")
    assert set(measured["baselines"]) <= set(text.replace("|", " ").split())
    for patient in ("SYN0", os.fspath(small_run.trial)):
        assert patient not in text
