"""A counterfactual recurrent network re-trained on the patients of the twins, one step ahead.

Usage: python scripts/studies/crn.py [gamma] [seeds] [epochs] [benchmark]
The encoder of Bica et al. 2020 (arXiv:2002.04083) with the settings of the public benchmark, which
reports .755 ± .059 at gamma 0: a recurrent network with variational dropout, gradient reversal that
rises over the epochs. Trained and tested on the very patients of geng.py, whose tiers are printed
beside it, all seeds on one tensor axis. With "benchmark": on twice the patients, in the order in
which the benchmark draws its own.
"""

from __future__ import annotations

import sys
import time
from typing import NamedTuple

import numpy as np
import torch
from geng import SEEDS, cohorts, error, tiers
from torch import Tensor

from omics_twin.dynamics import geng


class Settings(NamedTuple):
    """Recurrent units, those of the balanced representation and of each head, dropout, batch."""

    units: int
    balanced: int
    head: int
    dropout: float
    batch: int


# By gamma, of the encoder with gradient reversal: Melnychuk et al. 2022, arXiv:2204.07258
# (github.com/Valentyn1997/CausalTransformer, config/backbone/crn_hparams/cancer_sim_grad_reverse).
SMALL, LARGE = Settings(24, 18, 36, 0.1, 128), Settings(24, 24, 96, 0.2, 64)
PUBLISHED = {0.0: SMALL, 1.0: SMALL, 2.0: LARGE, 3.0: LARGE, 4.0: LARGE}
RATE, TEST = 1e-3, 1000
INPUTS, TREATMENTS = 6, len(geng.ACTIONS)


class Reversed(torch.autograd.Function):
    """The same forwards; backwards the gradient times ``-alpha``."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor, alpha: float) -> Tensor:
        """Return the input."""
        ctx.alpha = alpha
        return x.clone()

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, grad: Tensor) -> tuple[Tensor, None]:
        """Return the gradient turned round."""
        return -ctx.alpha * grad, None


def weights(asked: Settings, seeds: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Return the weights and biases of every seed's network, (seed, ...)."""
    units, balanced, head = asked[:3]
    shapes = {
        "recurrent": (INPUTS + units, 4 * units, units),
        "balanced": (units, balanced, units),
        "treatment": (balanced, head, balanced),
        "treatment_out": (head, TREATMENTS, head),
        "outcome": (balanced + TREATMENTS, head, balanced + TREATMENTS),
        "outcome_out": (head, 1, head),
    }
    found = {}
    for name, (inputs, outputs, fan) in shapes.items():
        for part, size in ((name, inputs), (f"{name}_bias", 1)):
            drawn = torch.rand(seeds, size, outputs, generator=generator)
            found[part] = ((2.0 * drawn - 1.0) / fan**0.5).requires_grad_()
    return found


