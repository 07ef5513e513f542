"""May a version of a model be the champion? Only with its own card, and if it is not worse."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.stats import t

from omics_twin.answers.predictions import received_predictions
from omics_twin.cohort.cohort import Cohort
from omics_twin.errors import CohortError, ModelError
from omics_twin.evaluate.design import Outcome
from omics_twin.evaluate.paired import LOSS, Difference, paired_difference, paired_loss
from omics_twin.evaluate.score import HEADLINE
from omics_twin.files import sha256
from omics_twin.lifecycle import versions
from omics_twin.lifecycle.versions import CHALLENGER, CHAMPION, PREVIOUS, Version
from omics_twin.recording import CARD
from omics_twin.report.console import Console
from omics_twin.report.model_card import problems_of, read_card, waiting
from omics_twin.settings import TrackingSettings, TwinSettings
from omics_twin.tracking import MODEL_FOLDER, AnyModel, TrainedModel, load_folder
from omics_twin.training import tasks
from omics_twin.visits.living import LivingModel

_TIMES = {"c_index": 300}
_FEWEST_FOLDS = 3


@dataclass(frozen=True)
class Candidate:
    """A registered version whose files and card were checked.

    Attributes
    ----------
    waiting
        Items of the card that wait for a person.
    """

    version: Version
    model: AnyModel
    waiting: tuple[str, ...]


@dataclass(frozen=True)
class Match:
    """A challenger less the champion, on patients whom neither was trained on.

    Attributes
    ----------
    loss, excess
        Name of a loss, and the challenger's less the champion's with a 95 % interval.
    metric, gain
        The same of a metric of which more is better; None where there is none.
    over
        What the intervals are over.
    """

    cohort: str
    patients: int
    loss: str
    excess: Difference
    metric: str = ""
    gain: Difference | None = None
    over: str = "patients"

    @property
    def worse(self) -> bool:
        """Whether the whole interval of the metric, or of the loss, is on the wrong side."""
        return self.excess.lower > 0.0 or (self.gain is not None and self.gain.upper < 0.0)

    @property
    def better(self) -> bool:
        """Whether one of them is on the right side, and none on the wrong one."""
        gained = self.gain is not None and self.gain.lower > 0.0
        return not self.worse and (gained or self.excess.upper < 0.0)

    @property
    def behind(self) -> str:
        """What is not as good, by less than chance can make of it; empty: nothing."""
        if self.worse:
            return ""
        if self.gain is None:
            return f"its {self.loss} is higher" if self.excess.mean > 0.0 else ""
        return f"its {self.metric} is lower" if self.gain.mean < 0.0 else ""

    def in_words(self, challenger: str, champion: str) -> str:
        """Return who is better by how much."""
        gain, excess = self.gain, self.excess
        verdict = "is worse than" if self.worse else "is not shown to differ from"
        verdict = "is better than" if self.better else verdict
        gained = (
            f"{self.metric} {gain.mean:+.3f} ({gain.lower:+.3f} to {gain.upper:+.3f}), "
            if gain is not None
            else ""
        )
        over = "" if self.over == "patients" else f", over {self.over}"
        return (
            f"version {challenger} {verdict} the champion, version {champion}: {gained}{self.loss} "
            f"{excess.mean:+.4f} ({excess.lower:+.4f} to {excess.upper:+.4f}) in {self.patients} "
            f"patients of '{self.cohort}' whom neither was trained on{over}"
        )


def candidate(version: Version, settings: TrackingSettings) -> Candidate:
    """Return a version with its files and its card, both checked.

    Raises
    ------
    ModelError
        If a file was changed, or the card is absent, not whole, changed or of another model.
    """
    told = f"version {version.number} of '{version.name}' is not promoted"
    folder = versions.fetched(version, settings)
    artefacts = folder / "artifacts" if (folder / "artifacts").is_dir() else folder
    try:
        model = load_folder(artefacts / MODEL_FOLDER)
        card = read_card(artefacts / CARD)
    except ModelError as error:
        raise ModelError(f"{told}: {error}") from error
    problems = problems_of(card, model.digest)
    if version.tags.get("card_digest") != sha256((artefacts / CARD).read_bytes()):
        problems.append("it was changed after it was registered")
    if version.tags.get("model_digest") != model.digest:
        problems.append("the model is another than the one that was registered")
    if problems:
        raise ModelError(f"{told}, its card does not hold: {problems[0]}")
    return Candidate(version, model, tuple(waiting(card)))


def promote(
    asked: Version,
    settings: TrackingSettings,
    compare: Callable[[AnyModel, AnyModel], Match],
    console: Console,
    *,
    force: bool = False,
) -> None:
    """Make a version the champion; the champion until now is kept as the previous one.

    Parameters
    ----------
    compare
        Challenger, champion -> how they compare.
    force
        Whether a version that is worse, or that cannot be compared, is promoted all the same.

    Raises
    ------
    ModelError
        If the version is not whole, or is worse than the champion.
    """
    found, champion = candidate(asked, settings), versions.aliased(asked.name, CHAMPION, settings)
    if found.waiting:
        console.warn(
            f"{len(found.waiting)} parts of the card wait for a person: {', '.join(found.waiting)}"
        )
    told: dict[str, str] = {"promoted_at": _now(), "promoted_by_force": str(force).lower()}
    if champion is not None and champion.number == asked.number:
        console.say(f"version {asked.number} of '{asked.name}' is the champion already")
        return
    if champion is not None:
        told |= _judged(found, champion, settings, compare, console, force=force)
        # In this order a crash in between leaves a champion, and a way back to it.
        versions.set_aliases(asked.name, {PREVIOUS: champion.number}, settings)
    versions.tag(asked, told, settings)
    versions.set_aliases(asked.name, {CHAMPION: asked.number}, settings)
    challenger = versions.aliased(asked.name, CHALLENGER, settings)
    if challenger is not None and challenger.number == asked.number:
        versions.drop_alias(asked.name, CHALLENGER, settings)
    console.say(
        f"champion of '{asked.name}': version {asked.number} (models:/{asked.name}@champion)"
    )


def _judged(
    found: Candidate,
    champion: Version,
    settings: TrackingSettings,
    compare: Callable[[AnyModel, AnyModel], Match],
    console: Console,
    *,
    force: bool,
) -> dict[str, str]:
    """Return what was found against the champion; refuse what is worse unless forced."""
    try:
        match = compare(found.model, candidate(champion, settings).model)
    except (CohortError, ModelError) as error:
        if not force:
            raise ModelError(
                f"version {found.version.number} is not promoted, it cannot be compared with the "
                f"champion, version {champion.number} ({error}): name a cohort of both with "
                "cohort=…, or add force=true"
            ) from error
        console.warn(f"promoted without a comparison: {error}")
        return {"compared_with": champion.number, "compared": f"not compared: {error}"}
    words = match.in_words(found.version.number, champion.number)
    if match.worse and not force:
        raise ModelError(f"{words}: it is not promoted; add force=true to promote it all the same")
    (console.warn if match.worse else console.say)(words)
    if match.behind:
        console.warn(f"{match.behind}, by less than chance can make of it")
    return {"compared_with": champion.number, "compared": json.dumps(asdict(match))}


def rollback(name: str, settings: TrackingSettings, console: Console) -> None:
    """Make the previous champion the champion again; the one until now becomes the previous.

    Raises
    ------
    ModelError
        If there is no previous champion, or it is not as it was.
    """
    champion = versions.aliased(name, CHAMPION, settings)
    previous = versions.aliased(name, PREVIOUS, settings)
    if champion is None or previous is None:
        raise ModelError(
            f"'{name}' has no {'champion' if champion is None else 'previous champion'}: promote "
            "versions first"
        )
    candidate(previous, settings)
    versions.tag(champion, {"rolled_back_at": _now()}, settings)
    # The champion last: until then the one that is rolled back is still named.
    aliases = {CHAMPION: previous.number, PREVIOUS: champion.number}
    versions.set_aliases(name, aliases, settings)
    console.say(
        f"champion of '{name}': version {previous.number} again; version {champion.number} is the "
        "previous one"
    )


def match_by_fold(challenger: AnyModel, champion: AnyModel) -> Match:
    """Return how two twins of visits compare, fold by fold, as they were judged.

    Nobody is forecast by twins that learned from them. Folds are those of the first repeat, each
    patient's loss is the mean over the repeats. The interval is Student's over the folds, which
    share training patients: it is somewhat too narrow.

    Raises
    ------
    ModelError
        If the twins answer different questions.
    CohortError
        If they were not judged on the same folds of the same patients, from the same landmarks.
    """
    both = (challenger, champion)
    asked = [
        (m.kind, m.twin.modalities, m.endpoint) if isinstance(m, LivingModel) else None
        for m in both
    ]
    if asked[0] != asked[1] or asked[0] is None:
        raise ModelError("they answer different questions: name two versions of one experiment")
    known = [(m.provenance.get("fingerprint"), _protocol_of(m)) for m in both]
    if known[0] != known[1]:
        raise CohortError(
            "they were judged on other patients, other folds or from other landmarks: train the "
            "challenger on the champion's cohort, split, dynamics.landmarks_days and "
            "dynamics.horizon_days"
        )
    first, second = ((m.provenance.get("performance") or {}).get("by_fold") or {} for m in both)
    loss = next((name for name in first if len(first[name]) == len(second.get(name, ()))), "")
    if not loss or len(first[loss]) < _FEWEST_FOLDS:
        raise CohortError("no loss was kept of three folds or more: train both again")
    apart = np.array(first[loss]) - np.array(second[loss])
    mean, error = float(apart.mean()), float(apart.std(ddof=1) / np.sqrt(len(apart)))
    reach = float(t.ppf(0.975, len(apart) - 1)) * error
    return Match(
        cohort=str(challenger.provenance.get("cohort")),
        patients=int(challenger.provenance["performance"]["n"]),
        loss=loss,
        excess=Difference(mean, mean - reach, mean + reach),
        over=f"{len(apart)} folds",
    )


def _protocol_of(model: AnyModel) -> tuple[Any, ...]:
    config = model.provenance.get("config") or {}
    asked = config.get("dynamics") or {}
    return config.get("split"), asked.get("landmarks_days"), asked.get("horizon_days")


def match_of(
    challenger: TrainedModel,
    champion: TrainedModel,
    cohort: Cohort,
    settings: TwinSettings,
    console: Console,
) -> Match:
    """Return how two models compare on patients of a cohort whom neither was trained on.

    A training patient is answered by those members only that never saw the patient.

    Raises
    ------
    ModelError
        If the models answer different questions.
    CohortError
        If the cohort does not have their outcome, or too few patients allow a comparison.
    """
    asked = [(m.outcome, m.outcome_kind, m.endpoint) for m in (challenger, champion)]
    if asked[0] != asked[1]:
        raise ModelError(
            f"they answer different questions, '{asked[0][0]}' by day "
            f"{asked[0][2].horizon_days:g} and '{asked[1][0]}' by day {asked[1][2].horizon_days:g}"
        )
    if challenger.outcome not in cohort.outcomes:
        raise CohortError(f"cohort '{cohort.name}' has no outcome '{challenger.outcome}'")
    outcome = tasks.outcome_of(cohort, challenger.outcome, challenger.endpoint)
    first, second = (
        _held_out(model, cohort, outcome, settings, console) for model in (challenger, champion)
    )
    both = np.isfinite(first) & np.isfinite(second)
    known = both.reshape(both.shape[1], -1).all(axis=1) & np.isfinite(outcome.values)
    kind = outcome.kind
    times = _TIMES.get(HEADLINE[kind], 1000)
    return Match(
        cohort=cohort.name,
        patients=int(known.sum()),
        metric=HEADLINE[kind],
        gain=paired_difference(outcome, first, second, resamples=times),
        loss=LOSS[kind],
        excess=paired_loss(outcome, first, second, resamples=times),
    )


def _held_out(
    model: TrainedModel,
    cohort: Cohort,
    outcome: Outcome,
    settings: TwinSettings,
    console: Console,
) -> Float[ndarray, "repeat patient *time"]:
    """Return predictions under the therapy received, NaN for whom every member has seen."""
    found = received_predictions(model, cohort, outcome, settings, console)
    predicted = np.where(found.blind[:, None], np.nan, found.values)
    return predicted[None, :, 0] if outcome.grid_days is None else predicted[None]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
