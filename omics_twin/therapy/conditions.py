"""Whom an arm is open to, and to whom more was given: conditions on the stratum, with a reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omics_twin.errors import TherapyError, nearest
from omics_twin.settings import AdditionDeclaration, EligibilityDeclaration
from omics_twin.therapy.agents import check_source

NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Condition:
    """Stratum columns and the values each may have.

    Attributes
    ----------
    where
        Columns and values; empty: it holds for everyone.
    reason, source
        As declared; a reason is a clause without a full stop.
    """

    where: tuple[tuple[str, tuple[str, ...]], ...]
    reason: str
    source: str = ""

    @staticmethod
    def declared(
        owner: str, declaration: EligibilityDeclaration | AdditionDeclaration
    ) -> Condition:
        """Return the condition of a declaration.

        Raises
        ------
        TherapyError
            If it gives no reason, or names a column without values.
        """
        if not declaration.reason.strip():
            raise TherapyError(f"{owner} has no 'reason': a person has to be told one")
        for column, values in declaration.where.items():
            if not values or len(set(values)) < len(values):
                raise TherapyError(
                    f"{owner} lists {'no value' if not values else 'a value twice'} for "
                    f"'{column}', expected at least one and each once"
                )
        check_source(owner, declaration.source)
        where = tuple((column, tuple(values)) for column, values in declaration.where.items())
        return Condition(where, declaration.reason.strip().rstrip("."), declaration.source)

    @staticmethod
    def from_json(stored: Mapping[str, Any]) -> Condition:
        """Return the condition stored as a dictionary."""
        where = tuple((column, tuple(values)) for column, values in stored["where"])
        return Condition(where, stored["reason"], stored["source"])

    def unmeasured(self, stratum: Mapping[str, str]) -> tuple[str, ...]:
        """Return the columns that were not measured, where "not measured" is not itself listed."""
        return tuple(
            column
            for column, values in self.where
            if stratum.get(column, NOT_MEASURED) == NOT_MEASURED and NOT_MEASURED not in values
        )

    def holds(self, stratum: Mapping[str, str]) -> bool | None:
        """Return whether it holds; None where that hangs on a column that was not measured.

        Examples
        --------
        >>> negative = Condition((("her2", ("0",)),), "HER2-negative disease only")
        >>> negative.holds({"her2": "0"}), negative.holds({"her2": "1"}), negative.holds({})
        (True, False, None)
        """
        unmeasured = self.unmeasured(stratum)
        measured = [each for each in self.where if each[0] not in unmeasured]
        if any(stratum.get(column, NOT_MEASURED) not in values for column, values in measured):
            return False
        return None if unmeasured else True

    def check_columns(self, owner: str, columns: Sequence[str]) -> None:
        """Refuse a column that is no stratum.

        Raises
        ------
        TherapyError
            At the first one.
        """
        for column, _ in self.where:
            if column not in columns:
                known = nearest(column, columns) or "; the cohort declares no 'strata'"
                raise TherapyError(
                    f"{owner} depends on '{column}', which is not a stratum of the cohort{known}"
                )

    def __str__(self) -> str:
        """Return it as a person would read it."""
        named = [f"{column} {' or '.join(values)}" for column, values in self.where]
        return " and ".join(named) or "everyone"


@dataclass(frozen=True)
class Addition:
    """Agents that are also given where a condition holds."""

    agents: tuple[str, ...]
    condition: Condition

    @staticmethod
    def from_json(stored: Mapping[str, Any]) -> Addition:
        """Return the addition stored as a dictionary."""
        return Addition(tuple(stored["agents"]), Condition.from_json(stored["condition"]))
