"""A patient as a client tells of one: what was measured at each visit, in its own units."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from omics_twin.errors import TwinError
from omics_twin.types import ACTIVITY

_STRICT = ConfigDict(extra="forbid", strict=True, frozen=True)
# Without what cannot be seen: a database could not hold it, or it could pass for another.
_Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^(?:[^\p{C}\p{Z}]| )+$")]
# As a float holds it without overflow.
_Whole = Annotated[int, Field(ge=-(2**63), lt=2**63)]
# Daily for 27 years; more is a slip.
MOST_REPEATED = 10_000
LARGEST_SURFACE_M2 = 4.0
"""No body surface area is larger [m2]."""
# A category's level, a call of 0 or 1, a number; left out or null: not measured.
_Value = _Whole | FiniteFloat | str | None


class RecordedVisit(BaseModel):
    """One visit: modality -> column -> value, and the arm given since the visit before."""

    model_config = _STRICT

    day: FiniteFloat = 0.0
    values: dict[str, dict[str, _Value]] = {}
    under: str | None = None


class RecordedDose(BaseModel):
    """One drug as it was given, or is planned, on a schedule.

    Attributes
    ----------
    drug
        International non-proprietary name, lower case.
    amount
        Of one administration [mg]; 0: it was not given.
    start_days
        First administration [days since the index date].
    duration_days
        Length of one administration; 0 is a bolus [day].
    interval_days, repeat
        Days between administrations, and how many there are.
    """

    model_config = _STRICT

    drug: _Name
    amount: Annotated[FiniteFloat, Field(ge=0)]
    unit: Literal["mg"] = "mg"
    start_days: FiniteFloat = 0.0
    duration_days: Annotated[FiniteFloat, Field(ge=0)] = 0.0
    interval_days: Annotated[FiniteFloat, Field(ge=0)] = 0.0
    repeat: Annotated[int, Field(ge=1, le=MOST_REPEATED)] = 1
    planned: bool = False

    @property
    def end_days(self) -> float:
        """Where the last administration ends [days since the index date]."""
        return self.start_days + (self.repeat - 1) * self.interval_days + self.duration_days


def dose_of(given: Any) -> RecordedDose:
    """Return a dose that is checked; the sentence of a mistake repeats no value.

    Raises
    ------
    TwinError
        If a field is missing, unknown, of another kind or out of its range.

    Examples
    --------
    >>> dose_of({"drug": "sunitinib", "amount": 50.0, "interval_days": 1.0, "repeat": 28}).end_days
    27.0
    """
    try:
        dose = RecordedDose.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        named = first["loc"][0] if first["loc"] else ""
        place = f"'{named}' of a dose" if named in RecordedDose.model_fields else "a dose"
        raise TwinError(
            f"{place} is not as it should be ({first['msg'].lower()}): expected a drug, an amount "
            "in mg of at least 0, days that are numbers, and 1 or more administrations"
        ) from None
    if dose.repeat > 1 and dose.interval_days == 0:
        raise TwinError(
            "a dose is repeated without days between administrations: add 'interval_days'"
        )
    return dose


class PatientRecord(BaseModel):
    """A patient: visits in time order, and the columns that make the patient's stratum."""

    model_config = _STRICT

    patient_id: _Name
    stratum: dict[str, str] = {}
    visits: list[RecordedVisit] = []


def without(record: PatientRecord, modalities: Collection[str]) -> PatientRecord:
    """Return a record in which some modalities, and what is derived from them, are not measured.

    Examples
    --------
    >>> told = record_of({"patient_id": "p1", "visits": [{"values": {"rna": {"ESR1": 2.0}}}]})
    >>> without(told, ["rna"]).visits[0].values
    {}
    """
    if not modalities:
        return record
    visits = []
    for visit in record.visits:
        kept = {
            name: columns
            for name, columns in visit.values.items()
            if name not in modalities and name.removesuffix(ACTIVITY) not in modalities
        }
        visits.append(visit.model_copy(update={"values": kept}))
    return record.model_copy(update={"visits": visits})


def record_of(given: Any) -> PatientRecord:
    """Return a record that is checked; the sentence of a mistake repeats no value.

    Raises
    ------
    TwinError
        If a field is missing, unknown or of another kind.

    Examples
    --------
    >>> record_of({"patient_id": "p1", "visits": [{"day": 21}]}).visits[0].day
    21.0
    """
    try:
        return PatientRecord.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        # What a client wrote as a name may be a patient's data: only our own fields are named.
        known = {"patient_id", "stratum", "visits", "day", "values", "under"}
        named = [str(each) for each in first["loc"] if isinstance(each, int) or each in known]
        place = ".".join(named) or "the record"
        # Of a union the first kind would be named alone.
        union = "int" in first["loc"]
        found = "a value is no finite number, text or null" if union else first["msg"].lower()
        raise TwinError(
            f"'{place}' is not as it should be ({found}): expected a record such "
            'as {"patient_id": "p1", "stratum": {column: "1"}, "visits": [{"day": 0, '
            '"values": {modality: {column: number}}}]}'
        ) from None
