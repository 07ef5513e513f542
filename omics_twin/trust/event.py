"""Say what is written down of each question and answer, without who the patient is."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

from omics_twin.errors import AuditError, shown
from omics_twin.files import sha256
from omics_twin.trust.consent import Purpose

_LONGEST_NAME = 200
_LARGEST_SEED = 2**63 - 1
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Action(Enum):
    """What was done, or asked for."""

    SIGN_IN = "sign in"
    SIGN_IN_REFUSED = "sign in refused"
    SIGN_OUT = "sign out"
    OPEN_WORKLIST = "open worklist"
    OPEN_PATIENT = "open patient"
    RANK = "rank"
    SIMULATE = "simulate"
    ADD_VISIT = "add visit"
    ADD_DOSE = "add dose"
    AMEND = "amend"
    DECIDE = "decide"
    ADD_CONSENT = "add consent"
    EXPORT = "export"
    SCORE = "score"
    TRAIN = "train"
    EVALUATE = "evaluate"
    ADMIT = "admit"
    REFUSED = "refused"
    READ_AUDIT = "read audit"
    SET_ASIDE = "set aside"  # by the log itself: what a crash left of an event


class Outcome(Enum):
    """What came of it."""

    ANSWERED = "answered"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True)
class Event:
    """One event; what an identifier or a value could be is a pseudonym or a digest.

    Attributes
    ----------
    who, role
        The account and its role; a service has a name of its own.
    action, outcome
        What was asked, and what came of it.
    patient
        Pseudonym, see :meth:`omics_twin.trust.audit.AuditLog.pseudonym`.
    purpose
        What a patient's data were used for.
    model, seed
        Digest of the model, and the seed of its draws.
    data, answer
        Digests of what the model was shown and of what was answered, see :func:`digest_of`.
    """

    who: str
    role: str
    action: Action
    outcome: Outcome = Outcome.ANSWERED
    patient: str | None = None
    purpose: Purpose | None = None
    model: str | None = None
    seed: int | None = None
    data: str | None = None
    answer: str | None = None

    def __post_init__(self) -> None:
        """Refuse names that are none, text where a digest belongs, and a seed without bounds."""
        for name in ("who", "role"):
            text = getattr(self, name)
            if not 0 < len(text.strip()) <= len(text) <= _LONGEST_NAME or not text.isprintable():
                raise AuditError(
                    f"'{name}' of an event is {shown(text)}, expected 1 to {_LONGEST_NAME} "
                    "characters that can be printed"
                )
        for name in ("patient", "model", "data", "answer"):
            digest = getattr(self, name)
            if digest is not None and not _DIGEST.fullmatch(digest):
                raise AuditError(
                    f"'{name}' of an event has {len(digest)} characters, expected a digest of 64 "
                    "hexadecimal ones: only pseudonyms and digests are written down"
                )
        if self.seed is not None and not 0 <= self.seed <= _LARGEST_SEED:
            raise AuditError(f"'seed' of an event is not 0 to {_LARGEST_SEED}: give the one drawn")

    def as_record(self) -> dict[str, Any]:
        """Return the event as JSON can hold it."""
        plain = asdict(self)
        return {key: each.value if isinstance(each, Enum) else each for key, each in plain.items()}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Event:
        """Return the event of a record."""
        purpose = record["purpose"]
        given = {
            **record,
            "action": Action(record["action"]),
            "outcome": Outcome(record["outcome"]),
            "purpose": None if purpose is None else Purpose(purpose),
        }
        return cls(**given)


def canonical(content: Any) -> bytes:
    """Return JSON that is the same for the same content, whatever the order of its keys."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode("ascii")


def digest_of(content: Any) -> str:
    """Return the digest of what JSON can hold, such as the lines of a ranking.

    Examples
    --------
    >>> digest_of({"rank": 1, "arm": "control"}) == digest_of({"arm": "control", "rank": 1})
    True
    """
    return sha256(canonical(content))
