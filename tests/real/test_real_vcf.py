"""The official conformance files of VCF are judged as their authors say, where they lie."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from omics_twin.intake.vcf import check_vcf


def files(kind: str) -> Iterator[Path]:
    """Return conformance files of every version: 'passed' or 'failed'."""
    root = os.environ.get("OMICS_TWIN_DATA")
    folder = Path(root).parent / "corpora" / "vcf" if root else None
    return iter(sorted(folder.glob(f"4.*/{kind}/*.vcf"))) if folder else iter(())


def judged(kind: str) -> dict[str, bool]:
    """Return whether each file is refused."""
    refused = {str(path): bool(check_vcf(path).errors) for path in files(kind)}
    if not refused:
        pytest.skip("OMICS_TWIN_DATA has no corpora/vcf beside it: conformance files not read")
    return refused


@pytest.mark.parametrize("version", ["4.2"])
def test_files_that_must_be_refused_are_refused(version: str) -> None:
    refused = {name: each for name, each in judged("failed").items() if f"/{version}/" in name}
    assert len(refused) == 190
    assert [name for name, each in refused.items() if not each] == []


@pytest.mark.parametrize("version", ["4.2"])
def test_files_that_must_be_read_are_accepted(version: str) -> None:
    refused = {name: each for name, each in judged("passed").items() if f"/{version}/" in name}
    assert len(refused) == 25
    assert [name for name, each in refused.items() if each] == []
