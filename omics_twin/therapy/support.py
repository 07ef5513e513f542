"""Who received what: the patients a comparison rests on, and the arms open to a stratum."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from omics_twin.errors import TherapyError, quoted
from omics_twin.therapy.catalogue import Catalogue
from omics_twin.trust.privacy import SMALLEST_CELL, count_in_words, shown_count

_SEPARATOR = " | "


@dataclass(frozen=True)
class Support:
    """Training patients by stratum and arm.

    Assignment in a platform trial depends on the stratum, and an arm may be open to some strata
    only. An arm is closed to a stratum where the catalogue declares it so, whatever the data say,
    and where nobody of the stratum was ever assigned to it. Where patients received an arm that
    is declared closed to them, they are learned from and it stays closed: an exception in a trial
    is no offer to the next patient. :meth:`check_declared` tells how many there are.

    Attributes
    ----------
    columns
        What makes a stratum; empty: all patients are one stratum.
    counts
        Stratum -> arm -> patients. What is stored and shown of fewer than five is one: who knows
        one of them would else learn what the others received.
    """

    columns: tuple[str, ...]
    counts: Mapping[str, Mapping[str, int]]

    @staticmethod
    def of(columns: Sequence[str], strata: Sequence[str], arms: Sequence[str]) -> Support:
        """Count training patients.

        Parameters
        ----------
        columns
            Names of the stratum columns.
        strata, arms
            Stratum key (see :func:`stratum_key`) and arm received of each patient.
        """
        counts: dict[str, Counter[str]] = {}
        for stratum, arm in zip(strata, arms, strict=True):
            counts.setdefault(stratum, Counter())[arm] += 1
        return Support(tuple(columns), {key: dict(each) for key, each in sorted(counts.items())})

    def told_of(self, stratum: str) -> str:
        """Return how many training patients a stratum has; at most, where an arm has few."""
        counts = self.counts.get(stratum, {}).values()
        few = [each for each in counts if 0 < each < SMALLEST_CELL]
        most = sum(counts) - sum(few) + len(few) * (SMALLEST_CELL - 1)
        return f"at most {most}" if few else str(most)

    def judge(
        self, catalogue: Catalogue, strata: Sequence[str]
    ) -> tuple[
        Bool[Tensor, "patient intervention"],
        Float[Tensor, "patient intervention"],
        list[list[str]],
    ]:
        """Return eligibility, support and reasons of every patient and arm.

        Raises
        ------
        TherapyError
            If a stratum is not one of these columns.
        """
        found = {stratum: self._judge_stratum(catalogue, stratum) for stratum in set(strata)}
        support = [[float(count) for _, count, _ in found[each]] for each in strata]
        eligible = [[opened for opened, _, _ in found[each]] for each in strata]
        shape = (len(strata), len(catalogue.arms))
        return (
            torch.tensor(eligible, dtype=torch.bool).reshape(shape),
            torch.tensor(support).reshape(shape),
            [[reason for _, _, reason in found[each]] for each in strata],
        )

    def _judge_stratum(self, catalogue: Catalogue, stratum: str) -> list[tuple[bool, int, str]]:
        values = stratum_values(self.columns, stratum)
        judged = []
        for arm in catalogue.arms:
            count = shown_count(self.counts.get(stratum, {}).get(arm, 0))
            closed = catalogue.closed(arm, values)
            reason = (
                f"not open: {closed}"
                if closed
                else self._reason(stratum, count, catalogue.thin_support)
            )
            judged.append((count > 0 and not closed, count, reason))
        return judged

    def check_declared(self, catalogue: Catalogue) -> tuple[str, ...]:
        """Return, in words, where the data disagree with the eligibility that is declared.

        Raises
        ------
        TherapyError
            If a rule is about another column than these, or excludes most of the patients who
            received an arm: then the declaration is wrong, not the patients.
        """
        catalogue.check_strata(self.columns)
        notes = self._never_seen(catalogue)
        for arm in catalogue.arms:
            given = {each: arms[arm] for each, arms in self.counts.items() if arms.get(arm)}
            excluded = [each for each in given if self._excluded(catalogue, arm, each)]
            patients, received = sum(given[each] for each in excluded), sum(given.values())
            if 2 * patients > received:
                raise TherapyError(
                    f"{patients} of the {received} patients who received '{arm}' are of strata "
                    f"that it is declared closed to ({quoted(excluded, most=3)}): correct "
                    f"conf/therapy/{catalogue.name}.yaml or the cohort's strata"
                )
            notes += [
                _note(arm, stratum, count, closed)
                for stratum, count in given.items()
                if (closed := catalogue.closed(arm, stratum_values(self.columns, stratum)))
            ]
        return tuple(notes)

    def _excluded(self, catalogue: Catalogue, arm: str, stratum: str) -> bool:
        """Whether a rule excludes a stratum by what was measured, not for what was not."""
        values = stratum_values(self.columns, stratum)
        return any(rule.holds(values) is False for rule in catalogue.detail(arm).eligible)

    def _never_seen(self, catalogue: Catalogue) -> list[str]:
        """Return the conditions that no training patient can meet: misspelt, or about others."""
        strata = [stratum_values(self.columns, each) for each in self.counts]
        seen = {column: sorted({each[column] for each in strata}) for column in self.columns}
        return [
            f"arm '{arm}' depends on {column} {' or '.join(values)}, which no training patient "
            f"has; found: {quoted(seen[column])}"
            for arm in catalogue.arms
            for condition in catalogue.conditions(arm)
            for column, values in condition.where
            if not {*values} & {*seen[column]}
        ]

    def _reason(self, stratum: str, count: int, thin: int) -> str:
        where = f"with {stratum}" if self.columns else "in training"
        if stratum not in self.counts:
            return f"no training patient {where}"
        if count == 0:
            return f"not open: no patient {where} was assigned to it"
        if count < thin:
            return f"thin support: {count_in_words(count)} training patients {where} received it"
        return ""

    def to_json(self) -> dict[str, Any]:
        """Return plain lists and dictionaries."""
        return {
            "columns": list(self.columns),
            "counts": {
                stratum: {arm: shown_count(count) for arm, count in arms.items()}
                for stratum, arms in self.counts.items()
            },
        }

    @staticmethod
    def from_json(stored: Mapping[str, Any]) -> Support:
        """Return the support stored by :meth:`to_json`."""
        return Support(tuple(stored["columns"]), stored["counts"])


def _note(arm: str, stratum: str, count: int, reason: str) -> str:
    patients = "1 patient" if count == 1 else f"{count} patients"
    return (
        f"{patients} with {stratum} received '{arm}', which is declared closed to that stratum "
        f"({reason}): learned from, and the arm stays closed"
    )


def stratum_key(columns: Sequence[str], values: Sequence[str]) -> str:
    """Return a stratum's name.

    Examples
    --------
    >>> stratum_key(["hr", "her2"], ["1", "0"])
    'hr 1 | her2 0'
    """
    return _SEPARATOR.join(f"{c} {v}" for c, v in zip(columns, values, strict=True)) or "everyone"


def stratum_values(columns: Sequence[str], key: str) -> dict[str, str]:
    """Return what a stratum's name says of each column: the inverse of :func:`stratum_key`.

    Raises
    ------
    TherapyError
        If the name is not of these columns, each once and in this order.

    Examples
    --------
    >>> stratum_values(["hr", "her2"], "hr 1 | her2 not measured")
    {'hr': '1', 'her2': 'not measured'}
    """
    parts = key.split(_SEPARATOR) if columns else []
    if len(parts) != len(columns) or any(
        not part.startswith(f"{column} ") for column, part in zip(columns, parts, strict=True)
    ):
        raise TherapyError(
            f"stratum '{key}' does not give one value of each of {quoted(columns) or 'no column'}"
        )
    return {
        column: part.removeprefix(f"{column} ") for column, part in zip(columns, parts, strict=True)
    }
