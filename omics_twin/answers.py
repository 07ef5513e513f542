"""A trained model asked about a cohort: beliefs, predictions, rankings, in chunks of patients."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from omics_twin.cohort.cohort import Cohort
from omics_twin.errors import CohortError
from omics_twin.evaluate.design import Outcome
from omics_twin.evaluate.score import score
from omics_twin.files import write_whole
from omics_twin.report.console import Console
from omics_twin.settings import TwinSettings, Unlike
from omics_twin.tensors import transforms
from omics_twin.tensors.transforms import DesignMatrices
from omics_twin.therapy.catalogue import Catalogue
from omics_twin.therapy.rank import order, rank_therapies
from omics_twin.therapy.support import stratum_key
from omics_twin.tracking import TrainedModel
from omics_twin.twin.draws import select, some_of, weighted_mean, weighted_quantile
from omics_twin.types import (
    NO_INTERVENTION,
    Intervention,
    Observation,
    Ranking,
    TwinState,
    Visit,
)
from omics_twin.validity import governed, policy_of, shares_of, unlike_them

_CHUNK = 512


@dataclass(frozen=True)
class Belief:
    """What the twin believes about some patients, and what that rests on.

    Attributes
    ----------
    rows
        Position of each patient in the cohort, (patient,).
    shown
        Channels the twin was shown, by patient.
    likeness
        Share of the training patients who are at least as unusual; empty where it was not asked.
    """

    rows: np.ndarray
    state: TwinState
    shown: tuple[tuple[str, ...], ...]
    likeness: tuple[float | None, ...] = ()


def draws_of(model: TrainedModel, settings: TwinSettings) -> int:
    """Return a number of draws that every member has an equal share of."""
    members = model.twin.network.members
    return members * max(1, -(-settings.draws // members))


def beliefs(
    model: TrainedModel,
    cohort: Cohort,
    settings: TwinSettings,
    console: Console,
    *,
    as_of_days: float = 0.0,
) -> Iterator[Belief]:
    """Yield the belief about the cohort's patients, some at a time.

    Parameters
    ----------
    as_of_days
        Later visits are not shown [day].
    """
    matrices = transforms.apply(model.twin.design, cohort)
    for note in matrices.notes:
        console.note(note)
    strata = strata_keys(model.support.columns, cohort)
    yield from beliefs_of(
        model,
        matrices,
        received_of(cohort, model.catalogue),
        settings,
        strata=strata,
        as_of_days=as_of_days,
    )


def received_of(cohort: Cohort, catalogue: Catalogue | None = None) -> list[str | None]:
    """Return the arm each patient received, None where it is not known.

    Parameters
    ----------
    catalogue
        Where the cohort has no therapy table and this compares nothing, its one arm is meant.
    """
    if cohort.received is None:
        only = catalogue.arms[0] if catalogue is not None and len(catalogue.arms) == 1 else None
        return [only] * len(cohort.patient_ids)
    known = cohort.received.notna()
    return [
        str(arm) if is_known else None for arm, is_known in zip(cohort.received, known, strict=True)
    ]


def beliefs_of(
    model: TrainedModel,
    matrices: DesignMatrices,
    received: Sequence[str | None],
    settings: TwinSettings,
    *,
    strata: Sequence[str],
    as_of_days: float = 0.0,
) -> Iterator[Belief]:
    """Yield the belief about patients whose values are in the order of the design.

    Some at a time; where follow-ups are shown, those who received the same therapy together.

    Parameters
    ----------
    strata
        Stratum of each patient, which says how far the draws are moved apart.
    as_of_days
        Later visits are not shown [day].
    """
    visits = transforms.observations(model.twin.design, matrices)
    arms = [arm if arm in model.catalogue.arms else None for arm in received]
    for arm, chosen in _together(arms if as_of_days > 0 else [None] * len(arms)):
        rows = torch.from_numpy(chosen)
        ids = tuple(matrices.patient_ids[row] for row in chosen)
        state = model.twin.start(ids, draws=draws_of(model, settings), seed=settings.seed)
        state = calibrated(model, state, [strata[row] for row in chosen])
        for visit in visits:
            state = _observe(model, state, some_of(visit, rows), arm, as_of_days)
        shown = shown_in(model, state)
        own = {name: each[rows] for name, each in matrices.values.items()}
        yield Belief(chosen, state, shown, shares_of(model, own))


def _together(arms: Sequence[str | None]) -> Iterator[tuple[str | None, Int[np.ndarray, " row"]]]:
    """Yield the patients of each arm, some at a time."""
    for arm in dict.fromkeys(arms):
        own = np.array([row for row, each in enumerate(arms) if each == arm])
        for start in range(0, len(own), _CHUNK):
            yield arm, own[start : start + _CHUNK]


def visits_of(model: TrainedModel, cohort: Cohort, *, as_of_days: float) -> list[Visit]:
    """Return what was measured in a cohort's only patient, up to a day, in time order.

    A visit under a therapy that the model does not know is not shown.
    """
    matrices = transforms.apply(model.twin.design, cohort)
    arm = received_of(cohort)[0]
    found = []
    for visit in transforms.observations(model.twin.design, matrices):
        values = {
            name: each for name, each in visit.values.items() if not bool(torch.isnan(each).all())
        }
        day = float(visit.days[0])
        if not values or day > as_of_days or (day > 0 and arm not in model.catalogue.arms):
            continue
        under = model.catalogue.intervention(arm) if day > 0 and arm else NO_INTERVENTION
        found.append(Visit(Observation(visit.patient_ids, visit.days, values), under))
    return found


def calibrated(model: TrainedModel, state: TwinState, strata: Sequence[str]) -> TwinState:
    """Return a belief whose draws are moved apart as far as the patients' strata ask for."""
    return replace(state, spread=model.calibration.moved_apart(strata))


