"""How many copies of each gene are there? Segments along chromosomes become values of genes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from omics_twin.errors import IntakeError

# Longer than any chromosome of man, so that chromosomes can lie one after the other [base].
_APART = 1_000_000_000
_CHROMOSOMES = (*(str(number) for number in range(1, 23)), "X", "Y", "MT")
_OTHERWISE = {"23": "X", "24": "Y", "M": "MT"}


@dataclass(frozen=True)
class Stretches:
    """Stretches of chromosomes, both ends counted, as positions begin at 1.

    Attributes
    ----------
    chromosome
        As ``chr7``, ``7``, ``X`` or ``23``, (stretch,).
    start, end
        First and last position, (stretch,) [base].
    """

    chromosome: Sequence[str]
    start: Float[ndarray, " stretch"]
    end: Float[ndarray, " stretch"]

    def ends(self, what: str) -> tuple[ndarray, ndarray]:
        """Return both ends along all chromosomes laid one after the other, (stretch,) [base].

        A stretch of an unknown chromosome, such as an unplaced contig, is NaN.

        Raises
        ------
        IntakeError
            If a stretch ends before it starts.
        """
        wrong = np.flatnonzero(~((self.start >= 0) & (self.start <= self.end)))
        if len(wrong):
            row = int(wrong[0])
            raise IntakeError(
                f"{what}, row {row + 1}: from {self.start[row]:g} to {self.end[row]:g}, expected "
                "two positions of which the second is not the smaller: correct the row"
            )
        place = {name: float(number * _APART) for number, name in enumerate(_CHROMOSOMES)}
        texts = pd.Series(list(self.chromosome), dtype=object).astype(str).str.strip()
        names = texts.str.upper().str.removeprefix("CHR").replace(_OTHERWISE)
        offset = names.map(place).to_numpy(dtype=np.float64)
        return offset + self.start - 1.0, offset + self.end


def gene_copy_numbers(
    samples: Sequence[str],
    segments: Stretches,
    log_ratio: Float[ndarray, " segment"],
    genes: Stretches,
) -> tuple[list[str], Float[ndarray, "sample gene"]]:
    """Return each sample's mean log ratio over each gene, weighted by what segments overlap.

    Time grows as segments and samples x genes do, but for the sorting of each sample's segments.

    Parameters
    ----------
    samples
        Of each segment, (segment,).
    log_ratio
        Of the segments, to base 2 as segmentation gives them, (segment,).
    genes
        In the coordinates of the same reference genome.

    Returns
    -------
    tuple
        The samples in the order of their first segment, and their genes: NaN where no segment
        overlaps. A mean over part of a gene is that part's.

    Raises
    ------
    IntakeError
        If a stretch ends before it starts, or segments of a sample overlap.

    Examples
    --------
    >>> segments = Stretches(["1", "1"], np.array([1.0, 11.0]), np.array([10.0, 20.0]))
    >>> genes = Stretches(["chr1", "2"], np.array([6.0, 1.0]), np.array([15.0, 9.0]))
    >>> gene_copy_numbers(["a", "a"], segments, np.array([0.0, 1.0]), genes)
    (['a'], array([[0.5, nan]]))
    """
    first, last = genes.ends("gene positions")
    begins, ends = segments.ends("segments")
    kept = np.isfinite(begins) & np.isfinite(log_ratio)
    codes, names = pd.factorize(np.asarray(samples, dtype=object))
    order = np.lexsort((begins, codes))
    order = order[kept[order]]
    borders = np.searchsorted(codes[order], np.arange(len(names) + 1))
    values = np.full((len(names), len(first)), np.nan)
    inside = np.isfinite(first)
    for row, name in enumerate(names):
        own = order[borders[row] : borders[row + 1]]
        if not len(own):
            continue
        if (ends[own][:-1] > begins[own][1:]).any():
            raise IntakeError(
                f"segments of sample '{name}' overlap, expected each position once: segment it "
                "again, or keep one caller's segments"
            )
        values[row, inside] = _means(begins[own], ends[own], log_ratio[own], first, last, inside)
    return [str(name) for name in names], values


def _means(
    begins: ndarray,
    ends: ndarray,
    log_ratio: ndarray,
    first: ndarray,
    last: ndarray,
    inside: ndarray,
) -> Float[ndarray, " gene"]:
    """Return the mean over each gene: what accumulates between its ends over what is covered."""
    knots = np.column_stack([begins, ends]).ravel()
    length = ends - begins

    def up_to(positions: ndarray, steps: ndarray) -> ndarray:
        total = np.concatenate([[0.0], np.cumsum(steps)])
        return np.interp(positions, knots, np.column_stack([total[:-1], total[1:]]).ravel())

    between = [
        up_to(last[inside], steps) - up_to(first[inside], steps)
        for steps in (length, length * log_ratio)
    ]
    return np.divide(
        between[1], between[0], out=np.full(len(between[0]), np.nan), where=between[0] > 0.5
    )
