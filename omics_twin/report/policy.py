"""The value of following the ranking in words: a table for a terminal, a sentence for a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_TWIN, _SINGLE = "omics_twin", "best_single_arm"
_FEW = 30


def rule_title(name: str) -> str:
    """Return a rule's name as a person reads it.

    Examples
    --------
    >>> rule_title("best_per_receptor_subtype"), rule_title("ridge_cox")
    ('best arm per receptor subtype', 'ranking of ridge cox')
    """
    if name == _TWIN:
        return "ranking of the twin"
    words = name.replace("_", " ")
    if name in ("therapy_received", _SINGLE) or name.startswith("everyone_"):
        return words
    if name.startswith("best_per_"):
        return words.replace("best per", "best arm per")
    return f"ranking of {words}"


def policy_rows(found: Mapping[str, Any]) -> list[list[str]]:
    """Return the value of every rule as text, a header first."""
    rows = [["", "value", "95 % interval", "patients", "ranking's gain", "95 % interval"]]
    for name, rule in found["rules"].items():
        gain = rule["gain"]
        rows.append(
            [
                rule_title(name),
                shown(found, rule["value"]),
                interval(found, rule),
                f"{rule['effective_patients']:.0f}",
                shown(found, gain["mean"], signed=True) if gain else "",
                interval(found, gain, signed=True) if gain else "",
            ]
        )
    return rows


def policy_caption(found: Mapping[str, Any]) -> str:
    """Return what the values are and what they were estimated from."""
    return (
        f"value of following a rule: {_unit(found)}, {found['n']} patients, doubly robust, "
        f"{_assigned(found)}"
    )


def policy_notes(found: Mapping[str, Any]) -> list[str]:
    """Return what is to be read below the table."""
    return [
        "patients = how many outcomes the value rests on; gain > 0: the twin's ranking is worth "
        "more",
        *_few(found["rules"]),
        *_covered(found["rules"]),
    ]


def policy_lines(found: Mapping[str, Any] | None) -> list[str]:
    """Return the value of every rule as the lines of a table; none where it was not judged."""
    if not found or not found.get("rules"):
        return []
    lines = _aligned(policy_rows(found))
    ruler = "-" * max(map(len, lines))
    return ["", policy_caption(found), lines[0], ruler, *lines[1:], *policy_notes(found)]


def policy_sentence(found: Mapping[str, Any] | None) -> str:
    """Return what following the ranking was worth in the training cohort; empty if not judged."""
    if not found or not found.get("rules"):
        return ""
    rules = found["rules"]
    twin, single = rules[_TWIN], rules[_SINGLE]
    gain = single["gain"]
    return (
        f"Had the therapy ranked first been given to everyone in the training cohort, the "
        f"{_unit(found)} would have been {shown(found, twin['value'])} "
        f"({interval(found, twin)}); with the best single arm {shown(found, single['value'])}: "
        f"a gain of {shown(found, gain['mean'])} ({interval(found, gain)}, "
        f"{_assigned(found)}). An estimate from {twin['effective_patients']:.0f} patients' worth "
        "of outcomes, not a trial."
    )


def _assigned(found: Mapping[str, Any]) -> str:
    if found["assignment"] == "RANDOMISED":
        return "therapies given by lot"
    return "therapies not given by lot: only what was measured is adjusted for"


def _unit(found: Mapping[str, Any]) -> str:
    if found["horizon_days"] is not None:
        return f"mean days without the event up to day {found['horizon_days']:g}"
    if found["unit"] == "probability":
        return "share with the outcome"
    return f"mean outcome [{found['unit']}]"


def _few(rules: Mapping[str, Any]) -> list[str]:
    worth = rules[_TWIN]["effective_patients"]
    if worth >= _FEW:
        return []
    return [
        f"the value of the ranking rests on the outcomes of {worth:.0f} patients: too few to rely "
        "on"
    ]


def _covered(rules: Mapping[str, Any]) -> list[str]:
    known = [rule["covered"] for rule in rules.values() if "covered" in rule]
    if not known:
        return []
    true = rules[_TWIN]["truth"]
    return [
        f"truth: the intervals hold the true value of {sum(known)} of {len(known)} rules; the "
        f"ranking's true value is {true:.3f}"
    ]


def shown(found: Mapping[str, Any], value: float, *, signed: bool = False) -> str:
    """Return a value in the digits that its unit deserves."""
    digits = 1 if found["horizon_days"] is not None else 3
    return f"{value:{'+' if signed else ''}.{digits}f}"


def interval(found: Mapping[str, Any], rule: Mapping[str, float], *, signed: bool = False) -> str:
    """Return both ends of an interval."""
    ends = [shown(found, rule[key], signed=signed) for key in ("lower", "upper")]
    return " to ".join(ends)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "   ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
