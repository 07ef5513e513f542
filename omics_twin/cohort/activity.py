"""How active is a set of genes in a patient? By the ranks of its genes within that patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray
from scipy import sparse

from omics_twin.cohort.symbols import approved
from omics_twin.errors import CohortError
from omics_twin.intake.channels import Channel
from omics_twin.intake.declaration import ColumnDeclaration, Kind
from omics_twin.types import ACTIVITY

SMALLEST_SET = 5
# Patients ranked together: the ranks of this many are all that is held beside the answer.
_BLOCK = 512


def set_activity(
    values: Float[ndarray, "patient gene"], members: Float[sparse.csr_matrix, "gene set"]
) -> Float[ndarray, "patient set"]:
    """Return the mean rank of each set's genes within each patient, from -0.5 to 0.5.

    Nothing is fitted: a patient's scores do not depend on other patients, nor on any scale that
    keeps the order of a patient's genes. They do depend on which genes are measured.

    Parameters
    ----------
    values
        NaN: not measured, and not ranked. Ties share their mean rank.
    members
        1 where a gene is in a set.

    Returns
    -------
    ndarray
        0 is the middle of the patient's measured genes; -0.5 and 0.5 are the lowest and highest
        that a set of its size can have. NaN where fewer than ``SMALLEST_SET`` of its genes, or
        nothing else, was measured.

    Examples
    --------
    >>> members = sparse.csr_matrix(np.repeat([[1.0], [0.0]], 5, axis=0))
    >>> set_activity(np.arange(10.0)[None], members)
    array([[-0.5]])

    References
    ----------
    Foroutan et al. 2018, Single sample scoring of molecular phenotypes, equations 1 and 2
    (doi:10.1186/s12859-018-2435-4).
    """
    scores = np.empty((len(values), members.shape[1]))
    for start in range(0, len(values), _BLOCK):
        block = pd.DataFrame(values[start : start + _BLOCK])
        ranks = block.rank(axis=1).to_numpy()
        known = ~np.isnan(ranks)
        total = known.sum(axis=1, keepdims=True)
        size = known.astype(float) @ members
        ranked = np.where(known, ranks - (total + 1.0) / 2.0, 0.0) @ members
        enough = (size >= SMALLEST_SET) & (total > size)
        scores[start : start + _BLOCK] = np.divide(
            ranked, size * (total - size), out=np.full(size.shape, np.nan), where=enough
        )
    return scores


def activity_channel(channel: Channel) -> Channel | None:
    """Return the activity of the channel's gene sets, ``None`` where it declares none.

    Parameters
    ----------
    channel
        Its numbers that were read as genes are ranked. Where its genes go by approved symbols, so
        do those of the sets.

    Returns
    -------
    Channel or None
        Modality ``<name>_activity``, one column per set with at least ``SMALLEST_SET`` genes in
        the channel; only patients with a score.

    Raises
    ------
    CohortError
        If no set has enough genes in the channel.
    """
    if not channel.sets:
        return None
    genes = [g for g in channel.genes if channel.columns[g].kind is Kind.NUMBER]
    sets = _named_alike(channel)
    members, names = _members(genes, sets)
    if not names:
        raise CohortError(
            f"modality '{channel.modality}' has fewer than {SMALLEST_SET} genes of each of the "
            f"{len(sets)} gene sets of its 'activity': check that both name genes alike, or remove "
            "'activity'"
        )
    scores = set_activity(channel.values[genes].to_numpy(dtype=np.float64), members)
    values = pd.DataFrame(scores, index=channel.values.index, columns=names).dropna(how="all")
    modality = channel.modality + ACTIVITY
    return Channel(
        name=modality + channel.name.removeprefix(channel.modality),
        modality=modality,
        visit_day=channel.visit_day,
        values=values,
        columns=dict.fromkeys(names, ColumnDeclaration(unit="mean_rank")),
        days=channel.days.loc[values.index],
        window_days=channel.window_days,
    )


def with_activity(channels: Sequence[Channel]) -> list[Channel]:
    """Return the channels, each followed by the activity of its gene sets.

    Raises
    ------
    CohortError
        If a modality is named as another's activity is.
    """
    found = []
    for channel in channels:
        scored = activity_channel(channel)
        if scored is not None and scored.modality in {each.modality for each in channels}:
            raise CohortError(
                f"modality '{scored.modality}' has the name of the activity of "
                f"'{channel.modality}': rename it"
            )
        # What is made of the sets is a channel of its own: the sets are not needed further.
        found += [replace(channel, sets={})] + ([] if scored is None else [scored])
    return found


def _named_alike(channel: Channel) -> Mapping[str, Sequence[str]]:
    aliases = channel.aliases
    if aliases is None:
        return channel.sets
    return {
        name: tuple(dict.fromkeys(approved(gene, aliases) for gene in genes))
        for name, genes in channel.sets.items()
    }


def _members(
    genes: Sequence[str], sets: Mapping[str, Sequence[str]]
) -> tuple[sparse.csr_matrix, list[str]]:
    """Return which genes are in which set, (gene, set), and the sets with enough of them."""
    place = {gene: row for row, gene in enumerate(genes)}
    found = {name: [place[g] for g in listed if g in place] for name, listed in sets.items()}
    found = {name: rows for name, rows in found.items() if len(rows) >= SMALLEST_SET}
    rows = [row for each in found.values() for row in each]
    columns = np.repeat(np.arange(len(found)), [len(each) for each in found.values()])
    shape = (len(genes), len(found))
    return sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=shape), list(found)
