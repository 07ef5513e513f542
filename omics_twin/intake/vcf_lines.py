"""Read the lines of a VCF file, compressed or not, without holding more than one of them."""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

from omics_twin.errors import shown
from omics_twin.intake.vcf_found import Found

LONGEST_LINE = 1 << 26
GZIP = b"\x1f\x8b"
BGZF_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def read_lines(path: Path, found: Found) -> Iterator[str]:
    """Yield each line without its end; ``found.line`` says which one it is.

    Parameters
    ----------
    path
        The file; gzip and bgzip are recognised by their first bytes, not by the name.
    found
        Takes what is wrong with the bytes: compression cut short, no UTF-8, control characters,
        a line that is too long.

    References
    ----------
    SAM/BAM specification, section 4.1.2 (the block that ends a BGZF file).
    """
    if not path.is_file():
        found.error("is a folder or a device, expected a VCF file: name the file")
        return
    try:
        with path.open("rb") as raw:
            yield from _decoded(raw, found)
    except OSError as mistake:
        found.error(f"cannot be read ({mistake.strerror or mistake}): restore the file")


def _decoded(raw: io.BufferedReader, found: Found) -> Iterator[str]:
    start = raw.read(18)
    raw.seek(0)
    if not start:
        found.error("is empty, expected '##fileformat=VCFv4.1', 4.2 or 4.3 as first line")
    elif not start.startswith(GZIP):
        yield from _text(raw, found)
    else:
        if start[12:14] == b"BC":
            _check_end(raw, found)
        try:
            with gzip.GzipFile(fileobj=raw) as opened:
                yield from _text(io.BufferedReader(opened, 1 << 18), found)
        except (EOFError, zlib.error, gzip.BadGzipFile) as mistake:
            found.error(f"the compressed data are damaged ({mistake}): restore the file")


def _check_end(raw: io.BufferedReader, found: Found) -> None:
    size = raw.seek(0, io.SEEK_END)
    raw.seek(max(size - len(BGZF_END), 0))
    if raw.read() != BGZF_END:
        found.error(
            "is compressed with bgzip but does not end with its empty end block, so part of it "
            "may be missing: restore the file"
        )
    raw.seek(0)


def _text(opened: io.BufferedReader, found: Found) -> Iterator[str]:
    number, ended = 0, True
    while line := opened.readline(LONGEST_LINE):
        number += 1
        found.line = number
        ended = line.endswith(b"\n")
        if not ended and len(line) == LONGEST_LINE:
            found.error(f"is longer than {LONGEST_LINE:,} bytes; nothing behind it was checked")
            return
        if number == 1 and line.startswith(b"BCF"):
            found.error("is BCF, expected VCF text: convert it with 'bcftools view'")
            return
        yield _line(line.rstrip(b"\n").removesuffix(b"\r"), found)
    found.unended = not ended


def _line(line: bytes, found: Found) -> str:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as mistake:
        found.error(f"byte {mistake.start + 1} is not UTF-8: save the file as UTF-8")
        text = line.decode("utf-8", errors="replace")
    if not text.isprintable() and (control := CONTROL.search(text)):
        found.error(f"holds the control character {shown(control[0])}: remove it")
    return text
