"""The chart of a configuration: filled from a cohort, opened for the page, demonstrated."""

from __future__ import annotations

import getpass
import json
import secrets
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, overload

from sqlalchemy import make_url

from omics_twin import audited, tracking
from omics_twin.admitting import Told, admit, granted
from omics_twin.answers.patients import Patients, together
from omics_twin.audited import Witness
from omics_twin.bedside.belief import Beliefs, KeptBelief, read_told, visit_to_json
from omics_twin.bedside.record import modalities_of, patients_told
from omics_twin.chart import accounts, lived
from omics_twin.chart.doses import doses_of
from omics_twin.chart.sealed import give_key
from omics_twin.chart.store import Chart
from omics_twin.cohort.cohort import Cohort
from omics_twin.cohort.records import doses_in, followed_in, records_in
from omics_twin.config import Config
from omics_twin.consenting import asked_anew, permitted_cohort
from omics_twin.errors import ChartError, ConfigError, ModelError, TherapyError, TwinError
from omics_twin.files import read_json, sha256
from omics_twin.intake.fhir import read_bundle_file
from omics_twin.intake.fhir_mapping_file import mapping_of
from omics_twin.intake.tables import read_tables
from omics_twin.report.console import Console
from omics_twin.report.genes import known_genes
from omics_twin.report.similar import pool_of
from omics_twin.told import PatientRecord
from omics_twin.tracking import AnyModel, TrainedModel
from omics_twin.trust.audit import AuditLog
from omics_twin.trust.consent import Entry, Purpose
from omics_twin.trust.event import Action, digest_of
from omics_twin.trust.keys import STORE, make_key, read_key
from omics_twin.trust.privacy import site_pseudonyms
from omics_twin.trust.rotation import reseal
from omics_twin.trust.vault import store_key
from omics_twin.visits.living import LivingModel
from omics_twin.visits.scheduled import is_scheduled, scheduled_records

_DEMO = "demo"
_DEMO_PATIENTS, _DEMO_DAYS = 40, 21.0
_CLOSED = "none"
_SOURCE = "chart"


def place_of(config: Config) -> str:
    """Return where the chart is.

    Raises
    ------
    ConfigError
        If none is named.
    """
    if not config.chart:
        raise ConfigError("no chart was named: add chart=sqlite:///FILE or chart=postgresql://…")
    return config.chart


def _chart(config: Config) -> Chart:
    names = site_pseudonyms(wanted=config.trust.pseudonyms)
    return Chart.open(place_of(config), names)


def from_fhir(
    config: Config, model: AnyModel | None, witness: Witness, console: Console
) -> tuple[int, int]:
    """Return how many patients and visits of a FHIR Bundle were added to the chart."""
    if not config.intake.path or not config.mapping:
        raise ConfigError("a FHIR Bundle needs intake.path=FILE and mapping=conf/fhir/NAME.yaml")
    told = read_bundle_file(Path(config.intake.path), mapping_of(Path(config.mapping)))
    for each in told.unmapped:
        console.warn(f"not used: {each}")
    with closing(_chart(config)) as chart:
        one = [(told.record, told.consents, told.doses)]
        return _admitted(config, chart, one, 1, model, witness, console)


def admitted(
    config: Config, cohort: Cohort, model: AnyModel | None, witness: Witness, console: Console
) -> tuple[int, int]:
    """Return how many patients and visits of a cohort were added to the chart."""
    today, doses = date.today(), doses_in(cohort)
    records = _records_of(cohort, model)
    with closing(_chart(config)) as chart:

        def consents(patient: str) -> list[Entry]:
            # What a patient has decided since is not overruled.
            decided = chart.consents(chart.known_as(patient))
            return [] if decided else [granted(patient, today)]

        told = ((each, consents(each.patient_id), doses[each.patient_id]) for each in records)
        count = len(cohort.patient_ids)
        return _admitted(config, chart, told, count, model, witness, console)


def _records_of(cohort: Cohort, model: AnyModel | None) -> Iterator[PatientRecord]:
    """Return each patient's visits: scheduled ones, or on any days, as a twin is shown them."""
    if not isinstance(model, LivingModel):
        return records_in(cohort)
    return scheduled_records(model, cohort) if is_scheduled(model) else followed_in(cohort)


