"""What does each modality add? Every subset that matters, on the same folds, in one batch."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load, save

from omics_twin.config import Config
from omics_twin.evaluate import plots
from omics_twin.evaluate.paired import paired_difference
from omics_twin.evaluate.score import HEADLINE
from omics_twin.files import write_csv, write_json, write_whole
from omics_twin.judged import judging
from omics_twin.judged.predictions import Predictions, held_out_predictions
from omics_twin.models.variants import Variant
from omics_twin.report.console import Console
from omics_twin.searches.memory import batches
from omics_twin.tensors.members import MemberPlan, check_converged
from omics_twin.training import learning
from omics_twin.training.learning import Fitted
from omics_twin.training.tasks import Task
from omics_twin.trust.vault import read_sealed, write_sealed

ALL = "all"
THERAPY_ONLY = "therapy only"


@dataclass(frozen=True)
class Question:
    """One row of the table.

    Attributes
    ----------
    name
        ``all``, ``only x``, ``without x``, ``therapy only`` or ``all, x missing at the bedside``.
    hidden
        Modalities that training never showed.
    missing
        Modalities of the whole model that were not shown when it was asked.
    """

    name: str
    hidden: frozenset[str] = frozenset()
    missing: frozenset[str] = frozenset()


def questions(modalities: Sequence[str]) -> list[Question]:
    """Return the rows of the table, each subset once.

    Examples
    --------
    >>> [each.name for each in questions(["clinical", "rna"])]  # doctest: +NORMALIZE_WHITESPACE
    ['all', 'only clinical', 'only rna', 'therapy only',
     'all, clinical missing at the bedside', 'all, rna missing at the bedside']
    """
    everything = frozenset(modalities)
    rows = [Question(ALL)]
    if len(modalities) > 1:
        rows += [Question(f"only {each}", everything - {each}) for each in modalities]
    if len(modalities) > 2:
        rows += [Question(f"without {each}", frozenset({each})) for each in modalities]
    rows.append(Question(THERAPY_ONLY, everything))
    bedside = [
        Question(f"all, {each} missing at the bedside", missing=frozenset({each}))
        for each in modalities
    ]
    return rows + bedside


def before_treatment(task: Task) -> Task:
    """Return the task without follow-up visits: what each modality adds is asked on day 0."""
    design = task.design.before_treatment()
    names = {channel.name for channel in design.channels}
    matrices = replace(
        task.matrices,
        values={name: each for name, each in task.matrices.values.items() if name in names},
        days={name: each for name, each in task.matrices.days.items() if name in names},
    )
    return replace(task, design=design, matrices=matrices)


def ablate(task: Task, config: Config, run: Path, console: Console) -> dict[str, Any]:
    """Return the table; what an earlier start has finished is kept.

    Raises
    ------
    TrainingError
        If members diverge.
    """
    task = before_treatment(task)
    modalities = list(dict.fromkeys(channel.modality for channel in task.design.channels))
    asked = questions(modalities)
    trained = [each for each in asked if not each.missing]
    plan = learning.plan_of(task, config)
    groups = batches(task, config, plan, len(trained))
    console.say(
        f"{len(trained)} variants x {len(plan.fold)} members in "
        + ("one batch" if len(groups) == 1 else f"{len(groups)} batches, for memory")
    )
    for number, places in enumerate(groups, start=1):
        chosen = [trained[place] for place in places]
        _answer_batch(task, config, plan, chosen, asked, run, number, console)
    return _table(task, asked, run, console)


def _answer_batch(
    task: Task,
    config: Config,
    plan: MemberPlan,
    trained: Sequence[Question],
    asked: Sequence[Question],
    run: Path,
    number: int,
    console: Console,
) -> None:
    """Train some variants and store their held-out predictions, unless they are there."""
    wanted = list(trained)
    if any(each.name == ALL for each in trained):
        wanted += [each for each in asked if each.missing]
    if all(_stored(run, each).is_file() for each in wanted):
        return
    folder = run / "checkpoints" / f"batch-{number}"
    variants = [_variant(task, config, each, len(plan.fold)) for each in trained]
    fitted = learning.fit_members(task, config, plan, folder, console, variants)
    check_converged(fitted.diverged)
    tell = console.progress("variants answered")
    for place, question in enumerate(wanted):
        source = trained.index(question) if question in trained else _place_of_all(trained)
        part = fitted.at(torch.arange(len(plan.fold)) + source * len(plan.fold))
        write_sealed(_stored(run, question), _predictions(task, config, part, question))
        tell(place + 1, len(wanted))
    shutil.rmtree(folder, ignore_errors=True)


def _place_of_all(trained: Sequence[Question]) -> int:
    return next(place for place, each in enumerate(trained) if each.name == ALL)


def _variant(task: Task, config: Config, question: Question, members: int) -> Variant:
    hidden = {c.name for c in task.design.channels if c.modality in question.hidden}
    return Variant(
        question.name, config.trainer, config.model, torch.arange(members), frozenset(hidden)
    )


def _predictions(task: Task, config: Config, part: Fitted, question: Question) -> bytes:
    """Return held-out predictions as a file; what is hidden is not measured in anyone."""
    # Trees beside the network learn without what is hidden, as its members did.
    model = learning.model_of(_without(task, question.hidden), part, config)
    asked = _without(task, question.hidden | question.missing)
    found = held_out_predictions(asked, model, part.plan, config, every_arm=False)
    return save({"received": found.received})


def _without(task: Task, hidden: Set[str]) -> Task:
    """Return the task with some modalities measured in nobody."""
    shown = {
        channel.name: torch.full_like(values, torch.nan) if channel.modality in hidden else values
        for channel, values in _channels(task)
    }
    return replace(task, matrices=replace(task.matrices, values=shown))


def _channels(task: Task) -> list[tuple[Any, torch.Tensor]]:
    return [(channel, task.matrices.values[channel.name]) for channel in task.design.channels]


def _stored(run: Path, question: Question) -> Path:
    name = "".join(each if each.isalnum() else "_" for each in question.name)
    return run / "predictions" / f"{name}.safetensors"


def _table(task: Task, asked: Sequence[Question], run: Path, console: Console) -> dict[str, Any]:
    predicted = {each.name: load(read_sealed(_stored(run, each)))["received"] for each in asked}
    tell = console.progress("paired differences")
    variants = {}
    for place, question in enumerate(asked):
        received = predicted[question.name]
        found = judging.metrics(task, Predictions(received, None), {})
        row: dict[str, Any] = {
            "hidden_in_training": sorted(question.hidden),
            "missing_at_bedside": sorted(question.missing),
            "metrics": found["model"],
        }
        if question.name != ALL:
            row["difference_to_all"] = asdict(
                paired_difference(task.outcome, received, predicted[ALL])
            )
        variants[question.name] = row
        tell(place + 1, len(asked))
    measured = {
        channel.modality: int((~torch.isnan(values)).any(dim=1).sum())
        for channel, values in _channels(task)
    }
    header = {key: value for key, value in found.items() if key not in ("model", "baselines")}
    headline = HEADLINE[task.outcome.kind]
    return {**header, "headline": headline, "measured_patients": measured, "variants": variants}


def rows_of(table: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return header and rows as text, for a person."""
    metrics = list(next(iter(table["variants"].values()))["metrics"])
    header = ["variant", *metrics, f"{table['headline']} - all [95 % interval]"]
    rows = []
    for name, each in table["variants"].items():
        cells = [_cell(each["metrics"][metric]) for metric in metrics]
        rows.append([name, *cells, _interval(each.get("difference_to_all"))])
    return header, rows


