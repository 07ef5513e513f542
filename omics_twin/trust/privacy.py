"""Who a patient is stays with the site: pseudonyms, shifted dates, no free text, no small cells."""

from __future__ import annotations

import base64
import hmac
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta

from omics_twin.errors import PrivacyError, Sentence, about
from omics_twin.trust.keys import SITE, named_key

SMALLEST_CELL = 5
"""Fewer patients than this are not told apart; a usual threshold of statistical disclosure."""

PREFIX = "tw-"
"""What a pseudonym begins with."""
_CHARACTERS = 20
_PSEUDONYM = re.compile(rf"{PREFIX}[a-z2-7]{{{_CHARACTERS}}}")
_ON_A_DAY = re.compile(r" on \d{4}-\d\d-\d\d")
# Longer than a level of any vocabulary that is worth learning from.
_LONGEST_LEVEL, _MOST_WORDS = 80, 8
_IDENTIFYING = {
    "an e-mail address": re.compile(r"[^@\s]+@[^@\s]+\.[a-z]{2,}", re.IGNORECASE),
    "a social security number": re.compile(r"\b\d{3}-\d{2}-\d{4}\b"),
    "a telephone number": re.compile(r"(\+|00)[\d ()/-]{8,}\d|\(?0\d{2,5}\)?[ /-]\d[\d -]{4,}\d"),
    "a record number": re.compile(r"\b(MRN|NHS|SSN)\b[\s#:.-]*\d{4,}", re.IGNORECASE),
    "a name with its title": re.compile(r"\b(Mrs?|Ms|Dr|Frau|Herr)\.? [A-Z][a-z]+"),
}
_NAMES = re.compile(
    r"(^|_)((sur|first|last|family|given|full|patient)_?name|mrn|medical_record(_number)?|ssn|"
    r"nhs_number|phone|telephone|mobile|e_?mail|street|address|postcode|zip(_?code)?|"
    r"(date_of_)?birth(_?date|day)?|dob)($|_)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Pseudonyms:
    """What stands for patients at a site, and by how much their dates are moved.

    Both are HMAC-SHA-256 under the key of the site: the same on every day, and told by nobody who
    has not the key, however many identifiers they try.

    Attributes
    ----------
    key
        See :data:`omics_twin.trust.keys.SITE`.
    window_days
        Dates are moved by up to so many days, earlier or later, by the same in one patient.

    Examples
    --------
    >>> names = Pseudonyms(bytes(32))
    >>> names.of("ada")
    'tw-ookqkea3oljrelsxfpd6'
    >>> names.of(names.of("ada")) == names.of("ada") != names.of("bob")
    True
    """

    key: bytes = field(repr=False)
    window_days: int = 30

    def of(self, patient_id: str) -> str:
        """Return a patient's pseudonym; that of a pseudonym is itself."""
        if _PSEUDONYM.fullmatch(patient_id):
            return patient_id
        digest = self._digest("pseudonym", patient_id)
        return PREFIX + base64.b32encode(digest).decode().lower()[:_CHARACTERS]

    def shift_days(self, patient_id: str) -> int:
        """Return by how many days every date of a patient is moved; never 0."""
        if not self.window_days:
            return 0
        digest = self._digest("date", self.of(patient_id))
        place = int.from_bytes(digest[:8], "big") % (2 * self.window_days)
        return place - self.window_days + (place >= self.window_days)

    def shifted(self, patient_id: str, day: date) -> date:
        """Return a date of a patient as it is kept; the time between two of them is as it was."""
        return day + timedelta(days=self.shift_days(patient_id))

    def mark(self) -> str:
        """Return what tells these pseudonyms from those of another key."""
        return self._digest("which key", "")[:8].hex()

    def _digest(self, purpose: str, text: str) -> bytes:
        own = hmac.digest(self.key, f"omics_twin {purpose}".encode(), "sha256")
        return hmac.digest(own, text.encode(), "sha256")


def called_by(names: Pseudonyms | None, patient_id: str) -> str:
    """Return what a patient is called: by the identifier itself where a site has no pseudonyms."""
    return patient_id if names is None else names.of(patient_id)


def site_pseudonyms(*, wanted: bool = True, window_days: int = 30) -> Pseudonyms | None:
    """Return the pseudonyms of this site; None where it has no key, or they are not wanted.

    Raises
    ------
    PrivacyError
        If the key cannot be used, see :func:`omics_twin.trust.keys.named_key`.
    """
    key = named_key(SITE) if wanted else None
    return None if key is None else Pseudonyms(key, window_days)


def site_mark(*, wanted: bool = True) -> str:
    """Return what tells the key of this site's pseudonyms from others, empty without one."""
    names = site_pseudonyms(wanted=wanted)
    return "" if names is None else names.mark()


def shown_count(count: int) -> int:
    """Return a number of patients as it may be told and stored: 1 stands for one to four.

    The least of them, so that nothing rests on more patients than there are.

    Examples
    --------
    >>> [shown_count(each) for each in (0, 1, 4, 5)]
    [0, 1, 1, 5]
    """
    return 1 if 0 < count < SMALLEST_CELL else count


def count_in_words(count: int) -> str:
    """Return a number of patients as a sentence tells it.

    Examples
    --------
    >>> [count_in_words(each) for each in (0, 4, 12)]
    ['0', 'fewer than 5', '12']
    """
    return f"fewer than {SMALLEST_CELL}" if 0 < count < SMALLEST_CELL else str(count)


def left_out_lines(left_out: Mapping[str, str]) -> list[Sentence]:
    """Return how many patients are left out for each reason, and who they are, in private.

    Examples
    --------
    >>> left_out_lines({"ada": "withdrawn on 2026-02-03", "bob": "withdrawn on 2026-02-04"})
    ["2 patients are left out: withdrawn ('ada', 'bob')"]
    """
    reasons = {patient: _ON_A_DAY.sub("", reason) for patient, reason in left_out.items()}
    lines = []
    for reason, count in Counter(reasons.values()).items():
        who = [patient for patient, own in reasons.items() if own == reason]
        listed = ", ".join(f"'{each}'" for each in who[:3]) + (", …" if count > 3 else "")
        many = "1 patient is" if count == 1 else f"{count} patients are"
        lines.append(about(f"{many} left out: {reason} ({listed})", listed))
    return lines


def refuse_identifying(where: str, column: str, texts: Iterable[str]) -> None:
    """Refuse a column of text that would bring in who a patient is, or what somebody wrote.

    Parameters
    ----------
    where, column
        For the sentence.
    texts
        Its distinct cells.

    Raises
    ------
    PrivacyError
        If the column is named like an identifier, a cell looks like one, or a cell is prose. No
        sentence repeats a cell.
    """
    cure = "leave the column out of the declaration, or declare the levels that it may hold"
    if _NAMES.search(column):
        raise PrivacyError(f"{where}, column '{column}' is named like an identifier: {cure}")
    for text in texts:
        for what, pattern in _IDENTIFYING.items():
            if pattern.search(text):
                raise PrivacyError(f"{where}, column '{column}' holds {what}: {cure}")
        if len(text) > _LONGEST_LEVEL or len(text.split()) > _MOST_WORDS:
            raise PrivacyError(
                f"{where}, column '{column}' holds text of {len(text.split())} words, expected the "
                f"levels of a vocabulary: {cure}"
            )
