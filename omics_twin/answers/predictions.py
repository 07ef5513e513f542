"""What a trained model expects of a cohort's patients, and how well it does, for a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from omics_twin.answers.beliefs import (
    beliefs,
    by_received,
    endpoint_values,
    incidences,
    outcome_values,
    received_of,
    strata_keys,
)
from omics_twin.cohort.cohort import Cohort
from omics_twin.errors import CohortError
from omics_twin.evaluate.causes import judged_by_cause
from omics_twin.evaluate.design import Outcome
from omics_twin.evaluate.score import score
from omics_twin.files import write_csv
from omics_twin.lifecycle.validity import policy_of, unlike_them
from omics_twin.report.console import Console
from omics_twin.settings import TwinSettings, Unlike
from omics_twin.tracking import TrainedModel
from omics_twin.twin.draws import select, weighted_mean, weighted_quantile
from omics_twin.types import NO_INTERVENTION, Intervention


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
    by_cause
        Incidence of each cause of the model's event, if it tells them apart,
        (cause, patient, time).
    """

    values: Float[np.ndarray, "patient time"]
    trained_on: np.ndarray
    blind: np.ndarray
    by_cause: Float[np.ndarray, "cause patient time"]


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
    by_cause = np.full((len(model.twin.network.outcome.causes), len(arms), size), np.nan)
    trained_on, blind = np.zeros((2, len(arms)), dtype=bool)
    for belief in beliefs(model, cohort, settings, console, as_of_days=as_of_days):
        for rows, therapy in by_received(arms, belief, model):
            if therapy is not NO_INTERVENTION:
                state = select(belief.state, rows)
                values = outcome_values(model, state, therapy, outcome)
                predicted[belief.rows[rows]] = weighted_mean(values, state.log_weights)
                if len(by_cause) and outcome.grid_days is not None:
                    found = incidences(model, state, therapy, outcome.grid_days)
                    by_cause[:, belief.rows[rows]] = found
        unseen = model.twin.membership.unseen(belief.state.patient_ids)
        trained_on[belief.rows] = ~unseen.all(dim=1).numpy()
        blind[belief.rows] = ~unseen.any(dim=1).numpy()
    return ReceivedPredictions(predicted, trained_on, blind, by_cause)


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
    causes = model.twin.network.outcome.causes
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
        "model": _means(score(outcome, given)),
        "baselines": {},
        "by_cause": _by_cause(outcome, cohort, found.by_cause, causes),
    }


def _by_cause(
    outcome: Outcome,
    cohort: Cohort,
    incidence: Float[np.ndarray, "cause patient time"],
    causes: Sequence[str],
) -> dict[str, Any]:
    """Return the metrics of every cause that both model and cohort tell apart."""
    found: dict[str, Any] = {}
    for which, cause in enumerate(outcome.causes, start=1):
        if cause in causes and (np.asarray(outcome.by_cause) == which).any():
            judged = judged_by_cause(outcome, which, cohort.patient_ids)
            scores = score(judged, 1.0 - incidence[causes.index(cause)])
            found[cause] = {
                "events": int(judged.followed[0].sum()),
                "model": _means(scores),
                "baselines": {},
            }
    return found


def _means(scores: Mapping[str, float]) -> dict[str, dict[str, float | None]]:
    return {
        name: {"mean": float(value) if np.isfinite(value) else None, "sd": None}
        for name, value in scores.items()
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
    """Write ``patient_id,endpoint,intervention,expected,lower,upper``.

    Of a graded outcome also ``own_lower,own_upper``, between which the patient's own value lies; of
    an event whose causes are told apart, the expected incidence of each by the horizon.
    """
    arms = received_of(cohort, model.catalogue)
    if intervention is None and not any(arms):
        raise CohortError(
            f"cohort '{cohort.name}' does not say which therapy patients received: "
            f"add intervention=NAME, one of {', '.join(model.catalogue.arms)}"
        )
    causes = model.twin.network.outcome.causes
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
            own = model.own_values.around(mean.numpy(), settings.interval) or ()
            horizon = [model.endpoint.horizon_days]
            by_cause = incidences(model, state, therapy, horizon)[..., 0] if causes else ()
            columns = np.stack(
                [mean.numpy(), *(each.numpy() for each in kept), *own, *by_cause], axis=1
            )
            for row, numbers in zip(belief.rows[rows], columns.tolist(), strict=True):
                known = therapy is not NO_INTERVENTION and row not in refused
                lines[row] = [
                    cohort.patient_ids[row],
                    model.endpoint.name,
                    therapy.name if known else "",
                    *(each if known else "" for each in numbers),
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
    if any(len(line) > len(header) + len(causes) for line in lines.values()):
        header += ["own_lower", "own_upper"]
    header += [f"incidence of {each}" for each in causes]
    write_csv(output, header, [lines[row] for row in sorted(lines)])
