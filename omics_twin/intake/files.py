"""Turn a file into a table of trimmed text, or say what makes it unreadable."""

from __future__ import annotations

import csv
import hashlib
import io
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from omics_twin.errors import IntakeError, about, nearest, quoted
from omics_twin.intake.content import SUMS, inflated, sums_in
from omics_twin.intake.declaration import KeyDeclaration, StackDeclaration, UnknownLevel

if TYPE_CHECKING:
    import pyarrow

# What pandas calls a first column without a name, when it writes a table that it read.
_UNNAMED = "Unnamed: 0"
SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".parquet")


@dataclass(frozen=True)
class Table:
    """One file as read.

    Attributes
    ----------
    name
        File name below the cohort's root.
    patient_ids
        The key of each row, trimmed, never empty, shape (row,).
    cells
        Every column by name, shape (row,): trimmed text where an empty string is an empty cell,
        or numbers with NaN for columns that are numeric in a parquet file.
    """

    name: str
    patient_ids: np.ndarray
    cells: dict[str, np.ndarray]

    def column(self, name: str) -> np.ndarray:
        """Return one column.

        Raises
        ------
        IntakeError
            If the table does not have it.
        """
        if name not in self.cells:
            raise IntakeError(
                f"table '{self.name}' has no column '{name}'{nearest(name, self.cells)}"
            )
        return self.cells[name]

    def at(self, rows: np.ndarray) -> Table:
        """Return some of the rows."""
        cells = {name: each[rows] for name, each in self.cells.items()}
        return Table(self.name, self.patient_ids[rows], cells)

    def text(self, name: str) -> np.ndarray:
        """Return one column as text, whole numbers without a decimal point."""
        cells = self.column(name)
        return cells if cells.dtype == object else _numbers_as_text(cells)