def layer(w: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    """Return what a layer of every seed makes of (seed, row, input)."""
    return torch.baddbmm(w[f"{name}_bias"], x, w[name])


def representation(w: dict[str, Tensor], x: Tensor, dropout: float) -> Tensor:
    """Return the balanced representation, (seed, patient, day, unit), of (..., input)."""
    seeds, patients, days, _ = x.shape
    units = w["balanced"].shape[1]
    h = c = torch.zeros(seeds, patients, units)
    # One mask for all days of a patient, as in variational dropout.
    keep = torch.full((3, seeds, patients, units), 1.0 - dropout)
    out, of_h, of_c = torch.bernoulli(keep) / keep
    told, own = w["recurrent"][:, :INPUTS], w["recurrent"][:, INPUTS:]
    by_day = x.transpose(1, 2).reshape(seeds, days * patients, INPUTS)
    driven = torch.baddbmm(w["recurrent_bias"], by_day, told).split(patients, dim=1)
    found = []
    for each in driven:
        gates = torch.baddbmm(each, h, own)
        admit, forget, show = torch.sigmoid(gates[..., : 3 * units]).chunk(3, dim=-1)
        c = forget * c + admit * torch.tanh(gates[..., 3 * units :])
        h = show * torch.tanh(c)
        found.append(h * out)
        h, c = h * of_h, c * of_c
    rows = torch.stack(found, dim=2).reshape(seeds, patients * days, units)
    made = torch.nn.functional.elu(layer(w, "balanced", rows))
    return made.reshape(seeds, patients, days, -1)


def outcome(w: dict[str, Tensor], balanced: Tensor, given: Tensor) -> Tensor:
    """Return the next volume, standardised, under treatments, both (seed, row, ...)."""
    hidden = torch.nn.functional.elu(layer(w, "outcome", torch.cat([balanced, given], dim=-1)))
    return layer(w, "outcome_out", hidden)[..., 0]


def loss_of(
    w: dict[str, Tensor], batch: tuple[Tensor, ...], alpha: float, dropout: float
) -> Tensor:
    """Return the loss, summed over seeds, of a batch of inputs, treatments, volumes to come."""
    x, given, coming = batch
    known = torch.isfinite(coming).flatten(1).float()
    balanced = representation(w, x, dropout).flatten(1, 2)
    taken = given.flatten(1, 2)
    off = (outcome(w, balanced, taken) - torch.nan_to_num(coming.flatten(1))).square()
    hidden = torch.nn.functional.elu(layer(w, "treatment", Reversed.apply(balanced, alpha)))
    guessed = torch.log_softmax(layer(w, "treatment_out", hidden), dim=-1)
    surprise = -(guessed * taken).sum(dim=-1)
    return (((off + surprise) * known).sum(dim=1) / known.sum(dim=1)).sum()


def seen_by(
    histories: geng.Histories, kind: np.ndarray, scale: tuple[float, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs and treatments of every day but the last, (patient, day, ...)."""
    centre, spread, kind_centre, kind_spread = scale
    days = histories.volumes.shape[1] - 1
    action = (2 * histories.chemo + histories.radio).astype(int)[:, :days]
    given = np.eye(TREATMENTS)[action]
    before = np.concatenate([np.zeros_like(given[:, :1]), given[:, :-1]], axis=1)
    size = (np.nan_to_num(histories.volumes[:, :days], nan=centre) - centre) / spread
    own = np.broadcast_to(((kind - kind_centre) / kind_spread)[:, None], size.shape)
    return np.concatenate([before, size[..., None], own[..., None]], axis=-1), given


def main(gamma: float, seeds: int, epochs: int, benchmark: bool) -> None:
    """Train all seeds and print their errors, and those of the twins."""
    start, asked = time.perf_counter(), PUBLISHED[gamma]
    torch.manual_seed(0)
    parts, tests = [], []
    for seed in SEEDS[:seeds]:
        patients, known, test, seen, truth = cohorts(gamma, seed, TEST, benchmark=benchmark)
        scale = (
            float(np.nanmean(known.volumes)),
            float(np.nanstd(known.volumes)),
            float(patients.kind.mean()),
            float(patients.kind.std()),
        )
        x, given = seen_by(known, patients.kind, scale)
        parts.append((x, given, (known.volumes[:, 1:] - scale[0]) / scale[1]))
        tests.append((seen_by(seen, test.kind, scale)[0], truth[:, :-1], scale))
    x, given, coming = (torch.tensor(np.stack(each)).float() for each in zip(*parts, strict=True))
    w = weights(asked, seeds, torch.Generator().manual_seed(1))
    optimiser = torch.optim.Adam(w.values(), lr=RATE)
    print(f"patients made, {time.perf_counter() - start:.0f} s", flush=True)
    for epoch in range(epochs):
        # As the benchmark raises it; in the first epoch nothing is reversed.
        alpha = 2.0 / (1.0 + np.exp(-10.0 * epoch / epochs)) - 1.0
        for rows in torch.randperm(x.shape[1]).split(asked.batch):
            optimiser.zero_grad()
            batch = x[:, rows], given[:, rows], coming[:, rows]
            loss_of(w, batch, alpha, asked.dropout).backward()
            optimiser.step()
        if epoch % 10 == 9 or epoch == epochs - 1:
            found = tested(w, tests)
            print(
                f"gamma {gamma:g}, epoch {epoch + 1}: {np.mean(found):.3f} ± "
                f"{np.std(found, ddof=min(1, seeds - 1)):.3f}, by seed {np.round(found, 3)}, "
                f"{time.perf_counter() - start:.0f} s",
                flush=True,
            )
    beside(gamma, np.array(tested(w, tests)), benchmark)


def beside(gamma: float, found: np.ndarray, benchmark: bool) -> None:
    """Print the errors of the twins on the same patients, and how far below they are by seed."""
    runs = [tiers(gamma, seed, TEST, benchmark=benchmark)[0] for seed in SEEDS[: len(found)]]
    for name in runs[0]:
        each = np.array([run[name] for run in runs])
        below, spread = found - each, np.std(found - each, ddof=min(1, len(found) - 1))
        print(
            f"  {name:<40} {each.mean():.3f} by seed {each.round(3)}; below the recurrent network "
            f"by {below.mean():.3f} ± {spread:.3f}, {below.round(3)}",
            flush=True,
        )


def tested(w: dict[str, Tensor], tests: list[tuple]) -> list[float]:
    """Return the error of every seed on its test patients."""
    x = torch.tensor(np.stack([each[0] for each in tests])).float()
    guesses = []
    with torch.no_grad():
        balanced = representation(w, x, 0.0).flatten(1, 2)
        for action in torch.eye(TREATMENTS):
            guesses.append(outcome(w, balanced, action.expand(*balanced.shape[:2], -1)))
    shape = *x.shape[:3], TREATMENTS
    guess = torch.stack(guesses, dim=-1).reshape(shape).double().numpy()
    return [
        error(guess[k] * scale[1] + scale[0], truth) for k, (_, truth, scale) in enumerate(tests)
    ]


if __name__ == "__main__":
    numbers = [float(each) for each in sys.argv[1:] if each != "benchmark"]
    size, count, rounds = numbers + [0.0, 5.0, 100.0][len(numbers) :]
    main(size, int(count), int(rounds), "benchmark" in sys.argv)
