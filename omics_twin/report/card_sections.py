"""What does a model card say beside TRIPOD+AI? Its tables, domain of validity, privacy, version."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omics_twin.evaluate.score import HIGHER_IS_BETTER
from omics_twin.lifecycle.validity import UNLIKE, policy_of
from omics_twin.report import living_card
from omics_twin.report.card_facts import (
    attack_in_words,
    cohort_title,
    patients_in_words,
    people_in_words,
    performance_in,
    settings_in,
)
from omics_twin.report.card_results import limits_in
from omics_twin.report.words import (
    METRIC_NAMES,
    counted,
    mean_and_spread,
    name_in_words,
    percent,
    visible,
)
from omics_twin.settings import Unlike
from omics_twin.tracking import AnyModel, TrainedModel
from omics_twin.visits.living import LivingModel


@dataclass(frozen=True)
class Table:
    """A table in words; the first cell of a row is its heading."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Section:
    """One part of the card."""

    title: str
    sentences: tuple[str, ...]
    tables: tuple[Table, ...] = ()


def sections_of(model: AnyModel) -> tuple[Section, ...]:
    """Return the card's sections, in order; none is empty."""
    if isinstance(model, LivingModel):
        return (
            _use(model),
            _data(model),
            _performance(model),
            Section("Calibration", living_card.calibration_of(model)),
            _subgroups(model),
            Section("Limits", living_card.limits_of(model)),
            Section("Domain of validity", living_card.domain_of(model)),
            Section("What was synthetic", living_card.synthetic_of(model)),
            Section("Privacy", living_card.privacy_of(model)),
            _version(model),
        )
    return (
        _use(model),
        _data(model),
        _performance(model),
        _calibration(model),
        _subgroups(model),
        Section("Limits", limits_in(model)),
        _domain(model),
        _synthetic(model),
        _privacy(model),
        _version(model),
    )


def _use(model: AnyModel) -> Section:
    meant, against = (
        settings_in(model, "card", "intended_use"),
        settings_in(model, "card", "not_for"),
    )
    return Section(
        "Intended use",
        (
            "Research use only: not a medical device and not for choosing a treatment.",
            f"Intended use, stated by a person: {visible(str(meant))}"
            if meant
            else "Intended use: a person must supply it as card.intended_use in the experiment.",
            f"Not for, stated by a person: {visible(str(against))}"
            if against
            else "Not for: a person must supply it as card.not_for in the experiment.",
            "Not for patients who would not have met the entry criteria of the training cohort, "
            "nor for those outside the domain of validity below.",
        ),
    )


def _data(model: AnyModel) -> Section:
    known = model.provenance
    return Section(
        "Data",
        (
            f"Cohort: {cohort_title(model)} ({visible(str(known.get('cohort')))}); "
            f"{patients_in_words(model)}.",
            f"Fingerprint of its files: {known.get('fingerprint', 'not recorded')}.",
            f"Basis of use: {known.get('permission', 'not recorded')}.",
            f"Trained on {known.get('trained_on', 'a day that is not recorded')}; dates of accrual "
            "and follow-up: item 5b.",
        ),
    )


def _performance(model: AnyModel) -> Section:
    found = performance_in(model)
    if not found:
        return Section("Performance", ("Performance was not recorded.",))
    rows = {"this twin": found["model"], **found["baselines"]}
    intervals = found.get("intervals") or {}
    over = counted(found.get("repeats", 1), "repeat")
    if "repeats" not in found and found.get("by_fold"):
        over = counted(len(next(iter(found["by_fold"].values()))), "fold")
    tables = [_spread_table(over, rows)]
    if intervals:
        tables.append(_interval_table(intervals))
    if found.get("paired"):
        tables.append(_paired_table(found["paired"]))
    return Section(
        "Performance",
        (
            f"{counted(int(found['n']), 'patient')}, {living_card.protocol_of(model)}. Measured: "
            f"{visible(str(found['endpoint']))}."
            if isinstance(model, LivingModel)
            else f"{counted(int(found['n']), 'patient')} with a known outcome, each answered by "
            "members that never saw them, under the therapy received.",
        ),
        (*tables, *_further(found)),
    )


