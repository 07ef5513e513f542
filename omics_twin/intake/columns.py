"""Say what the cells of one column mean and which of them are refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from omics_twin.errors import IntakeError, about, nearest, quoted
from omics_twin.intake.declaration import ColumnDeclaration, Kind, UnknownLevel
from omics_twin.intake.files import Table, number_text
from omics_twin.trust.privacy import refuse_identifying
from omics_twin.units import conversion

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+", re.ASCII)


@dataclass(frozen=True)
class Column:
    """One column of a table with the patients it speaks about.

    Attributes
    ----------
    table, name
        File name and column name, for messages.
    patient_ids
        Patient of each row, shape (row,).
    cells
        Trimmed text or numbers, shape (row,).
    missing
        Texts that mean "not measured" beside the empty cell.
    """

    table: str
    name: str
    patient_ids: np.ndarray
    cells: np.ndarray
    missing: tuple[str, ...] = ()

    def error(self, row: int, expected: str) -> IntakeError:
        """Return the sentence that names the cell of a row and what was expected instead."""
        cell = self.cells[row]
        found = cell if isinstance(cell, str) else number_text(float(cell))
        patient = self.patient_ids[row]
        sentence = (
            f"table '{self.table}', column '{self.name}': found '{found}' for patient '{patient}', "
            f"expected {expected}"
        )
        return IntakeError(about(sentence, f"'{found}'", patient))

    def texts(self) -> np.ndarray:
        """Return the cells as text, the empty string where not measured."""
        if self.cells.dtype != object:
            return np.array(
                ["" if np.isnan(each) else number_text(float(each)) for each in self.cells], object
            )
        if not self.missing:
            return self.cells
        return np.where(np.isin(self.cells, self.missing), "", self.cells).astype(object)


def column_of(table: Table, name: str, missing: Sequence[str] = ()) -> Column:
    """Return a column of a table; refused by name if the table does not have it."""
    return Column(table.name, name, table.patient_ids, table.column(name), tuple(missing))


def read_column(column: Column, declared: ColumnDeclaration) -> tuple[np.ndarray, list[str]]:
    """Read one column as declared.

    Parameters
    ----------
    column
        The cells.
    declared
        What they are declared to be.

    Returns
    -------
    values
        Shape (row,): numbers in the unit asked for with NaN, 0.0 and 1.0 with NaN, or text with
        ``None`` for a category.
    notes
        What was read as not measured and must be told.

    Raises
    ------
    IntakeError
        If a cell is not what the declaration says.
    """
    if declared.kind is Kind.CATEGORY:
        return _category(column, declared)
    if declared.kind is Kind.BINARY and declared.presence:
        return (column.texts() != "").astype(np.float64), []
    if declared.kind is Kind.BINARY:
        return binary(column, [declared.positive], [declared.negative]), []
    values = numbers(column)
    _check_range(column, values, declared)
    if declared.convert_to is not None:
        values = values * values.dtype.type(conversion(declared.unit, declared.convert_to))
    return values, []


def numbers(column: Column) -> np.ndarray:
    """Return a column as numbers, NaN where not measured.

    Raises
    ------
    IntakeError
        If a cell is not a finite number.
    """
    if column.cells.dtype != object:
        values = column.cells
        if not np.issubdtype(values.dtype, np.floating) or values.dtype == np.float16:
            values = values.astype(np.float64)
    else:
        texts = column.texts()
        joined = "".join(texts)
        # 'n' stands in nan, inf and infinity; float() would also take underscores and non-Latin
        # digits, which no laboratory means.
        if "_" in joined or not joined.isascii() or "n" in joined.lower():
            _refuse_text(column, texts)
        try:
            values = np.where(texts == "", "nan", texts).astype(np.float64)
        except ValueError:
            _refuse_text(column, texts)
            raise
    infinite = np.flatnonzero(np.isinf(values))
    if len(infinite):
        raise column.error(int(infinite[0]), "a finite number")
    return values


def _refuse_text(column: Column, texts: np.ndarray) -> None:
    for row, text in enumerate(texts):
        if text and not _NUMBER.fullmatch(text):
            if _DECIMAL_COMMA.fullmatch(text):
                raise column.error(row, "a number: write decimals with a point")
            raise column.error(
                row, "a number: correct the cell, or leave it empty where nothing was measured"
            )


def _check_range(column: Column, values: np.ndarray, declared: ColumnDeclaration) -> None:
    unit = "" if declared.unit == "1" else f" {declared.unit}"
    if declared.minimum is not None:
        first_below(column, values, declared.minimum, f"at least {declared.minimum:g}{unit}")
    elif declared.log:
        first_below(column, values, 0.0, "no negative number, since its logarithm is taken")
    if declared.maximum is not None:
        above = np.flatnonzero(values > declared.maximum)
        if len(above):
            raise column.error(int(above[0]), f"at most {declared.maximum:g}{unit}")


def first_below(column: Column, values: np.ndarray, minimum: float, expected: str) -> None:
    """Refuse the first value below a minimum.

    Raises
    ------
    IntakeError
        If there is one.
    """
    below = np.flatnonzero(values < minimum)
    if len(below):
        raise column.error(int(below[0]), expected)


def binary(column: Column, positive: Sequence[str], negative: Sequence[str]) -> np.ndarray:
    """Return a column of two values as 1.0 and 0.0, NaN where not measured.

    Raises
    ------
    IntakeError
        If a cell is neither.
    """
    return coded(column, {**dict.fromkeys(positive, 1.0), **dict.fromkeys(negative, 0.0)})


def coded(column: Column, codes: Mapping[str, float]) -> np.ndarray:
    """Return the code of each cell's text, NaN where not measured.

    Raises
    ------
    IntakeError
        If a cell has none.
    """
    meaning = {canonical(text): number for text, number in codes.items()}
    expected = f"one of {quoted(codes)}"

    def code(text: str, row: int) -> float:
        if canonical(text) not in meaning:
            raise column.error(row, expected)
        return meaning[canonical(text)]

    return _by_distinct_text(column, code, np.nan).astype(np.float64)


def _category(column: Column, declared: ColumnDeclaration) -> tuple[np.ndarray, list[str]]:
    levels = {canonical(raw): level for raw, level in declared.levels.items()}
    unknown: list[str] = []

    def level(text: str, row: int) -> str | None:
        if not levels or canonical(text) in levels:
            return levels.get(canonical(text), text)
        if declared.unknown_level is UnknownLevel.REFUSE:
            known = nearest(text, declared.levels)
            raise column.error(row, f"a level of its vocabulary{known}")
        unknown.append(text)
        return None

    values = _by_distinct_text(column, level, None)
    if not levels:
        refuse_identifying(f"table '{column.table}'", column.name, set(column.texts()))
    return values, [_unknown_level_note(column, text) for text in unknown]


def _unknown_level_note(column: Column, text: str) -> str:
    patients = column.patient_ids[column.texts() == text]
    return about(
        f"table '{column.table}', column '{column.name}': unknown level '{text}' read as not "
        f"measured for patients {quoted(patients)}",
        text,
        *patients,
    )


def _by_distinct_text(
    column: Column, meaning: Callable[[str, int], object], missing: object
) -> np.ndarray:
    """Return the meaning of each cell, asked once for each distinct text and its first row."""
    texts = column.texts()
    codes, distinct = pd.factorize(texts)
    first = np.full(len(distinct), -1)
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    meanings = np.empty(len(distinct), dtype=object)
    for position, text in enumerate(distinct):
        meanings[position] = missing if text == "" else meaning(text, int(first[position]))
    return meanings[codes]


def canonical(text: str) -> str:
    """Return the form in which two texts are compared: trimmed, and equal numbers equal.

    Examples
    --------
    >>> canonical(" 1.0") == canonical("1")
    True
    """
    text = " ".join(text.split())
    return number_text(float(text)) if _NUMBER.fullmatch(text) and len(text) < 16 else text
