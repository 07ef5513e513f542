"""Settings chosen by nested cross-validation: whole batches of trials train as members at once.

The command line composes its configuration by itself, so a search needs no plug-in of Hydra:
the official one pins an Optuna of years ago and runs one process per trial, while here the trials
of a batch are members of one ensemble. Only Hydra's grammar of sweeps is taken over.

Every choice is a study of its own: one for each outer fold, which sees that fold's training
patients only, and one for all patients, whose choice is the answer. The outer folds say what
"search, then fit" is worth on patients that took no part in the choice.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from omics_twin.config import Config
from omics_twin.evaluate import plots
from omics_twin.evaluate.paired import paired_difference
from omics_twin.evaluate.score import HEADLINE, score
from omics_twin.files import read_json, write_json, write_whole
from omics_twin.report.console import Console
from omics_twin.searches.space import Axis, Value, axes_of, overrides_of
from omics_twin.searches.trials import (
    DIVERGED,
    FINAL,
    LOSS,
    Inner,
    Proposal,
    Values,
    divided,
    inner_folds,
    loss_of,
    train,
)
from omics_twin.settings import CompanionKind
from omics_twin.tensors.members import planned
from omics_twin.training import tasks
from omics_twin.training.tasks import Task

_DEFAULT = "default"


def search(task: Task, config: Config, run: Path, console: Console) -> dict[str, Any]:
    """Return the choice, its nested estimate and the trials; what is finished is not repeated.

    Raises
    ------
    ConfigError
        If the space holds what cannot be searched.
    TrainingError
        If the default settings diverge.
    """
    axes = axes_of(config)
    if config.model.companion is not CompanionKind.NONE:
        console.note(
            "trials, and what the search is judged by, are of the network alone: trees "
            "(model.companion) stand beside it once it is trained with the choice"
        )
    outer = tasks.folds_of(
        task.cohort, divided(config, config.search.outer_folds), task.outcome_name
    )[0]
    inner = inner_folds(task, config, outer)
    studies = _studies(inner, run)
    networks: dict[tuple[Any, ...], Any] = {}
    _finish_trials(task, config, axes, inner, studies, networks, run, console)
    chosen = [_chosen(study) for study in studies]
    nested = _nested(task, config, outer, chosen[:-1], run, console)
    final = studies[-1]
    return {
        "cohort": task.cohort.name,
        "endpoint": task.endpoint.name,
        "n": len(task.arms),
        "loss": LOSS[task.outcome.kind],
        "headline": HEADLINE[task.outcome.kind],
        "chosen": chosen[-1],
        "chosen_loss": min(_best(final), final.user_attrs[_DEFAULT]),
        "default_loss": final.user_attrs[_DEFAULT],
        "nested": nested,
        "chosen_by_outer_fold": chosen[:-1],
        "trials": {name: _trials(s) for name, s in zip(inner.names, studies, strict=True)},
    }


def finished(run: Path, config: Config) -> dict[str, Any] | None:
    """Return what a search left, if every study has as many trials as asked for."""
    if not (run / "search.json").is_file():
        return None
    found: dict[str, Any] = read_json(run / "search.json")
    fewest = min(len(trials) for trials in found["trials"].values())
    return found if fewest >= config.search.trials else None


def _studies(inner: Inner, run: Path) -> list[Any]:
    """Open the studies; trials that a kill left unfinished are asked about again."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = f"sqlite:///{(run / 'search.db').resolve()}"
    found = []
    for name in inner.names:
        study = optuna.create_study(storage=storage, study_name=name, load_if_exists=True)
        for trial in study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
            study.enqueue_trial(trial.params)
        found.append(study)
    return found


def _finish_trials(
    task: Task,
    config: Config,
    axes: Sequence[Axis],
    inner: Inner,
    studies: Sequence[Any],
    networks: dict[tuple[Any, ...], Any],
    run: Path,
    console: Console,
) -> None:
    """Train batches of trials until every study has as many as asked for, or time is up."""
    asked, started = config.search, time.monotonic()
    while True:
        done = [len(_tried(study)) for study in studies]
        console.say(f"trials finished: {min(done)} of {asked.trials}{_so_far(studies[-1])}")
        wanted = [min(asked.batch, max(asked.trials - each, 0)) for each in done]
        first = _DEFAULT not in studies[-1].user_attrs
        if not any(wanted) and not first:
            return
        minutes = (time.monotonic() - started) / 60.0
        if asked.timeout_minutes is not None and minutes >= asked.timeout_minutes and not first:
            console.say(f"stopped after {minutes:.0f} minutes, as search.timeout_minutes asks")
            return
        proposals = _proposed(task, studies, axes, wanted, asked.seed, first)
        _judge(task, config, inner, studies, proposals, networks, run, console)


