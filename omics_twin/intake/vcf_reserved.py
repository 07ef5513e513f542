"""What VCF 4.1, 4.2 and 4.3 reserve: keys with their Number and Type, and their ranges.

References
----------
The Variant Call Format Specification, versions 4.1, 4.2 and 4.3, sections 1.2 to 1.6, 3 and 4:
https://samtools.github.io/hts-specs. The published paper: https://doi.org/10.1093/bioinformatics/btr330
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum


class Version(IntEnum):
    """A version of the specification, in order."""

    V41 = 1
    V42 = 2
    V43 = 3

    def __str__(self) -> str:
        """Return the version as people write it."""
        return f"4.{self.value}"


@dataclass(frozen=True)
class Reserved:
    """What the specification says of a key; empty where it says nothing."""

    number: str
    type: str


TYPES = ("Integer", "Float", "Flag", "Character", "String")
SYMBOLIC = ("DEL", "INS", "DUP", "INV", "CNV")
IUPAC = frozenset("RYSWKMBDHVN")
# The allele of which nothing is known (section 5.5), and what GATK calls it.
UNSPECIFIED = ("*", "NON_REF")
STRUCTURAL = (*SYMBOLIC, "BND")


def _table(text: str) -> dict[str, Reserved]:
    rows = (line.split() for line in text.strip().splitlines())
    return {
        key: Reserved(number.strip("?"), kind.strip("?"))
        for number, kind, *keys in rows
        for key in keys
    }


_INFO = _table("""
    1 String AA SVTYPE DGVID DBVARID DBRIPID PARID EVENT
    A Integer AC
    A Float AF
    A String CIGAR
    1 Integer AN DP END MQ0 NS CN
    1 Float BQ
    1 ? MQ
    0 Flag DB H2 H3 SOMATIC VALIDATED 1000G IMPRECISE NOVEL
    . Integer SVLEN HOMLEN DPADJ CNADJ CICNADJ
    . String HOMSEQ BKPTID MATEID
    2 Integer CIPOS CIEND CILEN CICN
    4 String MEINFO METRANS
""")
_INFO_43 = _INFO | _table("""
    R Integer AD ADF ADR
    1 Float MQ
    4 Integer SB
""")
_FORMAT = _table("""
    1 String GT FT
    1 Integer DP GQ MQ PQ PS CN NQ HAP AHAP
    A Integer EC
    G Float GL GP
    G Integer PL
    G String GLE
    2 Integer HQ
    1 Float CNQ
    . Float CNL
""")
_FORMAT_43 = {key: each for key, each in _FORMAT.items() if key != "GLE"} | _table("""
    R Integer AD ADF ADR
    G Integer PP
    G Float CNL CNP
""")

INFO: Mapping[Version, Mapping[str, Reserved]] = {
    Version.V41: _INFO,
    Version.V42: _INFO,
    Version.V43: _INFO_43,
}
FORMAT: Mapping[Version, Mapping[str, Reserved]] = {
    Version.V41: _FORMAT,
    Version.V42: _FORMAT,
    Version.V43: _FORMAT_43,
}

# Counts, depths, phred-scaled qualities and root mean squares are never negative.
_COUNTS = frozenset({"AD", "ADF", "ADR", "DP", "MQ"})
NOT_NEGATIVE = {
    "INFO": _COUNTS | {"AC", "AN", "BQ", "END", "HOMLEN", "MQ0", "NS"},
    "FORMAT": _COUNTS | {"CN", "EC", "GQ", "HQ", "PL", "PP", "PQ", "PS"},
}
# Frequencies and, from 4.3 on, posterior probabilities lie between 0 and 1.
AT_MOST_ONE = {
    ("INFO", Version.V41): frozenset({"AF"}),
    ("INFO", Version.V42): frozenset({"AF"}),
    ("INFO", Version.V43): frozenset({"AF"}),
    ("FORMAT", Version.V43): frozenset({"GP", "CNP"}),
}
# One value per possible copy number, or per genotype of any ploidy: 'G' does not count them.
NOT_COUNTED = frozenset({"CNL", "CNP", "GLE"})
