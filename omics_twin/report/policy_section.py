"""The section of the page of results on the value of following the ranking."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from omics_twin.report.markdown import as_sentence, plain, table
from omics_twin.report.policy import (
    interval,
    policy_caption,
    policy_notes,
    policy_rows,
    rule_title,
    shown,
)
from omics_twin.report.words import counted


def policy(found: Mapping[str, Any]) -> list[str]:
    """Return the value of every rule, the support it rests on and whether benefits come true."""
    worth = found.get("policy") or {}
    if not worth:
        return []
    lines = ["### Value of following the ranking", ""]
    if worth.get("rules"):
        lines += [plain(as_sentence(policy_caption(worth))), "", *_rule_table(worth)]
        for note in policy_notes(worth):
            lines += [plain(as_sentence(note)), ""]
        lines += [*_gains(worth), *_arm_table(worth), *_benefits(worth)]
    for rule, reason in (worth.get("not_judged") or {}).items():
        who = "Nothing could be judged" if rule == "all" else f"Not judged: {rule_title(rule)}"
        lines += [plain(f"{who}: {reason}"), ""]
    return lines


def _rule_table(worth: Mapping[str, Any]) -> list[str]:
    header, *rows = policy_rows(worth)
    sign = 1 if worth["higher_is_better"] else -1
    values = [sign * float(row[1]) for row in rows]
    best = max(values)
    marked = [
        [plain(row[0]), f"**{row[1]}**" if value == best else row[1], *row[2:]]
        for row, value in zip(rows, values, strict=True)
    ]
    return table([f"{header[0]}rule", f"value {'↑' if sign > 0 else '↓'}", *header[2:]], marked)


def _gains(worth: Mapping[str, Any]) -> Iterator[str]:
    """Yield whom the ranking is better than, whom it is not, and whom it cannot be told from."""
    told: dict[str, list[str]] = {"above": [], "below": [], "around": []}
    for name, rule in worth["rules"].items():
        gain = rule["gain"]
        if gain:
            side = "above" if gain["lower"] > 0 else "below" if gain["upper"] < 0 else "around"
            told[side].append(rule_title(name))
    for side, sentence in (
        ("above", "Worth less than the ranking (the interval of the gain is above 0)"),
        ("around", "Not told apart from the ranking (the interval holds 0)"),
        ("below", "Worth more than the ranking (the interval is below 0)"),
    ):
        if told[side]:
            yield f"{sentence}: {plain('; '.join(told[side]))}."
            yield ""


def _arm_table(worth: Mapping[str, Any]) -> list[str]:
    support, judged = worth["overlap"], worth["calibration"]
    rows = []
    for arm, each in support["arms"].items():
        cell = judged.get(arm)
        rows.append(
            [
                plain(arm),
                str(each["patients"]),
                f"{each['effective_patients']:.0f}",
                f"{100 * worth['chosen'].get(arm, 0.0):.0f} %",
                *(
                    [shown(worth, cell["predicted"]), shown(worth, cell["estimated"])]
                    if cell
                    else ["", ""]
                ),
                interval(worth, cell) if cell else "",
            ]
        )
    header = ["therapy", "received by", "effective", "ranked first", "predicted mean"]
    return [
        *table([*header, "estimated mean", "95 % interval"], rows),
        f"The smallest propensity of a therapy received is {support['smallest']:.3f}; it is below "
        f"0.05 in {100 * support['thin']:.1f} % of patients and below 0.02 in "
        f"{100 * support['very_thin']:.1f} %.",
        "",
    ]


def _benefits(worth: Mapping[str, Any]) -> Iterator[str]:
    targeting = worth.get("targeting") or {}
    pair = plain(f"{targeting.get('arm')} over {targeting.get('control')}")
    for found, what in (
        (worth.get("benefit"), "the therapy ranked first over the best single arm"),
        (targeting.get("benefit"), pair),
    ):
        if found:
            yield (
                f"Calibration of benefit, {what}: slope {found['slope']:.2f} "
                f"(standard error {found['slope_error']:.2f}), mean estimated less predicted "
                f"{shown(worth, found['mean_gap'], signed=True)} "
                f"(standard error {shown(worth, found['mean_gap_error'])})."
            )
            yield ""
    for key, name in (("autoc", "AUTOC"), ("qini", "Qini")):
        if targeting.get(key):
            each = targeting[key]
            yield (
                f"Targeting, {pair}, {counted(targeting['n'], 'patient')}: {name} "
                f"{shown(worth, each['estimate'], signed=True)} (95 % interval "
                f"{interval(worth, each, signed=True)})."
            )
            yield ""
