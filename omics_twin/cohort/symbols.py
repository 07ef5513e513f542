"""Which gene is meant? Symbols as they are written become the symbols approved today."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from omics_twin.cohort.renames import RENAMED
from omics_twin.errors import quoted
from omics_twin.intake.channels import Channel, Variants
from omics_twin.intake.declaration import Kind

# A spreadsheet makes dates of symbols: SEPT1 becomes 1-Sep, MARCH3 becomes 3-Mar or Mar-03.
_DATE = re.compile(r"(?:(\d{1,2})-(SEP|MAR|DEC))|(?:(SEP|MAR|DEC)-(\d{1,2}))")
_MONTHS = {"SEP": "SEPT", "MAR": "MARCH", "DEC": "DEC"}
# 1-Mar and 2-Mar were MARCH1 and MARCH2, or MARC1 and MARC2: nobody can tell.
_UNKNOWABLE = ("MARCH1", "MARCH2")
# What has other characters is no symbol, and stays as written.
_SYMBOL = re.compile(r"[A-Z][A-Z0-9.-]*")
_OPEN_FRAME = re.compile(r"(C(?:\d+|X|Y))ORF(\d+.*)")


def approved(symbol: str, aliases: Mapping[str, str] | None = None) -> str:
    """Return the approved symbol of a gene, or the symbol in upper case where none is known.

    What cannot be a symbol, such as ``TP53_mutation``, is returned as it is.

    Parameters
    ----------
    symbol
        As written; a date that a spreadsheet made of it is read back where that can be told.
    aliases
        Old symbol in upper case -> approved symbol; goes before the list of this package.

    References
    ----------
    Ziemann, Eren & El-Osta 2016, Gene name errors are widespread in the scientific literature
    (doi:10.1186/s13059-016-1044-7).

    Examples
    --------
    >>> approved("MLL2"), approved("9-Sep"), approved("tp53"), approved("c1orf112")
    ('KMT2D', 'SEPTIN9', 'TP53', 'C1orf112')
    >>> approved("1-Mar")
    '1-Mar'
    """
    written = symbol.strip()
    upper = written.upper()
    date = _DATE.fullmatch(upper)
    if date is not None:
        month, number = date[2] or date[3], int(date[1] or date[4])
        upper = f"{_MONTHS[month]}{number}"
        if upper in _UNKNOWABLE or upper not in RENAMED:
            return written
    if aliases and upper in aliases:
        return aliases[upper]
    if not _SYMBOL.fullmatch(upper):
        return written
    return RENAMED.get(upper) or _OPEN_FRAME.sub(r"\1orf\2", upper)


def reconcile_calls(variants: Variants) -> tuple[Variants, list[str]]:
    """Return the calls and gene panels under approved symbols, and what to tell.

    Calls under two symbols of one gene are calls of that gene.
    """
    if variants.aliases is None:
        return variants, []
    listed = {gene for genes in variants.panels.values() for gene in genes}
    named = _renamed({*variants.calls["gene"], *listed}, variants.aliases)
    panels = {
        panel: tuple(dict.fromkeys(named[gene] for gene in genes))
        for panel, genes in variants.panels.items()
    }
    calls = variants.calls.assign(gene=variants.calls["gene"].map(named))
    return replace(variants, calls=calls, panels=panels), _told(variants.modality, named)


def reconcile_channel(channel: Channel) -> tuple[Channel, list[str]]:
    """Return the channel with its genes under approved symbols, and what to tell.

    Where several columns are one gene: a binary gene is there if any of them says so. Of numbers,
    which are on scales of their own, the column that has the approved symbol is kept, or else the
    first; the others are not used, and told.
    """
    if channel.aliases is None:
        return channel, []
    named = _renamed(channel.genes, channel.aliases)
    kept, said = dict.fromkeys(channel.columns), []
    # The columns of each gene, first the one that has its name; what is no gene keeps its own.
    together: dict[str, list[str]] = {}
    for column in kept:
        columns = together.setdefault(named.get(column, column), [])
        columns.insert(0 if named.get(column, column) == column else len(columns), column)
    values = channel.values[[columns[0] for columns in together.values()]]
    values = values.set_axis(list(together), axis=1)
    for gene, columns in together.items():
        if len(columns) == 1:
            continue
        if channel.columns[columns[0]].kind is Kind.BINARY:
            values[gene] = np.fmax.reduce(channel.values[columns].to_numpy(dtype=float), axis=1)
            said.append(f"'{gene}' is there where any of {quoted(columns)} is")
        else:
            said.append(f"'{gene}' is column '{columns[0]}', not used: {quoted(columns[1:])}")
    genes = tuple(dict.fromkeys(named[column] for column in channel.genes))
    reconciled = replace(
        channel,
        values=values,
        columns={gene: channel.columns[columns[0]] for gene, columns in together.items()},
        genes=genes,
    )
    lines = [f"modality '{channel.modality}': {each}" for each in said]
    return reconciled, _told(channel.modality, named) + lines


def _renamed(genes: Iterable[str], aliases: Mapping[str, str]) -> dict[str, str]:
    return {gene: approved(gene, aliases) for gene in genes}


def _told(modality: str, named: Mapping[str, str]) -> list[str]:
    """Return how many genes have another name than written, and which names are dates."""
    changed = sorted(f"{old} to {new}" for old, new in named.items() if old != new)
    dates = sorted(gene for gene in named if _DATE.fullmatch(named[gene].upper()))
    lines = []
    if changed:
        lines.append(
            f"modality '{modality}': {len(changed)} of {len(named)} genes were renamed to approved "
            f"symbols: {quoted(changed, most=4)}"
        )
    if dates:
        lines.append(
            f"modality '{modality}': {quoted(dates)} are dates that a spreadsheet made of gene "
            "symbols, and it cannot be told of which: correct the table"
        )
    return lines
