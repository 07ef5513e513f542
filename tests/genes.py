"""Genes for tests: a design that names them, what is known of them, and a planted module."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from omics_twin.intake.knowledge import Knowledge
from omics_twin.tensors.design import Design
from omics_twin.tensors.graph import GeneGraph, gene_graph
from tests.twins import channel

GENES = tuple(f"G{number:03d}" for number in range(240))
MODULE = GENES[:40]


def design_of_genes(genes: Sequence[str] = GENES) -> Design:
    """Return a design with a clinical channel and two that name genes."""
    return Design(
        (
            channel("clinical", "clinical", 0.0, ["age", "stage"]),
            channel("expression", "expression", 0.0, genes),
            channel("mutations", "mutations", 0.0, [*genes[:20], "UNHEARD_OF"]),
        )
    )


def known(seed: int = 0) -> Knowledge:
    """Return a module of interacting genes of which one gene set holds six, among others."""
    generator = np.random.default_rng(seed)
    others = GENES[len(MODULE) :]
    sets = {f"SET_{i}": tuple(generator.choice(others, 6, replace=False)) for i in range(40)}
    sets["PLANTED"] = MODULE[:6]
    inside = [(a, b) for a in MODULE for b in MODULE if a < b and generator.random() < 0.3]
    outside = [tuple(generator.choice(others, 2, replace=False)) for _ in range(600)]
    pairs = np.unique(np.sort(np.array([*inside, *outside]), axis=1), axis=0)
    return Knowledge(sets, pairs, np.full(len(pairs), 0.9), "test")


def graph_of_genes() -> GeneGraph:
    """Return the gene graph of the planted module."""
    return gene_graph(design_of_genes(), known(), smallest_set=5, most_alike=0.5)


@dataclass(frozen=True)
class Planted:
    """Patients whose response follows the activity of the module, a little in each gene.

    Attributes
    ----------
    values
        Expression, (patient, gene).
    response
        0 or 1, (patient,).
    """

    values: torch.Tensor
    response: torch.Tensor


def planted(patients: int, seed: int) -> Planted:
    """Return patients; programmes that have nothing to do with the response vary much more."""
    generator = torch.Generator().manual_seed(seed)
    activity = torch.randn(patients, generator=generator)
    values = torch.randn(patients, len(GENES), generator=generator)
    values[:, : len(MODULE)] += 0.3 * activity[:, None]
    for start in range(len(MODULE), len(GENES), 5):
        values[:, start : start + 5] += torch.randn(patients, 1, generator=generator)
    response = torch.rand(patients, generator=generator) < torch.sigmoid(3.0 * activity)
    return Planted(values, response.float())
