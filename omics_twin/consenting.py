"""What a configuration's ledger permits, asked at every door; who is in which model."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import date
from pathlib import Path

from omics_twin import past_runs, tracking
from omics_twin.bedside.belief import KeptBelief
from omics_twin.bedside.record import modalities_of
from omics_twin.chart.store import CHART, Chart
from omics_twin.cohort.cohort import Cohort, build_cohort
from omics_twin.cohort.withheld import modalities_of as measured_in
from omics_twin.config import Config
from omics_twin.errors import ConfigError, ConsentError, quoted
from omics_twin.intake.pseudonymous import pseudonymous
from omics_twin.intake.tables import Tables
from omics_twin.report.console import Console
from omics_twin.tracking import AnyModel
from omics_twin.trust.consent import (
    ALL,
    Decision,
    Entry,
    Ledger,
    Permission,
    Purpose,
    judged,
    permit,
)
from omics_twin.trust.ledger import line_of, read_ledger
from omics_twin.trust.privacy import Pseudonyms, called_by, site_pseudonyms
from omics_twin.visits.living import LivingModel

_ADDRESS = "://"


def names_of(config: Config) -> Pseudonyms | None:
    """Return the pseudonyms of this site, where it has a key and they are wanted."""
    asked = config.trust
    return site_pseudonyms(wanted=asked.pseudonyms, window_days=asked.date_window_days)


def ledger_of(config: Config) -> Ledger | None:
    """Return what patients decided: a file, or the consents in a chart; None: there is no ledger.

    Where the site has pseudonyms, patients go by them.

    Raises
    ------
    ConsentError
        If the ledger cannot be read to the last line.
    """
    asked = config.trust.ledger
    if asked is None:
        return None
    if _ADDRESS in asked:
        with closing(Chart.open(asked)) as chart:
            ledger = Ledger(CHART, tuple(chart.decided()))
    else:
        ledger = read_ledger(Path(asked))
    return _called(ledger, names_of(config))


def _called(ledger: Ledger, names: Pseudonyms | None) -> Ledger:
    if names is None:
        return ledger
    called = (replace(each, patient_id=names.of(each.patient_id)) for each in ledger.entries)
    return Ledger(ledger.basis, tuple(called))


def permitted_cohort(tables: Tables, config: Config, purpose: Purpose) -> Cohort:
    """Return the cohort of those whom the ledger permits, without what they withhold.

    Where the site has pseudonyms, nobody is called otherwise in it.

    Raises
    ------
    ConsentError
        If the ledger cannot be read, or permits nobody.
    """
    names = names_of(config)
    if names is not None:
        tables = pseudonymous(tables, names)
    ledger, modalities = ledger_of(config), measured_in(tables)
    permission = permit(tables.patient_ids, ledger=ledger, purpose=purpose, modalities=modalities)
    return build_cohort(tables, permission)


def withheld_from(config: Config, model: AnyModel, patient_id: str) -> tuple[str, ...]:
    """Return the modalities of one patient that a model may not be shown.

    Raises
    ------
    ConsentError
        If the patient does not permit scoring, or withholds all that the model is shown.
    """
    ledger = ledger_of(config)
    if ledger is None:
        return ()
    known: Sequence[str]
    if isinstance(model, LivingModel):
        known = [each.name for each in model.twin.modalities]
    else:
        known = modalities_of(model)
    found = judged([patient_id], ledger, Purpose.SCORING, known)
    if found.refused:
        raise ConsentError(f"patient '{patient_id}': {found.refused[patient_id]}")
    withheld = found.withheld.get(patient_id, ())
    if set(withheld) == set(known):
        raise ConsentError(
            f"patient '{patient_id}' withholds {quoted(withheld)}, all that the twin is shown"
        )
    return withheld


def check_shown(kept: KeptBelief, withheld: Sequence[str], place: Path) -> None:
    """Refuse a belief that was made of what may not be used now.

    Raises
    ------
    ConsentError
        If a visit of it measured a modality that is withheld.
    """
    shown = {name.partition("@")[0] for each in kept.visits for name in each.observation.values}
    used = [each for each in withheld if each in shown]
    if used:
        raise ConsentError(
            f"the belief in '{place}' was made of {quoted(used)}, which may not be used now: "
            "remove the file, and show the visits again"
        )


def asked_anew(
    config: Config, modalities: Sequence[str]
) -> Callable[[Sequence[str]], Permission] | None:
    """Return what says who may be scored, from the ledger as it stands when it is asked.

    Without ``trust.ledger`` it is the chart's consents, where there is a chart; None: neither.
    """
    place = config.trust.ledger or config.chart
    if place is None:
        return None
    chart, names = Chart.open(place) if _ADDRESS in place else None, names_of(config)

    def ask(patient_ids: Sequence[str]) -> Permission:
        called = {each: called_by(names, each) for each in patient_ids}
        if chart is None:
            ledger = _called(read_ledger(Path(place)), names)
        else:
            ledger = Ledger(CHART, tuple(chart.decided(list(called.values()))))
        # Who asks is answered in the names that were asked about.
        asked_by: dict[str, list[str]] = {}
        for each, name in called.items():
            asked_by.setdefault(name, []).append(each)
        entries = (
            replace(entry, patient_id=each)
            for entry in ledger.entries
            for each in asked_by.get(entry.patient_id, ())
        )
        own = Ledger(ledger.basis, tuple(entries))
        return judged(patient_ids, own, Purpose.SCORING, modalities)

    return ask


def decide(config: Config, console: Console) -> None:
    """Keep what a patient decided, and say what holds and which models learned from the patient.

    Raises
    ------
    ConfigError
        If the decision is none, or there is no chart to keep it in.
    """
    names, patient = names_of(config), config.patient or ""
    patient = called_by(names, patient)
    entry = _entry(config, patient)
    if config.chart is None and config.trust.ledger is None:
        raise ConfigError("no ledger was named: add chart=sqlite:///FILE or trust.ledger=FILE")
    if config.chart is None and entry is not None:
        raise ConfigError(
            f"a ledger that is a file is written by who keeps it: add the line {line_of(entry)}"
        )
    if config.chart is not None:
        with closing(Chart.open(config.chart)) as chart:
            if entry is not None:
                chart.add_consent(entry, by="consent")
            ledger = Ledger(CHART, tuple(chart.consents(patient)))
    else:
        ledger = ledger_of(config) or Ledger("", ())
    for line in _standing(ledger, patient):
        console.say(line)
    # A model from before the site had a key knows the patient by the identifier itself.
    for line in containing(config, {patient, config.patient or ""}):
        console.say(line)


def _entry(config: Config, patient: str) -> Entry | None:
    if config.decision is None:
        return None
    known = [each.value for each in Decision]
    if config.decision not in known:
        raise ConfigError(f"'decision' is '{config.decision}', expected one of {', '.join(known)}")
    until = None
    if config.valid_until is not None:
        try:
            until = date.fromisoformat(config.valid_until)
        except ValueError as error:
            raise ConfigError(
                f"'valid_until' is '{config.valid_until}', expected a date such as 2027-01-31"
            ) from error
    return Entry(
        patient,
        Decision(config.decision),
        config.purpose,
        date.today(),
        config.modality,
        valid_until=until,
    )


def _standing(ledger: Ledger, patient: str) -> list[str]:
    """Return what holds today, purpose by purpose."""
    decided = [each for each in ledger.entries if each.patient_id == patient]
    named = sorted({each.modality for each in decided} - {ALL})
    found = []
    for purpose in Purpose:
        told = judged([patient], ledger, purpose, named)
        reason = told.refused.get(patient)
        without = told.withheld.get(patient, ())
        rest = f", without {', '.join(without)}" if without else ""
        found.append(f"{purpose.value}: {reason or f'permitted{rest}'}")
    return found


def containing(config: Config, called: Collection[str]) -> list[str]:
    """Return which recorded models learned from a patient, a line each.

    Parameters
    ----------
    called
        What the patient may have been called in training.
    """
    if not config.tracking.enabled:
        return ["models: tracking is off, which of them learned from the patient was not asked"]
    found, asked = [], 0
    for uri in past_runs.recorded_models(config.tracking):
        asked += 1
        model = tracking.load_any(uri, config.tracking)
        learned = [model.learned_from(each) for each in called]
        if any(learned):
            found.append(f"model {uri} learned from the patient: train it again without")
        elif None in learned:
            found.append(f"model {uri} does not say whom it learned from: look at its cohort")
    return found or [f"models: none of the {asked} that are recorded learned from the patient"]
