"""A cohort's tables with the rows of some patients only, as a site of its own would hold them."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omics_twin.errors import IntakeError
from omics_twin.files import write_whole
from omics_twin.intake.declaration import CohortDeclaration, CohortFormat
from omics_twin.trust.privacy import Pseudonyms, called_by


def write_share(
    declaration: CohortDeclaration,
    patients: Sequence[str],
    root: Path,
    names: Pseudonyms | None = None,
) -> None:
    """Write the declared tables to another folder, with the rows of some patients only.

    Parameters
    ----------
    patients
        By identifier or, where the site has pseudonyms, by pseudonym.

    Raises
    ------
    IntakeError
        If the cohort is laid out otherwise than as tables with one key, or a table lacks the key.
    """
    if declaration.parts or declaration.format is not CohortFormat.TABLES:
        raise IntakeError(
            f"cohort '{declaration.name}' is no single folder of tables, and cannot be divided "
            "between sites here: give each site a folder of its own (docs/federated.md)"
        )
    if declaration.keys or declaration.stacks:
        raise IntakeError(
            f"cohort '{declaration.name}' names patients differently from table to table, and "
            "cannot be divided between sites here: give each site a folder of its own "
            "(docs/federated.md)"
        )
    chosen = set(patients)

    def kept(patient: str) -> bool:
        return called_by(names, patient) in chosen

    for name in dict.fromkeys([declaration.roster, *_tables(asdict(declaration))]):
        path = Path(declaration.root) / name
        if not path.is_file():
            continue
        share = _parquet if name.endswith(".parquet") else _text
        write_whole(root / name, share(path, declaration.key, kept))


def _tables(declared: Any) -> Iterator[str]:
    """Yield the names of all tables of a declaration."""
    if isinstance(declared, Mapping):
        for name, each in declared.items():
            if name == "table" and each:
                yield str(each)
            else:
                yield from _tables(each)


def _text(path: Path, key: str, kept: Callable[[str], bool]) -> bytes:
    content = path.read_bytes()
    if path.name.endswith(".gz"):
        content = gzip.decompress(content)
    separator = "\t" if ".tsv" in path.name else ","
    rows = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), delimiter=separator)
    header = next(rows, [])
    place = _place([each.strip() for each in header], key, path)
    found = io.StringIO(newline="")
    writer = csv.writer(found, delimiter=separator)
    writer.writerow(header)
    writer.writerows(row for row in rows if len(row) > place and kept(row[place].strip()))
    written = found.getvalue().encode()
    return gzip.compress(written, mtime=0) if path.name.endswith(".gz") else written


def _parquet(path: Path, key: str, kept: Callable[[str], bool]) -> bytes:
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(path)
    _place(table.column_names, key, path)
    inside = [kept(str(each).strip()) for each in table.column(key).to_pylist()]
    found = io.BytesIO()
    pyarrow.parquet.write_table(table.filter(pyarrow.array(inside)), found)
    return found.getvalue()


def _place(columns: Sequence[str], key: str, path: Path) -> int:
    if key not in columns:
        raise IntakeError(
            f"table '{path.name}' has no column '{key}', expected the key that divides patients "
            "between sites"
        )
    return list(columns).index(key)
