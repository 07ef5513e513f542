"""Groups that are told from what was measured before treatment."""

from __future__ import annotations

import numpy as np
import pytest

from omics_twin.evaluate.attributes import (
    ages_of,
    attributes_of,
    band_of,
    bands_of,
    level_of,
    measured_of,
)
from omics_twin.tensors.design import ChannelDesign, Design, Feature


def _feature(column: str, level: str | None = None, unit: str = "1") -> Feature:
    name = column if level is None else f"{column}={level}"
    return Feature(name, column, level, unit, binary=level is not None, log=False)


def _channel(name: str, *features: Feature, day: float = 0.0) -> ChannelDesign:
    return ChannelDesign(name, name.split("@")[0], day, 7.0, 0.0, False, features)


DESIGN = Design(
    (
        _channel("clinical", _feature("BAGE", unit="year"), *(_feature("race", x) for x in "ab")),
        _channel("mri", _feature("volume", unit="cm3")),
        _channel("mri@21", _feature("age_of_scan", unit="year"), day=21.0),
    )
)
NAN = np.nan
VALUES = {
    "clinical": np.array([[39.0, 1.0, 0.0], [NAN, 0.0, 1.0], [70.0, NAN, NAN], [50.0, 0.0, 0.0]]),
    "mri": np.array([[1.0], [NAN], [2.0], [NAN]]),
    "mri@21": np.array([[1.0], [1.0], [1.0], [1.0]]),
}


def test_a_category_is_told_in_its_declared_spelling() -> None:
    assert level_of(DESIGN, VALUES, "race") == ["a", "b", None, None]
    assert level_of(DESIGN, VALUES, "volume") is None
    assert level_of(DESIGN, VALUES, "site") is None


def test_the_age_is_that_before_treatment() -> None:
    ages = ages_of(DESIGN, VALUES)
    assert ages is not None
    np.testing.assert_array_equal(ages, [39.0, NAN, 70.0, 50.0])
    assert ages_of(Design(DESIGN.channels[1:]), VALUES) is None


def test_visits_under_therapy_do_not_count_as_measured() -> None:
    assert measured_of(DESIGN, VALUES) == {
        "measured_clinical": ["yes"] * 4,
        "measured_mri": ["yes", "no", "yes", "no"],
        "modalities_measured": ["2 of 2", "1 of 2", "2 of 2", "1 of 2"],
    }


def test_outer_bands_of_few_patients_join_their_neighbours() -> None:
    ages = np.array([25.0] * 3 + [45.0] * 60 + [55.0] * 60 + [70.0] * 30 + [80.0] * 25 + [NAN])
    assert bands_of(ages, (40.0, 50.0, 65.0, 75.0), 50) == (50.0, 65.0)
    assert bands_of(ages[:20], (40.0, 50.0), 50) == ()


@pytest.mark.parametrize("edges", [(40.0, 65.0), (50.0,)])
def test_every_known_age_is_in_one_band(edges: tuple[float, ...]) -> None:
    bands = {band_of(age, edges) for age in np.arange(18.0, 100.0)}
    assert len(bands) == len(edges) + 1
    assert band_of(NAN, edges) is None
    assert band_of(40.0, ()) is None


def test_columns_that_are_no_measured_category_make_no_group_here() -> None:
    found = attributes_of(DESIGN, VALUES, {"ancestry": "race", "site": "site"}, (50.0,))
    assert found["ancestry"] == ["a", "b", None, None]
    assert found["age_years"] == ["below 50", None, "50 and over", "50 and over"]
    assert "site" not in found