def _tried(study: Any) -> list[Any]:
    from optuna.trial import TrialState

    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))


def _so_far(study: Any) -> str:
    if _DEFAULT not in study.user_attrs:
        return ""
    return f", best loss {_best(study):.4f}, default settings {study.user_attrs[_DEFAULT]:.4f}"


def _best(study: Any) -> float:
    return min((t.value for t in _complete(study)), default=DIVERGED)


def _complete(study: Any) -> list[Any]:
    from optuna.trial import TrialState

    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def _proposed(
    task: Task,
    studies: Sequence[Any],
    axes: Sequence[Axis],
    wanted: Sequence[int],
    seed: int,
    first: bool,
) -> list[Proposal]:
    import optuna

    grid = task.outcome.grid_days
    shape = (len(task.arms),) if grid is None else (len(task.arms), len(grid))
    spread = {axis.key: _distribution(axis) for axis in axes}
    found = []
    for place, study in enumerate(studies):
        if first:
            found.append(Proposal(place, None, {}, np.full(shape, np.nan)))
        # What is proposed follows from the seed and the trials so far, also after a restart.
        entropy = np.random.SeedSequence([seed, place, len(_tried(study))])
        chance = int(entropy.generate_state(1)[0])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.sampler = optuna.samplers.TPESampler(
                multivariate=True, constant_liar=True, seed=chance
            )
        for _ in range(wanted[place]):
            trial = study.ask(fixed_distributions=spread)
            found.append(Proposal(place, trial.number, dict(trial.params), np.full(shape, np.nan)))
    return found


def _distribution(axis: Axis) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if axis.low is None or axis.high is None:
        return CategoricalDistribution(axis.choices)
    if axis.whole:
        return IntDistribution(int(axis.low), int(axis.high), log=axis.log)
    return FloatDistribution(axis.low, axis.high, log=axis.log)


def _judge(
    task: Task,
    config: Config,
    inner: Inner,
    studies: Sequence[Any],
    proposals: Sequence[Proposal],
    networks: dict[tuple[Any, ...], Any],
    run: Path,
    console: Console,
) -> None:
    """Train and score a batch: all on the first inner fold, the better half on the others.

    Successive halving over folds (Jamieson & Talwalkar 2016, arXiv:1502.07943).
    """
    from optuna.trial import TrialState

    text = json.dumps([[each.study, each.number is None, each.values] for each in proposals])
    folder = run / "checkpoints" / hashlib.sha256(text.encode()).hexdigest()[:12]
    first = inner.plan.fold == 0
    train(task, config, inner, proposals, first, networks, folder / "first", console)
    losses = [loss_of(task, inner, each, first_fold=True) for each in proposals]
    going = [
        each
        for each, loss in zip(proposals, losses, strict=True)
        if each.number is None or loss <= _median(studies[each.study], losses, proposals, each)
    ]
    console.say(f"{len(going)} of {len(proposals)} go on to the other inner folds")
    train(task, config, inner, going, ~first, networks, folder / "rest", console)
    for each, loss in zip(proposals, losses, strict=True):
        study = studies[each.study]
        if each.number is None:
            study.set_user_attr(_DEFAULT, loss_of(task, inner, each))
        elif any(each is other for other in going) and not each.lost:
            study.set_user_attr(f"first-{each.number}", loss)
            study.tell(each.number, loss_of(task, inner, each))
        else:
            study.set_user_attr(f"first-{each.number}", loss)
            study.tell(each.number, state=TrialState.PRUNED)
    shutil.rmtree(folder, ignore_errors=True)


def _median(
    study: Any, losses: Sequence[float], proposals: Sequence[Proposal], mine: Proposal
) -> float:
    """Return the median loss on the first inner fold over a study's trials so far."""
    known = [value for name, value in study.user_attrs.items() if name.startswith("first-")]
    known += [
        loss
        for each, loss in zip(proposals, losses, strict=True)
        if each.study == mine.study and each.number is not None
    ]
    return float(np.median(known))


def _chosen(study: Any) -> Values:
    """Return the best trial's settings; none where no trial beats the default settings."""
    best = min(_complete(study), key=lambda trial: trial.value, default=None)
    if best is None or best.value >= study.user_attrs[_DEFAULT]:
        return {}
    return dict(best.params)


def _trials(study: Any) -> list[dict[str, Any]]:
    return [
        {"number": t.number, "state": t.state.name, "loss": t.value, "values": t.params}
        for t in _tried(study)
    ]


