"""Hospitals are grouped whole, sites hold their own rows only, and agree before they learn."""

from __future__ import annotations

import csv
import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest

from omics_twin.cli import main
from omics_twin.config import load, plain, restored
from omics_twin.errors import CohortError, ConfigError, IntakeError, TrainingError
from omics_twin.federated.agree import introduced, one_design, one_fingerprint, one_support
from omics_twin.federated.sites import grouped
from omics_twin.intake.declaration import CohortDeclaration, KeyDeclaration, ModalityDeclaration
from omics_twin.intake.shares import write_share
from omics_twin.tensors.design import ChannelDesign, Design, Feature
from omics_twin.trust.privacy import Pseudonyms


def test_hospitals_stay_whole_and_sites_are_about_as_large() -> None:
    patients = ["a"] * 9 + ["b"] * 7 + ["c"] * 5 + ["d"] * 5 + ["e"] * 2
    assert grouped(patients, 3) == {"site-1": ["a"], "site-2": ["b", "e"], "site-3": ["c", "d"]}


def test_fewer_hospitals_than_sites_are_refused() -> None:
    with pytest.raises(CohortError, match="2 hospitals are recorded, expected at least 3"):
        grouped(["a", "b", "b"], 3)


def test_a_share_holds_the_rows_of_its_patients_and_no_others(tmp_path: Path) -> None:
    root = tmp_path / "all"
    root.mkdir()
    rows = [["patient_id", "note"], [" p1", "a, b"], ["p2", "x"], ["p3", "line\nbreak"]]
    with (root / "clinical.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)
    text = "patient_id\tvisit\np1\t1\np2\t1\np1\t2\n"
    (root / "visits.tsv.gz").write_bytes(gzip.compress(text.encode()))
    (root / "secret.csv").write_text("patient_id\np2\n")
    cohort = CohortDeclaration(
        name="small",
        root=str(root),
        key="patient_id",
        roster="clinical.csv",
        modalities={"visits": ModalityDeclaration(table="visits.tsv.gz")},
    )
    write_share(cohort, ["p1", "p3"], tmp_path / "one")
    with (tmp_path / "one" / "clinical.csv").open(newline="") as stream:
        assert list(csv.reader(stream)) == [rows[0], rows[1], rows[3]]
    visits = gzip.decompress((tmp_path / "one" / "visits.tsv.gz").read_bytes()).decode()
    assert visits.split() == ["patient_id", "visit", "p1", "1", "p1", "2"]
    assert sorted(each.name for each in (tmp_path / "one").iterdir()) == [
        "clinical.csv",
        "visits.tsv.gz",
    ]
    names = Pseudonyms(bytes(32))
    write_share(cohort, [names.of("p1"), names.of("p3")], tmp_path / "called", names)
    called, one = ((tmp_path / each / "clinical.csv").read_bytes() for each in ("called", "one"))
    assert called == one
    otherwise = replace(cohort, keys={"visits.tsv.gz": KeyDeclaration("id")})
    with pytest.raises(IntakeError, match="names patients differently"):
        write_share(otherwise, ["p1"], tmp_path / "two")


def design(levels: tuple[str, ...], unit: str = "year") -> Design:
    """Return the design of a site that has seen these stages."""
    features = [Feature("age", "age", None, unit, False, False)]
    features += [Feature(f"stage={k}", "stage", k, "1", True, False) for k in levels]
    return Design((ChannelDesign("clinical", "clinical", 0.0, 0.0, 0.0, False, tuple(features)),))


def test_the_design_of_all_sites_has_every_level_that_one_has_seen() -> None:
    told = [design(("I", "III")).to_json(), design(("II",)).to_json()]
    assert one_design(told, ("north", "south")) == design(("I", "II", "III"))


def test_a_site_with_other_units_is_refused_by_name() -> None:
    told = [design(("I",)).to_json(), design(("I",), unit="month").to_json()]
    with pytest.raises(TrainingError, match="modality 'clinical' of 'south' has other columns"):
        one_design(told, ("north", "south"))


def test_sites_with_other_settings_are_named() -> None:
    one = load("train", ["trainer=federated"])
    other = load("train", ["trainer=federated", "trainer.seed=1"])
    told = [introduced(one, "a"), introduced(other, "b")]
    with pytest.raises(TrainingError, match="settings of 'south' are not those of 'north'"):
        one_fingerprint(told, ("north", "south"))
    elsewhere = replace(one, cohort=replace(one.cohort, root="elsewhere"))
    assert introduced(elsewhere, "a") == introduced(one, "a")


def test_patients_who_received_an_arm_are_counted_over_sites() -> None:
    told = [{"+": {"a": 3}}, {"+": {"a": 1, "b": 2}, "-": {"b": 4}}]
    assert one_support(told, ("hr",)).counts == {"+": {"a": 4, "b": 2}, "-": {"b": 4}}


def test_settings_go_to_a_site_as_plain_values_and_come_back() -> None:
    config = load("train", ["experiment=ispy2_response", "trainer=federated"])
    assert plain(restored(plain(config))) == plain(config)


def test_one_site_is_no_federation() -> None:
    with pytest.raises(ConfigError, match="a sum over one site hides nothing"):
        load("train", ["trainer=federated", "trainer.federation.sites=1"])


def test_a_job_for_other_machines_reads_no_patients_and_names_no_folder(tmp_path: Path) -> None:
    pytest.importorskip("nvflare", reason="NVIDIA FLARE is not installed")
    arguments = ["experiment=ispy2_response", "trainer=federated", f"output={tmp_path}"]
    assert main(["federate", *arguments, f"data_root={tmp_path / 'nowhere'}"]) == 0
    job = tmp_path / "omics_twin"
    clients = json.loads((job / "app_site-2" / "config" / "config_fed_client.json").read_text())
    [executor] = clients["executors"]
    told = executor["executor"]["args"]["props"]
    assert told["sites"] == ["site-1", "site-2", "site-3"]
    assert "cohort_root" not in told
    assert restored(json.loads(told["settings"])).trainer.federation.sites == 3
    assert main(["federate", *arguments]) == 1


@pytest.mark.parametrize("verb", ["ablate", "search"])
def test_what_needs_all_patients_in_one_place_is_refused(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    space = ["search.space.trainer.weight_decay=choice(1,2)"] if verb == "search" else []
    assert main([verb, "experiment=synthetic_response", "trainer=federated", *space]) == 1
    assert f"but {verb} needs the patients of all sites in one place" in capsys.readouterr().err
