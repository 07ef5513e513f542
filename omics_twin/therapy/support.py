"""Who received what: the patients a comparison rests on, and the arms open to a stratum."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from omics_twin.therapy.catalogue import Catalogue

_SEPARATOR = " | "


@dataclass(frozen=True)
class Support:
    """Training patients by stratum and arm.

    Assignment in a platform trial depends on the stratum, and an arm may be open to some strata
    only. An arm to which nobody of a stratum was ever assigned is taken as closed to it.

    Attributes
    ----------
    columns
        What makes a stratum; empty: all patients are one stratum.
    counts
        Stratum -> arm -> patients.
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

    def judge(
        self, catalogue: Catalogue, strata: Sequence[str]
    ) -> tuple[
        Bool[Tensor, "patient intervention"],
        Float[Tensor, "patient intervention"],
        list[list[str]],
    ]:
        """Return eligibility, support and reasons of every patient and arm."""
        eligible, support, reasons = [], [], []
        for stratum in strata:
            counts = [self.counts.get(stratum, {}).get(arm, 0) for arm in catalogue.arms]
            support.append([float(count) for count in counts])
            eligible.append([count > 0 for count in counts])
            reasons.append([self._reason(stratum, n, catalogue.thin_support) for n in counts])
        return torch.tensor(eligible), torch.tensor(support), reasons

    def _reason(self, stratum: str, count: int, thin: int) -> str:
        where = f"with {stratum}" if self.columns else "in training"
        if stratum not in self.counts:
            return f"no training patient {where}"
        if count == 0:
            return f"not open: no patient {where} was assigned to it"
        if count < thin:
            return f"thin support: {count} training patients {where} received it"
        return ""

    def to_json(self) -> dict[str, Any]:
        """Return plain lists and dictionaries."""
        return {
            "columns": list(self.columns),
            "counts": {k: dict(v) for k, v in self.counts.items()},
        }

    @staticmethod
    def from_json(stored: Mapping[str, Any]) -> Support:
        """Return the support stored by :meth:`to_json`."""
        return Support(tuple(stored["columns"]), stored["counts"])


def stratum_key(columns: Sequence[str], values: Sequence[str]) -> str:
    """Return a stratum's name.

    Examples
    --------
    >>> stratum_key(["hr", "her2"], ["1", "0"])
    'hr 1 | her2 0'
    """
    return _SEPARATOR.join(f"{c} {v}" for c, v in zip(columns, values, strict=True)) or "everyone"
