"""The main job end to end: train, find the run, evaluate, predict, rank, report, serve."""

from __future__ import annotations

import csv
import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest

from omics_twin.cli import main
from omics_twin.tracking import TrainedModel

TRIAL = ["intake.patients=300", "intake.genes=200"]
TRAIN = [
    "train",
    "experiment=synthetic_response",
    *TRIAL,
    "model=small",
    "split.folds=2",
    "split.repeats=2",
    "split.replicas=1",
    "trainer.max_epochs=4",
    "twin.calibration=NONE",
    "twin.draws=80",
]


def arguments(folder: Path) -> list[str]:
    """Return where this test reads and writes."""
    return [f"output_root={folder}", f"tracking.uri=sqlite:///{folder / 'mlflow.db'}"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a trained run, recorded and registered."""
    folder = tmp_path_factory.mktemp("main_job")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main([*TRAIN, *arguments(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def run(folder: Path) -> Path:
    """Return the run's folder."""
    return Path(json.loads((folder / "synthetic_response/latest.json").read_text())["run_folder"])


def scored(verb: str, folder: Path, model: str, output: Path, *more: str) -> int:
    """Run a scoring verb on the training cohort."""
    return main(
        [
            verb,
            f"model_uri={model}",
            "cohort=synthetic",
            f"output={output}",
            *arguments(folder),
            *more,
        ]
    )


def lines(path: Path) -> list[dict[str, str]]:
    """Return a table's lines."""
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_metrics_stand_beside_their_baselines_and_the_truth(run: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["endpoint"] == "pcr"
    assert metrics["n"] == 300
    assert set(metrics["baselines"]) == {
        "logistic",
        "logistic_interactions",
        "elastic_net_logistic",
        "pca_logistic",
        "trees",
    }
    for each in [metrics["model"], *metrics["baselines"].values()]:
        assert 0.4 < each["auc"]["mean"] < 1.0
        assert {"brier", "ece", "log_loss"} < set(each)
    truth = metrics["truth"]
    assert truth["best_single_arm"] < truth["own_best_arm"]
    assert truth["model"]["captured"] <= 1.0


def test_baselines_stand_beside_it_patient_by_patient_and_visit_by_visit(run: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    assert set(metrics["paired"]) == set(metrics["baselines"])
    gap = metrics["model"]["auc"]["mean"] - metrics["baselines"]["trees"]["auc"]["mean"]
    assert metrics["paired"]["trees"]["auc"]["mean"] == pytest.approx(gap)
    last = list(metrics["by_visit"].values())[-1]
    assert last["baselines"]["logistic"]["auc"]["mean"] > 0.4


def test_training_tells_what_moves_the_benefit_of_each_therapy(run: Path) -> None:
    found = json.loads((run / "effects.json").read_text())
    assert found["patients"] == 150
    assert all(arm["features"] for arm in found["arms"])
    assert (run / "effects.png").is_file()


def test_the_value_of_following_the_ranking_stands_beside_simple_rules(run: Path) -> None:
    found = json.loads((run / "metrics.json").read_text())["policy"]
    assert found["assignment"] == "RANDOMISED"
    assert found["n"] == 300
    rules = found["rules"]
    assert set(rules) == {
        "omics_twin",
        "logistic",
        "logistic_interactions",
        "elastic_net_logistic",
        "pca_logistic",
        "trees",
        "best_single_arm",
        "best_per_receptor_subtype",
        "therapy_received",
    }
    for rule in rules.values():
        assert rule["lower"] <= rule["value"] <= rule["upper"]
        # 300 patients in eight arms: the truth is near, if not within every interval.
        assert abs(rule["value"] - rule["truth"]) < 4.0 * rule["standard_error"]
    names = ("policy", "targeting", "coverage_value", "benefit_calibration")
    assert all((run / f"{name}.png").is_file() for name in names)


def test_the_report_says_what_the_ranking_was_worth(folder: Path, run: Path) -> None:
    output = folder / "worth.html"
    assert scored("report", folder, str(run), output, "patient=SYN0000002") == 0
    assert "Had the therapy ranked first been given to everyone" in output.read_text()


def test_the_run_is_in_mlflow_with_its_curves_plots_and_model(folder: Path, run: Path) -> None:
    import mlflow

    where = json.loads((run / "tracking.json").read_text())
    client = mlflow.MlflowClient(tracking_uri=where["tracking_uri"])
    recorded = client.get_run(where["run_id"])
    metrics = json.loads((run / "metrics.json").read_text())
    assert recorded.data.metrics["model.auc.mean"] == pytest.approx(metrics["model"]["auc"]["mean"])
    gap = metrics["paired"]["trees"]["brier"]["upper"]
    assert recorded.data.metrics["paired.trees.brier.upper"] == pytest.approx(gap)
    value = metrics["policy"]["rules"]["omics_twin"]["value"]
    assert recorded.data.metrics["policy.omics_twin.value"] == pytest.approx(value)
    assert recorded.data.params["split.folds"] == "2"
    assert recorded.data.tags["data_fingerprint"]
    assert len(client.get_metric_history(where["run_id"], "stopping_loss")) == 4
    names = {each.path for each in client.list_artifacts(where["run_id"])}
    assert {"config.json", "metrics.json", "roc.png", "effects.json", "effects.png"} <= names
    assert where["model_uri"] == "models:/synthetic_response/1"


def test_training_again_skips_what_is_done(
    folder: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (run / "model/weights.safetensors").stat().st_mtime_ns
    assert main([*TRAIN, *arguments(folder)]) == 0
    assert "already done" in capsys.readouterr().out
    assert (run / "model/weights.safetensors").stat().st_mtime_ns == before


def test_a_registered_model_predicts_as_the_runs_folder_does(folder: Path, run: Path) -> None:
    first, second = folder / "folder.csv", folder / "registry.csv"
    assert scored("predict", folder, str(run), first) == 0
    assert scored("predict", folder, "models:/synthetic_response/1", second) == 0
    assert first.read_bytes() == second.read_bytes()
    table = lines(first)
    assert len(table) == 300
    assert list(table[0]) == [
        "patient_id",
        "endpoint",
        "intervention",
        "expected",
        "lower",
        "upper",
    ]
    for line in table:
        assert 0.0 <= float(line["lower"]) <= float(line["expected"]) <= float(line["upper"]) <= 1.0


def test_one_patient_is_ranked_as_among_all(folder: Path, run: Path) -> None:
    everyone, one = folder / "everyone.csv", folder / "one.csv"
    assert scored("rank", folder, str(run), everyone) == 0
    table = lines(everyone)
    patient = table[100]["patient_id"]
    assert scored("rank", folder, str(run), one, f"patient={patient}") == 0
    mine = [line for line in table if line["patient_id"] == patient]
    alone = lines(one)
    assert [line["intervention"] for line in alone] == [line["intervention"] for line in mine]
    for line, other in zip(alone, mine, strict=True):
        assert float(line["expected"]) == pytest.approx(float(other["expected"]), abs=1e-5)
    best = [float(line["probability_best"]) for line in alone]
    assert sum(best) == pytest.approx(1.0, abs=1e-4)
    assert [int(line["rank"]) for line in alone] == list(range(1, len(alone) + 1))


def test_the_ranking_as_json_says_the_same(folder: Path, run: Path) -> None:
    output = folder / "ranking.json"
    assert scored("rank", folder, str(run), output, "excluded=true") == 0
    content = json.loads(output.read_text())
    assert content["higher_is_better"] is True
    assert len(content["ranking"]) == 300 * 8
    assert all(line["reason"] for line in content["ranking"] if not line["eligible"])


def test_new_patients_are_evaluated(folder: Path, run: Path) -> None:
    other = folder / "other_hospital"
    assert main(["synthesise", *TRIAL, "intake.seed=7", f"output={other}"]) == 0
    output = folder / "evaluation.json"
    more = [f"cohort.root={other}", "intake.seed=7"]
    assert scored("evaluate", folder, str(run), output, *more) == 0
    metrics = json.loads(output.read_text())
    assert metrics["n"] == 300
    assert metrics["in_training"] == 0
    assert 0.4 < metrics["model"]["auc"]["mean"] < 1.0


def test_the_report_is_one_self_contained_page(folder: Path, run: Path) -> None:
    output = folder / "report.html"
    assert scored("report", folder, str(run), output, "patient=SYN0000001") == 0
    page = output.read_text()
    assert "SYN0000001" in page
    assert "<svg" in page
    assert "<script" not in page


def test_the_report_tells_of_genes_where_it_is_known_what_they_do(
    folder: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    design = TrainedModel.load(run / "model").twin.design
    channel = max(design.channels, key=lambda each: len(each.features))
    genes = [each.column for each in channel.features]
    known = [
        f"knowledge.root={tmp_path}",
        "knowledge.sets=[sets.gmt]",
        "knowledge.interactions=pairs.csv",
    ]
    report = ("report", folder, str(run), tmp_path / "report.html", "patient=SYN0000001", *known)
    assert scored(*report) == 0
    assert f"no file '{tmp_path / 'sets.gmt'}'" in "".join(capsys.readouterr())
    assert 'id="genes"' not in (tmp_path / "report.html").read_text()
    sets = {"FIRST": genes[: len(genes) // 2], "SECOND": genes[len(genes) // 2 :]}
    lines = ["\t".join([name, "note", *each]) for name, each in sets.items()]
    (tmp_path / "sets.gmt").write_text("\n".join(lines))
    pairs = [f"{a},{b},900" for a, b in itertools.pairwise(genes)]
    (tmp_path / "pairs.csv").write_text("\n".join(["gene_a,gene_b,combined_score", *pairs]))
    assert scored(*report) == 0
    page = (tmp_path / "report.html").read_text()
    assert 'id="genes"' in page
    assert 'id="gene-module"' in page


def test_the_served_model_ranks_a_record(folder: Path, run: Path) -> None:
    import mlflow

    where = json.loads((run / "tracking.json").read_text())
    mlflow.set_tracking_uri(where["tracking_uri"])
    model = mlflow.pyfunc.load_model(where["model_uri"])
    clinical = {"age_years": 51.0, "hr_positive": 1, "her2_positive": 0}
    record = {
        "patient_id": "new",
        "stratum": {"hr_positive": "1", "her2_positive": "0"},
        "visits": [{"day": 0, "values": {"clinical": clinical}}],
    }
    answer = model.predict([record])
    assert len(answer) == 8
    assert [line["rank"] for line in answer] == list(range(1, 9))


def test_a_model_answers_without_a_trainer(folder: Path, run: Path) -> None:
    program = (
        "import sys\n"
        "for name in ('lightning', 'pytorch_lightning', 'torch_geometric'):\n"
        "    sys.modules[name] = None\n"
        "from omics_twin.cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    command = [
        "rank",
        f"model_uri={run}",
        "cohort=synthetic",
        "patient=SYN0000002",
        f"output={folder / 'without.csv'}",
        *arguments(folder),
    ]
    answer = subprocess.run(
        [sys.executable, "-c", program, *command], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
    assert len(lines(folder / "without.csv")) == 8
