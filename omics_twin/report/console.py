"""What a person at a terminal is told while they wait, and the table they waited for."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from omics_twin.errors import public
from omics_twin.report.fairness import group_lines
from omics_twin.report.policy import policy_lines
from omics_twin.report.words import counted

_MODEL = "omics_twin"
_SPARSE_STEP = 0.2


class Console:
    """Plain lines on standard output; warnings on standard error.

    Parameters
    ----------
    quiet
        Only warnings are written.

    Examples
    --------
    >>> console = Console()
    >>> with console.stage("training"):
    ...     console.note("20 members")
    training ...
      20 members
    training: 0.0 s
    """

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self._line_is_open = False

    def say(self, line: str) -> None:
        """Write a line."""
        if not self.quiet:
            self._write(public(line))

    def note(self, line: str) -> None:
        """Write a line of lesser weight, indented."""
        self.say(f"  {public(line)}")

    def warn(self, line: str) -> None:
        """Write a warning to standard error, even when quiet."""
        self._write(f"warning: {public(line)}", warning=True)

    @contextmanager
    def stage(self, title: str) -> Iterator[None]:
        """Name a step when it starts, and say how long it took or that it stopped."""
        self.say(f"{title} ...")
        start = time.monotonic()
        finished = False
        try:
            yield
            finished = True
        finally:
            ending = "" if finished else ", stopped by an error"
            self.say(f"{title}: {_elapsed(time.monotonic() - start)}{ending}")

    def progress(self, what: str) -> Callable[[int, int], None]:
        """Return a function of (done, total) that tells how far something is.

        On a terminal it is one line that is written over; elsewhere a line about every 20 %.
        """
        told = -1.0

        def step(done: int, total: int) -> None:
            nonlocal told
            if self.quiet or total <= 0:
                return
            share = done / total
            line = f"  {what}: {done} of {total} ({100 * share:.0f} %)"
            if sys.stdout.isatty():
                self._overwrite(line, last=done >= total)
            elif share - told >= _SPARSE_STEP - 1e-9 or (done >= total and told < 1.0):
                self._write(line)
            else:
                return
            told = share

        return step

    def metrics(self, found: Mapping[str, Any]) -> None:
        """Write a run's metrics as one table, its baselines below the model.

        Parameters
        ----------
        found
            ``endpoint``, ``n``, ``model`` (metric -> mean and sd over repeats) and ``baselines``
            (name -> the same); optionally ``truth`` (the value of following each ranking, the
            truth being known), ``policy`` (the same, judged from what happened), ``by_visit``
            (visit -> metrics), ``course`` (measurement -> visit -> forecaster -> scores),
            ``by_part`` (the headline metric within parts of the cohort) and ``by_cause`` (cause of
            the event -> metrics of its incidence).
        """
        if not self.quiet:
            for line in metrics_lines(found):
                self._write(line)

    def _write(self, line: str, *, warning: bool = False) -> None:
        if self._line_is_open:
            sys.stdout.write("\n")
            self._line_is_open = False
        stream = sys.stderr if warning else sys.stdout
        stream.write(_encodable(line, stream.encoding) + "\n")
        stream.flush()

    def _overwrite(self, line: str, *, last: bool) -> None:
        # Carriage return, then erase to the end of the line: a shorter line leaves no tail.
        text = _encodable(line, sys.stdout.encoding)
        sys.stdout.write(f"\r{text}\x1b[K" + ("\n" if last else ""))
        sys.stdout.flush()
        self._line_is_open = not last


@dataclass(frozen=True)
class Column:
    """A metric as a column; ``direction`` is 1 where higher is better, 0 where unknown."""

    name: str
    direction: int
    cells: tuple[Mapping[str, float | None] | None, ...]

    def texts(self, best: str = "{} *", other: str = "{}  ") -> list[str]:
        """Return ``mean ± sd``, the best marked; equal at the shown precision are both best."""
        means = [None if cell is None else cell.get("mean") for cell in self.cells]
        rounded = [None if mean is None else round(mean, 3) * self.direction for mean in means]
        known = [mean for mean in rounded if mean is not None]
        top = max(known) if len(known) > 1 and self.direction else None
        return [
            (best if top is not None and mean == top else other).format(_number(cell))
            for cell, mean in zip(self.cells, rounded, strict=True)
        ]


def metrics_lines(found: Mapping[str, Any]) -> list[str]:
    """Return the lines of :meth:`Console.metrics`."""
    rows = {_MODEL: found["model"], **found["baselines"]}
    columns = metric_columns(rows) + truth_columns(found.get("truth"), list(rows))
    spread = _spread(found)
    lines = ["", f"{found['endpoint']}: {counted(found['n'], 'patient')}{spread}"]
    lines += _table(list(rows), columns)
    if any(column.direction and len(rows) > 1 for column in columns):
        lines.append("* best of the column; > higher is better, < lower is better")
    lines += truth_lines(found.get("truth"))
    lines += holding_lines(found.get("calibration"))
    lines += verdict_lines(rows)
    lines += policy_lines(found.get("policy"))
    lines += group_lines(found)
    lines += part_lines(found.get("by_part"))
    causes = found.get("by_cause") or {}
    if causes:
        lines += ["", "incidence of every cause of the event, the others competing with it"]
        measured = {
            f"{cause} ({counted(each['events'], 'event')}) {name}": metrics
            for cause, each in causes.items()
            for name, metrics in cause_learners(each).items()
        }
        lines += _table(list(measured), metric_columns(measured))
    visits = found.get("by_visit") or {}
    if visits:
        lines += ["", f"{_MODEL} as visits come in, on the patients who have all of them"]
        measured = {
            f"{visit} (n {each['n']}) {name}": metrics
            for visit, each in visits.items()
            for name, metrics in visit_learners(each).items()
        }
        lines += _table(list(measured), metric_columns(measured))
    for feature, visits in (found.get("course") or {}).items():
        lines += ["", f"{feature} foreseen from the visits before"]
        measured = {
            f"{visit} {name}": scores
            for visit, learners in visits.items()
            for name, scores in learners.items()
        }
        lines += _table(list(measured), metric_columns(measured))
    return [*lines, ""]


def part_lines(found: Mapping[str, Any] | None) -> list[str]:
    """Return the table of the headline metric within each part of the cohort."""
    if not found:
        return []
    parts = {f"{name} (n {each['n']})": each for name, each in found["parts"].items()}
    rows = [_MODEL, *found["mean"]["baselines"]]
    columns = [
        Column(name, _direction(found["metric"]), (each["model"], *each["baselines"].values()))
        for name, each in [*parts.items(), ("mean", found["mean"])]
    ]
    title = f"{found['metric']} within each part; in the mean every part counts the same"
    return ["", title, *_table(rows, columns)]


def cause_learners(cause: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the metrics of the model and of the baselines for one cause of an event."""
    return {_MODEL: cause["model"], **cause["baselines"]}


