"""What can be asked about is declared once; a misspelling is answered with the nearest name."""

from __future__ import annotations

import json
import string
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omics_twin.errors import OmicsTwinError, TherapyError
from omics_twin.settings import (
    AdditionDeclaration,
    AgentDeclaration,
    ArmDeclaration,
    CatalogueDeclaration,
    EligibilityDeclaration,
)
from omics_twin.therapy.catalogue import Catalogue
from tests.therapy.declared import catalogue, changed

NEGATIVE = {"hr": "1", "her2": "0"}
POSITIVE = {"hr": "1", "her2": "1"}
UNKNOWN = {"hr": "1", "her2": "not measured"}


def test_an_arm_is_found_by_its_name_and_by_its_label() -> None:
    assert catalogue().intervention("Ctr") == catalogue().intervention("Paclitaxel")
    assert catalogue().intervention("VC").drugs == ("paclitaxel", "veliparib", "carboplatin")
    assert catalogue().labels == ("Paclitaxel", "VC", "HP")


def test_arms_share_their_agents() -> None:
    assert catalogue().known_agents == (
        "paclitaxel",
        "veliparib",
        "carboplatin",
        "trastuzumab",
        "pertuzumab",
    )
    assert catalogue().multi_hot("Ctr") == [1.0, 0.0, 0.0, 0.0, 0.0]
    assert catalogue().multi_hot("VC") == [1.0, 1.0, 1.0, 0.0, 0.0]


def test_an_unknown_intervention_is_answered_with_the_nearest() -> None:
    with pytest.raises(TherapyError, match=r"unknown intervention 'Crt': did you mean 'Ctr'\?"):
        catalogue().intervention("Crt")


def test_an_arm_that_patients_received_must_be_listed() -> None:
    catalogue().check_received(["VC", "Ctr", "VC"])
    with pytest.raises(TherapyError, match="does not list: 'MK2206'"):
        catalogue().check_received(["Ctr", "MK2206"])


def test_what_is_given_besides_depends_on_the_stratum() -> None:
    assert catalogue().intervention("Ctr", POSITIVE).drugs == ("paclitaxel", "trastuzumab")
    assert catalogue().intervention("Ctr", NEGATIVE).drugs == ("paclitaxel",)
    assert catalogue().intervention("HP", NEGATIVE).drugs[-1] == "loperamide"


def test_what_hangs_on_a_marker_that_was_not_measured_is_not_given() -> None:
    for stratum in (UNKNOWN, {}):
        assert catalogue().intervention("Ctr", stratum).drugs == ("paclitaxel",)


def test_a_twin_learns_an_arm_by_its_own_agents_alone() -> None:
    assert catalogue().intervention("Ctr").drugs == ("paclitaxel",)
    assert "loperamide" not in catalogue().known_agents
    assert [each.drugs for each in catalogue().interventions()] == list(catalogue().agents)


def test_agents_given_besides_come_after_the_known_ones() -> None:
    known, given_agents = catalogue().known_agents, catalogue().given_agents
    assert given_agents == (*known, "loperamide")
    for arm in catalogue().arms:
        with_stratum = catalogue().multi_hot(arm, POSITIVE)
        assert len(with_stratum) == len(given_agents)
        assert sum(with_stratum) == len(catalogue().intervention(arm, POSITIVE).drugs)
    assert catalogue().multi_hot("VC", NEGATIVE)[: len(known)] == catalogue().multi_hot("VC")


def test_an_arm_is_closed_by_its_declared_reason() -> None:
    assert catalogue().closed("VC", POSITIVE) == "tested in HER2-negative disease only"
    assert catalogue().closed("HP", NEGATIVE) == "both antibodies bind HER2"
    assert catalogue().closed("VC", NEGATIVE) == ""
    assert catalogue().closed("Ctr", {}) == ""


@pytest.mark.parametrize("value", ["not measured", "", "2", "O", "nan", "0.0", "0 "])
def test_no_value_but_a_declared_one_opens_an_arm(value: str) -> None:
    assert catalogue().closed("VC", {"hr": "1", "her2": value})


def test_a_marker_that_was_not_measured_closes_with_its_name() -> None:
    expected = "her2 not measured; tested in HER2-negative disease only"
    assert catalogue().closed("VC", UNKNOWN) == catalogue().closed("VC", {}) == expected


def test_a_marker_may_be_declared_not_to_matter_when_it_was_not_measured() -> None:
    assert catalogue().closed("HP", {"hr": "not measured", "her2": "1"}) == ""


