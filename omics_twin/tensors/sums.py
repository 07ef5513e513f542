"""Sums over all patients who are learned from, wherever they are.

What training takes from patients is sums over them. Where all of them are here, a sum is complete
as it stands; where several sites learn together, each adds up its own patients and is told the sum
over all sites, so every site runs the same program and no row leaves one.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class Total(Protocol):
    """Completes what is known of the patients who are here to what is known of all patients.

    Attributes
    ----------
    place
        Of this site among all, from 0.
    """

    place: int

    def __call__(self, name: str, *parts: Tensor) -> tuple[Tensor, ...]:
        """Return the sums over all sites, each like the part it completes.

        Parameters
        ----------
        name
            What is added up, told where sites disagree.
        parts
            Sums over the patients who are here.
        """
        ...

    def gathered(self, name: str, part: Tensor) -> Tensor:
        """Return one number or row per patient of all sites, one site after the other.

        For what a model tells of each of its patients: a digest, a rank; never a measurement.
        """
        ...


class _Here:
    """Everybody is here."""

    place = 0

    def __call__(self, name: str, *parts: Tensor) -> tuple[Tensor, ...]:
        return parts

    def gathered(self, name: str, part: Tensor) -> Tensor:
        return part


here = _Here()
"""The sums of one cohort whose patients are all here, as they are."""