@dataclass(frozen=True)
class Folder:
    """The files of one cohort, each read once and remembered with its checksum.

    Attributes
    ----------
    key, keys
        The patient's column, and the tables in which patients are named otherwise.
    stacks
        Tables that are in several files.
    only
        A table that is the whole cohort. Where the folder holds one table, it is this one, whatever
        its file is called.
    notes
        Patients of whom not every row was read, and files of another name.
    """

    cohort: str
    root: Path
    key: str
    keys: Mapping[str, KeyDeclaration] = field(default_factory=dict)
    stacks: Mapping[str, StackDeclaration] = field(default_factory=dict)
    only: str | None = None
    tables: dict[str, Table] = field(default_factory=dict)
    checksums: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def holds(self, name: str) -> bool:
        """Return whether the table was read already, or its file is there."""
        if name in self.stacks:
            return any((self.root / each).is_file() for each in self.stacks[name].files.values())
        return name in self.tables or (self.root / self.file_of(name)).is_file()

    def file_of(self, name: str) -> str:
        """Return what the file of a table is called."""
        if name != self.only or (self.root / name).is_file() or not self.root.is_dir():
            return name
        found = [each.name for each in self.root.iterdir() if each.name.endswith(SUFFIXES)]
        return found[0] if len(found) == 1 else name

    def table(self, name: str) -> Table:
        """Read a table, once.

        Raises
        ------
        IntakeError
            If the file is missing, unreadable or has no patients.
        """
        if name not in self.tables:
            own = self.keys.get(name, KeyDeclaration(self.key))
            stack = self.stacks.get(name)
            cells = self._cells(name, own) if stack is None else self._stacked(name, stack, own)
            table = _keyed(cells, name, own)
            if own.repeated is UnknownLevel.REPORT:
                table = self._first_rows(table)
            self.tables[name] = table
        return self.tables[name]

    def _cells(self, name: str, own: KeyDeclaration) -> dict[str, np.ndarray]:
        file = self.file_of(name)
        if file != name:
            self.notes.append(f"table '{name}' is read from '{file}', the only one in the folder")
        content = _content(self, file)
        self.checksums[name] = hashlib.sha256(content).hexdigest()
        read = _parquet if file.endswith(".parquet") else _text
        cells = read(content, file, own.column)
        if own.column == "" and next(iter(cells)) == _UNNAMED:
            cells = {"": cells.pop(_UNNAMED), **cells}
        return cells

    def _stacked(
        self, name: str, stack: StackDeclaration, own: KeyDeclaration
    ) -> dict[str, np.ndarray]:
        """Return the rows of all files that are there, each with its group."""
        there = {g: file for g, file in stack.files.items() if (self.root / file).is_file()}
        absent = {group: file for group, file in stack.files.items() if group not in there}
        # If none is there, the first is asked for, so that the sentence says what is missing.
        read = {g: self._cells(f, own) for g, f in (there or stack.files).items()}
        self.notes.extend(
            f"table '{name}': no file '{file}', group '{group}' has no patients"
            for group, file in absent.items()
        )
        columns = dict.fromkeys(column for cells in read.values() for column in cells)
        rows = {group: len(cells[own.column]) for group, cells in read.items()}
        stacked = {
            column: np.concatenate(
                [cells.get(column, np.full(rows[g], "", object)) for g, cells in read.items()]
            )
            for column in columns
        }
        groups = np.repeat(np.array(list(rows), dtype=object), list(rows.values()))
        return stacked | {stack.column: groups}

    def file(self, name: str) -> Path:
        """Return where a file is that another reader takes, its checksum remembered.

        Raises
        ------
        IntakeError
            If the file is unreadable, or not the one whose checksum is known.
        """
        path = self.root / name
        try:
            with path.open("rb") as opened:
                self.checksums[name] = hashlib.file_digest(opened, "sha256").hexdigest()
        except OSError as error:
            raise _unreadable(name, error) from error
        _check_sum(self.root, name, self.checksums[name])
        return path

    def lists(self, name: str) -> list[list[str]]:
        """Return the rows below the header of a file that is not keyed by patient.

        Raises
        ------
        IntakeError
            If the file is missing or unreadable.
        """
        content = _content(self, name)
        self.checksums[name] = hashlib.sha256(content).hexdigest()
        separator = "\t" if ".tsv" in name else ","
        rows = _rows(_decoded(content, name), separator, name)[1:]
        return [[cell.strip() for cell in row] for row in rows]

    def _first_rows(self, table: Table) -> Table:
        """Return a table with the first row of every patient, the others told."""
        repeated = pd.Index(table.patient_ids).duplicated()
        if not repeated.any():
            return table
        twice = dict.fromkeys(table.patient_ids[repeated])
        told = f"table '{table.name}': only the first row was read of patients {quoted(twice)}"
        self.notes.append(about(told, *twice))
        return table.at(~repeated)


def _content(folder: Folder, name: str) -> bytes:
    if not name.endswith(SUFFIXES):
        raise IntakeError(
            f"table '{name}' of cohort '{folder.cohort}' is of an unknown format, expected a file "
            f"name that ends in {quoted(SUFFIXES)}: convert it"
        )
    if not folder.root.is_dir():
        raise IntakeError(
            f"folder '{folder.root}' of cohort '{folder.cohort}' does not exist: set the cohort's "
            "root to the folder that holds its tables"
        )
    path = folder.root / name
    if not path.is_file():
        raise IntakeError(
            f"table '{name}' of cohort '{folder.cohort}' is not in '{folder.root}': add the file "
            "or correct its name in the cohort's declaration"
        )
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _unreadable(name, error) from error
    _check_sum(folder.root, name, hashlib.sha256(content).hexdigest())
    if not content:
        raise IntakeError(f"table '{name}' is empty (0 bytes), expected a header and patients")
    return content


def _unreadable(name: str, error: OSError) -> IntakeError:
    return IntakeError(f"table '{name}' cannot be read ({error.strerror}): check its permissions")


def _check_sum(root: Path, name: str, found: str) -> None:
    """Refuse a file that is another than the one whose checksum stands beside it."""
    if sums_in(root).get(name, found) != found:
        raise IntakeError(
            f"table '{name}' is not the one that '{SUMS}' knows (SHA-256 differs): restore it, or "
            "write the sums anew"
        )


