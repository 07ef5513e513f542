"""Cells of one column mean what the declaration says, or are refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from omics_twin.errors import IntakeError
from omics_twin.intake.columns import Column, binary, canonical, numbers, read_column
from omics_twin.intake.declaration import ColumnDeclaration, Kind


def column(*cells: object, dtype: type = object) -> Column:
    patients = np.array([f"P{row}" for row in range(len(cells))], dtype=object)
    return Column("table.csv", "marker", patients, np.array(cells, dtype=dtype))


@given(some.lists(some.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_a_written_number_is_read_back_exactly(values: list[float]) -> None:
    assert numbers(column(*(repr(value) for value in values))).tolist() == values


@given(some.text(max_size=6))
def test_any_text_is_a_finite_number_or_refused(text: str) -> None:
    try:
        value = numbers(column(text.strip()))[0]
    except IntakeError:
        return
    assert math.isfinite(value) or not text.strip()


@given(some.floats(-1e6, 1e6))
def test_units_are_converted(value: float) -> None:
    declared = ColumnDeclaration(unit="mm", convert_to="cm")
    values, _ = read_column(column(repr(value)), declared)
    assert values[0] == pytest.approx(value / 10)


def test_bounds_are_in_the_unit_of_the_file() -> None:
    declared = ColumnDeclaration(unit="mm", convert_to="cm", maximum=50)
    assert read_column(column("50"), declared)[0].tolist() == [5.0]
    with pytest.raises(IntakeError, match="expected at most 50 mm"):
        read_column(column("51"), declared)


def test_binary_values_may_be_written_as_decimals_or_numbers() -> None:
    values = binary(column("1.0", "0", "", " 1".strip()), ["1"], ["0"])
    np.testing.assert_equal(values, [1.0, 0.0, np.nan, 1.0])
    values = binary(column(1.0, -1.0, np.nan, dtype=float), ["1"], ["-1"])
    np.testing.assert_equal(values, [1.0, 0.0, np.nan])


def test_a_category_without_vocabulary_keeps_its_levels() -> None:
    values, notes = read_column(column("a", "", "b"), ColumnDeclaration(kind=Kind.CATEGORY))
    assert values.tolist() == ["a", None, "b"]
    assert notes == []


def test_whole_numbers_are_numbers_of_any_type() -> None:
    assert numbers(column(1, 2, dtype=np.int8)).dtype == np.float64
    assert numbers(column(1.5, 2, dtype=np.float32)).dtype == np.float32


def test_spaces_inside_a_level_do_not_make_it_another() -> None:
    assert canonical("Stage  II ") == canonical("Stage II")
    assert canonical("01") == "1"
    assert canonical("T1") == "T1"
