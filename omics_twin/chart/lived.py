"""Ask a twin that learns from visit to visit from the chart, and keep what it told.

What the twin is told was given are the doses of the chart, where it knows doses of their drugs, and
else the arm of each visit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

from omics_twin.bedside.belief import KeptBelief, intervention_of, replay, states, visit_of
from omics_twin.bedside.plans import goes_on, plans_asked, therapy_of
from omics_twin.bedside.watching import Compared, compared
from omics_twin.chart.doses import doses_of
from omics_twin.chart.replay import as_given, ranking_by
from omics_twin.chart.store import Chart
from omics_twin.chart.stored import StoredBelief, StoredRanking
from omics_twin.errors import ConsentError, TherapyError, quoted
from omics_twin.lifecycle.validity import refused, under
from omics_twin.settings import TwinSettings, Unlike
from omics_twin.therapy.rank import order
from omics_twin.told import PatientRecord, RecordedDose
from omics_twin.trust.consent import Purpose
from omics_twin.twin.mechanistic import MechanisticTwin
from omics_twin.types import Dose, Intervention, TwinState
from omics_twin.visits.living import LivingModel
from omics_twin.visits.scheduled import is_scheduled

GIVEN, PLANNED = "as given", "as planned"


@dataclass(frozen=True)
class Beliefs:
    """What a twin believes from visit to visit, replayed once where it is asked for."""

    model: LivingModel = field(repr=False)
    kept: KeptBelief

    @cached_property
    def states(self) -> tuple[TwinState, ...]:
        """Before any visit, and after each."""
        return tuple(states(self.model.twin, self.kept))

    def compared(self, plans: Sequence[Intervention], interval: float) -> Compared:
        """Return plans compared from the last visit on."""
        return compared(self.model, self.kept, plans, interval, self.states[-1])


@dataclass(frozen=True)
class Lived:
    """Plans compared as they were told.

    Attributes
    ----------
    number
        Of the ranking in the chart.
    lines
        Best first, with the doses of each plan.
    record, beliefs
        What the chart held, and what the twin believes from visit to visit.
    visits, withheld
        Numbers of the record's visits in the chart, and modalities that were not to be used.
    doses
        Those of the chart that hold today.
    """

    number: int
    lines: list[dict[str, Any]]
    record: PatientRecord
    beliefs: Beliefs
    visits: tuple[int, ...]
    withheld: tuple[str, ...]
    doses: tuple[RecordedDose, ...]
    interval: float

    @property
    def kept(self) -> KeptBelief:
        """What makes the belief."""
        return self.beliefs.kept

    @cached_property
    def compared(self) -> Compared:
        """The plans with their curves."""
        return self.beliefs.compared(_plans_in(self.lines), self.interval)


def drugs_known(model: LivingModel) -> tuple[str, ...]:
    """Return the drugs whose doses move a twin; none where it knows arms alone."""
    twin = model.twin
    if not isinstance(twin, MechanisticTwin) or is_scheduled(model):
        return ()
    return tuple(twin.dynamics.drugs or ())


def by_dose(model: LivingModel, doses: Sequence[RecordedDose]) -> bool:
    """Whether a twin is told of the doses that were given, and not of the arm of each visit."""
    return _intervention(model, GIVEN, _given(doses)) is not None


def modalities_of(model: LivingModel) -> tuple[str, ...]:
    """Return the modalities that a twin can be shown."""
    return tuple(each.name for each in model.twin.modalities)


def kept_of(
    model: LivingModel,
    record: PatientRecord,
    doses: Sequence[RecordedDose],
    settings: TwinSettings,
) -> KeptBelief:
    """Return the belief that a record's visits lead to, as it is kept.

    A visit that measured nothing the twin knows is not shown to it.

    Parameters
    ----------
    doses
        Those of the chart; what is planned is not part of a belief.

    Raises
    ------
    TwinError
        If a feature is not known, or a value no number.
    TherapyError
        If an arm is not known.
    """
    given = _intervention(model, GIVEN, _given(doses))
    visits = []
    for visit in record.visits:
        values = {
            name: columns
            for name, columns in visit.values.items()
            if name in modalities_of(model) and any(each is not None for each in columns.values())
        }
        if values:
            told = {"day": float(visit.day), "values": values, "under": visit.under}
            if given is not None:
                told["under"] = None
            shown = visit_of(told, record.patient_id, model.twin.modalities, model.arm)
            visits.append(shown if given is None else replace(shown, under=given))
    return KeptBelief(record.patient_id, model.digest, settings.draws, settings.seed, tuple(visits))


def live(
    chart: Chart, model: LivingModel, patient_id: str, settings: TwinSettings, *, by: str
) -> Lived:
    """Return the plans that are open compared from the chart, kept there before it is returned.

    Where the patient's last ranking was made from the same, it is that one again. Who is outside
    the domain of validity, where such are refused, or has no therapy yet that could go on, has a
    ranking without any line.

    Raises
    ------
    ConsentError
        If the patient's chart does not permit scoring, or all that the twin is shown is withheld.
    ChartError
        If the patient has no chart.
    TherapyError
        If the twin knows no therapy.
    OmicsTwinError
        If the model cannot be shown what the chart holds.
    """
    withheld = permitted(chart, model, patient_id)
    visits = chart.visits(patient_id)
    record = chart.record(patient_id, visits, withheld=withheld)
    stored = doses_of(chart, patient_id)
    doses = tuple(each.dose for each in stored)
    kept = kept_of(model, record, doses, settings)
    numbers = tuple(each.number for each in stored)
    start = (patient_id, model.digest, kept.draws, kept.seed)
    belief = StoredBelief(*start, {}, visits, withheld, numbers)
    told = StoredRanking(belief, settings.interval, 0.0, [])
    before = chart.last_ranking(patient_id)
    beliefs = Beliefs(model, kept)
    rest = (record, beliefs, visits, withheld, doses, settings.interval)
    plans = plans_open(model, kept, doses)
    if not plans and not is_scheduled(model):
        raise TherapyError("the twin knows no therapy to compare: train it with one arm or more")
    # Under another policy the same visits have another answer.
    silent = not plans or refused(model, kept.visits)
    if (
        before is not None
        and replace(before[1], lines=[]) == told
        and silent != bool(before[1].lines)
    ):
        return Lived(before[0], before[1].lines, *rest)
    lines = [] if silent else lines_of(beliefs.compared(plans, settings.interval))
    return Lived(chart.add_ranking(replace(told, lines=lines), by=by), lines, *rest)


def permitted(chart: Chart, model: LivingModel, patient_id: str) -> tuple[str, ...]:
    """Return the modalities of a patient that may not be used.

    Raises
    ------
    ConsentError
        If scoring is not permitted, or all that the twin is shown is withheld.
    """
    known = modalities_of(model)
    withheld = chart.check_consent(patient_id, Purpose.SCORING, known)
    if set(known) <= set(withheld):
        raise ConsentError(f"the patient withholds {quoted(known)}, all that the twin is shown")
    return withheld


def plans_open(
    model: LivingModel, kept: KeptBelief, doses: Sequence[RecordedDose]
) -> list[Intervention]:
    """Return the plans that are compared where none are asked for; the chart's own first.

    A plan of which nothing lies after the last visit is none. Whom an arm is open to, a twin of a
    volume and a response does not know: without a therapy that goes on there is none.
    """
    if is_scheduled(model) and not goes_on(kept, therapy_of(kept)):
        return []
    planned = _intervention(model, PLANNED, [each for each in doses if each.planned])
    own = [] if planned is None or not goes_on(kept, planned) else [planned]
    return [*own, *plans_asked(None, model, kept)]


def check_dose(
    chart: Chart,
    model: LivingModel,
    patient_id: str,
    dose: RecordedDose,
    settings: TwinSettings,
    *,
    amends: int | None = None,
) -> None:
    """Show the twin what a chart's visits say with one more dose, before it is kept.

    Parameters
    ----------
    amends
        Number of the dose that this one corrects.

    Raises
    ------
    ConsentError
        If the patient's chart does not permit scoring.
    OmicsTwinError
        If the model cannot be shown the visits under these doses.
    """
    withheld = chart.check_consent(patient_id, Purpose.SCORING, modalities_of(model))
    others = [each.dose for each in doses_of(chart, patient_id) if each.number != amends]
    record = chart.record(patient_id, withheld=withheld)
    replay(model.twin, kept_of(model, record, [*others, dose], settings))


def relived(chart: Chart, model: LivingModel, number: int) -> list[dict[str, Any]]:
    """Return a ranking's lines made anew from the visits and doses it was made from.

    Raises
    ------
    ChartError
        If another model gave it, or the lines are not the same to the last bit.
    """
    told = ranking_by(chart, model.digest, number)
    belief = told.belief
    record = chart.record(belief.patient_id, belief.visits, withheld=belief.withheld)
    doses = tuple(each.dose for each in doses_of(chart, belief.patient_id, belief.doses))
    settings = TwinSettings(belief.draws, belief.seed, told.interval)
    kept = kept_of(model, record, doses, settings)
    plans = _plans_in(told.lines)
    answering = under(model, Unlike.WARN)
    lines = lines_of(compared(answering, kept, plans, told.interval)) if plans else []
    return as_given(lines, told.lines, number)


def lines_of(found: Compared) -> list[dict[str, Any]]:
    """Return plans as the chart keeps them, best first, each with its place as it was asked."""
    ranking = found.ranking
    return [
        {
            "intervention": ranking.interventions[option],
            "place": option,
            "doses": [asdict(each) for each in found.plans[option].doses],
            **{
                name: float(getattr(ranking, name)[0, option])
                for name in ("expected", "lower", "upper", "probability_best")
            },
        }
        for option in order(ranking, 0)
    ]


def _plans_in(lines: Sequence[Mapping[str, Any]]) -> list[Intervention]:
    asked = sorted(lines, key=lambda each: each["place"])
    return [intervention_of({"name": e["intervention"], "doses": e["doses"]}) for e in asked]


def _given(doses: Sequence[RecordedDose]) -> list[RecordedDose]:
    return [each for each in doses if not each.planned]


def _intervention(
    model: LivingModel, name: str, doses: Sequence[RecordedDose]
) -> Intervention | None:
    """Return doses as a plan; None where the twin knows none of their drugs."""
    known = drugs_known(model)
    told = tuple(
        Dose(**each.model_dump(exclude={"planned"})) for each in doses if each.drug in known
    )
    return Intervention(name, told) if told else None
