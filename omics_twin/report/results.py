"""The page of results: how good each experiment is, beside its baselines, from the tracked runs."""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omics_twin.errors import TrackingError
from omics_twin.files import write_whole
from omics_twin.past_runs import StoredRun
from omics_twin.report import markdown, policy_section, sections
from omics_twin.report.console import metric_columns
from omics_twin.report.pictures import small
from omics_twin.report.words import counted

PLACE = "docs/results.md"
# A curve whose steps are single patients' events (ROC, Kaplan-Meier) is not among these.
_PICTURES = {
    "train": {
        "calibration": "Predicted and observed share, in bins",
        "per_arm": "Predicted and observed share, by therapy",
        "intervals": "How often intervals hold",
        "policy": "Value of following each rule, with intervals",
        "coverage_value": "Value by the share of patients for whom the ranking is followed",
        "benefit_calibration": "Predicted and estimated benefit, in bins",
        "targeting": "Benefit by the share treated, highest predicted benefit first",
        "subgroups": "Every measure of every group of patients, with intervals",
        "effects": "Measurements that raise or lower the benefit of each therapy",
    },
    "progression": {
        "landmarks": "Events foreseen from each landmark on, by the twin and by Cox models",
        "forecast_calibration": "Where measurements fell in their forecasts, in bins",
        "forecast_by_visit": "Mean error of the next forecast, by how many visits were known",
        "unseen_calibration": "Where volumes of groups never seen fell in their forecasts, in bins",
    },
    "ablation": {"ablation": "What each modality adds, with intervals"},
    "search": {"search": "Loss of the trials of the search"},
}
_NUMBERS = {
    "train": "metrics.json",
    "progression": "metrics.json",
    "ablation": "ablation.json",
    "search": "search.json",
}
_VERBS = {
    "train": "Trained",
    "progression": "Trained, visit by visit",
    "ablation": "Ablation",
    "search": "Search",
}
KINDS = tuple(_NUMBERS)
FILES = frozenset(_NUMBERS.values()) | {
    f"{stem}.png" for stems in _PICTURES.values() for stem in stems
}
_PREFACE = """# Results

How good the twin is on each cohort, beside its baselines on the same folds. Research use only: not
a medical device, and no number here is a reason to treat anybody in any way.

This page, and the pictures beside it, are written by

```bash
omics-twin results
```

from the tracked runs (`MLFLOW_TRACKING_URI`, else `mlruns/`): the newest finished `train`, `ablate`
and `search` of each experiment, twins that learn from visit to visit with them. Do not edit it: run
`omics-twin train experiment=…` (or `ablate`, `search`), then write it again. The same runs give the
same bytes. It holds numbers of cohorts only: no patient's row, and no curve whose steps are single
patients.

How to read it:

- Every prediction is for a patient who was held out. `±` is the standard deviation over repeats of
  one cohort cut differently, not a standard error over patients; one repeat has no spread.
- ↑ higher is better, ↓ lower is better. **Bold** is the best of the column at the digits shown,
  whoever's it is: where a baseline is bold, the baseline is better there.
- The value of a rule is estimated from what happened to patients; it is not a trial of the rule. A
  gain whose interval holds 0 has not been shown to be one.
- Per therapy: how many patients received it, and how many they are worth once weighted to stand for
  everybody to whom it was open (Kish's effective sample size); how often the twin ranks it first;
  its predicted and its doubly robust mean outcome over those patients.
- The slope of a benefit is that of estimated on predicted: 1 is perfect, below 1 too extreme, 0 no
  better than one benefit for all. AUTOC and Qini are 0 where the order of patients is of no use.
- A commit that ends in `-dirty` had changes that no commit holds.
- What a run did not measure has no section here.
"""


def publish(runs: Sequence[StoredRun], place: Path) -> int:
    """Write the page and its pictures; return how many pictures there are.

    Pictures that an earlier page at this place showed, and this one does not, are removed.

    Raises
    ------
    TrackingError
        If a run's numbers or pictures are lost, or are not as this version writes them.
    """
    text, pictures = page(runs, place.stem)
    earlier = place.read_text(encoding="utf-8", errors="replace") if place.is_file() else ""
    folder = place.parent / place.stem
    for name, content in pictures.items():
        write_whole(folder / name, content)
    write_whole(place, text.encode())
    shown = re.escape(place.stem)
    for name in set(re.findall(rf"\]\({shown}/([A-Za-z0-9_.-]+\.png)\)", earlier)):
        if name not in pictures:
            (folder / name).unlink(missing_ok=True)
    return len(pictures)