def _observe(
    model: TrainedModel,
    state: TwinState,
    visit: Observation,
    arm: str | None,
    as_of_days: float,
) -> TwinState:
    """Show a visit; after the index date, under the therapy the patients received."""
    before = visit.days <= min(as_of_days, 0.0)
    if bool(before.any()):
        state = model.twin.observe(state, _only(visit, before, state))
    after = (visit.days > 0) & (visit.days <= as_of_days)
    if arm and bool(after.any()):
        under = model.catalogue.intervention(arm)
        state = model.twin.observe(state, _only(visit, after, state), under=under)
    return state


def _only(visit: Observation, rows: Tensor, state: TwinState) -> Observation:
    """Return the visit as if the other patients had not come."""
    values = {
        name: torch.where(rows[:, None], each, torch.nan) for name, each in visit.values.items()
    }
    days = torch.where(rows, visit.days, state.days.to(visit.days))
    return Observation(visit.patient_ids, days, values)


def shown_in(model: TrainedModel, state: TwinState) -> tuple[tuple[str, ...], ...]:
    """Return the channels that the twin was shown, by patient."""
    flags = model.twin.shown(state)
    names = [channel.name for channel in model.twin.design.channels]
    return tuple(
        tuple(name for name, flag in zip(names, row, strict=True) if flag) for row in flags
    )


def strata_keys(model_columns: Sequence[str], cohort: Cohort) -> list[str]:
    """Return each patient's stratum; a marker that was not measured is part of the name."""
    return [
        stratum_key(model_columns, list(each.values())) for each in strata_of(model_columns, cohort)
    ]


def strata_of(model_columns: Sequence[str], cohort: Cohort) -> list[dict[str, str]]:
    """Return what each patient's stratum is made of: column -> value, or ``not measured``."""
    missing = [column for column in model_columns if column not in cohort.strata]
    if missing:
        raise CohortError(
            f"cohort '{cohort.name}' has no stratum column '{missing[0]}', which decides what is "
            "open to a patient: declare it under 'strata'"
        )
    table = cohort.strata[list(model_columns)].astype(object)
    table = table.where(table.notna(), "not measured")
    return [
        dict(zip(model_columns, map(str, row), strict=True)) for row in table.to_numpy().tolist()
    ]


