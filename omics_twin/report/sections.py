"""The sections of the page of results, as lines of Markdown: numbers of cohorts, never of patients.

What a run did not measure has no section. The best value of a column is bold, whoever's it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from omics_twin.report.console import (
    Column,
    cause_learners,
    metric_columns,
    truth_columns,
    truth_lines,
    verdict_lines,
    visit_learners,
)
from omics_twin.report.fairness import group_lines
from omics_twin.report.markdown import as_sentence, numbers, plain, table, text_of
from omics_twin.report.words import counted

_TWIN = "omics_twin"

_KNOWN = {
    "endpoint",
    "outcome",
    "cohort",
    "n",
    "folds",
    "repeats",
    "model",
    "baselines",
    "by_cause",
    "by_visit",
    "course",
    "truth",
    "policy",
    "calibration",
    "paired",
    "by_landmark",
    "next_visit",
    "forecasts",
    "by_scans_known",
    "by_group",
    "one_ahead",
    "calibration_of_forecasts",
    "subgroups",
    "fairness",
}

_KNOWN_OF_TRUTH = {
    "model",
    "baselines",
    "interval_coverage",
    "best_single_arm",
    "own_best_arm",
}


def prediction(found: Mapping[str, Any]) -> list[str]:
    """Return the twin beside every baseline on the same folds."""
    rows = {_TWIN: found["model"], **found["baselines"]}
    columns = metric_columns(rows) + truth_columns(found.get("truth"), list(rows))
    lines = ["### Prediction, held out", "", *_metric_table("", list(rows), columns)]
    for sentence in [*truth_lines(found.get("truth")), *verdict_lines(rows)]:
        lines += [f"{plain(as_sentence(sentence))}", ""]
    rest = {k: v for k, v in (found.get("truth") or {}).items() if k not in _KNOWN_OF_TRUTH}
    return [*lines, *numbers(rest)]


def causes(found: Mapping[str, Any]) -> list[str]:
    """Return how the incidence of every cause of an event was foreseen."""
    measured = found.get("by_cause") or {}
    if not measured:
        return []
    return [
        "### Every cause of the event",
        "",
        "Incidence under the therapy received, the other causes competing with it. Bold is the "
        "best for that cause.",
        "",
        *_compared(
            "cause",
            {f"{n}, {each['events']} events": cause_learners(each) for n, each in measured.items()},
        ),
    ]


def visits(found: Mapping[str, Any]) -> list[str]:
    """Return the metrics of the twin and of its baseline as visits come in."""
    measured = found.get("by_visit") or {}
    if not measured:
        return []
    return [
        "### As visits come in",
        "",
        "On the patients who have all visits. A baseline sees the same visits, and is trained on "
        "such patients of the training folds only. Bold is the best at that visit.",
        "",
        *_compared(
            "shown",
            {f"to {v}, n = {each['n']}": visit_learners(each) for v, each in measured.items()},
        ),
    ]


def course(found: Mapping[str, Any]) -> list[str]:
    """Return how what is measured under therapy was foreseen, by the twin and by baselines."""
    foreseen = found.get("course") or {}
    if not foreseen:
        return []
    return [
        "### Visits foreseen",
        "",
        "Each measurement, foreseen from all visits before it by members that never saw the "
        "patient; errors in its own unit. Bold is the best at that visit.",
        "",
        *_compared(
            "measurement",
            {f"{n}, {v}": each for n, visits in foreseen.items() for v, each in visits.items()},
        ),
    ]


def landmarks(found: Mapping[str, Any]) -> list[str]:
    """Return how events were foreseen from each landmark on, by the twin and by baselines."""
    measured = found.get("by_landmark") or {}
    if not measured:
        return []
    return [
        "### Events foreseen from landmarks",
        "",
        "Of those event-free on the day, shown all visits until then. Bold is the best there.",
        "",
        *_compared(
            "from",
            {
                f"{day}, n = {each['n']}, events {each['events']}": visit_learners(
                    {**each["model"], "baselines": each["baselines"]}
                )
                for day, each in measured.items()
            },
        ),
    ]


def next_visit(found: Mapping[str, Any]) -> list[str]:
    """Return how each measurement was foreseen one visit ahead."""
    measured = found.get("next_visit") or {}
    if not measured:
        return []
    return ["### The next visit foreseen", "", *numbers(measured)]


def forecasts(found: Mapping[str, Any]) -> list[str]:
    """Return how forecasts get better with every visit, and how they are of each group."""
    lines = []
    ahead, known = found.get("one_ahead") or {}, found.get("by_scans_known") or {}
    if ahead:
        rows = {_TWIN: ahead["model"], **ahead["baselines"]}
        lines += [f"### {plain(as_sentence(ahead['endpoint']))[:-1]}", ""]
        lines += _metric_table("", list(rows), metric_columns(rows))
    for question, groups_of in (found.get("by_group") or {}).items():
        lines += [f"### By group, {plain(question)}", "", *_compared("group", groups_of)]
    if known:
        told = {
            f"{number} known": {
                name: {"crps": {"mean": score, "sd": None}} for name, score in scores.items()
            }
            for number, scores in known.items()
        }
        lines += ["### By how many visits were known", "", *_compared("visits", told)]
    return [*lines, *numbers(found.get("calibration_of_forecasts") or {})]


def _compared(corner: str, measured: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return one table in which several learners are compared several times."""
    header: list[str] = []
    rows: list[list[str]] = []
    for what, learners in measured.items():
        columns = metric_columns(learners)
        header = [corner, "", *_metric_names(columns)]
        cells = [column.texts("**{}**", "{}") for column in columns]
        rows += [[plain(what), plain(n), *cell] for n, *cell in zip(learners, *cells, strict=True)]
    return table(header, rows)


