"""An arm is told to a person with what is given, why, and where that is from."""

from __future__ import annotations

from dataclasses import replace

import pytest

from omics_twin.errors import TherapyError
from omics_twin.therapy.description import describe
from tests.therapy.declared import catalogue


def told(arm: str, stratum: dict[str, str] | None = None) -> str:
    return "\n".join(describe(catalogue(), arm, stratum).lines())


def test_what_is_given_is_told_with_its_mechanism_and_targets() -> None:
    assert "paclitaxel: Stabilises microtubules. Targets TUBB, TUBB3." in told("Ctr")
    assert "carboplatin: Cross-links DNA and has no protein target." in told("VC")
    assert "Followed by doxorubicin." in told("Ctr")
    assert "Without chemotherapy." in told("HP")


def test_what_a_patient_is_given_besides_is_told_with_the_reason() -> None:
    line = "Trastuzumab: Binds HER2. Targets ERBB2. Standard in HER2-positive disease."
    assert line in told("Ctr", {"hr": "1", "her2": "1"})
    assert "Trastuzumab" not in told("Ctr", {"hr": "1", "her2": "0"})


@pytest.mark.parametrize("stratum", [None, {"hr": "1", "her2": "not measured"}])
def test_what_may_be_given_besides_is_told_with_its_condition(
    stratum: dict[str, str] | None,
) -> None:
    assert "Given where her2 1: standard in HER2-positive disease." in told("Ctr", stratum)
    assert [each.certain for each in describe(catalogue(), "Ctr", stratum).agents] == [True, False]


def test_what_everyone_is_given_besides_is_certain() -> None:
    for stratum in (None, {}, {"hr": "0", "her2": "1"}):
        assert all(each.certain for each in describe(catalogue(), "HP", stratum).agents)


def test_a_closed_arm_says_why() -> None:
    assert "Not open: tested in HER2-negative disease only." in told("VC", {"hr": "1", "her2": "1"})
    assert describe(catalogue(), "VC").closed == ""


def test_an_arm_of_which_nothing_is_declared_is_told_by_names() -> None:
    bare = replace(catalogue(), details=(), formulary=())
    assert list(describe(bare, "Paclitaxel", {}).lines()) == [
        "Paclitaxel",
        "paclitaxel: Nothing is declared of it.",
    ]


def test_an_unknown_arm_cannot_be_told() -> None:
    with pytest.raises(TherapyError, match="unknown intervention 'X'"):
        describe(catalogue(), "X")
