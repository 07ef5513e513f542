"""What commands do of patients, written to the audit log that a configuration names."""

from __future__ import annotations

import getpass
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from omics_twin.config import Config
from omics_twin.files import flush, sha256
from omics_twin.report.console import Console
from omics_twin.settings import TwinSettings
from omics_twin.told import PatientRecord
from omics_twin.tracking import AnyModel, TrainedModel
from omics_twin.trust.audit import AuditLog
from omics_twin.trust.audit_key import audit_key
from omics_twin.trust.consent import Purpose
from omics_twin.trust.event import Action, Event, digest_of
from omics_twin.trust.privacy import Pseudonyms, called_by


@dataclass(frozen=True)
class Witness:
    """Writes down what is answered of patients before it is released; nothing without a log.

    Attributes
    ----------
    who, role
        The account that a command runs under, or the service.
    model
        Digest of what answers.
    seed
        Of its draws.
    """

    log: AuditLog | None
    who: str
    role: str
    model: str | None = None
    seed: int | None = None

    def saw(
        self,
        action: Action,
        patients: Iterable[str | None],
        *,
        purpose: Purpose | None = Purpose.SCORING,
        data: str | None = None,
        answer: str | None = None,
    ) -> None:
        """Write down one event for each patient; None: of nobody alone.

        Raises
        ------
        AuditError
            If it cannot be written: release nothing then.
        """
        if (log := self.log) is None:
            return
        log.append(
            *(
                Event(
                    self.who,
                    self.role,
                    action,
                    patient=None if each is None else log.pseudonym(each),
                    purpose=purpose,
                    model=self.model,
                    seed=self.seed,
                    data=data,
                    answer=answer,
                )
                for each in patients
            )
        )

    @contextmanager
    def released(
        self, output: Path, action: Action, patients: Iterable[str | None], *, data: str
    ) -> Iterator[Path]:
        """Yield where to write an answer; once it is written down it becomes ``output``.

        Raises
        ------
        AuditError
            If it cannot be written down; ``output`` is as it was.
        """
        if self.log is None:
            yield output
            return
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=output.parent, prefix=".draft-") as folder:
            draft = Path(folder) / output.name
            yield draft
            self.saw(action, patients, data=data, answer=sha256(draft.read_bytes()))
            draft.replace(output)
        flush(output.parent)


def witness_of(config: Config, console: Console, model: AnyModel | None = None) -> Witness:
    """Return what writes down what a command does.

    Raises
    ------
    AuditError
        If the log that is named cannot be written, or its key is missing.
    """
    seed = None if model is None else config.twin.seed
    digest = None if model is None else model.digest or None
    return Witness(log_of(config, console), _account(), "command", digest, seed)


def scored(
    log: AuditLog, model: TrainedModel, names: Pseudonyms | None
) -> Callable[[Sequence[PatientRecord], bytes], None]:
    """Return what writes down the records that a scoring server answers, and its answer.

    Parameters
    ----------
    names
        What patients are called at this site; None: as in their records.
    """
    service = Witness(log, "scoring server", "service", model.digest or None, TwinSettings().seed)

    def noted(records: Sequence[PatientRecord], answer: bytes) -> None:
        patients = [called_by(names, each.patient_id) for each in records]
        data = digest_of([each.model_dump(mode="json") for each in records])
        service.saw(Action.SCORE, patients, data=data, answer=sha256(answer))

    return noted


def log_of(config: Config, console: Console) -> AuditLog | None:
    """Return the audit log that is named, made where there is none; None: none is named.

    Raises
    ------
    AuditError
        As of :meth:`omics_twin.trust.audit.AuditLog.open`, and if there is no key.
    """
    if not config.log:
        return None
    log = Path(config.log)
    named, anchor = (Path(each) if each else None for each in (config.key, config.anchor))
    for each in (log, named, anchor):
        if each is not None:
            each.parent.mkdir(parents=True, exist_ok=True)
    # A log that is there has a key already: a new one would make it unreadable.
    key = audit_key(named, log=log, create=not log.exists())
    if anchor is None:
        console.warn("no anchor was named: an audit log that is cut at its end passes for whole")
    return AuditLog.open(log, key, anchor)


def _account() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container may run under a number that has no name.
        return f"user {os.getuid()}"
