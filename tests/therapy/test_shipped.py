"""The catalogues that come with the platform say what each arm is and where that is from."""

from __future__ import annotations

import json

import pytest

from omics_twin.config import load
from omics_twin.settings import options
from omics_twin.therapy.catalogue import Catalogue
from omics_twin.therapy.description import describe

SHIPPED = options("therapy")
# In one nothing is compared: any cohort may go with it.
OF_COHORTS = [each for each in SHIPPED if each != "none"]
REAL = [each for each in OF_COHORTS if each != "synthetic"]
BACKBONE = ("doxorubicin", "cyclophosphamide")


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMICS_TWIN_DATA", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def shipped(name: str) -> Catalogue:
    return Catalogue.declared(load("train", [f"therapy={name}"]).therapy)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_agent_has_a_source_and_is_in_an_arm(name: str) -> None:
    found = shipped(name)
    assert all(each.source for each in found.formulary)
    then = {agent for arm in found.arms for agent in found.detail(arm).then}
    assert {each.name for each in found.formulary} == {*found.given_agents, *then}


@pytest.mark.parametrize("name", SHIPPED)
def test_an_agent_without_a_target_says_so(name: str) -> None:
    for agent in shipped(name).formulary:
        assert agent.targets or "protein target" in agent.mechanism


@pytest.mark.parametrize("name", REAL)
def test_every_arm_and_every_condition_has_a_source(name: str) -> None:
    found = shipped(name)
    for arm in found.arms:
        assert found.detail(arm).source
        assert all(each.source for each in found.conditions(arm))


@pytest.mark.parametrize("name", OF_COHORTS)
def test_conditions_are_on_the_strata_of_the_cohort_of_that_name(name: str) -> None:
    config = load("train", [f"therapy={name}", f"cohort={name}"])
    Catalogue.declared(config.therapy).check_strata(config.cohort.strata)


@pytest.mark.parametrize("name", SHIPPED)
def test_it_survives_storage(name: str) -> None:
    found = shipped(name)
    assert Catalogue.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_agents_of_several_catalogues_are_the_same() -> None:
    known = {}
    for name in SHIPPED:
        for agent in shipped(name).formulary:
            earlier = known.setdefault(agent.name, agent)
            assert (earlier.drug_class, earlier.targets, earlier.atc) == (
                agent.drug_class,
                agent.targets,
                agent.atc,
            )


# Agents by arm and HER2, as the trial's own table of regimens has them (GEO GSE194040).
REGIMENS = {
    ("Ctr", "0"): "paclitaxel",
    ("Ctr", "1"): "paclitaxel, trastuzumab",
    ("AMG386", "0"): "paclitaxel, trebananib",
    ("AMG386", "1"): "paclitaxel, trebananib, trastuzumab",
    ("MK2206", "0"): "paclitaxel, mk-2206",
    ("MK2206", "1"): "paclitaxel, mk-2206, trastuzumab",
    ("N", "0"): "paclitaxel, neratinib",
    ("N", "1"): "paclitaxel, neratinib",
    ("Ganetespib", "0"): "paclitaxel, ganetespib",
    ("Ganitumab", "0"): "paclitaxel, ganitumab, metformin",
    ("Pembro", "0"): "paclitaxel, pembrolizumab",
    ("VC", "0"): "paclitaxel, veliparib, carboplatin",
    ("Pertuzumab", "1"): "paclitaxel, pertuzumab, trastuzumab",
    ("TDM1/P", "1"): "trastuzumab emtansine, pertuzumab",
}


def test_ispy2_gives_trastuzumab_to_whom_the_trial_gave_it() -> None:
    found = shipped("ispy2")
    for (arm, her2), agents in REGIMENS.items():
        assert ", ".join(found.intervention(arm, {"her2_positive": her2}).drugs) == agents
        assert tuple(each.name for each in describe(found, arm).then) == BACKBONE


def test_ispy2_arms_are_open_by_her2_as_the_trial_declared() -> None:
    found = shipped("ispy2")
    opened = {
        (arm, her2)
        for arm in found.arms
        for her2 in ("0", "1")
        if not found.closed(arm, {"her2_positive": her2})
    }
    assert opened == set(REGIMENS)


def test_without_her2_only_arms_for_either_status_are_open() -> None:
    found = shipped("ispy2")
    opened = [arm for arm in found.arms if not found.closed(arm, {"hr_positive": "1"})]
    assert opened == ["Ctr", "AMG386", "MK2206", "N"]


@pytest.mark.parametrize("name", ["oak", "synthetic"])
def test_where_every_arm_was_open_to_everyone_none_is_closed(name: str) -> None:
    found = shipped(name)
    assert not any(found.closed(arm, {}) for arm in found.arms)
    assert found.given_agents == found.known_agents