def ranking_of(
    model: TrainedModel, cohort: Cohort, belief: Belief, settings: TwinSettings
) -> Ranking:
    """Return the catalogue's therapies compared for the patients of a belief."""
    keys = strata_keys(model.support.columns, cohort)
    found = ranking_in(model, belief.state, [keys[row] for row in belief.rows], settings)
    return governed(model, found, belief.likeness) if belief.likeness else found


def ranking_in(
    model: TrainedModel,
    state: TwinState,
    strata: Sequence[str],
    settings: TwinSettings,
    among: Collection[str] = (),
) -> Ranking:
    """Return the catalogue's therapies compared for patients of known strata.

    Parameters
    ----------
    among
        Arms to compare; none: all.
    """
    eligible, support, reasons = model.support.judge(model.catalogue, strata)
    if among:
        eligible = eligible & torch.tensor([arm in among for arm in model.catalogue.arms])
    return rank_therapies(
        model.twin,
        state,
        model.catalogue.interventions(),
        model.endpoint,
        eligible=eligible,
        support=support,
        reasons=reasons,
        interval=settings.interval,
        thin_support=model.catalogue.thin_support,
        confidence=settings.confidence,
        power=model.calibration.power,
        arms=model.calibration.arms_of(strata)[:, None],
    )


def endpoint_values(
    model: TrainedModel, state: TwinState, intervention: Intervention
) -> Float[Tensor, "patient draw"]:
    """Return the endpoint of every draw under one intervention."""
    trajectory = model.twin.simulate(state, intervention, model.endpoint.days())
    return model.endpoint.read(trajectory)


def outcome_values(
    model: TrainedModel, state: TwinState, intervention: Intervention, outcome: Outcome
) -> Float[Tensor, "patient draw time"]:
    """Return what the metrics of an outcome are computed from, for every draw."""
    days = model.endpoint.days() if outcome.grid_days is None else torch.tensor(outcome.grid_days)
    trajectory = model.twin.simulate(state, intervention, days)
    values = trajectory.values[..., trajectory.names.index(model.outcome)]
    return values[..., -1:] if outcome.grid_days is None else values


def by_received(
    arms: Sequence[str | None], belief: Belief, model: TrainedModel
) -> Iterator[tuple[Tensor, Intervention]]:
    """Yield the patients of a belief who received each arm, and the arm as a plan."""
    given = [arms[row] for row in belief.rows]
    model.catalogue.check_received({arm for arm in given if arm})
    for arm in sorted({arm for arm in given if arm}):
        rows = torch.tensor([index for index, each in enumerate(given) if each == arm])
        yield rows, model.catalogue.intervention(arm)
    unknown = torch.tensor([index for index, each in enumerate(given) if each is None]).long()
    if len(unknown):
        yield unknown, NO_INTERVENTION


@dataclass(frozen=True)
class ReceivedPredictions:
    """What is expected of a cohort's patients under the therapies they received.

    Attributes
    ----------
    values
        What the metrics of an outcome are computed from, (patient, time); NaN where no therapy is
        known.
    trained_on, blind
        Whom some member has seen, and whom every member has seen, (patient,).
    """

    values: Float[np.ndarray, "patient time"]
    trained_on: np.ndarray
    blind: np.ndarray


def received_predictions(
    model: TrainedModel,
    cohort: Cohort,
    outcome: Outcome,
    settings: TwinSettings,
    console: Console,
    *,
    as_of_days: float = 0.0,
) -> ReceivedPredictions:
    """Return what is expected of a cohort's patients under the therapies they received.

    A training patient is answered by the members that never saw the patient, where there are any.
    """
    arms = received_of(cohort, model.catalogue)
    size = 1 if outcome.grid_days is None else len(outcome.grid_days)
    predicted = np.full((len(arms), size), np.nan)
    trained_on, blind = np.zeros((2, len(arms)), dtype=bool)
    for belief in beliefs(model, cohort, settings, console, as_of_days=as_of_days):
        for rows, therapy in by_received(arms, belief, model):
            if therapy is not NO_INTERVENTION:
                state = select(belief.state, rows)
                values = outcome_values(model, state, therapy, outcome)
                predicted[belief.rows[rows]] = weighted_mean(values, state.log_weights)
        unseen = model.twin.membership.unseen(belief.state.patient_ids)
        trained_on[belief.rows] = ~unseen.all(dim=1).numpy()
        blind[belief.rows] = ~unseen.any(dim=1).numpy()
    return ReceivedPredictions(predicted, trained_on, blind)


