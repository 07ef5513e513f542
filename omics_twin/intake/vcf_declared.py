"""Check what a structured meta-information line of a VCF file declares."""

from __future__ import annotations

import re

from omics_twin.errors import quoted, shown
from omics_twin.intake.vcf_found import Found
from omics_twin.intake.vcf_meta import Entry
from omics_twin.intake.vcf_reserved import (
    FORMAT,
    INFO,
    IUPAC,
    STRUCTURAL,
    SYMBOLIC,
    TYPES,
    UNSPECIFIED,
    Version,
)

_DEFINED = ("ID", "Number", "Type", "Description")
_FORMS = {
    "INFO": _DEFINED,
    "FORMAT": _DEFINED,
    "FILTER": ("ID", "Description"),
    "ALT": ("ID", "Description"),
    "contig": ("ID",),
    "META": ("ID", "Type", "Number", "Values"),
}
_SAMPLE = ("ID", "Genomes", "Mixture", "Description")
_KEY_43 = {
    "INFO": re.compile(r"[A-Za-z_][0-9A-Za-z_.]*|1000G"),
    "FORMAT": re.compile(r"[A-Za-z_][0-9A-Za-z_.]*"),
}
_GENOME = re.compile(r"[0-9A-Za-z_.+#|-]+")
_CONTIG = re.compile(r'[^\s:,<>\[\]"]+')
_CONTIG_43 = re.compile(r"[0-9A-Za-z!#$%&+./:;?@^_|~-][0-9A-Za-z!#$%&*+./:;=?@^_|~-]*")


def check_declared(read: Entry, version: Version, found: Found) -> None:
    """Say what is wrong with a structured line: its fields, their order, their values."""
    if not _check_form(read, version, found):
        return
    _check_quotes(read, version, found)
    name = read.values.get("ID", "")
    if read.kind in ("INFO", "FORMAT"):
        _check_definition(read, name, version, found)
    elif read.kind == "ALT":
        _check_alternate(name, version, found)
    elif read.kind == "contig":
        _check_contig(read, name, version, found)
    elif read.kind == "FILTER" and (name == "0" or re.search(r"[\s;]", name)):
        found.error(f"##FILTER has the ID {shown(name)}, expected no white-space, ';' or '0'")
    elif read.kind == "PEDIGREE":
        for key, genome in read.values.items():
            if not _GENOME.fullmatch(genome):
                found.error(
                    f"##PEDIGREE names {shown(genome)} as {key}, expected letters, digits and _.-"
                )


def _form(kind: str, version: Version) -> tuple[str, ...]:
    if kind == "SAMPLE" and version < Version.V43:
        return _SAMPLE
    if kind == "PEDIGREE" and version < Version.V43:
        return ()
    return _FORMS.get(kind, ("ID",))


def _check_form(read: Entry, version: Version, found: Found) -> bool:
    wanted = _form(read.kind, version)
    missing = [each for each in wanted if each not in read.values]
    if missing:
        found.error(f"##{read.kind} has no {quoted(missing)}, expected {', '.join(wanted)}")
    elif tuple(read.values)[: len(wanted)] != wanted and read.kind in _FORMS:
        order = ", ".join(list(read.values)[: len(wanted)])
        found.error(f"##{read.kind} begins with {order}, expected {', '.join(wanted)} in order")
    return not missing


def _check_quotes(read: Entry, version: Version, found: Found) -> None:
    named = read.kind in ("INFO", "FORMAT", "FILTER", "ALT")
    always = ["Description"] if named else []
    if named and version >= Version.V43:
        always += [each for each in ("Source", "Version") if each in read.values]
    for each in always:
        if each not in read.quoted:
            found.error(f"##{read.kind} has a {each} without quotation marks, expected them")
    bare = ["ID", "Number", "Type"] if named else ["ID"]
    if read.kind == "SAMPLE" and version < Version.V43:
        bare += ["Genomes", "Mixture"]
    for each in bare:
        if each in read.quoted:
            found.error(f"##{read.kind} has its {each} in quotation marks, expected none")