def _further(found: Mapping[str, Any]) -> list[Table]:
    """Return what a twin of visits is also asked: each landmark, and the next visit."""
    tables = [
        _spread_table(
            f"repeats, from {name} on ({at['n']} patients, {at['events']} events)",
            {"this twin": at["model"], **at["baselines"]},
        )
        for name, at in (found.get("by_landmark") or {}).items()
    ]
    ahead = found.get("one_ahead")
    if ahead:
        rows = {"this twin": ahead["model"], **ahead["baselines"]}
        tables.append(_spread_table(f"folds, {ahead['endpoint']}", rows))
    # Signs scored yes or no have other scores than numbers.
    alike: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
    for name, cell in (found.get("next_visit") or {}).items():
        alike.setdefault(tuple(cell), []).append((_plain(name), *map(_number, cell.values())))
    for names, lines in alike.items():
        columns = ("Measurement", *map(_metric, names))
        tables.append(Table("One visit ahead", columns, tuple(lines)))
    return tables


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.3g}"


def _named(name: str) -> str:
    return "This twin" if name in ("this twin", "model") else f"Baseline: {_plain(name)}"


def _plain(name: str) -> str:
    return visible(name_in_words(name))


def _metric(name: str) -> str:
    better = {True: ", higher is better", False: ", lower is better", None: ""}
    return METRIC_NAMES.get(name, _plain(name)) + better[HIGHER_IS_BETTER.get(name)]


def _spread_table(over: str, rows: Mapping[str, Any]) -> Table:
    names = list(dict.fromkeys(metric for each in rows.values() for metric in each))
    return Table(
        f"Held out, mean ± standard deviation over {over}",
        ("Learner", *(_metric(name) for name in names)),
        tuple(
            (_named(row), *(mean_and_spread(each.get(name)) for name in names))
            for row, each in rows.items()
        ),
    )


def _interval_table(intervals: Mapping[str, Any]) -> Table:
    names = list(dict.fromkeys(metric for each in intervals.values() for metric in each))
    return Table(
        "The same with 95 % intervals over patients",
        ("Learner", *(_metric(name) for name in names)),
        tuple(
            (_named(row), *(_interval(each.get(name)) for name in names))
            for row, each in intervals.items()
        ),
    )


def _paired_table(paired: Mapping[str, Any]) -> Table:
    names = list(dict.fromkeys(metric for each in paired.values() for metric in each))
    return Table(
        "This twin less each baseline, patient by patient, 95 % intervals",
        ("Less", *(_metric(name) for name in names)),
        tuple(
            (_plain(row), *(_interval(each.get(name), signed=True) for name in names))
            for row, each in paired.items()
        ),
    )


def _interval(cell: Mapping[str, Any] | None, *, signed: bool = False) -> str:
    if not cell or cell.get("value", cell.get("mean", cell.get("difference"))) is None:
        return "not known"
    middle = cell.get("value", cell.get("mean", cell.get("difference")))
    shape = "+.3f" if signed else ".3f"
    if cell.get("lower") is None or cell.get("upper") is None:
        return f"{middle:{shape}}"
    return f"{middle:{shape}} ({cell['lower']:{shape}} to {cell['upper']:{shape}})"


def _calibration(model: TrainedModel) -> Section:
    found = performance_in(model).get("calibration") or {}
    told = [
        f"{METRIC_NAMES.get(name, name)}: {mean_and_spread(cell)}."
        for name, cell in (performance_in(model).get("model") or {}).items()
        if name in ("ece", "ici_at_horizon", "d_calibration_p")
    ]
    for place, what in (("copy", "on a simulated copy of the cohort"), ("truth", "on the truth")):
        after = (found.get(place) or {}).get("after")
        if after:
            held = [
                f"{percent(round(after[each]['coverage'], 3))} of {words}"
                for each, words in (("expected", "expected values"), ("benefit", "differences"))
                if after[each]["coverage"] is not None
            ]
            level = percent(model.calibration.level)
            told.append(f"Intervals of {level} held {' and '.join(held)} {what}.")
    response = found.get("response") or {}
    if response.get("slope") is not None:
        told.append(f"Calibration slope of the response: {response['slope']:.2f} (1 is perfect).")
    if not told:
        told = ["Calibration was not measured."]
    if not model.calibration.fitted:
        told.append("Intervals are the model's own belief: no coverage is claimed.")
    return Section("Calibration", tuple(told))