def paired(found: Mapping[str, Any]) -> list[str]:
    """Return the twin less every baseline on the same patients and folds, with intervals."""
    differences = found.get("paired") or {}
    if not differences:
        return []
    # The columns know in which direction a metric is better.
    columns = metric_columns(differences)
    cells = [[_difference(cell) for cell in column.cells] for column in columns]
    header = ["omics_twin less", *(f"{name} (95 % interval)" for name in _metric_names(columns))]
    rows = [[plain(name), *row] for name, *row in zip(differences, *cells, strict=True)]
    return [
        "### Paired differences",
        "",
        "On the same patients and folds; the interval is over resamples of the patients. Where it "
        "holds 0, no difference has been shown.",
        "",
        *table(header, rows),
    ]


def calibration(found: Mapping[str, Any]) -> list[str]:
    """Return how often intervals and probabilities hold, as the run has measured it."""
    if not found.get("calibration"):
        return []
    title = "### Calibration of intervals and probabilities"
    return [title, "", *numbers(found["calibration"])]


def groups(found: Mapping[str, Any]) -> list[str]:
    """Return whether a group of patients is served worse than the others."""
    lines = group_lines(found)
    if not lines:
        return []
    shown = [line for sentence in lines for line in (plain(as_sentence(sentence)), "")]
    return ["### Groups of patients", "", *shown]


def unknown(found: Mapping[str, Any]) -> list[str]:
    """Return a line that names what the run has measured and this page does not show."""
    names = [name for name in found if name not in _KNOWN and found[name]]
    if not names:
        return []
    return [f"Not shown here, in the run's metrics.json: {plain(', '.join(names))}.", ""]


def ablation(found: Mapping[str, Any]) -> list[str]:
    """Return what each modality adds, and what is lost when it is missing at the bedside."""
    variants = found["variants"]
    bedside = [name for name, each in variants.items() if each["missing_at_bedside"]]
    trained = [name for name in variants if name not in bedside]
    measured = ", ".join(f"{name} {n}" for name, n in found["measured_patients"].items())
    lines = ["### What each modality adds", "", f"Patients measured: {plain(measured)}.", ""]
    lines += _variant_table("trained with", trained, found)
    if bedside:
        whole = [name for name in trained if not variants[name]["hidden_in_training"]]
        lines += ["### What is lost at the bedside", ""]
        lines += ["Trained with every modality; one was not measured when it was asked.", ""]
        lines += _variant_table("asked with", [*whole, *bedside], found)
    return lines


def search(found: Mapping[str, Any]) -> list[str]:
    """Return what searched settings are worth on patients who took no part in the choice."""
    nested = found["nested"]
    who = ("searched", "default")
    cells = {
        f"{name} settings": {
            metric: None if value is None else {"mean": value, "sd": None}
            for metric, value in nested[name].items()
        }
        for name in who
    }
    gain = nested["difference"]
    chosen = ", ".join(f"{key} {text_of(value)}" for key, value in found["chosen"].items())
    return [
        "### Search of settings, nested",
        "",
        f"Judged on {counted(nested['outer_folds'], 'outer fold')} that took no part in the "
        f"choice, which was by {plain(found['loss'])} on inner folds; at least "
        f"{counted(min(map(len, found['trials'].values())), 'trial')} for each choice.",
        "",
        *_metric_table("", list(cells), metric_columns(cells)),
        f"{plain(found['headline'])}, searched less default: {gain['mean']:+.3f} "
        f"(95 % interval {gain['lower']:+.3f} to {gain['upper']:+.3f}).",
        "",
        f"Chosen on all patients: {plain(chosen)}."
        if chosen
        else "Chosen on all patients: the default settings, which no trial beat.",
        "",
    ]


def _metric_table(corner: str, names: Sequence[str], columns: Sequence[Column]) -> list[str]:
    header = [corner, *_metric_names(columns)]
    cells = [each.texts("**{}**", "{}") for each in columns]
    return table(header, [[plain(name), *row] for name, *row in zip(names, *cells, strict=True)])


def _metric_names(columns: Sequence[Column]) -> list[str]:
    sign = {1: " ↑", -1: " ↓", 0: ""}
    return [plain(each.name) + sign[each.direction] for each in columns]


def _variant_table(corner: str, names: Sequence[str], found: Mapping[str, Any]) -> list[str]:
    rows = {name: found["variants"][name]["metrics"] for name in names}
    lines = _metric_table(corner, names, metric_columns(rows))[:-1]
    added = [f"{plain(found['headline'])} less all (95 % interval)", "---"]
    added += [_difference(found["variants"][name].get("difference_to_all")) for name in names]
    ends = [" |", "|", *(" |" for _ in names)]
    starts = [" ", "", *(" " for _ in names)]
    parts = zip(lines, starts, added, ends, strict=True)
    return [*(line + start + cell + end for line, start, cell, end in parts), ""]


def _difference(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return ""
    return f"{found['mean']:+.3f} ({found['lower']:+.3f} to {found['upper']:+.3f})"