def test_a_condition_must_be_on_a_stratum_of_the_cohort() -> None:
    catalogue().check_strata(["her2", "hr"])
    with pytest.raises(TherapyError, match=r"arm 'HP' .* depends on 'hr', .* did you mean"):
        catalogue().check_strata(["her2", "hrr"])
    with pytest.raises(TherapyError, match="'her2', .* the cohort declares no 'strata'"):
        catalogue().check_strata([])


HOSTILE = {
    "no arms": (changed("arms:", "arms: {}\nother:"), "unknown|not in"),
    "an empty arm": (changed("agents: [paclitaxel]\n", "agents: []\n"), "'Ctr' has agents none"),
    "an agent twice": (
        changed("[trastuzumab, pertuzumab]", "[trastuzumab, trastuzumab]"),
        "expected at least one and each once",
    ),
    "a misspelt agent": (
        changed("[paclitaxel, veliparib, carb", "[paclitaxel, velparib, carb"),
        r"arm 'VC' has agent 'velparib', .* did you mean 'veliparib'\?",
    ),
    "a misspelt agent that follows": (
        changed("then: [doxorubicin]", "then: [doxorubicine]"),
        r"'doxorubicine', .* did you mean 'doxorubicin'\?",
    ),
    "a misspelt agent besides": (
        changed("agents: [loperamide]", "agents: [loperamid]"),
        r"'loperamid', .* did you mean 'loperamide'\?",
    ),
    "nothing besides": (changed("agents: [loperamide]", "agents: []"), "'HP' adds agents none"),
    "besides what it has": (
        changed("agents: [loperamide]", "agents: [pertuzumab]"),
        "'HP' adds agents 'pertuzumab'",
    ),
    "an addition without a reason": (
        changed(", reason: given to everyone in this arm", ""),
        "addition to arm 'HP' has no 'reason'",
    ),
    "a blank reason": (
        changed("reason: tested in HER2-negative disease only", "reason: '  '"),
        "eligibility of arm 'VC' has no 'reason'",
    ),
    "a rule about nothing": (
        changed('- where: {her2: ["0"]}', "- where: {}"),
        "'VC' names no stratum column under 'where'",
    ),
    "a column without values": (
        changed('- where: {her2: ["0"]}', "- where: {her2: []}"),
        "'VC' lists no value for 'her2'",
    ),
    "a value twice": (
        changed('- where: {her2: ["0"]}', "- where: {her2: ['0', '0']}"),
        "'VC' lists a value twice for 'her2'",
    ),
    "a number for a value": (
        changed('- where: {her2: ["0"]}', "- where: {her2: [0]}"),
        "'where.her2': Value 0",
    ),
    "a value that is no list": (changed('where: {her2: ["0"]}', "where: {her2: 0}"), "her2"),
    "a condition that is no mapping": (changed('where: {her2: ["0"]}', "where: her2"), "where"),
    "eligibility that is no list": (
        changed("    eligible:\n      - where", "    eligible: HER2\n    also:\n      - where"),
        "'therapy.arms.VC.eligible'",
    ),
    "an unknown key of a rule": (changed("reason: both", "reasons: both"), "reasons"),
    "an unknown key of an agent": (changed("atc:", "act:"), "act"),
    "no address": (
        changed("doi:10.1056/NEJMoa1513749", "NEJM 2016"),
        "'VC' has the source 'NEJM 2016', expected doi:10",
    ),
    "an agent without a class": (
        changed("drug_class: anthracycline, ", ""),
        "agent 'doxorubicin' has no 'drug_class'",
    ),
    "an agent without a mechanism": (
        changed("mechanism: poisons TOP2, ", ""),
        "agent 'doxorubicin' has no 'mechanism'",
    ),
    "a symbol of another species": (
        changed("[ERBB2]", "[Erbb2]"),
        r"'trastuzumab' has the target 'Erbb2', .* did you mean 'ERBB2'\?",
    ),
    "an everyday name": (changed("[ERBB2]", "[HER2]"), r"'HER2', .* did you mean 'ERBB2'\?"),
    "no symbol at all": (changed("[TOP2A]", "['DNA, both strands']"), "such as 'ERBB2'"),
    "an empty symbol": (changed("[TOP2A]", "['']"), "the target '', which is no symbol"),
    "a target twice": (changed("[PARP1, PARP2]", "[PARP1, PARP1]"), "has a target twice"),
    "a code of another kind": (changed("L01XA02", "RX40048"), "the ATC code 'RX40048', expected"),
    "an arm that is a number": (changed("  VC:\n", "  VC: 3\n  V:\n"), "VC"),
    "null for an arm": (changed("  VC:\n", "  VC: null\n  V:\n"), "VC|agents none"),
    "thin support below zero": (changed("thin_support: 3", "thin_support: -3"), "is -3"),
}


