"""What became of many trials of one kind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from omics_twin.errors import OmicsTwinError


@dataclass
class Row:
    """One line of the table of faults.

    Attributes
    ----------
    tried, refused, accepted
        Trials, those refused with a sentence, and those after which everything is as it should be.
    silent
        Trials in which something wrong was taken for right.
    lost
        Observations, events or beliefs that had been acknowledged and are gone.
    crashed
        Tracebacks and inputs that took too long.
    told
        What went wrong, in words.
    """

    part: str
    what: str
    tried: int = 0
    refused: int = 0
    accepted: int = 0
    silent: int = 0
    lost: int = 0
    crashed: int = 0
    told: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether nothing went wrong, and something was tried."""
        return self.tried > 0 and not (self.silent or self.lost or self.crashed)

    def right(self, holds: bool, otherwise: str) -> None:
        """Note a trial that must have left everything as it should be."""
        self.tried += 1
        if holds:
            self.accepted += 1
        else:
            self.silent += 1
            self.told.append(otherwise)

    def missing(self, number: int, told: str) -> None:
        """Note what was acknowledged and is gone."""
        self.lost += number
        if number:
            self.told.append(told)

    @contextmanager
    def trial(self, told: str) -> Iterator[None]:
        """Note what a trial that may be refused comes to; the body calls ``right`` otherwise."""
        try:
            yield
        except (OmicsTwinError, OSError) as refused:
            self.tried += 1
            # A sentence of ours, or the system's reason, which the command line tells in one.
            if str(refused).strip():
                self.refused += 1
            else:
                self.crashed += 1
                self.told.append(f"{told}: refused without a word")
        except Exception as error:  # noqa: BLE001  whatever it is, it is a fault
            self.tried += 1
            self.crashed += 1
            self.told.append(f"{told}: {type(error).__name__}: {error}"[:600])
