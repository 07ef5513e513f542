"""Check that the records of a VCF file stand in order, and each variant only once."""

from __future__ import annotations

from dataclasses import dataclass, field

from omics_twin.errors import shown
from omics_twin.intake.vcf_found import Found
from omics_twin.intake.vcf_record import BASES, Record

MOST_CONTIGS = 1_000_000
MOST_VARIANTS = 100_000


@dataclass
class Order:
    """Where the reader is.

    Attributes
    ----------
    contig, position
        Of the record before.
    left
        Contigs whose block has ended.
    variants
        Variants at this position or behind it, and the line of each: no more are needed, since
        positions rise.
    """

    contig: str | None = None
    position: int = -1
    left: set[str] = field(default_factory=set)
    variants: dict[tuple[int, str, str], int | None] = field(default_factory=dict)

    def check(self, record: Record, found: Found) -> None:
        """Say whether the record stands out of order or repeats a variant."""
        if record.contig != self.contig:
            self._enter(record.contig, found)
        if record.position is None:
            return
        if record.position < self.position:
            found.error(
                f"POS is {record.position} after {self.position}, expected records of a "
                "chromosome sorted by position"
            )
        elif record.position > self.position:
            self.position = record.position
            if self.variants:
                self.variants = {
                    key: line for key, line in self.variants.items() if key[0] >= record.position
                }
        if BASES.fullmatch(record.reference):
            self._check_repeated(record, record.position, found)

    def _enter(self, contig: str, found: Found) -> None:
        if contig in self.left:
            found.error(
                f"CHROM is {shown(contig)} again after other chromosomes, expected its records "
                "in one block"
            )
        if self.contig is not None and len(self.left) < MOST_CONTIGS:
            self.left.add(self.contig)
        self.contig, self.position, self.variants = contig, -1, {}

    def _check_repeated(self, record: Record, position: int, found: Found) -> None:
        own = set()
        for allele in record.alternates:
            if not BASES.fullmatch(allele):
                continue
            key = trimmed(position, record.reference.upper(), allele.upper())
            if key in self.variants and key not in own:
                found.error(
                    f"{record.contig}:{position} {shown(record.reference)} to {shown(allele)} is "
                    f"the variant of line {self.variants[key]}, expected each variant once"
                )
            own.add(key)
        if len(self.variants) < MOST_VARIANTS:
            self.variants.update(dict.fromkeys(own, found.line))


def trimmed(position: int, reference: str, alternate: str) -> tuple[int, str, str]:
    """Return a variant without the bases that both alleles share.

    Examples
    --------
    >>> trimmed(123, "TAT", "TGT"), trimmed(10, "CA", "C")
    ((124, 'A', 'G'), (11, 'A', ''))

    References
    ----------
    Tan, Abecasis, Kang (2015), trimming only: https://doi.org/10.1093/bioinformatics/btv112
    """
    shortest = min(len(reference), len(alternate))
    behind = before = 0
    while behind < shortest and reference[-1 - behind] == alternate[-1 - behind]:
        behind += 1
    while before < shortest - behind and reference[before] == alternate[before]:
        before += 1
    reference = reference[before : len(reference) - behind]
    alternate = alternate[before : len(alternate) - behind]
    return position + before, reference, alternate
