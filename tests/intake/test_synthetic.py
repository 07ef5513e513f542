"""The synthetic trial is what its settings say, and its truth is true of its tables."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from omegaconf import OmegaConf

from omics_twin.errors import ConfigError, IntakeError
from omics_twin.intake.declaration import CohortDeclaration
from omics_twin.intake.synthetic import Assignment, SyntheticTrial, generate, read_truth
from omics_twin.intake.synthetic_truth import REGIMENS
from omics_twin.intake.tables import read_tables

CONF = Path(__file__).parents[2] / "conf"
SMALL = SyntheticTrial(patients=120, genes=200, chunk=50, seed=3)
TABLES = (
    "clinical.parquet",
    "genomics.parquet",
    "transcriptomics.parquet",
    "radiomics.parquet",
    "therapy.parquet",
    "outcome.parquet",
    "truth/truth.parquet",
)


def table(root: Path, name: str) -> pd.DataFrame:
    """Return one table of a trial by patient."""
    return pd.read_parquet(root / name).set_index("patient_id")


def of_arms(truth: pd.DataFrame, quantity: str) -> np.ndarray:
    """Return a quantity of the truth, shape (patient, arm)."""
    return truth[[f"{quantity}::{arm}" for arm in REGIMENS]].to_numpy()


def received(root: Path) -> np.ndarray:
    """Return the position of the arm each patient received."""
    return table(root, "therapy.parquet")["arm"].map(list(REGIMENS).index).to_numpy()


@pytest.fixture(scope="module")
def randomised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a randomised trial of the default size with few genes."""
    root = tmp_path_factory.mktemp("synthetic") / "randomised"
    generate(SyntheticTrial(genes=200), root)
    return root


