"""Turn read counts into expression that can be compared between patients."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from omics_twin.errors import CohortError, about, quoted
from omics_twin.intake.channels import Channel

COUNTS = "counts"
NORMALISED = "log1p_cpm"
TARGET_SUM = 1e6


def normalise_counts(channel: Channel) -> Channel:
    """Return the channel with read counts as log1p of counts per million.

    Each patient is normalised alone, over the count columns measured: nothing is fitted, so a
    single new patient gets the same numbers as within a cohort.

    Parameters
    ----------
    channel
        Any channel; one without columns of unit ``counts`` is returned as it is.

    Returns
    -------
    Channel
        Columns of unit ``counts`` have the unit ``log1p_cpm``.

    Raises
    ------
    CohortError
        If a patient has only part of the counts, a negative count or no read at all.
    """
    names = [name for name, declared in channel.columns.items() if declared.unit == COUNTS]
    if not names:
        return channel
    import anndata
    import scanpy

    measured = channel.values[names].notna().any(axis=1)
    counts = channel.values.loc[measured, names].to_numpy(dtype=np.float64)
    patients = channel.values.index[measured.to_numpy()]
    _check_counts(channel.name, patients.to_numpy(), counts)
    # scanpy gives float32 for float64 counts only when asked; the type is kept.
    sample = anndata.AnnData(counts)
    scanpy.pp.normalize_total(sample, target_sum=TARGET_SUM)
    scanpy.pp.log1p(sample)
    values = channel.values.astype(dict.fromkeys(names, np.float64))
    values.loc[measured, names] = sample.X
    columns = {
        name: replace(declared, unit=NORMALISED, log=False, minimum=0.0, maximum=None)
        if name in set(names)
        else declared
        for name, declared in channel.columns.items()
    }
    return replace(channel, values=values, columns=columns)


def _check_counts(channel: str, patients: np.ndarray, counts: np.ndarray) -> None:
    problems = {
        "only part of the read counts, expected all or none": np.isnan(counts).any(axis=1),
        "a negative read count": (counts < 0).any(axis=1),
        "no read at all": np.nansum(counts, axis=1) == 0,
    }
    for problem, rows in problems.items():
        if rows.any():
            told = (
                f"channel '{channel}': patients {quoted(patients[rows])} have {problem}: correct "
                "the table, or empty the row where nothing was measured"
            )
            raise CohortError(about(told, *patients[rows]))