def _admitted(
    config: Config,
    chart: Chart,
    told: Iterable[Told],
    count: int,
    model: AnyModel | None,
    witness: Witness,
    console: Console,
) -> tuple[int, int]:
    def written() -> Iterator[Told]:
        for each in told:
            record, _, doses = each
            data = digest_of([each.model_dump(mode="json") for each in (record, *doses)])
            witness.saw(Action.ADMIT, [chart.known_as(record.patient_id)], data=data)
            yield each

    return admit(
        chart,
        written(),
        model=model,
        settings=config.twin,
        until_days=config.until_days,
        progress=console.progress("patients admitted"),
        count=count,
    )


@overload
def patients_of(config: Config, model: TrainedModel, console: Console) -> Patients: ...


@overload
def patients_of(config: Config, model: LivingModel, console: Console) -> Beliefs: ...


def patients_of(config: Config, model: AnyModel, console: Console) -> Patients | Beliefs:
    """Return the chart's patients as a model is asked about them, those who permit scoring.

    Modalities that a patient withholds are left out, as what was not measured. Of a twin that
    learns from visit to visit they are beliefs.

    Raises
    ------
    ChartError
        If nobody of the chart can be shown to the model.
    """
    patients: list[Patients] = []
    beliefs: list[KeptBelief] = []
    unreadable = 0
    if isinstance(model, LivingModel):
        judge = asked_anew(config, lived.modalities_of(model))
    else:
        judge = asked_anew(config, modalities_of(model))
    if judge is None:
        raise ConfigError("no chart was named: add chart=sqlite:///FILE or chart=postgresql://…")
    with closing(_chart(config)) as chart:
        asked = chart.patients(config.monitor.since_day)
        permission = judge(asked)
        for patient in permission.granted:
            withheld = permission.withheld.get(patient, ())
            record = chart.record(patient, withheld=withheld)
            if not record.visits:
                continue
            try:
                if isinstance(model, LivingModel):
                    doses = [each.dose for each in doses_of(chart, patient)]
                    kept = lived.kept_of(model, record, doses, config.twin)
                    beliefs += [kept] if kept.visits else []
                    continue
                told = patients_told(model, record, source=_SOURCE, basis=permission.basis)
                patients.append(told)
            except (ModelError, TherapyError, TwinError):
                unreadable += 1
    number = len(patients) + len(beliefs)
    left = len(asked) - number
    console.say(f"chart: {number} of {len(asked)} patients")
    if left:
        console.warn(
            f"{left} are not compared: {len(permission.refused)} do not permit scoring, "
            f"{unreadable} have visits that the model cannot be shown, the others have none"
        )
    if not number:
        raise ChartError("nobody of the chart can be compared: admit patients with visits first")
    if not isinstance(model, LivingModel):
        return together(patients)
    visits = (visit_to_json(v, model.twin.modalities) for each in beliefs for v in each.visits)
    told_of = sha256(json.dumps([each.patient_id for each in beliefs] + list(visits)).encode())
    return Beliefs(tuple(beliefs), _SOURCE, told_of)


def set_account(config: Config, console: Console) -> None:
    """Let somebody sign in; the password is asked for, or is the first line that comes in."""
    role = None if config.role == _CLOSED else config.role
    password = "" if role is None else _password()
    name = config.account or ""
    with closing(_chart(config)) as chart:
        accounts.set_account(chart, name, role, password, by="account")
    console.say(f"account: {role or 'closed'}")


def _password() -> str:
    if sys.stdin.isatty():
        return getpass.getpass("password: ")
    return sys.stdin.readline().rstrip("\n")


def rotated(config: Config) -> list[str]:
    """Seal the chart, beliefs and held-out predictions with a new key; return what was done.

    Raises
    ------
    PrivacyError
        If a file has a third key, or is damaged.
    ChartError
        If somebody has the chart open.
    """
    new_file = Path(config.key or "")
    if not new_file.exists():
        make_key(new_file, f"key '{new_file}'")
    old, new = store_key(), read_key(new_file, f"key '{new_file}'")
    folders = [Path(config.output_root)] + ([Path(config.beliefs)] if config.beliefs else [])
    done = sum(reseal(folder, old, new) for folder in folders)
    lines = [f"{done} files were sealed with the key of '{new_file}'"]
    if config.chart is not None:
        place = make_url(config.chart)
        if place.get_backend_name() != "sqlite" or not place.database:
            raise ConfigError(
                "only a chart in a file is sealed here: encrypt the server's own disk"
            )
        changed = give_key(Path(place.database), old, new)
        lines.append("the chart was sealed with it" if changed else "the chart had it already")
    return [*lines, f"from now on: {STORE}_FILE={new_file}"]