@pytest.fixture(scope="module")
def confounded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the same patients treated as their physicians see fit."""
    root = tmp_path_factory.mktemp("synthetic") / "confounded"
    generate(SyntheticTrial(genes=200, assignment=Assignment.CONFOUNDED), root)
    return root


def test_the_same_settings_give_the_same_bytes(tmp_path: Path) -> None:
    generate(SMALL, tmp_path / "one")
    generate(SMALL, tmp_path / "two")
    for name in (*TABLES, "trial.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_another_seed_gives_other_patients(tmp_path: Path) -> None:
    generate(SMALL, tmp_path / "one")
    generate(replace(SMALL, seed=4), tmp_path / "two")
    for name in TABLES:
        one, two = (table(tmp_path / root, name) for root in ("one", "two"))
        assert not one.equals(two)


@pytest.mark.parametrize("patients", [50, 70, 100])
def test_the_first_patients_do_not_depend_on_how_many_follow(tmp_path: Path, patients: int) -> None:
    generate(SMALL, tmp_path / "all")
    generate(replace(SMALL, patients=patients), tmp_path / "first")
    identifiers = table(tmp_path / "first", "clinical.parquet").index
    assert len(identifiers) == patients
    for name in TABLES:
        everybody = table(tmp_path / "all", name)
        expected = everybody[everybody.index.isin(identifiers)]
        pd.testing.assert_frame_equal(table(tmp_path / "first", name), expected)


def test_memory_does_not_grow_with_the_number_of_patients(tmp_path: Path) -> None:
    def peaks(patients: int) -> tuple[int, int]:
        pool, held = pa.default_memory_pool(), []
        before = pool.bytes_allocated()
        trial = SyntheticTrial(patients=patients, genes=200, chunk=1000)
        tracemalloc.start()
        try:
            generate(
                trial,
                tmp_path / str(patients),
                progress=lambda *_: held.append(pool.bytes_allocated() - before),
            )
            return tracemalloc.get_traced_memory()[1], max(held)
        finally:
            tracemalloc.stop()

    generate(SMALL, tmp_path / "imports")
    few, many = peaks(5_000), peaks(20_000)
    assert many[0] < 1.2 * few[0]
    assert many[1] < 1.5 * few[1]


def test_progress_counts_the_patients_written(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    generate(SMALL, tmp_path / "trial", progress=lambda done, total: seen.append((done, total)))
    assert seen == [(50, 120), (100, 120), (120, 120)]


def test_modalities_and_cells_are_missing_as_often_as_set(tmp_path: Path) -> None:
    trial = SyntheticTrial(patients=2000, genes=200, missing_modality=0.3, missing_value=0.05)
    generate(trial, tmp_path / "trial")
    for name in ("genomics", "transcriptomics", "radiomics"):
        found = table(tmp_path / "trial", f"{name}.parquet")
        assert 1.0 - found.index.nunique() / 2000 == pytest.approx(0.3, abs=0.04)
        cells = found.drop(columns="day", errors="ignore")
        assert cells.isna().to_numpy().mean() == pytest.approx(0.05, abs=0.01)
    clinical = table(tmp_path / "trial", "clinical.parquet")
    often = clinical[["age_years", "menopausal_status", "stage"]].isna().to_numpy().mean()
    assert often == pytest.approx(0.05, abs=0.01)
    kept = ["hr_positive", "her2_positive", "site", "enrolled_day"]
    assert clinical[kept].notna().to_numpy().all()


def test_nothing_is_missing_when_nothing_should_be(tmp_path: Path) -> None:
    generate(replace(SMALL, missing_modality=0.0, missing_value=0.0), tmp_path / "trial")
    for name in TABLES:
        found = table(tmp_path / "trial", name)
        assert found.notna().to_numpy().all()
        assert found.index.nunique() == 120


def test_randomised_assignment_ignores_markers(randomised: Path) -> None:
    assert shifts(randomised).max() < 0.07
    shares = np.bincount(received(randomised), minlength=len(REGIMENS)) / 3000
    np.testing.assert_allclose(shares, 1 / len(REGIMENS), atol=0.025)


def test_confounded_assignment_follows_markers(confounded: Path) -> None:
    assert shifts(confounded).min() > 0.12


def shifts(root: Path) -> np.ndarray:
    """Return how much more often marker-positive patients receive the agent of the marker."""
    clinical, genomics = table(root, "clinical.parquet"), table(root, "genomics.parquet")
    markers = {
        "trastuzumab": clinical["her2_positive"],
        "capivasertib": genomics["PIK3CA_mutation"],
        "olaparib": genomics["BRCA1_mutation"],
    }
    arms = table(root, "therapy.parquet")["arm"]
    return np.array(
        [
            arms[marker.index[marker == 1]].str.contains(agent).mean()
            - arms[marker.index[marker == 0]].str.contains(agent).mean()
            for agent, marker in markers.items()
        ]
    )


@pytest.mark.parametrize("trial", ["randomised", "confounded"])
def test_arms_are_received_as_often_as_their_true_propensity(
    trial: str, request: pytest.FixtureRequest
) -> None:
    root = request.getfixturevalue(trial)
    propensity = of_arms(read_truth(root), "propensity")
    np.testing.assert_allclose(propensity.sum(axis=1), 1.0)
    assert propensity.min() > 0.001
    shares = np.bincount(received(root), minlength=len(REGIMENS)) / len(propensity)
    np.testing.assert_allclose(shares, propensity.mean(axis=0), atol=0.025)


def test_assignment_does_not_change_the_patients(randomised: Path, confounded: Path) -> None:
    pd.testing.assert_frame_equal(
        table(randomised, "transcriptomics.parquet"), table(confounded, "transcriptomics.parquet")
    )
    np.testing.assert_array_equal(
        of_arms(read_truth(randomised), "response"), of_arms(read_truth(confounded), "response")
    )


def test_the_observed_response_is_the_potential_one_under_the_received_arm(
    confounded: Path,
) -> None:
    potential = of_arms(read_truth(confounded), "response")
    observed = table(confounded, "outcome.parquet")["pcr"].to_numpy()
    np.testing.assert_array_equal(observed, potential[np.arange(3000), received(confounded)])


def test_potential_responses_are_as_frequent_as_their_probability(randomised: Path) -> None:
    truth = read_truth(randomised)
    probability, response = of_arms(truth, "p_response"), of_arms(truth, "response")
    np.testing.assert_allclose(response.mean(axis=0), probability.mean(axis=0), atol=0.03)
    # One uniform number decides under every arm: no patient responds to the less likely only.
    order = np.argsort(probability, axis=1)
    assert (np.diff(np.take_along_axis(response, order, axis=1), axis=1) >= 0).all()


def test_patients_differ_in_their_best_arm_by_a_known_amount(randomised: Path) -> None:
    probability = of_arms(read_truth(randomised), "p_response")
    observed = table(randomised, "outcome.parquet")["pcr"].mean()
    assert observed == pytest.approx(0.36, abs=0.03)
    assert probability.mean(axis=0).max() == pytest.approx(0.44, abs=0.02)
    assert probability.max(axis=1).mean() == pytest.approx(0.70, abs=0.02)


def test_without_heterogeneity_one_arm_is_best_for_almost_everybody(tmp_path: Path) -> None:
    generate(replace(SMALL, heterogeneity=0.0), tmp_path / "trial")
    probability = of_arms(read_truth(tmp_path / "trial"), "p_response")
    assert (probability.argmax(axis=1) == probability.mean(axis=0).argmax()).all()


def test_progression_free_survival_agrees_with_its_restricted_mean(tmp_path: Path) -> None:
    generate(SyntheticTrial(patients=20_000, genes=200), tmp_path / "trial")
    truth, outcome = read_truth(tmp_path / "trial"), table(tmp_path / "trial", "outcome.parquet")
    arms = received(tmp_path / "trial")
    expected = of_arms(truth, "pfs_days")[np.arange(20_000), arms].mean()
    assert expected == pytest.approx(restricted_mean(outcome, 1825), rel=0.02)


def restricted_mean(outcome: pd.DataFrame, horizon_days: int) -> float:
    """Return the area under the Kaplan-Meier curve up to the horizon [day]."""
    by_day = outcome.groupby("pfs_days")["pfs_event"].agg(["sum", "size"])
    at_risk = len(outcome) - by_day["size"].cumsum().shift(fill_value=0)
    survival = (1.0 - by_day["sum"] / at_risk).cumprod()
    daily = survival.reindex(range(horizon_days)).ffill().fillna(1.0)
    return float(daily.sum())


def test_tumours_that_respond_shrink_more(randomised: Path) -> None:
    volume = pd.read_parquet(randomised / "radiomics.parquet").pivot_table(
        index="patient_id", columns="day", values="tumour_volume_cm3"
    )
    assert list(volume.columns) == [0, 21, 84, 168]
    shrunk = np.log(volume[168] / volume[0]).dropna()
    responded = table(randomised, "outcome.parquet").loc[shrunk.index, "pcr"] == 1
    assert shrunk[responded].mean() < shrunk[~responded].mean() - 1.0


def test_sites_differ_in_expression_only_as_far_as_set(tmp_path: Path) -> None:
    def spread(batch_effect: float) -> float:
        root = tmp_path / str(batch_effect)
        generate(SyntheticTrial(patients=2000, genes=200, batch_effect=batch_effect), root)
        expression = table(root, "transcriptomics.parquet")
        site = table(root, "clinical.parquet")["site"].reindex(expression.index)
        assert site.nunique() == 6
        return float(expression.groupby(site).mean().std().mean())

    assert spread(0.0) < 0.15
    assert spread(1.0) > 0.6


def test_the_declared_cohort_reads_every_table(tmp_path: Path) -> None:
    generate(SMALL, tmp_path / "trial")
    declared = OmegaConf.merge(
        OmegaConf.structured(CohortDeclaration), OmegaConf.load(CONF / "cohort" / "synthetic.yaml")
    )
    parent = OmegaConf.create({"synthetic_root": str(tmp_path / "trial"), "cohort": declared})
    tables = read_tables(OmegaConf.to_object(parent.cohort))
    assert len(tables.patient_ids) == 120
    assert set(tables.outcomes) == {"pcr", "pfs"}
    assert set(tables.received) <= set(REGIMENS)
    assert not any("truth" in note for note in tables.notes)


def test_the_catalogue_lists_the_regimens_of_the_generator() -> None:
    catalogue = OmegaConf.load(CONF / "therapy" / "synthetic.yaml")
    assert {arm: tuple(each.agents) for arm, each in catalogue.arms.items()} == REGIMENS


@pytest.mark.parametrize(
    ("setting", "found", "expected"),
    [
        ("patients", 49, "a whole number from 50 to 1,000,000"),
        ("patients", 1_000_001, "a whole number from 50 to 1,000,000"),
        ("patients", 60.5, "a whole number"),
        ("patients", True, "a whole number"),
        ("genes", 199, "a whole number from 200 to 20,000"),
        ("seed", -1, "a whole number from 0 to"),
        ("missing_modality", 0.95, "a number from 0.0 to 0.9"),
        ("missing_value", float("nan"), "a number from 0.0 to 0.9"),
        ("missing_value", "0.1", "a number from 0.0 to 0.9"),
        ("sites", 0, "a whole number from 1 to 100"),
        ("batch_effect", -0.1, "a number from 0.0 to 5.0"),
        ("heterogeneity", float("inf"), "a number from 0.0 to 5.0"),
        ("chunk", 0, "a whole number from 50 to 100,000"),
        ("assignment", "confounded", "choose one of 'randomised', 'confounded'"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_a_setting_out_of_range_is_refused_in_one_sentence(
    setting: str, found: object, expected: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        SyntheticTrial(**{setting: found})
    message = str(refused.value)
    assert f"'{setting}' is {found!r}" in message
    assert expected in message
    assert "\n" not in message


@pytest.mark.parametrize("reason", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_generation_leaves_nothing(
    tmp_path: Path, reason: type[BaseException]
) -> None:
    def interrupt(done: int, total: int) -> None:
        raise reason

    with pytest.raises(reason):
        generate(SMALL, tmp_path / "trial", progress=interrupt)
    assert list(tmp_path.iterdir()) == []
    generate(SMALL, tmp_path / "trial")
    assert [each.name for each in tmp_path.iterdir()] == ["trial"]


def test_the_same_trial_is_not_written_again(tmp_path: Path) -> None:
    generate(SMALL, tmp_path / "trial")
    written = (tmp_path / "trial" / "clinical.parquet").stat().st_mtime_ns
    calls: list[int] = []
    generate(SMALL, tmp_path / "trial", progress=lambda done, _: calls.append(done))
    assert calls == []
    assert (tmp_path / "trial" / "clinical.parquet").stat().st_mtime_ns == written


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "trial").mkdir()
    generate(SMALL, tmp_path / "trial")
    assert len(read_truth(tmp_path / "trial")) == 120


def test_another_trial_in_the_folder_is_refused_by_its_settings(tmp_path: Path) -> None:
    generate(SMALL, tmp_path / "trial")
    with pytest.raises(ConfigError, match="'seed' 3 instead of 9"):
        generate(replace(SMALL, seed=9), tmp_path / "trial")


def test_another_version_in_the_folder_is_refused(tmp_path: Path) -> None:
    generate(SMALL, tmp_path / "trial")
    stored = tmp_path / "trial" / "trial.json"
    stored.write_text(json.dumps(json.loads(stored.read_text()) | {"version": 0}))
    with pytest.raises(ConfigError, match="of version 0, expected version 2"):
        generate(SMALL, tmp_path / "trial")


@pytest.mark.parametrize("content", [None, "{", "[1]", '{"version": 2, "settings": 5}'])
def test_a_folder_with_other_files_is_refused(tmp_path: Path, content: str | None) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    if content is not None:
        (tmp_path / "trial.json").write_text(content)
    with pytest.raises(ConfigError, match=r"no readable 'trial\.json'"):
        generate(SMALL, tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "trial").write_text("mine")
    with pytest.raises(ConfigError, match="is a file, expected a folder"):
        generate(SMALL, tmp_path / "trial")
    with pytest.raises(ConfigError, match="cannot be written"):
        generate(SMALL, tmp_path / "trial" / "below")


def test_truth_is_asked_for_where_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(IntakeError, match="expected a synthetic trial"):
        read_truth(tmp_path)
