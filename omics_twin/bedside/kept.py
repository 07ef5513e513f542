"""What is kept of a patient between visits, and the visits that the twin was not shown yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from omics_twin import consenting, tracking
from omics_twin.answers import beliefs
from omics_twin.asked import called, read_cohort
from omics_twin.bedside.belief import KeptBelief, place_of, read_belief
from omics_twin.bedside.record import read_record, stratum_of, visits_of
from omics_twin.config import Config
from omics_twin.errors import CohortError
from omics_twin.report.console import Console
from omics_twin.report.words import counted
from omics_twin.tensors.history import histories_of
from omics_twin.told import without
from omics_twin.trust.consent import Purpose
from omics_twin.types import Visit
from omics_twin.visits import progression
from omics_twin.visits.living import LivingModel
from omics_twin.visits.scheduled import is_scheduled, scheduled_visits


def belief_asked(
    config: Config, model: LivingModel | tracking.TrainedModel
) -> tuple[KeptBelief, Path, tuple[str, ...]]:
    """Return the belief that is kept of a patient, or the one before any visit, and its place.

    And the modalities that the patient withholds: the ledger is asked once.
    """
    patient = called(config, config.patient or "")
    withheld = consenting.withheld_from(config, model, patient)
    place = place_of(beliefs_folder(config), model.digest, patient)
    if place.is_file():
        kept = read_belief(place, model.twin.modalities)
        consenting.check_shown(kept, withheld, place)
        return kept, place, withheld
    draws = config.twin.draws
    if isinstance(model, tracking.TrainedModel):
        draws = beliefs.draws_of(model, config.twin)
    return KeptBelief(patient, model.digest, draws, config.twin.seed), place, withheld


def beliefs_folder(config: Config) -> Path:
    """Return the folder in which beliefs are kept."""
    return Path(config.beliefs or Path(config.output_root) / "beliefs")


def visits_told(
    config: Config,
    model: tracking.TrainedModel,
    kept: KeptBelief,
    withheld: Sequence[str],
    console: Console,
) -> tuple[KeptBelief, list[Visit]]:
    """Return the belief with the patient's stratum, and the visits it was not shown yet."""
    if config.observation:
        names = consenting.names_of(config)
        record = read_record(Path(config.observation), kept.patient_id, names)
        record = without(record, withheld)
        stratum = stratum_of(model, record) if record.stratum or not kept.visits else kept.stratum
        return replace(kept, stratum=stratum), list(visits_of(model, record))
    cohort = read_cohort(config, console, Purpose.SCORING).select([kept.patient_id])
    stratum = beliefs.strata_keys(model.support.columns, cohort)[0]
    visits = beliefs.visits_of(model, cohort, as_of_days=config.until_days)
    return replace(kept, stratum=stratum), _not_shown(kept, visits, console)


def visits_in_cohort(
    config: Config, model: LivingModel, kept: KeptBelief, console: Console
) -> list[Visit]:
    """Return a patient's visits in the cohort, later than what the twin has seen."""
    cohort = read_cohort(config, console, Purpose.SCORING).select([kept.patient_id])
    until = config.until_days
    if is_scheduled(model):
        (scheduled,) = scheduled_visits(model, cohort)
        every = [each for each in scheduled if _day(each) <= until]
    else:
        seen, (under,) = (
            histories_of(cohort, model.twin.modality.name),
            progression.given_in(cohort),
        )
        every = progression.visits_of(seen, under, until)
    return _not_shown(kept, every, console)


def _day(visit: Visit) -> float:
    return float(visit.observation.days[0])


def _not_shown(kept: KeptBelief, visits: Sequence[Visit], console: Console) -> list[Visit]:
    """Return the visits that are later than those shown, which must be as they were shown.

    Raises
    ------
    CohortError
        If another value is told of a day: it is another patient of that name, or was corrected.
    """
    last = _day(kept.visits[-1]) if kept.visits else float("-inf")
    shown = {_day(each): each.observation.values for each in kept.visits}
    before = [each for each in visits if _day(each) <= last]
    for each in before:
        known = shown.get(_day(each), {})
        for name, values in each.observation.values.items():
            # What is not told again may still be known.
            told = ~torch.isnan(values)
            if name in known and not values[told].allclose(known[name].to(values)[told]):
                raise CohortError(
                    "the twin was shown other values of this patient on a day that the cohort "
                    "tells of, too: a patient of another cohort has the name, or a value was "
                    "corrected; keep the belief apart with beliefs=FOLDER, which begins anew"
                )
    missed = sum(_day(each) not in shown for each in before)
    if missed:
        console.warn(
            f"not shown, since it was told of later days before: {counted(missed, 'visit')} of the "
            "cohort; beliefs=FOLDER begins anew"
        )
    return [each for each in visits if _day(each) > last]
