"""Every error a user can meet: what was found, what was expected, what to do."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from difflib import get_close_matches

REVEAL = "OMICS_TWIN_REVEAL"
_KEPT_BACK = "…"


class OmicsTwinError(Exception):
    """Base of all errors that the command line answers with one sentence.

    Attributes
    ----------
    status
        With which the command ends.
    """

    status = 1


class ConfigError(OmicsTwinError, ValueError):
    """A setting is unknown, missing, of the wrong type or out of range."""


class IntakeError(OmicsTwinError, ValueError):
    """A file or table does not hold what its declaration says."""


class ConsentError(OmicsTwinError, PermissionError):
    """The consent ledger is unreadable or permits nobody."""


class CohortError(OmicsTwinError, ValueError):
    """Tables cannot be made into one cohort, or a cohort cannot answer the question."""


class ModelError(OmicsTwinError, ValueError):
    """A stored model is absent, damaged, or does not fit what it is asked about."""


class TwinError(OmicsTwinError, ValueError):
    """A twin was shown or asked something it does not know."""


class TherapyError(OmicsTwinError, ValueError):
    """A therapy, agent or stratum is not in the catalogue."""


class TrainingError(OmicsTwinError, RuntimeError):
    """Training cannot start, continue or finish."""


class TrackingError(OmicsTwinError, RuntimeError):
    """The tracking server does not take a run."""


class AlarmError(OmicsTwinError, RuntimeError):
    """Monitoring found a change: no mistake, so a scheduler can tell it from one."""

    status = 2


class ChartError(OmicsTwinError, RuntimeError):
    """The patient's chart cannot be opened, or does not take or hold what it is asked for."""


class PrivacyError(OmicsTwinError, ValueError):
    """A key is missing or another, a sealed file is damaged, or text that is free would enter."""


class AuditError(OmicsTwinError, RuntimeError):
    """The audit log is not as it was written, or does not take an event."""


class FetchError(OmicsTwinError, OSError):
    """A public source file could not be downloaded or is not the file expected."""


class Sentence(str):
    """A sentence of which some parts are a patient's, see :func:`about`."""

    private: tuple[str, ...] = ()


def about(sentence: str, *private: object) -> Sentence:
    """Return a sentence that knows which of its parts are a patient's: who it is, what was found.

    Whoever reads the sentence in a program has all of it; :func:`public` is what may be written to
    a terminal or a log.
    """
    told = Sentence(sentence)
    told.private = tuple(str(each) for each in private if str(each))
    return told


def public(sentence: object) -> str:
    """Return what may be told of a sentence or an error where others can read it.

    The environment variable ``OMICS_TWIN_REVEAL=true`` shows all of it, to who corrects a file on
    a screen of their own.

    Examples
    --------
    >>> public(about("found 'ada' on day 3.5: correct it", "ada", 3.5))
    "found '…' on day …: correct it"
    >>> public(IntakeError("no column 'age'"))
    "no column 'age'"
    """
    first = sentence.args[0] if isinstance(sentence, BaseException) and sentence.args else sentence
    parts = first.private if isinstance(first, Sentence) else ()
    text = str(sentence)
    if os.environ.get(REVEAL) == "true":
        return text
    for each in sorted(parts, key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(each)}(?!\w)", _KEPT_BACK, text)
    return text


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ``": did you mean 'x'?"`` for the closest known word, or the list of what is known.

    Examples
    --------
    >>> nearest("n_latnet", ["n_latent", "n_hidden"])
    ": did you mean 'n_latent'?"
    >>> nearest("zebra", ["pcr"])
    "; known: 'pcr'"
    """
    candidates = [str(each) for each in known]
    close = get_close_matches(word, candidates, n=1)
    if close:
        return f": did you mean '{close[0]}'?"
    return f"; known: {quoted(candidates)}" if candidates else ""


def quoted(names: Iterable[object], most: int = 8) -> str:
    """Return names in quotation marks, the first ``most`` of them.

    Examples
    --------
    >>> quoted(["a", "b", "c"], most=2)
    "'a', 'b' and 1 more"
    """
    listed = [f"'{name}'" for name in names]
    rest = len(listed) - most
    return ", ".join(listed[:most]) + (f" and {rest} more" if rest > 0 else "")


def shown(text: str, most: int = 60) -> str:
    r"""Return text in quotation marks on one line, shortened.

    Examples
    --------
    >>> shown("A\tT"), shown("ACGT", most=2)
    ("'A\\tT'", "'AC…'")
    """
    short = text if len(text) <= most else f"{text[:most]}…"
    return repr(short) if not short.isprintable() else f"'{short}'"