def _cell(found: Mapping[str, float | None]) -> str:
    if found["mean"] is None:
        return "not known"
    spread = found.get("sd")
    return f"{found['mean']:.3f}" + ("" if spread is None else f" ± {spread:.3f}")


def _interval(difference: Mapping[str, float] | None) -> str:
    if difference is None:
        return ""
    return f"{difference['mean']:+.3f} [{difference['lower']:+.3f}, {difference['upper']:+.3f}]"


def markdown(table: Mapping[str, Any]) -> str:
    """Return the table in Markdown, with what it rests on."""
    header, rows = rows_of(table)
    measured = ", ".join(f"{name} {n}" for name, n in table["measured_patients"].items())
    lines = [
        f"{table['cohort']}, {table['endpoint']}: {table['n']} patients (measured: {measured}); "
        f"{table['folds']} folds, mean ± sd over {table['repeats']} repeats",
        "",
        "| " + " | ".join(header) + " |",
        "|" + "---|" * len(header),
        *("| " + " | ".join(row) + " |" for row in rows),
    ]
    return "\n".join(lines) + "\n"


def write(task: Task, table: Mapping[str, Any], run: Path) -> None:
    """Write the table as CSV, Markdown, figure and, last, JSON."""
    header, rows = rows_of(table)
    write_csv(run / "ablation.csv", header, rows)
    write_whole(run / "ablation.md", markdown(table).encode())
    others = {n: e["difference_to_all"] for n, e in table["variants"].items() if n != ALL}
    bounds = np.array([[e["mean"], e["lower"], e["upper"]] for e in others.values()])
    figure = plots.ablation_figure(list(others), bounds, table["headline"], task.title)
    figure.savefig(run / "ablation.png", dpi=150)
    write_json(run / "ablation.json", table)


def numbers(table: Mapping[str, Any]) -> dict[str, float]:
    """Return the table as flat metrics for the tracker."""
    found: dict[str, float] = {}
    for variant, each in table["variants"].items():
        name = variant.replace(",", "").replace(" ", "_")
        for metric, cell in each["metrics"].items():
            found |= {f"{name}.{metric}.{k}": v for k, v in cell.items() if v is not None}
        for bound, value in each.get("difference_to_all", {}).items():
            found[f"{name}.difference.{bound}"] = value
    return found
