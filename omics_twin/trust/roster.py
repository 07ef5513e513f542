"""Is this patient among those that a model was trained on? Answered without their identifiers."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


def digest_of_patient(salt: str, patient_id: str) -> int:
    """Return the first eight bytes of HMAC-SHA-256 of an identifier, as a signed number."""
    found = hmac.new(salt.encode(), patient_id.encode(), hashlib.sha256).digest()[:8]
    return int.from_bytes(found, "little", signed=True)


@dataclass(frozen=True)
class Roster:
    """The training patients of one model.

    Attributes
    ----------
    salt
        Key of the digests; another model's digests cannot be compared with this one's.
    digests
        As of :func:`digest_of_patient`.
    """

    salt: str
    digests: frozenset[int]

    @staticmethod
    def of(patient_ids: Iterable[str], salt: str) -> Roster:
        """Return the roster of some patients."""
        return Roster(salt, frozenset(digest_of_patient(salt, each) for each in patient_ids))

    def holds(self, patient_id: str) -> bool:
        """Whether a patient is one of them.

        Examples
        --------
        >>> Roster.of(["ada"], "salt").holds("ada"), Roster.of(["ada"], "salt").holds("bob")
        (True, False)
        """
        return digest_of_patient(self.salt, patient_id) in self.digests

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return {"salt": self.salt, "digests": sorted(self.digests)}

    @staticmethod
    def from_json(stored: Mapping[str, Any]) -> Roster:
        """Return what :meth:`to_json` made."""
        return Roster(stored["salt"], frozenset(stored["digests"]))
