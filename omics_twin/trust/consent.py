"""Say which patients may be used, with which of their measurements, and for which purpose."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import Enum

from omics_twin.errors import ConsentError, nearest

ALL = "all"
GRANTED_BY_PROTOCOL = "granted by protocol"


class Purpose(Enum):
    """What a patient's data are used for."""

    TRAINING = "training"
    SCORING = "scoring"
    RESEARCH = "research"


class Decision(Enum):
    """What a patient decided."""

    GRANT = "grant"
    WITHDRAW = "withdraw"


@dataclass(frozen=True)
class Entry:
    """What one patient decided, and on which day.

    Attributes
    ----------
    purpose, modality
        What it is about; ``all``: every one, and taking part at all.
    valid_from, valid_until
        First and last day on which a grant holds; None: from the day it was recorded on, without
        end. A withdrawal holds from the day it is known.
    """

    patient_id: str
    decision: Decision
    purpose: str
    recorded_on: date
    modality: str = ALL
    valid_from: date | None = None
    valid_until: date | None = None

    def __post_init__(self) -> None:
        """Refuse what would never be found, and a period that nobody can have meant."""
        if self.purpose != ALL:
            purpose_of(self.purpose)
        if not self.modality.strip():
            raise ConsentError(f"a decision names no modality, expected its name or '{ALL}'")
        if self.decision is Decision.WITHDRAW and (self.valid_from or self.valid_until):
            raise ConsentError(
                "a withdrawal has a period, expected none: record a grant that ends, or withdraw"
            )
        if self.valid_until is not None and self.valid_until < self.first_day:
            raise ConsentError(
                f"a grant ends on {self.valid_until}, before its first day {self.first_day}: "
                "correct the period"
            )

    @property
    def first_day(self) -> date:
        """First day on which a grant holds."""
        return self.valid_from or self.recorded_on

    def objection(self, on: date) -> str:
        """Return why the decision does not permit what it is about; empty where it does."""
        if self.decision is Decision.WITHDRAW:
            return f"consent for {self.purpose} withdrawn on {self.recorded_on}"
        if on < self.first_day:
            return f"consent for {self.purpose} begins on {self.first_day}"
        if self.valid_until is not None and on > self.valid_until:
            return f"consent for {self.purpose} ended on {self.valid_until}"
        return ""


@dataclass(frozen=True)
class Ledger:
    """What patients decided, from a file or a chart.

    Attributes
    ----------
    basis
        What it is called where an answer says what it rests on.
    """

    basis: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class Permission:
    """Who may be used and why the rest may not.

    Attributes
    ----------
    granted
        Patients who may be used, in the order asked.
    refused
        Reason by patient.
    basis
        ``"granted by protocol"``, or the ledger.
    purpose
        What the permission is for; nothing else.
    withheld
        Modalities of a granted patient that may not be used.
    """

    granted: tuple[str, ...]
    refused: Mapping[str, str]
    basis: str
    purpose: str
    withheld: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def without(self, modality: str) -> frozenset[str]:
        """Return the patients of whom a modality may not be used."""
        kept_back = {patient for patient, names in self.withheld.items() if modality in names}
        return frozenset(kept_back | set(self.refused))


def permit(
    patient_ids: Sequence[str],
    *,
    ledger: Ledger | None,
    purpose: Purpose | str,
    modalities: Sequence[str] = (),
    on: date | None = None,
) -> Permission:
    """Return who may be used for a purpose, on a day.

    The latest decision of a patient holds; of the same day, one that does not permit. Whether a
    patient takes part, with therapy and outcome, is decided on ``all`` modalities; whether one
    modality is used, by the latest decision on it or on all. What nobody decided is refused.

    Parameters
    ----------
    patient_ids
        Patients asked about.
    ledger
        What they decided; None: everyone is recorded as granted by the study's protocol.
    purpose
        What the data are used for.
    modalities
        What may be measured. A patient who withdrew one of another name is refused: what that was
        about is not known.
    on
        Day of use; today, where it is not given.

    Raises
    ------
    ConsentError
        If the ledger permits nobody.

    Examples
    --------
    >>> granted = Entry("ada", Decision.GRANT, "scoring", date(2026, 1, 31))
    >>> no_genes = Entry("ada", Decision.WITHDRAW, "all", date(2026, 2, 1), modality="rna")
    >>> ledger = Ledger("ledger 'consent.csv'", (granted, no_genes))
    >>> found = permit(["ada", "bob"], ledger=ledger, purpose="scoring", modalities=["rna", "mri"])
    >>> found.granted, found.refused, found.withheld
    (('ada',), {'bob': 'no consent for scoring is recorded'}, {'ada': ('rna',)})
    """
    wanted = purpose_of(purpose)
    if ledger is None:
        return Permission(tuple(patient_ids), {}, GRANTED_BY_PROTOCOL, wanted.value)
    found = judged(patient_ids, ledger, wanted, modalities, on)
    if not found.granted:
        raise ConsentError(
            f"{ledger.basis} permits none of the {len(patient_ids)} patients for {wanted.value}: "
            "check it and the purpose"
        )
    return found


