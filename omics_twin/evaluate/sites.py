"""Does a measurement tell where it was taken? How much of its variance hospitals explain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from sklearn.utils.extmath import randomized_svd

from omics_twin.evaluate.design import COMPONENTS

FEW_COMPONENTS = 5
NOTEWORTHY = 0.2


def share_explained(
    values: Float[ndarray, "patient feature"],
    groups: Sequence[str | None],
    *,
    components: int = FEW_COMPONENTS,
) -> float:
    """Return the share of the variance of the first components that groups explain.

    It describes patients and is fitted to nothing that predicts. It is not a share of all the
    variance, and not proof of a technical effect: hospitals also see different patients.

    Parameters
    ----------
    values
        NaN: not measured, taken as the feature's mean. Features are standardised.
    groups
        Of each patient; ``None``: not known, left out, as is who has no value at all.
    components
        How many principal components.

    Returns
    -------
    float
        Adjusted for what as many groups explain by chance: around 0 where they explain nothing,
        1 where they explain all; NaN where fewer than two patients per group are left on average,
        there is one group, or nothing varies.

    References
    ----------
    Components: Halko, Martinsson and Tropp 2011 (doi:10.1137/090771806), to a few thousandths of
    the share. Adjustment: Ezekiel 1930, as in Peres-Neto et al. 2006 for several responses
    (doi:10.1890/0012-9658(2006)87[2614:VPOSDM]2.0.CO;2).

    Examples
    --------
    >>> values = np.array([[0.0], [0.0], [1.0], [1.0]])
    >>> share_explained(values, ["a", "a", "b", "b"])
    1.0
    """
    known = np.array([group is not None for group in groups]) & ~np.isnan(values).all(axis=1)
    names, codes = np.unique(
        np.array([str(group) for group in groups], dtype=object)[known].astype(str),
        return_inverse=True,
    )
    count, among = len(codes), len(names)
    if among < 2 or count < 2 * among:
        return float("nan")
    scores = _scores(values[known], components)
    total = float((scores**2).sum())
    if total <= 0.0:
        return float("nan")
    sums = np.zeros((among, scores.shape[1]))
    np.add.at(sums, codes, scores)
    between = float((sums**2 / np.bincount(codes)[:, None]).sum())
    return 1.0 - (1.0 - between / total) * (count - 1) / (count - among)


def site_notes(
    values: Mapping[str, Float[ndarray, "patient feature"]], sites: Sequence[str | None]
) -> list[str]:
    """Return what to tell of each channel of many features that says where it was measured."""
    notes = []
    for name, each in values.items():
        if each.shape[1] <= COMPONENTS:
            continue
        share = share_explained(each, sites)
        if share > NOTEWORTHY:
            notes.append(
                f"modality '{name}': site explains {share:.0%} of the variance of its first "
                f"{FEW_COMPONENTS} components; see whether the model holds elsewhere with "
                "split.by=SITE"
            )
    return notes


def _scores(values: ndarray, components: int) -> Float[ndarray, "patient component"]:
    """Return centred scores on the first principal components, in time linear in the values."""
    known = ~np.isnan(values)
    number = np.maximum(known.sum(axis=0), 1)
    centred = np.where(known, values - np.where(known, values, 0.0).sum(axis=0) / number, 0.0)
    spread = centred.std(axis=0)
    standard = centred[:, spread > 1e-9] / spread[spread > 1e-9]
    if min(standard.shape) <= components:
        return standard
    left, strength, _ = randomized_svd(standard, components, n_iter=7, random_state=0)
    return left * strength