def _nested(
    task: Task,
    config: Config,
    outer: np.ndarray,
    chosen: Sequence[Values],
    run: Path,
    console: Console,
) -> dict[str, Any]:
    """Score the choices, and the default settings, on patients who took no part in them."""
    plan = planned(outer[None], config.split)
    folds = sorted({int(fold) for fold in outer if fold >= 0})
    grid = task.outcome.grid_days
    shape = (len(outer),) if grid is None else (len(outer), len(grid))
    default = Proposal(0, None, {}, np.full(shape, np.nan))
    tuned = [Proposal(0, None, values, np.full(shape, np.nan)) for values in chosen]
    everyone = Inner(("outer",), replace(plan, repeat=torch.zeros_like(plan.repeat)), outer[None])
    text = hashlib.sha256(json.dumps(chosen).encode()).hexdigest()[:12]
    folder = run / "checkpoints" / f"refit-{text}"
    searched = np.full(shape, np.nan)
    networks: dict[tuple[Any, ...], Any] = {}
    everywhere = torch.ones_like(plan.fold, dtype=torch.bool)
    train(task, config, everyone, [default], everywhere, networks, folder / "default", console)
    for fold, each in zip(folds, tuned, strict=True):
        if each.values:
            place = folder / f"fold-{fold}"
            train(task, config, everyone, [each], plan.fold == fold, networks, place, console)
        mine = outer == fold
        searched[mine] = (each if each.values else default).predicted[mine]
    shutil.rmtree(folder, ignore_errors=True)
    difference = paired_difference(task.outcome, searched[None], default.predicted[None])
    return {
        "outer_folds": len(folds),
        "searched": _known(score(task.outcome, searched)),
        "default": _known(score(task.outcome, default.predicted)),
        "difference": asdict(difference),
    }


def _known(metrics: Mapping[str, float]) -> dict[str, float | None]:
    return {name: value if np.isfinite(value) else None for name, value in metrics.items()}


def lines(found: Mapping[str, Any]) -> list[str]:
    """Return what a person is told of a finished search."""
    nested, headline, loss = found["nested"], found["headline"], found["loss"]
    gain = nested["difference"]
    told = [
        f"{found['cohort']}, {found['endpoint']}: {found['n']} patients, nested in "
        f"{nested['outer_folds']} outer folds",
        *(
            f"  {name:<9} {headline} {each[headline]:.3f}, {loss} {each[loss]:.4f}"
            for name, each in (("searched", nested["searched"]), ("default", nested["default"]))
        ),
        f"  {headline}, searched - default: {gain['mean']:+.3f} "
        f"[{gain['lower']:+.3f}, {gain['upper']:+.3f}]",
    ]
    if not found["chosen"]:
        return [*told, "chosen on all patients: the default settings, which no trial beat"]
    return [*told, "chosen on all patients: " + " ".join(overrides_of(found["chosen"]))]


def write(task: Task, found: Mapping[str, Any], run: Path) -> None:
    """Write the choice as overrides, the history as a figure and, last, everything as JSON."""
    overrides = "".join(f"- {each}\n" for each in overrides_of(found["chosen"])) or "[]\n"
    header = "# Chosen by omics-twin search: put @ and this file's path into the next command.\n"
    write_whole(run / "best.yaml", (header + overrides).encode())
    losses = [t["loss"] for t in found["trials"][FINAL] if t["state"] == "COMPLETE"]
    if losses:
        figure = plots.search_figure(losses, found["default_loss"], found["loss"], task.title)
        figure.savefig(run / "search.png", dpi=150)
    write_json(run / "search.json", found)


def numbers(found: Mapping[str, Any]) -> dict[str, float]:
    """Return the search as flat metrics for the tracker."""
    nested = found["nested"]
    flat = {
        f"{who}.{name}": value
        for who in ("searched", "default")
        for name, value in nested[who].items()
        if value is not None
    }
    flat |= {f"difference.{bound}": value for bound, value in nested["difference"].items()}
    return flat | {"chosen_loss": found["chosen_loss"], "default_loss": found["default_loss"]}


def curves(found: Mapping[str, Any]) -> list[dict[str, float]]:
    """Return one line per finished trial of the final study, ``epoch`` being its number."""
    return [
        {"epoch": float(t["number"]), "loss": t["loss"], **_numeric(t["values"])}
        for t in found["trials"][FINAL]
        if t["state"] == "COMPLETE"
    ]


def _numeric(values: Mapping[str, Value]) -> dict[str, float]:
    return {key: float(v) for key, v in values.items() if isinstance(v, int | float)}
