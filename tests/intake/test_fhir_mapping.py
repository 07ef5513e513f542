"""A mapping is read strictly, and those that are shipped fit their cohorts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from omics_twin.config import load
from omics_twin.errors import IntakeError
from omics_twin.intake.fhir_mapping_file import mapping_of
from omics_twin.intake.synthetic_truth import DRIVERS
from omics_twin.settings import config_folder
from tests.intake import fhir_resources as fhir

RULE = {"codes": ["loinc|1"], "modality": "m", "column": "c"}


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"observatons": []}, "unknown key 'observatons': did you mean 'observations'?"),
        ({"observations": [{**RULE, "colum": "x"}]}, r"'observations\[0\].colum': did you mean"),
        ({"observations": [{**RULE, "codes": ["lonic|1"]}]}, "'lonic': did you mean 'loinc'?"),
        ({"observations": [{**RULE, "codes": ["1"]}]}, "expected one as 'loinc|718-7'"),
        ({"observations": [RULE, RULE]}, "twice, expected once"),
        ({"observations": [{**RULE, "system": "loinc"}]}, "name one of them"),
        ({"observations": [{"system": "loinc", "modality": "m", "column": "c"}]}, "one column"),
        ({"observations": [{**RULE, "unit": "g/dl"}]}, "unknown unit 'g/dl'"),
        ({"observations": [{**RULE, "unit": "g", "answers": "receptor"}]}, "a unit and answers"),
        ({"observations": [{**RULE, "answers": "receptr"}]}, "did you mean 'receptor'"),
        ({"observations": [{**RULE, "stratum": True}]}, "has no target"),
        ({"observations": [{"codes": ["loinc|1"], "column": "c"}]}, "has no target"),
        ({"observations": [{**RULE, "combine": "ALL"}]}, "is 'ALL'"),
        ({"observations": {}}, "'observations' is no list"),
        ({"answers": {"a": {"sct|1": True}}}, "write 0 or 1"),
        ({"answers": {"a": {"sct|1": float("nan")}}}, "write 0 or 1"),
        ({"conditions": [{"modality": "m", "column": "c", "value": 1}]}, "no codes and no profile"),
        ({"conditions": [{"codes": ["sct|1"], "modality": "m", "column": "c"}]}, "has no 'value'"),
        ({"index": [{"event": "FIRST"}]}, "is 'FIRST'"),
        ({"index": [{"event": "PROCEDURE"}]}, "is PROCEDURE, expected codes or a profile"),
        ({"index": [{"event": "LAST_MEASURED", "codes": ["sct|1"]}]}, "neither codes nor"),
        ({"baseline_days": -1}, "expected a whole number of days"),
        ({"arms": {"A": [["paclitaxl"]]}}, "did you mean 'paclitaxel'"),
        ({"arms": {"A": [["paclitaxel"]], "B": [["paclitaxel"]]}}, "those of another arm"),
        ({"continuing": ["water"]}, "'continuing' has an unknown agent 'water'"),
        ({"consents": [{"codes": ["scope|research"], "purposes": ["scorin"]}]}, "'scorin'"),
        ({"patient": {"gender": {"values": {"woman": 1}}}}, "'patient.gender.values.woman'"),
        ({"name": 3}, "'name' holds no text"),
    ],
)
def test_a_mistake_in_a_mapping_is_named(
    changed: dict[str, Any], told: str, tmp_path: Path
) -> None:
    with pytest.raises(IntakeError, match=told):
        fhir.declared(tmp_path, **changed)


@pytest.mark.parametrize(
    ("text", "told"),
    [("- a", "no list of names"), ("a: [", "is not YAML"), ("systems: {}", "has no 'name'")],
)
def test_a_file_that_is_no_mapping_is_refused(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "mapping.yaml"
    path.write_text(text)
    with pytest.raises(IntakeError, match=f"mapping 'mapping.yaml'.*{told}"):
        mapping_of(path)
    with pytest.raises(IntakeError, match="cannot be read"):
        mapping_of(tmp_path / "none.yaml")


@pytest.mark.parametrize("name", ["synthetic", "ispy2"])
def test_a_shipped_mapping_fits_its_cohort_and_its_arms(name: str) -> None:
    mapping = fhir.shipped(name)
    config = load("train", [f"experiment={name}_response"])
    modalities = config.cohort.modalities
    targets = [rule.target(code) for rule in mapping.observations for code in rule.codes]
    units = {rule.target(code): rule.unit for rule in mapping.observations for code in rule.codes}
    assert set(mapping.strata) <= set(config.cohort.strata)
    for target in [*targets, *mapping.strata.values(), mapping.age]:
        assert target is not None
        column = modalities[target.modality].columns[target.column]
        assert units.get(target, "") in ("", column.unit)
    arms = config.therapy.arms
    assert set(mapping.arms.values()) == set(arms)
    for agents, arm in mapping.arms.items():
        besides = {agent for each in arms[arm].also for agent in each.agents}
        assert set(arms[arm].agents) <= agents <= {*arms[arm].agents, *besides}
    for (system, code), agent in mapping.agents.items():
        assert (system, config.therapy.agents[agent].atc) == (fhir.ATC, code)
    assert mapping.continuing == {agent for arm in arms.values() for agent in arm.then}


def test_genes_of_the_synthetic_mapping_are_columns_there() -> None:
    variants = fhir.shipped("synthetic").variants
    assert variants is not None
    assert set(variants.genes.values()) <= {f"{gene}_mutation" for gene in DRIVERS}


def test_the_mapping_of_the_documentation_is_one(tmp_path: Path) -> None:
    page = config_folder().parent / "docs" / "fhir.md"
    if not page.exists():
        pytest.skip("an installation has no docs")
    path = tmp_path / "mapping.yaml"
    path.write_text(page.read_text().split("```yaml\n")[1].split("```")[0])
    mapping = mapping_of(path)
    assert mapping.arms == {frozenset({"paclitaxel"}): "control"}
    assert mapping.baseline_days == 90