@contextmanager
def opened(
    config: Config, model: AnyModel, cohort: Cohort | None, log: AuditLog, console: Console
) -> Iterator[Any]:
    """Yield the page of a chart as an ASGI app.

    Parameters
    ----------
    cohort
        Patients that one is compared with; None: the page says nothing of similar patients.
    log
        Where who asked what is written down.

    Raises
    ------
    ConfigError
        If the page's libraries are not installed.
    """
    try:
        from omics_twin.serve.about import Desk
        from omics_twin.serve.about_living import LivingDesk
        from omics_twin.serve.web import page_app
    except ModuleNotFoundError as missing:
        raise ConfigError(
            f"the page needs {missing.name}, which is not installed: pip install 'omics-twin[page]'"
        ) from missing
    hospital = _hospital(config)
    if isinstance(model, LivingModel):
        if hospital is not None:
            raise ConfigError("CDS Hooks are answered by a twin that ranks: name another model_uri")
        with closing(_chart(config)) as chart:
            yield page_app(LivingDesk(chart, model, config.twin), log, https=config.serve.https)
        return
    graph = known_genes(model.twin.design, config.knowledge, console)
    with closing(_chart(config)) as chart:
        pool = None if cohort is None else pool_of(model, cohort, config.twin)
        desk = Desk(chart, model, config.twin, pool, graph)
        yield page_app(desk, log, https=config.serve.https, hospital=hospital)


def _hospital(config: Config) -> Any:
    """Return whose CDS Hooks are answered; None: nobody's."""
    from omics_twin.serve.signed import Hospital

    asked = config.serve
    if not asked.hospital_keys:
        return None
    if not asked.hospital_issuer:
        raise ConfigError("serve.hospital_keys has no serve.hospital_issuer beside it: add it")
    keys = read_told(Path(asked.hospital_keys), "the public keys as a JWKS")
    if not isinstance(keys, dict) or not keys.get("keys"):
        raise ConfigError(f"'{asked.hospital_keys}' holds no 'keys', expected a JWKS")
    mapping = mapping_of(Path(config.mapping)) if config.mapping else None
    address = asked.address or f"http://{asked.host}:{asked.port}"
    return Hospital(keys, asked.hospital_issuer, address, mapping)


def demonstrated(config: Config, console: Console) -> Config:
    """Return the configuration of a demonstration, its chart filled and its accounts told.

    Raises
    ------
    ModelError
        If the synthetic trial's twin was not trained yet.
    """
    latest = Path(config.output_root) / "synthetic_response" / "latest.json"
    if config.model_uri is None and not latest.is_file():
        raise ModelError(
            f"'{latest}' is not there: train the twin to show by scripts/demo, then start again"
        )
    uri = config.model_uri or read_json(latest)["run_folder"]
    folder = Path(config.output_root) / _DEMO
    folder.mkdir(parents=True, exist_ok=True)
    asked = replace(
        config,
        model_uri=uri,
        chart=config.chart or f"sqlite:///{folder / 'chart.db'}",
        log=config.log or str(folder / "log" / "audit.jsonl"),
        key=config.key or str(folder / "key" / "audit.key"),
        anchor=config.anchor or str(folder / "anchor" / "anchor.json"),
        as_of_days=_DEMO_DAYS,
    )
    model = tracking.load_model(uri, config.tracking)
    tables = read_tables(config.cohort, scoring=True)
    cohort = permitted_cohort(tables, config, Purpose.SCORING)
    few = cohort.select(cohort.patient_ids[:_DEMO_PATIENTS])
    with closing(_chart(asked)) as chart:
        if not all(chart.has(chart.known_as(each)) for each in few.patient_ids):
            admitted(asked, few, model, audited.witness_of(asked, console, model), console)
        for role in accounts.Role:
            password = secrets.token_urlsafe(12)
            accounts.set_account(chart, role.value, role.value, password, by=_DEMO)
            console.say(f"sign in as {role.value} with {password}")
    return asked