def evaluation(
    model: TrainedModel,
    cohort: Cohort,
    outcome: Outcome,
    settings: TwinSettings,
    console: Console,
    *,
    as_of_days: float = 0.0,
) -> dict[str, Any]:
    """Return the metrics of a cohort under the therapies received.

    A patient without a known therapy or outcome is counted and not scored.
    """
    found = received_predictions(model, cohort, outcome, settings, console, as_of_days=as_of_days)
    predicted, trained_on = found.values, int(found.trained_on.sum())
    blind = int(found.blind.sum())
    if trained_on:
        console.note(
            f"{trained_on} patients have names of training patients: answered by the members "
            "that never saw those"
        )
    if blind:
        console.warn(
            f"{blind} patients were seen by every member: what is said of them is not held out"
        )
    given = predicted[:, 0] if outcome.grid_days is None else predicted
    scored = np.isfinite(outcome.values) & np.isfinite(predicted).all(axis=1)
    if not scored.any():
        raise CohortError(
            f"no patient of cohort '{cohort.name}' has both a known therapy and a known outcome "
            f"'{model.outcome}': there is nothing to score"
        )
    return {
        "endpoint": model.endpoint.name,
        "n": int(scored.sum()),
        "not_scored": int((~scored).sum()),
        "in_training": trained_on,
        "model": {
            name: {"mean": float(value) if np.isfinite(value) else None, "sd": None}
            for name, value in score(outcome, given).items()
        },
        "baselines": {},
    }


def write_predictions(
    model: TrainedModel,
    cohort: Cohort,
    settings: TwinSettings,
    intervention: Intervention | None,
    output: Path,
    console: Console,
    *,
    as_of_days: float = 0.0,
) -> None:
    """Write ``patient_id,endpoint,intervention,expected,lower,upper``."""
    arms = received_of(cohort, model.catalogue)
    if intervention is None and not any(arms):
        raise CohortError(
            f"cohort '{cohort.name}' does not say which therapy patients received: "
            f"add intervention=NAME, one of {', '.join(model.catalogue.arms)}"
        )
    lines: dict[int, list[Any]] = {}
    refused: set[int] = set()
    tail = (1.0 - settings.interval) / 2.0
    part_kept = model.calibration.arms_of(strata_keys(model.support.columns, cohort))
    for belief in beliefs(model, cohort, settings, console, as_of_days=as_of_days):
        groups = (
            [(torch.arange(len(belief.rows)), intervention)]
            if intervention
            else by_received(arms, belief, model)
        )
        refusing = policy_of(model) is Unlike.REFUSE
        far = [refusing and unlike_them(each) for each in belief.likeness]
        refused |= {row for row, each in zip(belief.rows, far, strict=True) if each}
        for rows, therapy in groups:
            state = select(belief.state, rows)
            values = endpoint_values(model, state, therapy)
            weights = state.log_weights
            mean = weighted_mean(values, weights)
            ends = [weighted_quantile(values, weights, share) for share in (tail, 1.0 - tail)]
            part = part_kept[torch.as_tensor(belief.rows)[rows]]
            kept = [mean + part * (end - mean) for end in ends]
            columns = torch.stack([mean, *kept], dim=1)
            for row, numbers in zip(belief.rows[rows], columns.tolist(), strict=True):
                known = therapy is not NO_INTERVENTION and row not in refused
                lines[row] = [
                    cohort.patient_ids[row],
                    model.endpoint.name,
                    therapy.name if known else "",
                    *(_number(each) if known else "" for each in numbers),
                ]
    unknown = sum(arm is None for arm in arms) if intervention is None else 0
    if unknown:
        console.warn(
            f"{unknown} patients have no known therapy: their lines are empty; "
            "add intervention=NAME to predict under one"
        )
    if refused:
        console.warn(
            f"{len(refused)} patients are unlike the training patients and are refused: their "
            "lines are empty"
        )
    header = ["patient_id", "endpoint", "intervention", "expected", "lower", "upper"]
    write_csv(output, header, [lines[row] for row in sorted(lines)])


