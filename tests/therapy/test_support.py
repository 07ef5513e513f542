"""What a comparison rests on is counted, and every exclusion has its reason."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omics_twin.errors import TherapyError
from omics_twin.therapy.catalogue import Catalogue
from omics_twin.therapy.support import Support, stratum_key, stratum_values
from omics_twin.trust.privacy import shown_count
from tests.therapy.declared import catalogue, changed

CATALOGUE = Catalogue("trial", ("a", "b", "c"), ("a", "b", "c"), (("a",), ("b",), ("c",)), 3)
STRATA = ["hr 1"] * 8 + ["hr 0"] * 7
ARMS = [*"aaaaaabb", *"abbbbbb"]


def support() -> Support:
    return Support.of(["hr"], STRATA, ARMS)


def test_training_patients_are_counted_by_stratum_and_arm() -> None:
    _, counts, _ = support().judge(CATALOGUE, ["hr 1", "hr 0"])
    # One stands for one to four.
    assert counts.tolist() == [[6.0, 1.0, 0.0], [1.0, 6.0, 0.0]]


def test_an_arm_nobody_of_the_stratum_received_is_closed() -> None:
    eligible, _, reasons = support().judge(CATALOGUE, ["hr 1"])
    assert eligible.tolist() == [[True, True, False]]
    assert reasons[0][2] == "not open: no patient with hr 1 was assigned to it"


def test_thin_support_is_open_and_said() -> None:
    _, _, reasons = support().judge(CATALOGUE, ["hr 1", "hr 0"])
    assert reasons[0][0] == ""
    assert reasons[0][1] == "thin support: fewer than 5 training patients with hr 1 received it"
    assert reasons[1][1] == ""


def test_nothing_is_open_to_a_stratum_never_seen() -> None:
    eligible, _, reasons = support().judge(CATALOGUE, ["hr not measured"])
    assert eligible.tolist() == [[False, False, False]]
    assert set(reasons[0]) == {"no training patient with hr not measured"}


def test_without_columns_everyone_is_one_stratum() -> None:
    everyone = Support.of([], [stratum_key((), ())] * 2, ["a", "b"])
    eligible, _, reasons = everyone.judge(CATALOGUE, [stratum_key((), ())])
    assert eligible.tolist() == [[True, True, False]]
    assert reasons[0][2] == "not open: no patient in training was assigned to it"


def test_support_survives_storage() -> None:
    stored = Support.from_json(support().to_json())
    assert stored.to_json() == support().to_json()
    assert stored.judge(CATALOGUE, ["hr 1"])[2] == support().judge(CATALOGUE, ["hr 1"])[2]
    assert stored.told_of("hr 1") == support().told_of("hr 1") == "at most 10"


COLUMNS = ("hr", "her2")


def received(**arms: dict[str, int]) -> Support:
    """Return patients by arm and HER2 status; all of them HR-positive."""
    given = [
        (arm, her2) for arm, her2s in arms.items() for her2, n in her2s.items() for _ in range(n)
    ]
    keys = [stratum_key(COLUMNS, ["1", her2]) for _, her2 in given]
    return Support.of(COLUMNS, keys, [arm for arm, _ in given])


def test_a_declared_rule_closes_an_arm_that_patients_received() -> None:
    found = received(Ctr={"0": 4, "1": 4}, VC={"0": 9, "1": 4}, HP={"1": 5})
    eligible, support, reasons = found.judge(catalogue(), ["hr 1 | her2 1", "hr 1 | her2 0"])
    assert eligible.tolist() == [[True, False, True], [True, True, False]]
    assert support.tolist() == [[1.0, 1.0, 5.0], [1.0, 9.0, 0.0]]
    assert reasons[0][1] == "not open: tested in HER2-negative disease only"
    assert reasons[1][2] == "not open: both antibodies bind HER2"


def test_an_arm_that_is_declared_open_still_needs_patients() -> None:
    eligible, _, reasons = received(Ctr={"0": 4}).judge(catalogue(), ["hr 1 | her2 0"])
    assert eligible.tolist() == [[True, False, False]]
    assert reasons[0][1] == "not open: no patient with hr 1 | her2 0 was assigned to it"


def test_an_arm_is_not_open_where_its_marker_was_not_measured() -> None:
    unknown = "hr 1 | her2 not measured"
    found = received(Ctr={"not measured": 5}, VC={"not measured": 5, "0": 20}, HP={"1": 5})
    eligible, _, reasons = found.judge(catalogue(), [unknown])
    assert eligible.tolist() == [[True, False, False]]
    expected = "not open: her2 not measured; tested in HER2-negative disease only"
    assert reasons[0][1] == expected


def test_exceptions_are_told_and_learned_from() -> None:
    found = received(Ctr={"0": 4, "1": 4}, VC={"0": 9, "1": 1}, HP={"1": 5, "0": 2})
    assert found.check_declared(catalogue()) == (
        "1 patient with hr 1 | her2 1 received 'VC', which is declared closed to that stratum "
        "(tested in HER2-negative disease only): learned from, and the arm stays closed",
        "2 patients with hr 1 | her2 0 received 'HP', which is declared closed to that stratum "
        "(both antibodies bind HER2): learned from, and the arm stays closed",
    )


def test_data_that_agree_with_the_declaration_need_no_note() -> None:
    assert (
        received(Ctr={"0": 4, "1": 4}, VC={"0": 9}, HP={"1": 5}).check_declared(catalogue()) == ()
    )


def test_a_rule_against_most_of_an_arms_patients_is_wrong() -> None:
    with pytest.raises(TherapyError, match=r"6 of the 11 patients who received 'VC' .* correct"):
        received(Ctr={"0": 1}, VC={"0": 5, "1": 6}, HP={"1": 5}).check_declared(catalogue())


def test_a_rule_is_not_wrong_because_its_marker_was_seldom_measured() -> None:
    found = received(Ctr={"0": 1, "1": 1}, VC={"0": 1, "not measured": 6})
    (note,) = found.check_declared(catalogue())
    assert note.startswith("6 patients with hr 1 | her2 not measured received 'VC'")


def test_a_value_that_nobody_has_is_told() -> None:
    misspelt = catalogue(
        changed('{her2: ["1"]}, reason: standard', "{her2: [yes_]}, reason: standard")
    )
    found = received(Ctr={"0": 4, "1": 4}, VC={"0": 9}, HP={"1": 5})
    assert found.check_declared(misspelt) == (
        "arm 'Ctr' depends on her2 yes_, which no training patient has; found: '0', '1'",
    )


def test_rules_are_on_the_strata_that_were_counted() -> None:
    with pytest.raises(TherapyError, match="depends on 'her2', which is not a stratum"):
        Support.of(["hr"], STRATA, ["Ctr"] * len(STRATA)).check_declared(catalogue())


@pytest.mark.parametrize(
    "key", ["everyone", "hr 1", "her2 0 | hr 1", "hr 1 | her2 0 | her2 1", "hr1 | her2 0", ""]
)
def test_a_stratum_that_is_not_of_these_columns_is_refused(key: str) -> None:
    with pytest.raises(TherapyError, match="does not give one value of each of 'hr', 'her2'"):
        received(Ctr={"0": 1}).judge(catalogue(), [key])


@settings(deadline=None)
@given(st.lists(st.text(st.characters(exclude_characters="|"), max_size=9), min_size=1, max_size=4))
def test_a_strata_name_gives_back_its_values(values: list[str]) -> None:
    columns = [f"column.{index}" for index in range(len(values))]
    assert list(stratum_values(columns, stratum_key(columns, values)).values()) == values


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from(["0", "1", "not measured", "2", ""]),
    st.dictionaries(
        st.sampled_from(["0", "1", "not measured", "2", ""]), st.integers(1, 30), max_size=5
    ),
)
def test_an_arm_is_open_only_by_declaration_and_by_patients(her2: str, vc: dict[str, int]) -> None:
    eligible, support, reasons = received(VC=vc).judge(catalogue(), [f"hr 1 | her2 {her2}"])
    opened = bool(eligible[0, 1])
    assert opened == (her2 == "0" and vc.get("0", 0) > 0)
    assert support[0, 1] == shown_count(vc.get(her2, 0))
    assert opened or reasons[0][1]