def _text(content: bytes, name: str, key: str) -> dict[str, np.ndarray]:
    """Return the columns of delimited text."""
    separator = "\t" if ".tsv" in name else ","
    rows = _rows(_decoded(content, name), separator, name)
    if not rows:
        raise IntakeError(f"table '{name}' is empty, expected a header and patients")
    header = [each.strip() for each in rows[0]]
    _check_header(header, name, key)
    if len(rows) == 1:
        raise IntakeError(f"table '{name}' has a header but no patients, expected at least one row")
    return {
        column: np.array([cell.strip() for cell in cells], dtype=object)
        for column, cells in zip(header, zip(*rows[1:], strict=True), strict=True)
    }


def _decoded(content: bytes, name: str) -> str:
    if name.endswith(".gz"):
        try:
            content = inflated(content)
        except (OSError, EOFError, zlib.error) as error:
            raise IntakeError(
                f"table '{name}' is not a complete gzip file ({error}): fetch or export it again"
            ) from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise IntakeError(
            f"table '{name}' is not UTF-8 text (byte {error.start}): save it as UTF-8 text, "
            "not as a spreadsheet or in another encoding"
        ) from error
    if "\0" in text:
        raise IntakeError(f"table '{name}' is a binary file, expected text: save it as UTF-8 text")
    return text