def _subgroups(model: AnyModel) -> Section:
    rows = performance_in(model).get("subgroups")
    if not rows:
        return Section(
            "Subgroups",
            ("Performance in subgroups was not measured: nothing is known of its fairness.",),
        )
    shown = [row for row in rows if not row.get("suppressed")]
    left_out = sum(int(row.get("suppressed") or 0) for row in rows)
    told = (
        "Held-out performance by group, with 95 % intervals, and where the group differs from "
        f"everybody else; {left_out} groups that are too small are not told."
    )
    tables = [_by_group("Performance by subgroup", shown, "measures", _metric, _interval)]
    tested = [row for row in shown if row.get("gaps")]
    if tested:
        tables.append(
            _by_group(
                "The group less everybody else, corrected for all that were tested",
                tested,
                "gaps",
                lambda name: METRIC_NAMES.get(name, _plain(name)),
                _gap,
            )
        )
    return Section("Subgroups", (told,), tuple(tables))


def _by_group(
    caption: str,
    rows: Sequence[Mapping[str, Any]],
    kind: str,
    named: Callable[[str], str],
    cell: Callable[[Mapping[str, Any] | None], str],
) -> Table:
    """Return a line for each group, a column for each of its measures or gaps."""
    names = list(dict.fromkeys(name for row in rows for name in row[kind]))
    lines = [
        (
            f"{_plain(str(row['attribute']))}: {visible(str(row['group']))}",
            str(row["patients"]),
            *(cell(row[kind].get(name)) for name in names),
        )
        for row in rows
    ]
    return Table(caption, ("Group", "Patients", *map(named, names)), tuple(lines))


def _gap(cell: Mapping[str, Any] | None) -> str:
    told = _interval(cell, signed=True)
    adjusted = (cell or {}).get("adjusted_p")
    return told if adjusted is None else f"{told}, adjusted p {adjusted:.3g}"


def _domain(model: TrainedModel) -> Section:
    if model.likeness is None:
        return Section(
            "Domain of validity",
            ("Whether a patient resembles the training patients is not tested: too few of them.",),
        )
    refused = policy_of(model) is Unlike.REFUSE
    names = [
        name_in_words(each.modality)
        for each in model.twin.design.channels
        if each.name in model.likeness.channels
    ]
    return Section(
        "Domain of validity",
        (
            f"A patient's measurements before treatment ({', '.join(names)}) are ranked among "
            f"{len(model.likeness.calibration)} training patients who were left out: who is more "
            f"unusual than {percent(1.0 - UNLIKE)} of them is outside the domain.",
            "Policy set in training: such a patient is "
            + ("refused an answer." if refused else "answered with a warning."),
            "What was not measured is not compared, and a patient inside the domain may still "
            "differ in what no modality shows.",
        ),
    )


def _synthetic(model: TrainedModel) -> Section:
    copy = (
        "Intervals were calibrated on simulated outcomes of the same patients, which were not "
        "trained on by the members that answer."
        if model.calibration.fitted
        else "No simulated outcome was used."
    )
    return Section("What was synthetic", (people_in_words(model), copy))


def _privacy(model: TrainedModel) -> Section:
    found = model.provenance.get("privacy")
    kept = (
        "The files hold salted digests of the patients' identifiers, patients counted by stratum "
        "and arm, means and directions of measurements, and counts in bins of at least ten; no row "
        "of a patient."
    )
    promised = {name: value for name, value in (found or {}).items() if name != "attack"}
    if promised.get("mechanism", "none") == "none" and promised.get("epsilon") is None:
        told = ["Trained without differential privacy."]
        if variance := promised.get("secret_weights"):
            told.append(f"Patients count by secret weights of variance {variance:g}.")
    else:
        told = [f"{_plain(name)}: {value}." for name, value in _flat(promised)]
    return Section("Privacy", (*told, attack_in_words((found or {}).get("attack")), kept))


def _flat(found: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    lines: list[tuple[str, str]] = []
    for name, value in found.items():
        if isinstance(value, Mapping):
            lines += _flat(value, f"{prefix}{name} ")
        else:
            shown = f"{value:.4g}" if isinstance(value, float) else visible(str(value))
            lines.append((prefix + name, shown))
    return lines


def _version(model: AnyModel) -> Section:
    known = model.provenance
    return Section(
        "Version and citation",
        (
            f"Model {visible(model.twin.name)}, SHA-256 of its manifest {model.digest}.",
            f"Code: omics_twin, commit {known.get('commit', 'unknown')}.",
            "Cite the model by its name, version in the registry and digest, the code by its "
            "commit, and the cohort by its sources (item 5a). A model with another digest is "
            "another model, of which this card says nothing.",
        ),
    )