def page(runs: Sequence[StoredRun], folder: str) -> tuple[str, dict[str, bytes]]:
    """Return the page in Markdown, and its pictures by file name.

    Parameters
    ----------
    runs
        One for each experiment and kind, of :data:`KINDS`.
    folder
        Of the pictures, as the page names it.

    Raises
    ------
    TrackingError
        As :func:`publish`.
    """
    numbers = {run.run_id: _numbers(run) for run in runs}
    lines = [_PREFACE, *_overview(runs, numbers)]
    pictures: dict[str, bytes] = {}
    for experiment in dict.fromkeys(run.experiment for run in runs):
        lines += [f"## {markdown.plain(experiment)}", ""]
        mine = [run for run in runs if run.experiment == experiment]
        for run in sorted(mine, key=lambda each: KINDS.index(each.kind)):
            with _understood(run):
                lines += _part(run, numbers[run.run_id])
            for name, alternative, content in _pictures(run, taken=pictures):
                pictures[name] = content
                lines += [f"![{alternative}]({folder}/{name})", ""]
    return "\n".join(lines).rstrip("\n") + "\n", pictures


def _pictures(run: StoredRun, taken: Container[str]) -> Iterator[tuple[str, str, bytes]]:
    """Yield each picture's file name, its description and its content."""
    for stem, alternative in _PICTURES[run.kind].items():
        if f"{stem}.png" in run.files:
            name = f"{_file_name(run.experiment)}-{stem}.png"
            if name in taken:
                name = f"{run.run_id}-{stem}.png"
            described = markdown.plain(f"{run.experiment}: {alternative}")
            yield name, described, small(f"{stem}.png", run.files[f"{stem}.png"])


def _numbers(run: StoredRun) -> dict[str, Any]:
    name = _NUMBERS[run.kind]
    try:
        return dict(json.loads(run.files[name]))
    except (KeyError, TypeError, ValueError) as error:
        raise TrackingError(
            f"run '{run.run_id}' ({run.experiment}, {run.kind}) has no readable '{name}': delete "
            "it, or run its verb again"
        ) from error


@contextmanager
def _understood(run: StoredRun) -> Iterator[None]:
    """Say which run cannot be read; versions before this one may have recorded other fields."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise TrackingError(
            f"'{_NUMBERS[run.kind]}' of run '{run.run_id}' ({run.experiment}, {run.kind}) is not "
            f"as this version writes it ({type(error).__name__}: {error}): run its verb again"
        ) from error


def _overview(runs: Sequence[StoredRun], numbers: Mapping[str, Any]) -> list[str]:
    """Return the headline metric of each trained twin beside its best baseline."""
    rows = []
    for run in runs:
        if run.kind not in ("train", "progression"):
            continue
        found = numbers[run.run_id]
        with _understood(run):
            headline, *_ = metric_columns({"omics_twin": found["model"], **found["baselines"]})
        texts = headline.texts("**{}**", "{}")
        own, others = texts[0], dict(zip(found["baselines"], texts[1:], strict=True))
        means = {
            name: headline.direction * cell["mean"]
            for name, cell in zip(others, headline.cells[1:], strict=True)
            if cell and cell["mean"] is not None
        }
        best = max(means, key=lambda name: means[name], default=None)
        rows.append(
            [
                markdown.plain(run.experiment),
                str(found["n"]),
                markdown.plain(headline.name),
                own,
                "none" if best is None else f"{others[best]} ({markdown.plain(best)})",
            ]
        )
    header = ["experiment", "patients", "metric", "omics_twin", "best baseline"]
    return markdown.table(header, rows) if rows else []


def _part(run: StoredRun, found: Mapping[str, Any]) -> list[str]:
    lines = [_protocol(run, found), ""]
    if run.kind == "ablation":
        return [*lines, *sections.ablation(found)]
    if run.kind == "search":
        return [*lines, *sections.search(found)]
    for section in (
        sections.prediction,
        sections.paired,
        sections.causes,
        sections.visits,
        sections.course,
        sections.landmarks,
        sections.next_visit,
        sections.forecasts,
        sections.calibration,
        policy_section.policy,
        sections.groups,
        sections.unknown,
    ):
        lines += section(found)
    return lines


def _protocol(run: StoredRun, found: Mapping[str, Any]) -> str:
    """Return what was done, on whom, with which code and when."""
    told = [
        f"cohort {found['cohort']}",
        f"endpoint {found['endpoint']}",
        counted(found["n"], "patient"),
    ]
    if "folds" in found:
        folds, repeats = found["folds"], found["repeats"]
        told.append(f"{counted(folds, 'fold')} × {counted(repeats, 'repeat')}")
        replicas = run.parameters.get("split.replicas", "")
        if replicas.isdecimal():
            each = int(replicas)
            told.append(counted(folds * repeats * each, "member") + f" ({each} per fold)")
    split = run.parameters.get("split.by", "PATIENT")
    if split != "PATIENT":
        told.append(f"held out by {split.lower()}")
    code = f"commit {run.tags.get('commit', 'unknown')}, {run.finished_on}, run {run.run_id[:8]}"
    return markdown.plain(f"{_VERBS[run.kind]}: {', '.join(told)}; {code}.")


def _file_name(text: str) -> str:
    """Return a name for a file, whatever an experiment is called.

    Examples
    --------
    >>> _file_name("../oak survival")
    'oak_survival'
    """
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_") or "run"
