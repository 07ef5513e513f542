"""Check the header of a VCF file; returns what its records rest on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from omics_twin.errors import IntakeError, nearest, quoted, shown
from omics_twin.intake.vcf_declared import check_declared
from omics_twin.intake.vcf_found import Found
from omics_twin.intake.vcf_meta import Entry, entry, is_url, key_and_value
from omics_twin.intake.vcf_reserved import Reserved, Version
from omics_twin.intake.vcf_values import Rule, rule_of

COLUMNS = ("#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO")
VERSIONS = {f"VCFv{version}": version for version in Version}
STRUCTURED = ("INFO", "FORMAT", "FILTER", "ALT", "contig", "SAMPLE", "PEDIGREE")
LINKS = ("assembly", "pedigreeDB")


@dataclass
class Header:
    """What the records of a file rest on.

    Attributes
    ----------
    version
        Of the specification.
    declared
        Kind, such as ``INFO`` -> identifier -> its meta-information line.
    samples
        In the order of the columns; ``None`` without FORMAT column.
    formats
        FORMAT columns met so far in which nothing was wrong -> the rules of their keys.
    """

    version: Version
    declared: dict[str, dict[str, Entry]] = field(default_factory=dict)
    samples: tuple[str, ...] | None = None
    formats: dict[str, list[Rule]] = field(default_factory=dict)
    _rules: dict[tuple[str, str], Rule] = field(default_factory=dict)

    def named(self, kind: str) -> dict[str, Entry]:
        """Return the lines of a kind by identifier."""
        return self.declared.get(kind, {})

    def rule(self, column: str, key: str) -> Rule:
        """Return what the values of an INFO or FORMAT key must be."""
        known = self._rules.get((column, key))
        if known is None:
            said = self.named(column).get(key)
            declared = said and Reserved(said.values.get("Number", ""), said.values.get("Type", ""))
            known = rule_of(column, key, self.version, declared or None)
            if len(self._rules) < 10_000:
                self._rules[column, key] = known
        return known

    def length(self, contig: str) -> int | None:
        """Return the declared length of a contig [bp]."""
        said = self.named("contig").get(contig)
        length = said.values.get("length", "") if said else ""
        return int(length[:12]) if length.isdecimal() else None


def read_header(lines: Iterator[str], found: Found) -> Header | None:
    """Read the lines up to the one that names the columns.

    Returns
    -------
    Header or None
        ``None``: the records cannot be checked; ``found`` says why.
    """
    version = _version(next(lines, ""), found)
    if version is None:
        return None
    header = Header(version)
    for line in lines:
        if line.startswith("##"):
            _check_meta(line, header, found)
        elif line.startswith("#"):
            return header if _check_columns(line, header, found) else None
        elif line.count("\t") >= len(COLUMNS) - 1:
            found.error("is a record, expected the line of columns before it; it begins '#CHROM'")
            return None
        else:
            found.error(f"the line is {shown(line)}, expected '##key=value' or '#CHROM…'")
    found.error("the file has no line of columns: expected one that begins with '#CHROM'")
    return None


def _version(line: str, found: Found) -> Version | None:
    if not line and found.findings:
        return None
    key, _, value = line.partition("=")
    version = VERSIONS.get(value) if key == "##fileformat" else None
    if version is None:
        found.error(
            f"the first line is {shown(line)}, expected '##fileformat=VCFv4.1', 4.2 or 4.3; "
            "nothing else was checked"
        )
    return version


def _check_meta(line: str, header: Header, found: Found) -> None:
    try:
        key, value = key_and_value(line)
        if key == "fileformat":
            raise IntakeError("'##fileformat' stands here again, expected only in the first line")
        if key in STRUCTURED or (key == "META" and header.version >= Version.V43):
            _declare(entry(key, value), header, found)
        elif key in LINKS:
            _check_link(key, value)
        elif header.version >= Version.V43 and value.startswith("<") and value[1:2] != '"':
            _declare(entry(key, value), header, found)
    except IntakeError as mistake:
        found.error(str(mistake))


def _check_link(key: str, value: str) -> None:
    bare = value[1:-1] if value.startswith("<") and value.endswith(">") else value
    if not is_url(bare):
        raise IntakeError(f"##{key} is {shown(value)}, expected a URL such as ftp://host/file")


def _declare(read: Entry, header: Header, found: Found) -> None:
    """Keep a structured line that is well formed, under its identifier."""
    check_declared(read, header.version, found)
    if read.kind == "SAMPLE":
        _check_offered(read, header, found)
    name = read.values.get("ID")
    if name is None:
        return
    known = header.declared.setdefault(read.kind, {})
    if name in known:
        same = all(known[name].values.get(each) == read.values.get(each) for each in _MEANING)
        found.judge(
            header.version >= Version.V43 or not same,
            f"##{read.kind} declares {shown(name)} again, expected each ID once",
        )
    known.setdefault(name, read)


def _check_offered(read: Entry, header: Header, found: Found) -> None:
    """Check that a sample has one of the values that a META line lists, where one does."""
    for key, value in read.values.items():
        said = header.named("META").get(key)
        listed = said.values.get("Values", "") if said else ""
        offered = [each.strip() for each in listed.strip("[]").split(",")]
        if listed and value not in offered:
            found.error(
                f"##SAMPLE has {key} {shown(value)}, expected one of {quoted(offered)} as the "
                "##META line lists"
            )


_MEANING = ("Number", "Type")


def _check_columns(line: str, header: Header, found: Found) -> bool:
    """Read the line of columns; ``False``: the columns are not those of VCF."""
    names = line.split("\t")
    wanted = [*COLUMNS, *(["FORMAT"] if len(names) > len(COLUMNS) else [])]
    wrong = [(name, right) for name, right in zip(names, wanted, strict=False) if name != right]
    if wrong or len(names) < len(COLUMNS):
        name, right = wrong[0] if wrong else ("", wanted[len(names)])
        hint = "" if "\t" in line else "; columns are separated by tabs"
        found.error(f"column {shown(name)} stands where '{right}' is expected{hint}")
        return False
    if len(names) == len(COLUMNS):
        return True
    samples = names[len(wanted) :]
    header.samples = tuple(samples)
    if not samples:
        found.error("names a FORMAT column but no sample, expected samples behind it, or neither")
    for empty in [place for place, name in enumerate(samples, 1) if not name.strip()][:1]:
        found.error(f"the name of sample {empty} is empty, expected a name between tabs")
    for name in [name for name, times in Counter(samples).items() if times > 1]:
        found.error(f"sample {shown(name)} stands in two columns, expected each name once")
    return True


def undeclared(header: Header, kind: str, name: str) -> str:
    """Return the sentence for an identifier without meta-information line."""
    close = nearest(name, header.named(kind)) if 0 < len(header.named(kind)) < 1_000 else ""
    return f"{kind} {shown(name)} is used but not declared in a ##{kind} line{close}"