def _check_definition(read: Entry, name: str, version: Version, found: Found) -> None:
    number, kind = read.values["Number"], read.values["Type"]
    form = f"##{read.kind} {shown(name)}"
    if version >= Version.V43 and not _KEY_43[read.kind].fullmatch(name):
        found.error(f"{form} is no key of 4.3: expected letters, digits, '_' and '.'")
    elif re.search(r"[\s;=:]" if read.kind == "FORMAT" else r"[\s;=]", name):
        found.error(f"{form} is no key: expected no white-space, ';' or '='")
    letters = ["A", "G", "."] + (["R"] if version >= Version.V42 else [])
    if not (number.isascii() and number.isdecimal()) and number not in letters:
        found.error(
            f"{form} has Number {shown(number)}, expected a whole number or {quoted(letters)}"
        )
    types = [each for each in TYPES if each != "Flag" or read.kind == "INFO"]
    if kind not in types:
        found.error(f"{form} has Type {shown(kind)}, expected one of {quoted(types)}")
    elif kind == "Flag" and number != "0":
        found.judge(
            version >= Version.V43, f"{form} is a Flag with Number {shown(number)}, expected 0"
        )
    _check_reserved(read, name, version, found)


def _check_reserved(read: Entry, name: str, version: Version, found: Found) -> None:
    known = (INFO if read.kind == "INFO" else FORMAT)[version].get(name)
    if known is None:
        return
    form = f"##{read.kind} {shown(name)}"
    number, kind = read.values["Number"], read.values["Type"]
    if known.number not in ("", ".", number):
        found.error(
            f"{form} has Number {shown(number)}, expected '{known.number}': VCF {version} "
            "reserves this key"
        )
    if known.type not in ("", kind):
        found.error(
            f"{form} has Type {shown(kind)}, expected '{known.type}': VCF {version} "
            "reserves this key"
        )


def _check_alternate(name: str, version: Version, found: Found) -> None:
    if re.search(r"[\s<>,]", name):
        found.error(f"##ALT has the ID {shown(name)}, expected no white-space, ',' or brackets")
    elif not is_symbolic(name, version):
        found.error(
            f"##ALT has the ID {shown(name)}, expected its first part to be one of "
            f"{quoted(STRUCTURAL if version >= Version.V43 else SYMBOLIC)}"
        )


def is_symbolic(name: str, version: Version) -> bool:
    """Return whether the version knows a symbolic allele, or its first part.

    Examples
    --------
    >>> is_symbolic("DUP:TANDEM", Version.V42), is_symbolic("DEL1", Version.V42)
    (True, False)
    """
    if name in UNSPECIFIED and version >= Version.V42:
        return True
    first = name.split(":")[0]
    if version < Version.V43:
        return first in SYMBOLIC
    return first in STRUCTURAL or name in IUPAC


def _check_contig(read: Entry, name: str, version: Version, found: Found) -> None:
    if version >= Version.V43:
        if not is_contig(name, version) or name.startswith("<"):
            found.error(
                f"##contig has the ID {shown(name)}, expected the characters of a sequence name "
                "in SAM"
            )
        elif name in STRUCTURAL:
            found.error(f"##contig has the ID {shown(name)}, which is a symbolic allele")
    elif re.search(r"[\s<>\[\],]", name):
        found.error(f"##contig has the ID {shown(name)}, expected no white-space or brackets")
    length = read.values.get("length")
    if length is not None and not (length.isascii() and length.isdecimal()):
        found.error(f"##contig {shown(name)} has length {shown(length)}, expected a whole number")


def is_contig(name: str, version: Version) -> bool:
    """Return whether a name may stand in CHROM, in angle brackets or not.

    References
    ----------
    Specification, section 1.4.1 (4.1, 4.2: no white-space, no colon) and 1.4.7 (4.3).
    """
    bare = name[1:-1] if name.startswith("<") and name.endswith(">") else name
    if version >= Version.V43:
        return _CONTIG_43.fullmatch(bare) is not None
    return _CONTIG.fullmatch(bare) is not None
