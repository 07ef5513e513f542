"""Visits taken in by an ensemble Kalman filter, for measurements that are many and dense."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from omics_twin.errors import ModelError, TwinError
from omics_twin.twin.draws import patient_noise
from omics_twin.twin.mechanistic import Shown
from omics_twin.twin.parts import GaussianObservation

_PERTURBED = 104_729


@dataclass(frozen=True)
class EnsembleKalman:
    """Draws moved by regression on what each of them expected to be measured.

    Of each visit the draws see the measurement with noise of their own, and move by the ensemble's
    gain, in ``steps`` portions of an error that is larger by as much: an ensemble smoother with
    multiple data assimilation. Parameters are moved on their unbounded scales, and the states are
    solved for again from the first day, so that both always agree. Draws keep equal weights; the
    cost of a visit is ``steps`` solutions, however surprising it is and however many came before.

    It is exact for infinitely many draws if what is measured is linear in the parameters and
    errors are Gaussian and of constant size. It is biased

    - where the relation bends over the width of the belief: several ways a patient could be are
      blurred into one between them, and skewed beliefs become too even;
    - where errors grow with what is measured, since their mean size over the draws is used;
    - where draws are few: with ``n`` of them and ``p`` parameters the spread is too small by about
      ``p / n`` of itself after every visit, and chance correlations move what was not told of.

    Attributes
    ----------
    steps
        Portions in which each visit is taken in; 1: the stochastic filter.

    References
    ----------
    Evensen 1994, doi:10.1029/94JC00572; Burgers et al. 1998,
    doi:10.1175/1520-0493(1998)126<1719:ASITEK>2.0.CO;2 (noise); Emerick & Reynolds 2013,
    doi:10.1016/j.cageo.2012.03.011 (portions).

    Examples
    --------
    >>> EnsembleKalman().steps
    4
    """

    steps: int = 4

    def __post_init__(self) -> None:
        """Refuse to take a visit in by less than one step."""
        if self.steps < 1:
            raise ModelError(f"a visit is taken in by {self.steps} steps, expected at least 1")

    def taken_in(
        self, shown: Shown, draws: Float[Tensor, "patient draw parameter"]
    ) -> Float[Tensor, "patient draw parameter"]:
        """Return the draws after the last visit.

        Raises
        ------
        TwinError
            If the errors of what is measured are not Gaussian, or there are too few draws.
        """
        if not isinstance(shown.twin.observation, GaussianObservation):
            raise TwinError(
                f"what twin '{shown.twin.name}' is shown has no Gaussian errors: take visits in "
                "without an ensemble Kalman filter"
            )
        count = draws.shape[1]
        if count < 2:
            raise TwinError(f"{count} draw has no spread to learn from, expected at least 2")
        found = shown.values[:, -1].to(draws)
        for step in range(self.steps):
            mean, spread = shown.expected(draws)
            seeds = [
                shown.state.seed + _PERTURBED * (visits * self.steps + step + 1)
                for visits in shown.steps
            ]
            noise = patient_noise(shown.state.patient_ids, count, found.shape[1], seeds).to(draws)
            draws = moved(draws, mean, spread * self.steps**0.5, found, noise)
        return draws


def moved(
    draws: Float[Tensor, "patient draw parameter"],
    mean: Float[Tensor, "patient draw feature"],
    spread: Float[Tensor, "patient draw feature"],
    found: Float[Tensor, "patient feature"],
    noise: Float[Tensor, "patient draw feature"],
) -> Float[Tensor, "patient draw parameter"]:
    """Return draws moved by the ensemble's gain towards what was found with noise.

    Parameters
    ----------
    mean, spread
        What each draw expects to be measured, and the standard deviation of its error.
    found
        NaN where nothing was measured, which tells nothing.
    noise
        Standard normal, each draw's own.
    """
    known = torch.isfinite(found)
    count = draws.shape[1]
    # Noise that is centred does not move the mean by chance.
    perturbed = spread * (noise - noise.mean(dim=1, keepdim=True))
    left = torch.where(known[:, None], torch.nan_to_num(found)[:, None] + perturbed - mean, 0.0)
    expected = torch.where(known[:, None], mean - mean.mean(dim=1, keepdim=True), 0.0)
    centred = draws - draws.mean(dim=1, keepdim=True)
    error = torch.where(known, spread.square().mean(dim=1), 1.0)
    within = expected.transpose(1, 2) @ expected / (count - 1) + torch.diag_embed(error)
    across = centred.transpose(1, 2) @ expected / (count - 1)
    gain = torch.linalg.solve(within, across.transpose(1, 2))
    return draws + left @ gain
