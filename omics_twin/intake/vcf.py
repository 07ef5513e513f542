"""Check a VCF file against its version of the specification; nothing is learned from it."""

from __future__ import annotations

from pathlib import Path

from omics_twin.intake.findings import CheckReport
from omics_twin.intake.vcf_found import Found
from omics_twin.intake.vcf_genotypes import check_samples
from omics_twin.intake.vcf_header import read_header
from omics_twin.intake.vcf_lines import read_lines
from omics_twin.intake.vcf_order import Order
from omics_twin.intake.vcf_record import read_record
from omics_twin.intake.vcf_reserved import Version


def check_vcf(path: Path) -> CheckReport:
    """Return everything that is wrong with a VCF file, line by line.

    The file is streamed: memory does not grow with the number of records.

    Parameters
    ----------
    path
        A VCF file of version 4.1, 4.2 or 4.3, plain or compressed with gzip or bgzip.

    References
    ----------
    The Variant Call Format Specification, https://samtools.github.io/hts-specs; Danecek et al.
    (2011), https://doi.org/10.1093/bioinformatics/btr330
    """
    found = Found(path.name)
    lines = read_lines(path, found)
    header = read_header(lines, found)
    records, order = 0, Order()
    if header is not None:
        for line in lines:
            records += 1
            read = read_record(line, header, found)
            if read is None:
                continue
            record, rest = read
            order.check(record, found)
            if len(rest) > 1:
                check_samples(rest, record.alternates, header, found)
        if found.unended:
            found.judge(
                header.version >= Version.V43,
                "the last line has no line end: the file may have been cut short",
            )
    samples = header.samples if header and header.samples else ()
    return CheckReport(str(path), {"records": records, "samples": len(samples)}, found.all())