def visit_learners(visit: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the metrics of the model and of the baselines that saw the same visits.

    Examples
    --------
    >>> list(visit_learners({"n": 9, "auc": {"mean": 0.7}, "baselines": {"logistic": {}}}))
    ['omics_twin', 'logistic']
    """
    own = {name: each for name, each in visit.items() if name not in ("n", "baselines")}
    return {_MODEL: own, **(visit.get("baselines") or {})}


def metric_columns(rows: Mapping[str, Mapping[str, Any]]) -> list[Column]:
    """Return one column for each metric of any row."""
    names = dict.fromkeys(metric for each in rows.values() for metric in each)
    return [
        Column(name, _direction(name), tuple(each.get(name) for each in rows.values()))
        for name in names
    ]


def _direction(metric: str) -> int:
    # Only who asks for a table waits for the metrics to load.
    from omics_twin.evaluate.score import HIGHER_IS_BETTER

    return {True: 1, False: -1, None: 0}[HIGHER_IS_BETTER.get(metric)]


def truth_columns(truth: Mapping[str, Any] | None, rows: Sequence[str]) -> list[Column]:
    """Return what following each row's ranking is worth, where the truth is known."""
    if not truth:
        return []
    worth = {_MODEL: truth.get("model") or {}, **(truth.get("baselines") or {})}
    return [
        Column(name, 1, tuple(_only_mean(worth.get(row, {}).get(name)) for row in rows))
        for name in ("captured", "followed")
        if any(worth.get(row, {}).get(name) is not None for row in rows)
    ]


def _only_mean(value: float | None) -> dict[str, float | None] | None:
    return None if value is None else {"mean": value, "sd": None}


def _table(names: Sequence[str], columns: Sequence[Column]) -> list[str]:
    """Return aligned lines: header, rule, one line for each name."""
    width = max(map(len, names))
    header, body = [" " * width], [[name.ljust(width)] for name in names]
    for column in columns:
        sign = {1: " >", -1: " <", 0: ""}[column.direction]
        texts = column.texts()
        size = max(len(column.name + sign), *map(len, texts))
        header.append((column.name + sign).rjust(size))
        for line, text in zip(body, texts, strict=True):
            line.append(text.rjust(size))
    lines = ["   ".join(line).rstrip() for line in [header, *body]]
    return [lines[0], "-" * max(map(len, lines)), *lines[1:]]


def _number(cell: Mapping[str, float | None] | None) -> str:
    if cell is None or cell.get("mean") is None:
        return "not known"
    spread = cell.get("sd")
    return f"{cell['mean']:.3f}" + ("" if spread is None else f" ± {spread:.3f}")


def _spread(found: Mapping[str, Any]) -> str:
    if "repeats" not in found:
        return ""
    folds, repeats = counted(found["folds"], "fold"), counted(found["repeats"], "repeat")
    return f", held out in {folds}, mean ± sd over {repeats}"


def truth_lines(truth: Mapping[str, Any] | None) -> list[str]:
    """Return what the columns of :func:`truth_columns` say, and how often intervals hold."""
    if not truth or "best_single_arm" not in truth:
        return []
    lines = [
        "truth: followed = mean endpoint if every patient got the therapy ranked first; "
        f"the best single arm for all gives {truth['best_single_arm']:.3f}, "
        f"each patient's own best arm {truth['own_best_arm']:.3f}; "
        "captured = share of that gain"
    ]
    if "interval_coverage" in truth:
        lines.append(
            f"truth: the interval under each arm holds the true probability in "
            f"{100 * truth['interval_coverage']:.0f} % of patients and arms"
        )
    return lines


def holding_lines(found: Mapping[str, Any] | None) -> list[str]:
    """Return whether intervals and probabilities hold, before and after calibration."""
    lines = []
    for place, name in (("copy", "simulated copy"), ("truth", "truth")):
        for when, each in ((found or {}).get(place) or {}).items():
            said = [
                f"the interval of {what} holds in {100 * each[key]['coverage']:.0f} %"
                for key, what in (("expected", "an arm"), ("benefit", "a difference"))
                if each[key]["coverage"] is not None
            ]
            slope = each["probability_best"]["slope"]
            if slope is not None:
                said.append(f"slope of being best on its probability {slope:.2f}")
            lines.append(f"{name}, {when} calibration: {'; '.join(said)}")
    abstention = (found or {}).get("abstention")
    if abstention:
        lines.append(
            f"a therapy is recommended to {100 * abstention['recommended']:.0f} % of patients: "
            f"support is too thin for {100 * abstention['thin']:.0f} %, the belief below "
            f"{abstention['confidence']:g} for {100 * abstention['unsure']:.0f} %"
        )
    return lines


def better_baseline(
    rows: Mapping[str, Mapping[str, Any]],
) -> tuple[str, str, float, float] | None:
    """Return the headline metric, the baseline that beats the model on it, its value, the model's.

    None where no baseline is better at the three decimals that are shown.

    Parameters
    ----------
    rows
        Metrics of the model, first, and of each baseline.
    """
    from omics_twin.evaluate.score import HEADLINE

    model = next(iter(rows))
    headline = next((name for name in HEADLINE.values() if name in rows[model]), None)
    if headline is None:
        return None
    means = {name: (each.get(headline) or {}).get("mean") for name, each in rows.items()}
    known = {name: round(mean, 3) for name, mean in means.items() if mean is not None}
    own = known.pop(model, None)
    if own is None or not known:
        return None
    best = max(known, key=lambda name: known[name])
    return (headline, best, known[best], own) if known[best] > own else None


def verdict_lines(rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the sentence that names a better baseline; none where there is none."""
    better = better_baseline(rows)
    if better is None:
        return []
    headline, name, theirs, own = better
    return [
        f"the baseline '{name}' is better than {_MODEL} on {headline} "
        f"({theirs:.3f} against {own:.3f}): prefer it for prediction alone"
    ]


def _elapsed(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s ({seconds:.0f} s)"


def _encodable(line: str, encoding: str | None) -> str:
    """Return the line as a stream can hold it: a plain terminal gets ``+/-`` for ``±``."""
    known = encoding or "utf-8"
    try:
        line.encode(known)
    except UnicodeEncodeError:
        plain = line.replace("±", "+/-")
        return plain.encode(known, errors="backslashreplace").decode(known)
    return line
