"""Check the fixed columns of a VCF record."""

from __future__ import annotations

import re
from dataclasses import dataclass

from omics_twin.errors import shown
from omics_twin.intake.vcf_declared import is_contig, is_symbolic
from omics_twin.intake.vcf_found import Found
from omics_twin.intake.vcf_header import COLUMNS, Header, undeclared
from omics_twin.intake.vcf_info import check_info
from omics_twin.intake.vcf_reserved import Version
from omics_twin.intake.vcf_values import FLOAT, LARGEST_INTEGER

_POSITION = re.compile(r"[0-9]{1,10}")
BASES = re.compile(r"[ACGTNacgtn]+")
_SPACE = re.compile(r"\s")
_MATE = r"[\[\]](?:<[^\s<>]+>|[^\s<>\[\],]+):[0-9]+[\[\]]"
_BREAKEND = re.compile(
    rf"(?:[ACGTNacgtn]+|\.)(?P<after>{_MATE})|(?P<before>{_MATE})(?:[ACGTNacgtn]+|\.)"
    r"|\.[ACGTNacgtn]+|[ACGTNacgtn]+\."
)


@dataclass(frozen=True)
class Record:
    """What later rules need of a record.

    Attributes
    ----------
    contig
        Without angle brackets.
    position
        From 0, the telomere; ``None`` where it cannot be read.
    reference, alternates
        As written; no alternates where ALT is the missing value.
    """

    contig: str
    position: int | None
    reference: str
    alternates: tuple[str, ...]


def read_record(line: str, header: Header, found: Found) -> tuple[Record, list[str]] | None:
    """Check the fixed columns of a record.

    Returns
    -------
    tuple or None
        The record, and FORMAT with the samples' columns. ``None``: it has too few columns.
    """
    fields = line.split("\t")
    wanted = len(COLUMNS) + (0 if header.samples is None else 1 + len(header.samples))
    if len(fields) != wanted:
        found.error(_miscounted(line, fields, wanted))
        if len(fields) < len(COLUMNS):
            return None
    if "" in fields:
        place = fields.index("") + 1
        found.error(f"column {place} is empty, expected a value or '.'")
    contig, position, names, reference, alternates, quality, filters, info = fields[:8]
    record = Record(
        contig[1:-1] if contig[:1] == "<" and contig[-1:] == ">" else contig,
        _position(position, found),
        reference,
        () if alternates == "." else tuple(alternates.split(",")),
    )
    _check_contig(contig, record, header, found)
    if names != ".":
        _check_names(names, header.version, found)
    if not BASES.fullmatch(reference):
        found.error(f"REF is {shown(reference)}, expected bases A, C, G, T or N")
    for each in record.alternates:
        _check_alternate(each, reference, header, found)
    if len(set(record.alternates)) < len(record.alternates):
        found.error(f"ALT is {shown(alternates)}, expected each allele once")
    if quality != ".":
        _check_quality(quality, found)
    if filters not in ("PASS", "."):
        _check_filters(filters, header, found)
    check_info(info, record.position, record.reference, record.alternates, header, found)
    return record, fields[8:wanted]


def _miscounted(line: str, fields: list[str], wanted: int) -> str:
    if "\t" not in line:
        return f"the line is {shown(line)}, expected {wanted} columns separated by tabs"
    return f"the record has {len(fields)} columns, expected {wanted} as in the line of columns"


def _position(text: str, found: Found) -> int | None:
    if _POSITION.fullmatch(text) and int(text) <= LARGEST_INTEGER:
        return int(text)
    found.error(f"POS is {shown(text)}, expected a whole number from 0 to {LARGEST_INTEGER}")
    return None


def _check_contig(text: str, record: Record, header: Header, found: Found) -> None:
    if not is_contig(text, header.version):
        found.error(f"CHROM is {shown(text)}, expected a name without white-space, ':', ',' or '<'")
        return
    contigs = header.named("contig")
    declared = record.contig in contigs
    if ":" in text and not declared:
        found.error(
            f"CHROM is {shown(text)}, which cannot be told from a position: declare it as ##contig"
        )
    elif contigs and not declared and found.first("contig", record.contig):
        found.warning(undeclared(header, "contig", record.contig))
    length = header.length(record.contig) if declared else None
    if length is not None and record.position is not None and record.position > length + 1:
        found.error(
            f"POS is {record.position}, expected at most {length + 1}: contig "
            f"{shown(record.contig)} is declared with length {length}"
        )


def _check_names(names: str, version: Version, found: Found) -> None:
    listed = names.split(";")
    if "" in listed or "." in listed or _SPACE.search(names):
        found.error(f"ID is {shown(names)}, expected names between ';' without white-space")
    elif len(set(listed)) < len(listed):
        found.judge(version >= Version.V43, f"ID is {shown(names)}, expected each name once")


def _check_alternate(allele: str, reference: str, header: Header, found: Found) -> None:
    if BASES.fullmatch(allele):
        if allele.upper() == reference.upper():
            found.error(f"ALT is {shown(allele)} like REF, expected another allele")
        return
    version = header.version
    if allele == "*" and version >= Version.V42:
        return
    if allele.startswith("<") and allele.endswith(">"):
        _check_symbol(allele[1:-1], header, found)
        return
    breakend = _BREAKEND.fullmatch(allele)
    mate = breakend and (breakend["after"] or breakend["before"] or "[]")
    if not mate or (len(mate) > 2 and mate[0] != mate[-1]):
        star = ", '*'" if version >= Version.V42 else ""
        found.error(
            f"ALT holds {shown(allele)}, expected bases A, C, G, T or N{star}, a symbol such as "
            "'<DEL>' or a breakend such as 'G]17:198982]'"
        )


def _check_symbol(name: str, header: Header, found: Found) -> None:
    if not name or re.search(r"[\s<>,]", name):
        found.error(f"ALT holds {shown(f'<{name}>')}, expected no white-space or brackets within")
    elif not is_symbolic(name, header.version) and name not in header.named("ALT"):
        found.error(
            f"ALT holds {shown(f'<{name}>')}, which VCF {header.version} does not know and no "
            "##ALT line declares"
        )


def _check_quality(text: str, found: Found) -> None:
    if not FLOAT.fullmatch(text) or text.startswith("-"):
        found.error(f"QUAL is {shown(text)}, expected a number of at least 0, or '.'")


def _check_filters(text: str, header: Header, found: Found) -> None:
    codes = text.split(";")
    if "" in codes or "." in codes or "0" in codes or _SPACE.search(text):
        found.error(
            f"FILTER is {shown(text)}, expected PASS, '.', or codes between ';' without "
            "white-space, none of them '.' or '0'"
        )
        return
    if len(set(codes)) < len(codes):
        found.judge(
            header.version >= Version.V43, f"FILTER is {shown(text)}, expected each code once"
        )
    if "PASS" in codes:
        found.warning(f"FILTER is {shown(text)}, expected PASS alone or the filters that failed")
    for code in codes:
        declared = code == "PASS" or code in header.named("FILTER")
        if not declared and found.first("FILTER", code):
            found.warning(undeclared(header, "FILTER", code))
