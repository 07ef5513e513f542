"""A cohort holds permitted, measured patients and says why the others are left out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import mudata
import numpy as np
import pandas as pd
import pytest

from omics_twin.cohort.cohort import Cohort, build_cohort
from omics_twin.errors import CohortError
from omics_twin.intake.channels import Channel, Variants
from omics_twin.intake.declaration import ColumnDeclaration, Kind, OutcomeKind
from omics_twin.intake.outcomes import Outcome
from omics_twin.intake.tables import Tables
from omics_twin.trust.consent import Permission, permit

PATIENTS = ("a", "b", "c", "d")


def channel(name: str, day: float, **values: list[float]) -> Channel:
    frame = pd.DataFrame(values, index=pd.Index(["c", "a"], name="patient_id"))
    frame["stage"] = pd.array(["two", None], dtype="string")
    columns = {each: ColumnDeclaration(unit="score", log=True) for each in values}
    columns["stage"] = ColumnDeclaration(kind=Kind.CATEGORY)
    days = pd.Series([day, day + 1], index=frame.index)
    return Channel(name, name.split("@")[0], day, frame, columns, days)


@pytest.fixture
def tables() -> Tables:
    calls = pd.DataFrame({"patient_id": ["b"], "gene": ["TP53"], "fraction": [np.nan]})
    index = pd.Index(PATIENTS, name="patient_id")
    return Tables(
        name="study",
        patient_ids=PATIENTS,
        channels={
            "mri@0": channel("mri@0", 0.0, volume=[1.0, 2.0]),
            "mri@21": channel("mri@21", 21.0, volume=[3.0, np.nan]),
        },
        variants={"genomics": Variants("genomics", ("a", "b"), calls, False, 0.05)},
        received=pd.Series(["x", "y", None, "x"], index=index, dtype="string"),
        outcomes={
            "pcr": Outcome("pcr", OutcomeKind.BINARY, np.array([0.0, 1, np.nan, 1]), None, "1"),
            "os": Outcome(
                "os",
                OutcomeKind.TIME_TO_EVENT,
                np.array([1.0, 2, 3, 4]),
                np.array([True, False, True, False]),
                "day",
            ),
        },
        groups=pd.DataFrame({"site": pd.array(list("ABAB"), dtype="string")}, index=index),
        strata=pd.DataFrame({"hr": pd.array(list("1010"), dtype="string")}, index=index),
        notes=("something",),
        fingerprint="f" * 64,
    )


def built(tables: Tables) -> Cohort:
    return build_cohort(tables, permit(tables.patient_ids, ledger=None, purpose="research"))


def test_a_patient_without_any_measurement_is_left_out_by_name(tables: Tables) -> None:
    cohort = built(tables)
    assert cohort.patient_ids == ("a", "b", "c")
    assert cohort.left_out == {"d": "nothing was measured"}


def test_a_refused_patient_is_nowhere_in_the_cohort(tables: Tables) -> None:
    permission = Permission(("a", "c", "d"), {"b": "consent withdrawn"}, "ledger", "research")
    cohort = build_cohort(tables, permission)
    assert cohort.left_out["b"] == "consent withdrawn"
    assert "b" not in cohort.measurements.obs_names
    assert "b" not in cohort.strata.index
    assert all(len(each.values) == 2 for each in cohort.outcomes.values())
    assert cohort.permission is permission


def test_a_permission_that_is_silent_about_a_patient_is_refused(tables: Tables) -> None:
    with pytest.raises(CohortError, match="says nothing about patients 'b', 'c', 'd'"):
        build_cohort(tables, Permission(("a",), {}, "ledger", "research"))


def test_a_cohort_of_nobody_is_refused(tables: Tables) -> None:
    with pytest.raises(CohortError, match="no patient of cohort 'study' is left"):
        build_cohort(tables, Permission((), dict.fromkeys(PATIENTS, "no"), "ledger", "research"))


def test_each_channel_is_annotated_with_units_kinds_and_days(tables: Tables) -> None:
    part = built(tables).measurements["mri@0"]
    assert list(part.obs_names) == ["a", "c"]
    np.testing.assert_equal(part.X, [[2.0], [1.0]])
    assert part.obs["day"].tolist() == [1.0, 0.0]
    assert part.obs["stage"].astype("string").fillna("-").tolist() == ["-", "two"]
    assert part.var.loc["volume", ["kind", "unit", "log"]].tolist() == ["number", "score", True]
    assert (part.uns["modality"], part.uns["visit_day"]) == ("mri", 0.0)
    assert list(part.uns["categories"]) == ["stage"]
    assert np.isnan(part.uns["absent_value"])


def test_mutations_become_a_channel_in_which_an_absent_gene_is_wild_type(tables: Tables) -> None:
    part = built(tables).measurements["genomics"]
    assert list(part.var_names) == ["TP53", "mutation_count"]
    np.testing.assert_equal(part.X, [[0.0, 0.0], [1.0, 1.0]])
    assert part.uns["absent_value"] == 0.0
    assert part.uns["minimum_frequency"] == 0.05


def test_selecting_keeps_the_order_given_in_every_part(tables: Tables) -> None:
    chosen = built(tables).select(["c", "a"])
    assert chosen.patient_ids == ("c", "a")
    assert list(chosen.measurements["mri@0"].obs_names) == ["c", "a"]
    assert chosen.received is not None
    assert list(chosen.received.index) == list(chosen.groups.index) == ["c", "a"]
    assert chosen.outcomes["os"].values.tolist() == [3.0, 1.0]
    assert chosen.outcomes["os"].events.tolist() == [True, True]


def test_selecting_changes_nothing_in_the_cohort(tables: Tables) -> None:
    cohort = built(tables)
    cohort.select(["a"]).measurements["mri@0"].X[:] = -9
    assert cohort.measurements["mri@0"].X.min() > 0


def test_a_channel_measured_in_none_of_the_selected_is_gone(tables: Tables) -> None:
    assert set(built(tables).select(["b"]).measurements.mod) == {"genomics"}


@pytest.mark.parametrize(
    ("chosen", "fragment"),
    [
        (["a", "a"], "patients 'a' are selected twice"),
        (["d"], r"'d' is not in cohort 'study' \(nothing was measured\)"),
        (["z"], "patient 'z' is not in cohort 'study'; known: 'a', 'b', 'c'"),
        ([], "no patient of cohort 'study' is selected"),
    ],
)
def test_a_wrong_selection_is_refused(tables: Tables, chosen: list[str], fragment: str) -> None:
    with pytest.raises(CohortError, match=fragment):
        built(tables).select(chosen)


def test_a_cohort_without_therapy_table_selects_too(tables: Tables) -> None:
    assert built(replace(tables, received=None)).select(["a"]).received is None


@pytest.mark.filterwarnings("ignore:var_names are not unique:UserWarning")
@pytest.mark.filterwarnings("ignore:Cannot join columns:UserWarning")
def test_the_measurements_survive_a_file(tables: Tables, tmp_path: Path) -> None:
    path = tmp_path / "cohort.h5mu"
    before = built(tables).measurements
    with mudata.set_options(pull_on_update=False):
        before.write(path)
        after = mudata.read_h5mu(path)
    assert set(after.mod) == set(before.mod)
    np.testing.assert_equal(after["mri@0"].X, before["mri@0"].X)
    assert after["mri@21"].uns["visit_day"] == 21.0
