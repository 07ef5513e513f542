"""What sites explain of a measurement is told, and chance is not taken for it."""

from __future__ import annotations

import numpy as np
import pytest

from omics_twin.evaluate.sites import share_explained, site_notes

SITES = [f"site {patient % 6}" for patient in range(180)]


def measured(effect: float, seed: int = 0) -> np.ndarray:
    """Return 60 features of 180 patients, some missing, that sites shift together."""
    generator = np.random.default_rng(seed)
    shifts = np.random.default_rng(seed + 1).normal(size=(6, 60))
    values = generator.normal(size=(180, 60)) + effect * shifts[np.arange(180) % 6]
    values[generator.random(values.shape) < 0.05] = np.nan
    return values


def test_sites_that_do_nothing_explain_nothing() -> None:
    found = [share_explained(measured(0.0, seed), SITES) for seed in range(20)]
    assert np.mean(found) == pytest.approx(0.0, abs=0.02)


def test_many_sites_of_few_patients_explain_nothing_by_chance() -> None:
    sites = [str(patient // 3) for patient in range(180)]
    found = [share_explained(measured(0.0, seed), sites) for seed in range(20)]
    assert np.mean(found) == pytest.approx(0.0, abs=0.03)


def test_the_share_is_that_of_all_components_computed_outright() -> None:
    values = np.nan_to_num(measured(0.5))
    standard = (values - values.mean(axis=0)) / values.std(axis=0)
    left, strength, _ = np.linalg.svd(standard, full_matrices=False)
    scores = left[:, :5] * strength[:5]
    codes = np.arange(180) % 6
    fitted = np.stack([scores[codes == site].mean(axis=0) for site in range(6)])[codes]
    share = (fitted**2).sum() / (scores**2).sum()
    expected = 1 - (1 - share) * 179 / 174
    assert share_explained(values, SITES) == pytest.approx(expected, abs=0.005)


def test_a_scale_does_not_matter_and_patients_of_no_known_site_do_not_count() -> None:
    values = measured(0.5)
    scaled = values * np.geomspace(1e-3, 1e3, 60)
    assert share_explained(scaled, SITES) == pytest.approx(share_explained(values, SITES))
    more = np.vstack([values, measured(9.0)[:5]])
    assert share_explained(more, [*SITES, *[None] * 5]) == share_explained(values, SITES)


@pytest.mark.parametrize("sites", [["a"] * 180, [str(i) for i in range(180)], [None] * 180])
def test_where_groups_cannot_be_compared_there_is_no_share(sites: list[str | None]) -> None:
    assert np.isnan(share_explained(measured(0.5), sites))


def test_what_does_not_vary_has_no_share() -> None:
    assert np.isnan(share_explained(np.ones((180, 30)), SITES))


def test_only_modalities_that_sites_explain_are_told() -> None:
    values = {"shifted": measured(1.0), "plain": measured(0.0), "narrow": measured(1.0)[:, :8]}
    [note] = site_notes(values, SITES)
    assert note.startswith("modality 'shifted': site explains ")
    assert "split.by=SITE" in note