@pytest.mark.parametrize(("text", "sentence"), HOSTILE.values(), ids=HOSTILE)
def test_a_catalogue_that_cannot_be_right_is_answered_by_one_sentence(
    text: str, sentence: str
) -> None:
    with pytest.raises(OmicsTwinError, match=sentence) as caught:
        catalogue(text)
    assert "\n" not in str(caught.value)


def test_a_catalogue_without_arms_is_refused() -> None:
    with pytest.raises(TherapyError, match="catalogue 'trial' has no arms"):
        Catalogue.declared(CatalogueDeclaration("trial"))


def test_an_agent_is_declared_even_where_none_is() -> None:
    with pytest.raises(TherapyError, match="under 'agents': declare it there"):
        Catalogue.declared(CatalogueDeclaration("trial", {"Ctr": ArmDeclaration("", ["x"])}))


WORDS = st.text(string.ascii_letters + " -é|", min_size=1, max_size=8).filter(str.strip)
SYMBOLS = st.sampled_from(["ERBB2", "TUBB", "HLA-A", "C1orf112", "CD274"])
CONDITIONS = st.dictionaries(
    WORDS, st.lists(WORDS, min_size=1, max_size=3, unique=True), min_size=1
)


AGENTS = st.dictionaries(
    WORDS,
    st.fixed_dictionaries(
        {
            "label": WORDS,
            "drug_class": WORDS,
            "mechanism": WORDS,
            "targets": st.lists(SYMBOLS, max_size=3, unique=True),
            "atc": st.sampled_from(["", "L01CD", "L01CD01"]),
            "source": st.sampled_from(["", "doi:10.1038/x", "https://example.org"]),
        }
    ),
    min_size=2,
    max_size=4,
)
ARMS = st.dictionaries(
    WORDS,
    st.tuples(st.just("") | WORDS, st.just({}) | CONDITIONS, CONDITIONS, WORDS),
    min_size=1,
    max_size=3,
)


@settings(deadline=None, max_examples=40)
@given(AGENTS, ARMS)
def test_a_catalogue_survives_storage(
    agents: dict[str, dict[str, Any]],
    arms: dict[str, tuple[str, dict[str, list[str]], dict[str, list[str]], str]],
) -> None:
    first, *others = agents
    declared = {
        name: ArmDeclaration(
            label=label,
            agents=[first],
            also=[AdditionDeclaration(others, besides, reason)],
            then=[first],
            eligible=[EligibilityDeclaration(opened, reason)],
            note=reason,
        )
        for name, (label, besides, opened, reason) in arms.items()
    }
    known = {name: AgentDeclaration(**each) for name, each in agents.items()}
    found = Catalogue.declared(CatalogueDeclaration("trial", declared, 10, known))
    assert Catalogue.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_a_catalogue_of_names_alone_survives_storage() -> None:
    bare = replace(catalogue(), details=(), formulary=())
    assert Catalogue.from_json(json.loads(json.dumps(bare.to_json()))) == bare
    assert bare.closed("VC", POSITIVE) == ""
    assert bare.intervention("Ctr", POSITIVE).drugs == ("paclitaxel",)
    assert bare.agent("paclitaxel").targets == ()


def test_what_agents_have_in_common_is_a_row_each() -> None:
    found = catalogue()
    names, rows = found.agent_features()
    assert rows.shape == (len(found.known_agents), len(names))
    alike = rows @ rows.T
    trastuzumab, pertuzumab = (
        found.known_agents.index(f"{each}uzumab") for each in ("trast", "pert")
    )
    assert float(alike[trastuzumab, pertuzumab]) == pytest.approx(2.0)
    assert float(alike[found.known_agents.index("paclitaxel"), trastuzumab]) == 0.0
    genes, incidence = found.target_incidence()
    assert genes == ("TUBB", "TUBB3", "PARP1", "PARP2", "ERBB2")
    assert incidence.sum(dim=1).tolist() == [2.0, 2.0, 0.0, 1.0, 1.0]
