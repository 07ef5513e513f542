"""Every error a user can meet: what was found, what was expected, what to do."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


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


class AuditError(OmicsTwinError, RuntimeError):
    """The audit log is not as it was written, or does not take an event."""


class FetchError(OmicsTwinError, OSError):
    """A public source file could not be downloaded or is not the file expected."""


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
