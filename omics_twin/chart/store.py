"""Write a patient's chart and read it; a row is added, and never changed or removed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time

from sqlalchemy import Engine, func, insert, select

from omics_twin.chart.database import open_database, transaction
from omics_twin.chart.rows import added, has_chart, holding, kept_before, lock, of_patient, row_of
from omics_twin.chart.stored import StoredAlert, StoredBelief, StoredDecision, StoredRanking
from omics_twin.chart.tables import (
    ALERTS,
    BELIEF_DOSES,
    BELIEF_VISITS,
    BELIEFS,
    CLOSINGS,
    CONSENTS,
    DECISIONS,
    PATIENTS,
    RANKINGS,
    STRATA,
    VISITS,
)
from omics_twin.errors import ChartError, ConsentError
from omics_twin.told import PatientRecord, RecordedVisit, record_of, without
from omics_twin.trust.consent import Decision, Entry, Ledger, Purpose, judged
from omics_twin.trust.privacy import Pseudonyms, called_by

CHART = "the consents in the chart"


@dataclass(frozen=True)
class Chart:
    """The charts of all patients of one database.

    Every method writes all or nothing. ``by`` is who writes: a person or a service.
    """

    engine: Engine
    names: Pseudonyms | None = None

    @classmethod
    def open(cls, place: str, names: Pseudonyms | None = None) -> Chart:
        """Return the chart of a place, see :func:`~omics_twin.chart.database.open_database`.

        Parameters
        ----------
        names
            What patients are called in it; None: as they are told.
        """
        return cls(open_database(place), names)

    def known_as(self, patient_id: str) -> str:
        """Return what a patient is called in this chart."""
        return called_by(self.names, patient_id)

    def close(self) -> None:
        """Give the connections back; everything acknowledged is on disk before."""
        self.engine.dispose()

    def add_patient(
        self, patient_id: str, *, by: str, stratum: Mapping[str, str] | None = None
    ) -> None:
        """Begin a patient's chart.

        Raises
        ------
        ChartError
            If the patient has one.
        TwinError
            If the identifier or the stratum is none.
        """
        record = record_of({"patient_id": patient_id, "stratum": dict(stratum or {})})
        row = {"patient_id": record.patient_id, "stratum": record.stratum, "written_by": by}
        with transaction(self.engine) as connection:
            if has_chart(connection, patient_id):
                raise ChartError("the patient already has a chart: add visits to it")
            connection.execute(insert(PATIENTS).values(row))

    def has(self, patient_id: str) -> bool:
        """Whether a patient has a chart."""
        with transaction(self.engine, reads=True) as connection:
            return connection.execute(of_patient(PATIENTS, patient_id)).first() is not None

    def patients(self, since: date | None = None) -> tuple[str, ...]:
        """Return whose charts were begun, on a day (UTC) or later, in the order of names."""
        asked = select(PATIENTS.c.patient_id).order_by(PATIENTS.c.patient_id)
        if since is not None:
            asked = asked.where(PATIENTS.c.written_at >= datetime.combine(since, time.min, UTC))
        with transaction(self.engine, reads=True) as connection:
            return tuple(connection.execute(asked).scalars())

    def add_consent(self, entry: Entry, *, by: str) -> None:
        """Keep what a patient decided; a withdrawal holds from the next question on."""
        row = {
            "patient_id": entry.patient_id,
            "purpose": entry.purpose,
            "decision": entry.decision.value,
            "recorded_on": entry.recorded_on,
            "modality": entry.modality,
            "valid_from": entry.valid_from,
            "valid_until": entry.valid_until,
            "written_by": by,
        }
        with transaction(self.engine) as connection:
            lock(connection, entry.patient_id)
            connection.execute(insert(CONSENTS).values(row))

    def check_consent(
        self, patient_id: str, purpose: Purpose, known: Sequence[str] = ()
    ) -> tuple[str, ...]:
        """Return the modalities that may not be used; the others may, for the purpose.

        Parameters
        ----------
        known
            Modalities that may be asked about besides those of the patient's visits; none: only
            whether the patient takes part is asked.

        Raises
        ------
        ConsentError
            If no consent is recorded, or it was withdrawn.
        """
        ledger = Ledger(CHART, tuple(self.consents(patient_id)))
        modalities = sorted({*known, *self._measured(patient_id)}) if known else ()
        found = judged([patient_id], ledger, purpose, modalities)
        if found.refused:
            raise ConsentError(f"{found.refused[patient_id]}: the chart is not opened for it")
        return found.withheld.get(patient_id, ())

    def _measured(self, patient_id: str) -> set[str]:
        asked = select(VISITS.c["values"]).where(VISITS.c.patient_id == patient_id)
        with transaction(self.engine, reads=True) as connection:
            return {name for values in connection.execute(asked).scalars() for name in values}

    def add_visit(
        self,
        patient_id: str,
        visit: RecordedVisit,
        *,
        key: str,
        by: str,
        amends: int | None = None,
        reason: str = "",
        alerts: Sequence[tuple[str, str]] = (),
        beside: Sequence[int] | None = None,
    ) -> int:
        """Keep a visit and return its number; when it returns, the visit is on disk.

        Parameters
        ----------
        key
            The writer's own name of the visit, up to 64 characters: who is not sure whether a visit
            arrived sends it again under the same key, and it counts once.
        amends, reason
            Number of the visit that this one corrects, and why; both stay in the chart.
        alerts
            Kind and sentence of each alert that the visit raised; kept with it or not at all.
        beside
            The visits that it was checked with, as of :meth:`visits`.

        Raises
        ------
        ChartError
            If the patient has no chart, the key was used for something else, what is amended is no
            visit of the patient or was amended before, or another visit came since it was checked.
        """
        row = {
            "patient_id": patient_id,
            "key": key,
            "day": float(visit.day),
            "under": visit.under,
            "values": visit.model_dump(mode="json")["values"],
            "amends": amends,
            "reason": reason,
        }
        with transaction(self.engine) as connection:
            before = kept_before(connection, VISITS, row)
            if before is not None:
                return before
            if beside is not None and holding(connection, VISITS, patient_id) != tuple(beside):
                raise ChartError("another visit came in between: look at it, then send yours again")
            number = added(connection, VISITS, {**row, "written_by": by})
            for kind, sentence in alerts:
                told = {"visit_id": number, "kind": kind, "sentence": sentence, "written_by": by}
                connection.execute(insert(ALERTS).values(told))
            return number

    def sent_before(self, patient_id: str, key: str) -> bool:
        """Whether a patient's chart holds a visit under a writer's key."""
        wanted = (VISITS.c.patient_id == patient_id) & (VISITS.c.key == key)
        with transaction(self.engine, reads=True) as connection:
            return connection.execute(select(VISITS.c.id).where(wanted)).first() is not None

    def visits(self, patient_id: str) -> tuple[int, ...]:
        """Return the numbers of the visits that hold, in time order."""
        with transaction(self.engine, reads=True) as connection:
            return holding(connection, VISITS, patient_id)

    def record(
        self,
        patient_id: str,
        visits: Sequence[int] | None = None,
        *,
        withheld: Collection[str] = (),
    ) -> PatientRecord:
        """Return a patient's record from the chart.

        Parameters
        ----------
        visits
            Numbers of the visits it holds, in order; as they stand today where not given.
        withheld
            Modalities that are left out.

        Raises
        ------
        ChartError
            If the patient has no chart, or a visit is not the patient's.
        """
        chosen = self.visits(patient_id) if visits is None else tuple(visits)
        with transaction(self.engine, reads=True) as connection:
            patient = connection.execute(of_patient(PATIENTS, patient_id)).mappings().first()
            amended = of_patient(STRATA, patient_id).order_by(STRATA.c.id.desc()).limit(1)
            stratum = connection.execute(amended).mappings().first() or patient
            rows = connection.execute(of_patient(VISITS, patient_id)).mappings().all()
        if patient is None or stratum is None:
            raise ChartError("the patient has no chart: begin one first")
        found = {row["id"]: row for row in rows}
        strange = [each for each in chosen if each not in found]
        if strange:
            raise ChartError(f"visit {strange[0]} is not of this patient: name its own visits")
        told = [{name: found[each][name] for name in ("day", "values", "under")} for each in chosen]
        given = {"patient_id": patient_id, "stratum": stratum["stratum"], "visits": told}
        return without(record_of(given), withheld)

    def add_ranking(self, ranking: StoredRanking, *, by: str) -> int:
        """Keep a ranking with the belief it was read from; return its number."""
        belief = ranking.belief
        made = {
            "patient_id": belief.patient_id,
            "model": belief.model,
            "draws": belief.draws,
            "seed": belief.seed,
            "stratum": dict(belief.stratum),
            "withheld": list(belief.withheld),
            "written_by": by,
        }
        with transaction(self.engine) as connection:
            lock(connection, belief.patient_id)
            number = added(connection, BELIEFS, made)
            for place, visit in enumerate(belief.visits):
                row = {"belief_id": number, "place": place, "visit_id": visit}
                connection.execute(insert(BELIEF_VISITS).values(row))
            for place, dose in enumerate(belief.doses):
                row = {"belief_id": number, "place": place, "dose_id": dose}
                connection.execute(insert(BELIEF_DOSES).values(row))
            told = {
                "belief_id": number,
                "interval": ranking.interval,
                "confidence": ranking.confidence,
                "lines": ranking.lines,
                "written_by": by,
            }
            return added(connection, RANKINGS, told)

    def last_ranking(self, patient_id: str) -> tuple[int, StoredRanking] | None:
        """Return a patient's last ranking with its number; None where none was given."""
        asked = select(func.max(RANKINGS.c.id)).select_from(RANKINGS.join(BELIEFS))
        own = asked.where(BELIEFS.c.patient_id == patient_id)
        with transaction(self.engine, reads=True) as connection:
            last = connection.execute(own).scalar()
        return None if last is None else (last, self.ranking(last))

    def ranking(self, number: int) -> StoredRanking:
        """Return a ranking as it was given.

        Raises
        ------
        ChartError
            If there is none of this number.
        """
        with transaction(self.engine, reads=True) as connection:
            told = row_of(connection, RANKINGS, number)
            made = row_of(connection, BELIEFS, told["belief_id"])
            shown = BELIEF_VISITS.c
            asked = select(shown.visit_id).where(shown.belief_id == made["id"])
            visits = tuple(connection.execute(asked.order_by(shown.place)).scalars())
            told_of = BELIEF_DOSES.c
            asked = select(told_of.dose_id).where(told_of.belief_id == made["id"])
            doses = tuple(connection.execute(asked.order_by(told_of.place)).scalars())
        start = (made["patient_id"], made["model"], made["draws"], made["seed"], made["stratum"])
        belief = StoredBelief(*start, visits, tuple(made["withheld"]), doses)
        return StoredRanking(belief, told["interval"], told["confidence"], told["lines"])

    def add_decision(self, ranking: int, intervention: str, *, by: str, reason: str = "") -> int:
        """Keep which therapy was chosen after a ranking, and why where it is not the first.

        Raises
        ------
        ChartError
            If there is no such ranking, the therapy is none of it, or another than the first is
            chosen without a reason.
        """
        with transaction(self.engine) as connection:
            lines = row_of(connection, RANKINGS, ranking)["lines"]
            known = [line["intervention"] for line in lines]
            if intervention not in known:
                raise ChartError(
                    f"the therapy chosen is none of the {len(known)} of the ranking: name one"
                )
            if not reason.strip() and intervention != known[0]:
                raise ChartError("another therapy than the first was chosen: say why in 'reason'")
            row = {"ranking_id": ranking, "intervention": intervention, "reason": reason}
            return added(connection, DECISIONS, {**row, "written_by": by})

    def alerts(self, patient_id: str) -> list[StoredAlert]:
        """Return a patient's alerts in the order raised."""
        told = (ALERTS.c.id, ALERTS.c.visit_id, VISITS.c.day, ALERTS.c.kind, ALERTS.c.sentence)
        closed = (
            func.coalesce(CLOSINGS.c.written_by, ""),
            func.coalesce(CLOSINGS.c.note, ""),
        )
        asked = select(*told, *closed).select_from(ALERTS.join(VISITS).outerjoin(CLOSINGS))
        own = asked.where(VISITS.c.patient_id == patient_id).order_by(ALERTS.c.id)
        with transaction(self.engine, reads=True) as connection:
            return [StoredAlert(*row) for row in connection.execute(own)]

    def close_alert(self, patient_id: str, number: int, note: str, *, by: str) -> None:
        """Keep what was done about an alert, which is not urgent from then on.

        Raises
        ------
        ChartError
            If the patient has no such alert, it was closed before, or nothing is said.
        """
        if not note.strip():
            raise ChartError("an alert is closed without a word: say what was done about it")
        if number not in [each.number for each in self.alerts(patient_id)]:
            raise ChartError(f"alert {number} is not of this patient: close one of its own")
        with transaction(self.engine) as connection:
            lock(connection, patient_id)
            before = select(CLOSINGS.c.alert_id).where(CLOSINGS.c.alert_id == number)
            if connection.execute(before).first() is not None:
                raise ChartError(f"alert {number} was closed before: see the chart")
            row = {"alert_id": number, "note": note, "written_by": by}
            connection.execute(insert(CLOSINGS).values(row))

    def decisions(self, patient_id: str) -> list[StoredDecision]:
        """Return what was chosen for a patient, in order."""
        told = DECISIONS.c
        asked = select(
            told.ranking_id, told.intervention, told.reason, told.written_by, told.written_at
        )
        joined = asked.select_from(DECISIONS.join(RANKINGS).join(BELIEFS))
        own = joined.where(BELIEFS.c.patient_id == patient_id).order_by(told.id)
        with transaction(self.engine, reads=True) as connection:
            return [StoredDecision(*row) for row in connection.execute(own)]

    def consents(self, patient_id: str) -> list[Entry]:
        """Return what a patient decided, in the order kept."""
        return self.decided([patient_id])

    def decided(self, patient_ids: Sequence[str] | None = None) -> list[Entry]:
        """Return what some patients decided, or all of them, in the order kept."""
        told = CONSENTS.c
        asked = select(
            told.patient_id,
            told.decision,
            told.purpose,
            told.recorded_on,
            told.modality,
            told.valid_from,
            told.valid_until,
        ).order_by(told.id)
        if patient_ids is not None:
            asked = asked.where(told.patient_id.in_(patient_ids))
        with transaction(self.engine, reads=True) as connection:
            rows = connection.execute(asked).all()
        return [Entry(patient, Decision(what), *rest) for patient, what, *rest in rows]
