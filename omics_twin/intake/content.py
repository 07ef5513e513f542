"""Tell whether a file's content is what it was, and no more than one of its kind holds."""

from __future__ import annotations

import gzip
import io
import re
from pathlib import Path

from omics_twin.errors import IntakeError

SUMS = "SHA256SUMS"
# Text of tables is a fifth to a hundredth of its size in gzip; a file of zeros a thousandth.
_ALWAYS_INFLATED, _MOST_INFLATED = 1 << 28, 200
_SUM = re.compile(r"([0-9a-f]{64}) [ *](?:\./)?(.+)")


def inflated(content: bytes) -> bytes:
    """Return what gzip holds, unless it is so much that it was made to fill the memory.

    Raises
    ------
    IntakeError
        If it is.
    OSError, EOFError, zlib.error
        If it is no complete gzip file.
    """
    most = max(_ALWAYS_INFLATED, _MOST_INFLATED * len(content))
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as opened:
        found = opened.read(most + 1)
    if len(found) > most:
        raise IntakeError(
            f"{len(content):,} bytes of gzip hold more than {most:,}, which no table does: "
            "decompress the file and look at it"
        )
    return found


def sums_in(root: Path) -> dict[str, str]:
    """Return the checksum of each file as ``sha256sum`` writes them, where somebody did.

    Raises
    ------
    IntakeError
        If they cannot be read.

    Examples
    --------
    >>> sums_in(Path("no such folder"))
    {}
    """
    path = root / SUMS
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    pairs = [_SUM.fullmatch(line) for line in lines]
    if not lines or not all(pairs):
        raise IntakeError(f"'{path}' is damaged, expected lines as of sha256sum: write it anew")
    return {pair[2]: pair[1] for pair in pairs if pair}