RANKING_COLUMNS = (
    "patient_id",
    "rank",
    "intervention",
    "expected",
    "lower",
    "upper",
    "probability_best",
    "support",
    "eligible",
    "reason",
    "recommended",
    "abstention",
    "likeness",
    "unlike",
)


def cohort_lines(
    model: TrainedModel,
    cohort: Cohort,
    settings: TwinSettings,
    console: Console,
    *,
    excluded: bool,
    as_of_days: float = 0.0,
) -> list[dict[str, Any]]:
    """Return the lines of every patient's ranking, see :func:`ranking_lines`."""
    lines: dict[int, list[dict[str, Any]]] = {}
    for belief in beliefs(model, cohort, settings, console, as_of_days=as_of_days):
        ranking = ranking_of(model, cohort, belief, settings)
        for patient, row in enumerate(belief.rows):
            lines[row] = ranking_lines(ranking, patient, excluded=excluded)
    return [line for row in sorted(lines) for line in lines[row]]


def write_ranking(
    model: TrainedModel, lines: list[dict[str, Any]], settings: TwinSettings, output: Path
) -> None:
    """Write a ranking as CSV or JSON, by the output's ending."""
    if output.suffix == ".json":
        content = {
            "endpoint": model.endpoint.name,
            "title": model.title,
            "higher_is_better": model.endpoint.higher_is_better,
            "interval": settings.interval,
            "confidence": settings.confidence,
            "ranking": lines,
        }
        write_whole(output, json.dumps(content, indent=1, allow_nan=False).encode() + b"\n")
        return
    rows = [["" if line[c] is None else _cell(line[c]) for c in RANKING_COLUMNS] for line in lines]
    write_csv(output, list(RANKING_COLUMNS), rows)


def ranking_lines(ranking: Ranking, patient: int, *, excluded: bool) -> list[dict[str, Any]]:
    """Return a patient's lines: what is open, best first; then, if asked, what is not and why.

    A patient to whom nothing is open always gets the reasons: nobody leaves in silence.
    """
    best_first = order(ranking, patient)
    chosen = list(enumerate(best_first, start=1))
    if excluded or not best_first:
        closed = set(range(len(ranking.interventions))) - set(best_first)
        chosen += [(0, option) for option in sorted(closed)]
    return [_ranking_line(ranking, patient, option, place) for place, option in chosen]


def _ranking_line(ranking: Ranking, patient: int, option: int, place: int) -> dict[str, Any]:
    numbers = (ranking.expected, ranking.lower, ranking.upper, ranking.probability_best)
    expected, lower, upper, best = (float(each[patient, option]) for each in numbers)
    opened = place > 0
    share = ranking.likeness[patient] if ranking.likeness else None
    return {
        "patient_id": ranking.patient_ids[patient],
        "rank": place if opened else None,
        "intervention": ranking.interventions[option],
        "expected": expected if opened else None,
        "lower": lower if opened else None,
        "upper": upper if opened else None,
        "probability_best": best if opened else None,
        "support": int(ranking.support[patient, option]),
        "eligible": opened,
        "reason": ranking.reasons[patient][option],
        "recommended": place == 1 and not bool(ranking.abstained[patient]),
        "abstention": ranking.abstention[patient] if place <= 1 else "",
        "likeness": share,
        "unlike": unlike_them(share),
    }


def write_csv(path: Path, header: list[str], lines: Sequence[Sequence[Any]]) -> None:
    """Write a table, whole or not at all."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(lines)
    write_whole(path, buffer.getvalue().encode())


def _number(value: float) -> str:
    return f"{value:.6f}"


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return _number(value) if isinstance(value, float) else str(value)
