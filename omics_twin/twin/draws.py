"""Weighted draws: reproducible noise, means, quantiles and probabilities of being best."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from omics_twin.types import Observation, TwinState, Visit


def patient_noise(
    patient_ids: Sequence[str], draws: int, size: int, seed: int | Sequence[int]
) -> Float[Tensor, "patient draw size"]:
    """Return standard normal noise that is a function of (seed, patient) alone.

    It is drawn on the CPU, so that every device holds the same belief, and does not depend on who
    shares the batch. ``seed`` may be one for each patient.

    Examples
    --------
    >>> together = patient_noise(["a", "b"], draws=3, size=2, seed=1)
    >>> bool((together[1] == patient_noise(["b"], draws=3, size=2, seed=1)[0]).all())
    True
    """
    noise = np.empty((len(patient_ids), draws, size), dtype=np.float32)
    seeds = [seed] * len(patient_ids) if isinstance(seed, int) else seed
    for row, (patient, own) in enumerate(zip(patient_ids, seeds, strict=True)):
        digest = hashlib.blake2b(str(patient).encode(), digest_size=8).digest()
        key = np.array([own % 2**64, int.from_bytes(digest, "little")], dtype=np.uint64)
        generator = np.random.Generator(np.random.Philox(key=key))
        noise[row] = generator.standard_normal((draws, size), dtype=np.float32)
    return torch.from_numpy(noise)


def paired_noise(
    patient_ids: Sequence[str], draws: int, size: int, seed: int
) -> Float[Tensor, "patient draw size"]:
    """Return the same in pairs of draws that are opposite: their mean is exactly none.

    Means of what is nearly linear in the noise are then known far better than from as many draws
    (antithetic variates, Hammersley & Morton 1956, doi:10.1017/S0305004100031455).

    Examples
    --------
    >>> float(paired_noise(["a"], draws=4, size=1, seed=0).sum())
    0.0
    """
    half = patient_noise(patient_ids, (draws + 1) // 2, size, seed)
    return torch.stack([half, -half], dim=2).flatten(1, 2)[:, :draws]


def normalised(
    log_weights: Float[Tensor, "patient draw"],
) -> Float[Tensor, "patient draw"]:
    """Return log weights that sum to one over each patient's draws."""
    return log_weights - torch.logsumexp(log_weights, dim=1, keepdim=True)


def some_of(observation: Observation, rows: Int[Tensor, " chosen"]) -> Observation:
    """Return the visit of some of the patients."""
    return Observation(
        tuple(observation.patient_ids[int(row)] for row in rows),
        observation.days[rows],
        {name: values[rows] for name, values in observation.values.items()},
    )


def visits_with(
    state: TwinState, modality: str
) -> Iterator[tuple[Visit, Float[Tensor, "patient feature"]]]:
    """Yield the visits at which a modality was shown, with its values."""
    for visit in state.history:
        values = visit.observation.values.get(modality)
        if values is not None:
            yield visit, values


def select(state: TwinState, rows: Int[Tensor, " chosen"]) -> TwinState:
    """Return the belief about some of the patients."""
    return replace(
        state,
        patient_ids=tuple(state.patient_ids[int(row)] for row in rows),
        history=tuple(
            replace(visit, observation=some_of(visit.observation, rows)) for visit in state.history
        ),
        days=state.days[rows],
        draws=state.draws[rows],
        log_weights=state.log_weights[rows],
        spread=None if state.spread is None else state.spread[rows],
    )


def with_draws(state: TwinState, draws: Int[Tensor, " chosen"]) -> TwinState:
    """Return the belief with some of its draws; each patient has weight in one of them."""
    return replace(
        state,
        draws=state.draws[:, draws],
        log_weights=normalised(state.log_weights[:, draws]),
    )


def weighted_mean(
    values: Float[Tensor, "patient draw *rest"], log_weights: Float[Tensor, "patient draw"]
) -> Float[Tensor, " patient *rest"]:
    """Return the mean of each patient's draws."""
    # Summing to one in double precision, so that no mean of probabilities exceeds one.
    weights = log_weights.double().softmax(dim=1)
    weights = weights.reshape(*log_weights.shape, *[1] * (values.ndim - 2))
    return (values.double() * weights).sum(dim=1).to(values)


def weighted_quantile(
    values: Float[Tensor, "patient draw"],
    log_weights: Float[Tensor, "patient draw"],
    share: float,
) -> Float[Tensor, " patient"]:
    """Return the value below which a share of each patient's belief lies.

    Examples
    --------
    >>> values = torch.tensor([[3.0, 1.0, 2.0]])
    >>> float(weighted_quantile(values, torch.zeros(1, 3) - np.log(3), 0.5))
    2.0
    """
    ordered, order = values.sort(dim=1)
    cumulative = log_weights.exp().double().gather(1, order).cumsum(dim=1)
    # Rounding must not push the last quantile past the last draw with weight.
    target = share * cumulative[:, -1:] * (1 - 1e-9)
    index = torch.searchsorted(cumulative, target).clamp(max=values.shape[1] - 1)
    return ordered.gather(1, index)[:, 0]


def alike(one: Tensor, other: Tensor) -> Bool[Tensor, "..."]:
    """Return where answers differ by no more than rounding in single precision does.

    Examples
    --------
    >>> alike(torch.tensor([0.3, 0.3]), torch.tensor([0.3000001, 0.301])).tolist()
    [True, False]
    """
    return torch.isclose(one, other, rtol=1e-5, atol=0.0)


def share_above(
    one: Float[Tensor, "patient draw"],
    other: Float[Tensor, "patient draw"],
    log_weights: Float[Tensor, "patient draw"],
) -> Float[Tensor, " patient"]:
    """Return the share of the belief in which one answer is above another; ties count half."""
    return weighted_mean(torch.where(alike(one, other), 0.5, (one > other).float()), log_weights)


def probability_best(
    merit: Float[Tensor, "patient draw option"],
    log_weights: Float[Tensor, "patient draw"],
    eligible: Bool[Tensor, "patient option"],
) -> Float[Tensor, "patient option"]:
    """Return the share of the belief in which each eligible option is the best; ties are split.

    NaN where an option is not eligible; the eligible ones of a patient sum to one.
    """
    allowed = eligible.unsqueeze(1)
    masked = torch.where(allowed, merit, -torch.inf)
    wins = alike(masked, masked.max(dim=2, keepdim=True).values) & allowed
    shares = wins / wins.sum(dim=2, keepdim=True).clamp(min=1)
    return torch.where(eligible, weighted_mean(shares, log_weights), torch.nan)