def _rows(text: str, separator: str, name: str) -> list[list[str]]:
    """Return the rows, blank lines left out; every row must be as long as the header."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    rows: list[list[str]] = []
    try:
        for row in reader:
            if not row:
                continue
            if rows and len(row) != len(rows[0]):
                raise IntakeError(
                    f"table '{name}', line {reader.line_num}: found {len(row)} cells, expected "
                    f"{len(rows[0])} as in the header: correct the line"
                )
            rows.append(row)
    except csv.Error as error:
        raise IntakeError(
            f"table '{name}', line {reader.line_num}: {error}, expected "
            f"cells separated by {separator!r}: correct the quotation marks"
        ) from error
    return rows


def _parquet(content: bytes, name: str, key: str) -> dict[str, np.ndarray]:
    """Return the columns of a parquet file; numbers stay numbers."""
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(
            pyarrow.BufferReader(content), page_checksum_verification=True
        )
        arrow = file.read()
    except (pyarrow.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise IntakeError(
            f"table '{name}' is not a readable parquet file ({reason}): fetch or export it again"
        ) from error
    _check_header(arrow.column_names, name, key)
    if arrow.num_rows == 0:
        raise IntakeError(f"table '{name}' has a header but no patients, expected at least one row")
    cells = {each: _arrow_cells(arrow.column(each), each, name) for each in arrow.column_names}
    _check_footer(file.metadata, arrow, name)
    return cells


def _check_footer(footer: pyarrow.parquet.FileMetaData, arrow: pyarrow.Table, name: str) -> None:
    """Refuse columns that are not as the footer counts them.

    The checksum of a page does not cover its header, which says how its values are to be read;
    the footer says every name twice.
    """
    import pyarrow.compute
    import pyarrow.types as kinds

    groups = [footer.row_group(each) for each in range(footer.num_row_groups)]
    names = arrow.column_names
    flat = footer.num_columns == len(names)
    for place, column in enumerate(arrow.itercolumns() if flat else ()):
        parts = [group.column(place) for group in groups]
        told = [each.statistics for each in parts if each.statistics is not None]
        wrong = any(each.path_in_schema != names[place] for each in parts)
        if len(told) == len(parts) and all(each.has_null_count for each in told):
            wrong |= sum(each.null_count for each in told) != column.null_count
        numbers = kinds.is_floating(column.type) or kinds.is_integer(column.type)
        if numbers and told and len(told) == len(parts) and all(each.has_min_max for each in told):
            found = pyarrow.compute.min_max(column).as_py()
            least, most = min(each.min for each in told), max(each.max for each in told)
            wrong |= (found["min"], found["max"]) != (least, most)
        if wrong:
            raise IntakeError(
                f"table '{name}', column '{names[place]}' is not as the file's own "
                "footer counts it: the file is damaged, fetch or export it again"
            )


def _arrow_cells(column: pyarrow.ChunkedArray, name: str, table: str) -> np.ndarray:
    import pyarrow.types as kinds

    kind = column.type.value_type if kinds.is_dictionary(column.type) else column.type
    if kinds.is_floating(kind) or kinds.is_integer(kind):
        if kinds.is_dictionary(column.type):
            return column.to_pandas().to_numpy(dtype=float)
        return column.to_numpy()
    if kinds.is_boolean(kind):
        return column.to_pandas().astype(float).to_numpy()
    if kinds.is_string(kind) or kinds.is_large_string(kind):
        cells = ["" if cell is None else cell.strip() for cell in column.to_pylist()]
        return np.array(cells, dtype=object)
    if kinds.is_null(kind):
        return np.full(len(column), "", dtype=object)
    raise IntakeError(
        f"table '{table}', column '{name}' has the parquet type '{column.type}', expected "
        "numbers or text: convert the column"
    )


def _check_header(header: list[str], name: str, key: str) -> None:
    if any("\n" in column or "\r" in column for column in header):
        raise IntakeError(f"table '{name}' has a line break inside a column name: correct it")
    seen: set[str] = set()
    for position, column in enumerate(header, start=1):
        if not column and not (position == 1 and key == ""):
            raise IntakeError(f"table '{name}', column {position} has no name: name or remove it")
        if column in seen:
            raise IntakeError(
                f"table '{name}' has column '{column}' twice, expected each name once: rename one"
            )
        seen.add(column)


def _keyed(columns: dict[str, np.ndarray], name: str, declared: KeyDeclaration) -> Table:
    """Return the table with its key column checked."""
    key = declared.column
    if key not in columns:
        one = next(iter(columns))
        hint = "; are its cells separated by another character?" if len(columns) == 1 else ""
        raise IntakeError(
            f"table '{name}' has no key column '{key}', found "
            f"{quoted(columns) if not hint else repr(one)}{hint}"
        )
    cells = columns[key]
    if cells.dtype != object:
        if not np.array_equal(cells, np.floor(cells), equal_nan=True):
            raise IntakeError(
                f"table '{name}', key column '{key}' holds decimal numbers, expected text or "
                "whole numbers: write identifiers as text"
            )
        cells = _numbers_as_text(cells)
    empty = np.flatnonzero(cells == "")
    if len(empty):
        raise IntakeError(
            f"table '{name}', row {empty[0] + 1} has an empty '{key}', expected a patient: "
            "name the patient or remove the row"
        )
    for column in reversed(declared.within):
        if column not in columns:
            raise IntakeError(f"table '{name}' has no column '{column}'{nearest(column, columns)}")
        groups = Table(name, cells, columns).text(column)
        unnamed = np.flatnonzero(groups == "")
        if len(unnamed):
            raise IntakeError(
                f"table '{name}', row {unnamed[0] + 1} has an empty '{column}', which patients are "
                "told apart by: fill it in or remove the row"
            )
        cells = groups + "/" + cells
    if declared.prefix:
        cells = np.array([declared.prefix + cell for cell in cells], dtype=object)
    return Table(name, cells, {column: each for column, each in columns.items() if column != key})


def _numbers_as_text(cells: np.ndarray) -> np.ndarray:
    """Return numbers as text, whole numbers without a decimal point, NaN as the empty string."""
    return np.array(["" if pd.isna(each) else number_text(float(each)) for each in cells], object)


def number_text(number: float) -> str:
    """Return the shortest text of a number; whole numbers without a decimal point.

    Examples
    --------
    >>> number_text(1.0), number_text(0.25)
    ('1', '0.25')
    """
    return str(int(number)) if number.is_integer() else repr(number)
