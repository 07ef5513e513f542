"""Check the INFO column of a VCF record."""

from __future__ import annotations

import re
from dataclasses import replace

from omics_twin.errors import quoted, shown
from omics_twin.intake.vcf_declared import is_symbolic
from omics_twin.intake.vcf_found import Found
from omics_twin.intake.vcf_header import Header, undeclared
from omics_twin.intake.vcf_reserved import INFO, STRUCTURAL, Version
from omics_twin.intake.vcf_values import Rule, expected_count, problem

_SPACE = re.compile(r"\s")
_KEY_43 = re.compile(r"[A-Za-z_][0-9A-Za-z_.]*|1000G")
_CIGAR = re.compile(r"(?:\.|(?:[0-9]+[MIDNSHPX=])+)(?:,(?:\.|(?:[0-9]+[MIDNSHPX=])+))*")


def check_info(
    text: str,
    position: int | None,
    reference: str,
    alternates: tuple[str, ...],
    header: Header,
    found: Found,
) -> None:
    """Say what is wrong with INFO: its keys, their values, what structural variants need."""
    if text in (".", ""):
        return
    if header.version < Version.V43 and _SPACE.search(text):
        found.error(f"INFO holds white-space in {shown(text)}, expected none")
        return
    values: dict[str, str | None] = {}
    for part in text.split(";"):
        key, equals, value = part.partition("=")
        if key in values:
            found.error(f"INFO holds {shown(key)} twice, expected each key once")
        values[key] = value if equals else None
        _check_pair(part, key, values[key], len(alternates), header, found)
    _check_structure(values, position, reference, alternates, header, found)


def _check_pair(
    part: str, key: str, value: str | None, alternates: int, header: Header, found: Found
) -> None:
    if not key or key == "." or value == "":
        found.error(f"INFO holds {shown(part)}, expected key or key=value between ';'")
        return
    declared = key in header.named("INFO")
    if header.version >= Version.V43 and not _KEY_43.fullmatch(key):
        found.error(f"INFO key is {shown(key)}, expected letters, digits, '_' and '.'")
    elif "," in key or _SPACE.search(key):
        found.error(f"INFO key is {shown(key)}, expected no ',' or white-space")
    elif not declared and key not in INFO[header.version]:
        if found.first("INFO", key):
            found.warning(undeclared(header, "INFO", key))
        return
    rule = header.rule("INFO", key)
    if rule.type == "Flag":
        _check_flag(key, value, found)
    elif value is None:
        if rule.number not in ("0", "", "."):
            found.error(f"INFO key {shown(key)} has no value, expected {shown(f'{key}=value')}")
    elif rule.type == "String" and len(value) > 1 and value[0] == value[-1] == '"':
        if found.first("quotes", key):
            found.warning(f"INFO {key} is in quotation marks, which VCF does not know")
    else:
        wrong = problem(rule, value, alternates, None)
        if wrong and _by_allele(rule, value, alternates):
            wrong = None
            if found.first("|", key):
                found.warning(
                    f"INFO {key} separates alleles by '|', as GATK writes it, which its ##INFO "
                    "line does not say: it is not read"
                )
        if wrong:
            found.error(f"INFO {wrong}")
        elif "=" in value and found.first("=", key):
            found.warning(f"INFO {key} holds '=' in its value, expected none")
        if key == "CIGAR" and not wrong and not _CIGAR.fullmatch(value):
            found.error(f"INFO CIGAR is {shown(value)}, expected counts and letters such as '3M1I'")


def _by_allele(rule: Rule, value: str, alternates: int) -> bool:
    """Return whether a value is what GATK and Mutect2 write of each allele, apart by ``|``.

    ``AS_SB_TABLE=30,12|4,5`` and ``AS_FilterStatus=SITE|strand_bias,weak_evidence`` hold a list of
    each allele, ``AS_UNIQ_ALT_READ_COUNT=9|4`` a number, whatever the header says of them.
    """
    if not rule.key.startswith("AS_"):
        return False
    lists, each = value.split("|"), replace(rule, number=".")
    wanted = expected_count(rule.number, alternates, None) if rule.number in ("A", "R") else None
    return wanted in (None, 0, len(lists)) and not any(
        part and problem(each, part, alternates, None) for part in lists
    )


def _check_flag(key: str, value: str | None, found: Found) -> None:
    """Check a flag: there or not; 4.1 and 4.2 mention 'H2=0', which readers take for true."""
    if value is None:
        return
    if value not in ("0", "1"):
        found.error(f"INFO {key} is {shown(value)}, expected no value: it is a flag")
    elif found.first("flag", key):
        found.warning(f"INFO {key} is {value}, expected no value: many readers take it for true")


def _check_structure(
    values: dict[str, str | None],
    position: int | None,
    reference: str,
    alternates: tuple[str, ...],
    header: Header,
    found: Found,
) -> None:
    """Check what END, SVTYPE and SVLEN say against POS and ALT (section 3)."""
    end = values.get("END")
    if end and end.isdecimal() and position is not None and int(end[:12]) < position:
        found.error(f"INFO END is {end}, expected at least POS, {position}")
    kind = values.get("SVTYPE")
    symbols = [each[1:-1] for each in alternates if each.startswith("<")]
    if kind and kind.split(":")[0] not in STRUCTURAL and found.first("SVTYPE", kind):
        found.warning(f"INFO SVTYPE is {shown(kind)}, expected one of {quoted(STRUCTURAL)}")
    first = {each.split(":")[0] for each in symbols if is_symbolic(each, header.version)}
    if kind in STRUCTURAL and first & set(STRUCTURAL) and kind not in first | {"CNV", "BND"}:
        found.warning(f"INFO SVTYPE is {shown(kind)}, but ALT holds {shown(','.join(alternates))}")
    lengths = (values.get("SVLEN") or ".").split(",")
    if lengths == ["."] or not alternates:
        return
    if len(lengths) != len(alternates):
        found.warning(
            f"INFO SVLEN holds {len(lengths)} values, expected {len(alternates)} (one per ALT "
            "allele)"
        )
        return
    for allele, length in zip(alternates, lengths, strict=True):
        if allele.startswith("<DEL") and length.isdecimal() and int(length[:12]) > 0:
            found.warning(f"INFO SVLEN is {length} for {allele}, expected a negative length")
        elif allele.startswith("<INS") and length.startswith("-"):
            found.warning(f"INFO SVLEN is {length} for {allele}, expected a positive length")
