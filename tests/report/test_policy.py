"""The value of following the ranking as a table for a terminal and a sentence for a page."""

from __future__ import annotations

from typing import Any

from omics_twin.report.policy import policy_lines, policy_sentence


def _rule(value: float, gain: float | None, patients: float = 90.0) -> dict[str, Any]:
    ends = {"lower": value - 0.05, "upper": value + 0.05}
    told = None
    if gain is not None:
        told = {"mean": gain, "lower": gain - 0.02, "upper": gain + 0.02}
    return {"value": value, **ends, "effective_patients": patients, "gain": told}


def _found(**changes: Any) -> dict[str, Any]:
    return {
        "unit": "probability",
        "horizon_days": None,
        "assignment": "RANDOMISED",
        "n": 883,
        "rules": {
            "omics_twin": _rule(0.52, None),
            "ridge_interactions": _rule(0.5, 0.02),
            "best_single_arm": _rule(0.45, 0.07),
            "therapy_received": _rule(0.32, 0.2, 883.0),
        },
    } | changes


def test_every_rule_has_a_line_with_its_gain() -> None:
    lines = policy_lines(_found())
    assert "883 patients" in lines[1]
    assert "by lot" in lines[1]
    single = next(line for line in lines if line.startswith("best single arm"))
    assert single.split("   ")[-1].strip() == "+0.050 to +0.090"
    assert "+0.070" in single
    assert any(line.startswith("ranking of ridge interactions") for line in lines)
    assert not any("too few" in line for line in lines)


def test_a_value_of_few_outcomes_is_not_to_be_relied_on() -> None:
    found = _found()
    found["rules"]["omics_twin"] = _rule(0.52, None, 19.0)
    assert any("19 patients: too few" in line for line in policy_lines(found))


def test_what_was_chosen_and_not_drawn_is_said_to_be_adjusted_only() -> None:
    assert "not given by lot" in policy_lines(_found(assignment="OBSERVATIONAL"))[1]


def test_survival_is_told_in_days() -> None:
    lines = policy_lines(_found(unit="day", horizon_days=548.0))
    assert "up to day 548" in lines[1]


def test_where_the_truth_is_known_it_is_told() -> None:
    found = _found()
    for rule in found["rules"].values():
        rule |= {"truth": rule["value"], "covered": True}
    assert policy_lines(found)[-1].startswith("truth: the intervals hold the true value of 4 of 4")


def test_the_sentence_names_the_gain_over_the_best_single_arm() -> None:
    sentence = policy_sentence(_found())
    assert "0.520 (0.470 to 0.570)" in sentence
    assert "a gain of 0.070 (0.050 to 0.090" in sentence


def test_nothing_is_said_where_nothing_was_judged() -> None:
    for found in (None, {}, {"not_judged": {"all": "too few"}}):
        assert policy_lines(found) == []
        assert policy_sentence(found) == ""
