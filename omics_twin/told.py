"""A patient as a client tells of one: what was measured at each visit, in its own units."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from omics_twin.errors import TwinError
from omics_twin.types import ACTIVITY

_STRICT = ConfigDict(extra="forbid", strict=True, frozen=True)
# Without what cannot be seen: a database could not hold it, or it could pass for another.
_Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^(?:[^\p{C}\p{Z}]| )+$")]
# As a float holds it without overflow.
_Whole = Annotated[int, Field(ge=-(2**63), lt=2**63)]
# A category's level, a call of 0 or 1, a number; left out or null: not measured.
_Value = _Whole | FiniteFloat | str | None


class RecordedVisit(BaseModel):
    """One visit: modality -> column -> value, and the arm given since the visit before."""

    model_config = _STRICT

    day: FiniteFloat = 0.0
    values: dict[str, dict[str, _Value]] = {}
    under: str | None = None


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
