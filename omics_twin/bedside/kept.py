"""What is kept of a patient between visits, and the visits that the twin was not shown yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from omics_twin import consenting, tracking
from omics_twin.answers import beliefs
from omics_twin.asked import called, read_cohort
from omics_twin.bedside.belief import KeptBelief, place_of, read_belief
from omics_twin.bedside.record import read_record, stratum_of, visits_of
from omics_twin.config import Config
from omics_twin.report.console import Console
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
    last = float(kept.visits[-1].observation.days[0]) if kept.visits else float("-inf")
    if config.observation:
        names = consenting.names_of(config)
        record = read_record(Path(config.observation), kept.patient_id, names)
        record = without(record, withheld)
        stratum = stratum_of(model, record) if record.stratum or not kept.visits else kept.stratum
        return replace(kept, stratum=stratum), list(visits_of(model, record))
    cohort = read_cohort(config, console, Purpose.SCORING).select([kept.patient_id])
    stratum = beliefs.strata_keys(model.support.columns, cohort)[0]
    visits = beliefs.visits_of(model, cohort, as_of_days=config.until_days)
    later = [each for each in visits if float(each.observation.days[0]) > last]
    return replace(kept, stratum=stratum), later


def visits_in_cohort(
    config: Config, model: LivingModel, kept: KeptBelief, console: Console
) -> list[Visit]:
    """Return a patient's visits in the cohort, later than what the twin has seen."""
    cohort = read_cohort(config, console, Purpose.SCORING).select([kept.patient_id])
    last = float(kept.visits[-1].observation.days[0]) if kept.visits else float("-inf")
    if is_scheduled(model):
        (every,) = scheduled_visits(model, cohort)
        days = [float(each.observation.days[0]) for each in every]
        return [v for v, day in zip(every, days, strict=True) if last < day <= config.until_days]
    seen, (under,) = histories_of(cohort, model.twin.modality.name), progression.given_in(cohort)
    return progression.visits_of(seen, under, last, config.until_days)
