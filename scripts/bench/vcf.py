"""Judge conformance files by folder, and time the check against pysam's plain read in one run.

Run: ``python scripts/bench/vcf.py FOLDER``, where FOLDER holds ``failed`` and ``passed``. Each file
is judged in a process of its own, so that a crash is counted as one. Medians of five for the speed.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
import pysam

from omics_twin.intake.vcf import check_vcf

RECORDS = 20_000
REPEATS = 5
HEADER = """##fileformat=VCFv4.2
##contig=<ID=1,length=249250621>
##INFO=<ID=DP,Number=1,Type=Integer,Description="Depth">
##INFO=<ID=AF,Number=A,Type=Float,Description="Frequency">
##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">
##FORMAT=<ID=AD,Number=R,Type=Integer,Description="Depth of each allele">
##FORMAT=<ID=DP,Number=1,Type=Integer,Description="Depth">
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tTUMOUR\tNORMAL
"""
ONE = (
    "import sys; from pathlib import Path; from omics_twin.intake.vcf import check_vcf; "
    "sys.exit(3 if check_vcf(Path(sys.argv[1])).errors else 4)"
)
VERDICTS = {3: "refused", 4: "accepted"}


def verdicts(folder: Path) -> tuple[Counter[str], dict[str, list[str]]]:
    """Return how many files of a folder had each verdict, and which ones."""
    named: dict[str, list[str]] = {}
    for path in sorted(folder.iterdir()):
        done = subprocess.run([sys.executable, "-c", ONE, str(path)], check=False)
        named.setdefault(VERDICTS.get(done.returncode, "crashed"), []).append(path.name)
    return Counter({verdict: len(names) for verdict, names in named.items()}), named


def write(path: Path) -> None:
    """Write a VCF file of two samples."""
    rng = np.random.default_rng(0)
    positions = np.cumsum(rng.integers(1, 50, RECORDS))
    with path.open("w") as file:
        file.write(HEADER)
        for place, depth in zip(positions, rng.integers(1, 99, RECORDS), strict=True):
            file.write(
                f"1\t{place}\t.\tA\tG\t{depth}.5\tPASS\tDP={depth};AF=0.{depth}\tGT:AD:DP"
                f"\t0/1:{depth},5:{depth + 5}\t0/0:{depth},0:{depth}\n"
            )


def plain_read(path: Path) -> None:
    """Read every record with pysam."""
    with pysam.VariantFile(str(path)) as file:
        for _ in file:
            pass


def main() -> None:
    """Print the verdicts per folder, then seconds of both and their ratio."""
    for folder in sorted(Path(sys.argv[1]).iterdir()) if len(sys.argv) > 1 else []:
        count, named = verdicts(folder)
        print(f"{folder.name}: {dict(count)}")
        if folder.name == "failed":
            print(f"  not refused: {named.get('accepted', []) + named.get('crashed', [])}")
        elif folder.name == "passed":
            print(f"  not accepted: {named.get('refused', []) + named.get('crashed', [])}")
    with TemporaryDirectory() as folder_name:
        path = Path(folder_name) / "bench.vcf"
        write(path)
        own, peer = [], []
        for _ in range(REPEATS):
            start = perf_counter()
            check_vcf(path)
            middle = perf_counter()
            plain_read(path)
            own.append(middle - start)
            peer.append(perf_counter() - middle)
    print(
        f"{RECORDS} records, 2 samples: check {RECORDS / median(own):,.0f} records/s, "
        f"pysam's plain read {RECORDS / median(peer):,.0f}, ratio {median(own) / median(peer):.1f}"
    )


if __name__ == "__main__":
    main()