def judged(
    patient_ids: Sequence[str],
    ledger: Ledger,
    purpose: Purpose,
    modalities: Sequence[str] = (),
    on: date | None = None,
) -> Permission:
    """Return who may be used for a purpose, which may be nobody; as :func:`permit`.

    Examples
    --------
    >>> granted = Entry("ada", Decision.GRANT, "scoring", date(2026, 1, 31))
    >>> judged(["ada", "bob"], Ledger("ledger", (granted,)), Purpose.SCORING).refused
    {'bob': 'no consent for scoring is recorded'}
    """
    day = on or date.today()
    decided = _latest(ledger.entries, set(patient_ids), purpose, day)
    refused, withheld = {}, {}
    for patient in patient_ids:
        own = decided.get(patient, {})
        reason = _refusal(own, purpose, day) or _not_understood(own, modalities, day)
        names = tuple(each for each in modalities if not reason and _kept_back(own, each, day))
        if reason:
            refused[patient] = reason
        elif names:
            withheld[patient] = names
    granted = tuple(patient for patient in patient_ids if patient not in refused)
    return Permission(granted, refused, ledger.basis, purpose.value, withheld)


def purpose_of(purpose: Purpose | str) -> Purpose:
    """Return a purpose by its name.

    Raises
    ------
    ConsentError
        If there is none of this name.
    """
    try:
        return Purpose(purpose)
    except ValueError as error:
        known = [each.value for each in Purpose]
        raise ConsentError(f"unknown purpose '{purpose}'{nearest(str(purpose), known)}") from error


def _latest(
    entries: Iterable[Entry], patients: set[str], purpose: Purpose, on: date
) -> dict[str, dict[str, Entry]]:
    """Return the latest decision of each patient on a purpose, by what modality it is about."""
    found: dict[str, dict[str, Entry]] = {}
    for entry in entries:
        if entry.patient_id in patients and entry.purpose in (purpose.value, ALL):
            own = found.setdefault(entry.patient_id, {})
            earlier = own.get(entry.modality)
            if earlier is None or _weight(entry, on) >= _weight(earlier, on):
                own[entry.modality] = entry
    return found


def _weight(entry: Entry, on: date) -> tuple[date, bool]:
    return entry.recorded_on, bool(entry.objection(on))


def _refusal(by_modality: Mapping[str, Entry], purpose: Purpose, on: date) -> str:
    if ALL in by_modality:
        return by_modality[ALL].objection(on)
    if any(each.decision is Decision.GRANT for each in by_modality.values()):
        return f"consent for {purpose.value} is recorded for single modalities alone"
    return f"no consent for {purpose.value} is recorded"


def _not_understood(by_modality: Mapping[str, Entry], modalities: Sequence[str], on: date) -> str:
    """Return that something may not be used of which it is not known what it is."""
    for name in by_modality if modalities else ():
        if name not in (ALL, *modalities) and _kept_back(by_modality, name, on):
            return f"modality '{name}' may not be used and is not known here"
    return ""


def _kept_back(by_modality: Mapping[str, Entry], modality: str, on: date) -> bool:
    decided = [by_modality[name] for name in (ALL, modality) if name in by_modality]
    return bool(max(decided, key=lambda entry: _weight(entry, on)).objection(on))
