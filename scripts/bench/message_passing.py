"""Learned messages over the gene graph against messages passed once; prints, asserts nothing.

Run: ``OMICS_TWIN_DATA=data python scripts/bench/message_passing.py tcga_kirc``. On the cohort's own
folds, genes with their modalities as channels, pooled by gene set, to a Cox partial likelihood:
two layers of graph convolution whose weights are learned, and personalised PageRank that is
computed once and followed by a learned map. Both stop on the same inner validation patients.
"""

from __future__ import annotations

import argparse
from time import perf_counter

import numpy as np
import torch
from torch import Tensor, nn
from torch_geometric.nn import GCNConv

from omics_twin.asked import read_cohort
from omics_twin.config import load
from omics_twin.evaluate.concordance import concordance
from omics_twin.report.console import Console
from omics_twin.tensors.graph import GeneGraph
from omics_twin.training import tasks
from omics_twin.trust.consent import Purpose

CONSOLE = Console(quiet=True)
HIDDEN, EPOCHS, PATIENCE = 8, 60, 10


class Learned(nn.Module):
    """Two graph convolutions, shared by all genes, then the mean of each set and a linear map."""

    def __init__(self, graph: GeneGraph, channels: int) -> None:
        super().__init__()
        self.edges, self.weight = graph.edge_index, graph.edge_weight
        self.pool = graph.pooling(graph.genes)
        self.layers = nn.ModuleList(
            GCNConv(size, HIDDEN, normalize=False) for size in (channels, HIDDEN)
        )
        self.last = nn.Linear(HIDDEN * self.pool.shape[1], 1)

    def forward(self, values: Tensor) -> Tensor:
        """Return a score for each patient."""
        for layer in self.layers:
            values = torch.relu(layer(values, self.edges, self.weight))
        pooled = torch.einsum("pgc,gs->psc", values, self.pool)
        return self.last(nn.functional.dropout(pooled.flatten(1), 0.3, self.training))[:, 0]


class Once(nn.Module):
    """The same pooled scores after propagation without weights, then a linear map."""

    def __init__(self, pathways: int, channels: int) -> None:
        super().__init__()
        self.last = nn.Linear(pathways * channels, 1)

    def forward(self, values: Tensor) -> Tensor:
        """Return a score for each patient."""
        return self.last(nn.functional.dropout(values.flatten(1), 0.3, self.training))[:, 0]


def loss(score: Tensor, days: Tensor, event: Tensor) -> Tensor:
    order = days.argsort(descending=True)
    at_risk = torch.logcumsumexp(score[order], dim=0)
    return ((at_risk - score[order]) * event[order]).sum() / event.sum().clamp(min=1.0)


def trained(model: nn.Module, values: Tensor, fields: Tensor, fit: Tensor, stop: Tensor) -> None:
    days, event = fields.unbind(dim=1)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-1)
    best, waited = float("inf"), 0
    kept = {name: each.clone() for name, each in model.state_dict().items()}
    for _ in range(EPOCHS):
        model.train()
        optimiser.zero_grad()
        loss(model(values[fit]), days[fit], event[fit]).backward()
        optimiser.step()
        model.eval()
        with torch.no_grad():
            found = float(loss(model(values[stop]), days[stop], event[stop]))
        waited += 1
        if found < best:
            best, waited = found, 0
            kept = {name: each.clone() for name, each in model.state_dict().items()}
        if waited >= PATIENCE:
            break
    model.load_state_dict(kept)
    model.eval()


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("experiment")
    config = load(
        "train",
        [f"experiment={asked.parse_args().experiment}", "model.gene_encoder=GENE_GRAPH"],
    )
    task = tasks.task_of(read_cohort(config, CONSOLE, Purpose.TRAINING), config, CONSOLE)
    graph = task.graph
    place = {gene: row for row, gene in enumerate(graph.genes)}
    raw = torch.full((len(task.arms), len(graph.genes), len(graph.channels)), torch.nan)
    for index, channel in enumerate(c for c in task.design.channels if c.name in graph.channels):
        named = [(i, place[f.column]) for i, f in enumerate(channel.features) if f.column in place]
        columns, rows = map(list, zip(*named, strict=True))
        raw[:, rows, index] = task.matrices.values[channel.name][:, columns]
    fields = torch.tensor(
        np.stack([task.outcome.values, task.outcome.event], axis=1), dtype=torch.float32
    )
    spread = graph.propagated(graph.genes, teleport=config.model.teleport)
    scores = {"learned": [], "once": []}
    took = dict.fromkeys(scores, 0.0)
    for fold in range(int(task.held_out.max()) + 1):
        inside = torch.tensor(np.flatnonzero(task.held_out[0] != fold))
        out = torch.tensor(np.flatnonzero(task.held_out[0] == fold))
        torch.manual_seed(fold)
        inside = inside[torch.randperm(len(inside))]
        stop, fit = inside[: len(inside) // 6], inside[len(inside) // 6 :]
        centre = raw[fit].nanmean(dim=0)
        deviation = (raw[fit] - centre).square().nanmean(dim=0).sqrt()
        values = torch.nan_to_num((raw - centre) / deviation.clamp(min=1e-3)).clamp(-5, 5)
        start = perf_counter()
        pooled = torch.einsum("pgc,gs->psc", values, spread)
        pooled = pooled / pooled[fit].std(dim=0).clamp(min=1e-6)
        for name, model, given in (
            ("once", Once(spread.shape[1], values.shape[2]), pooled),
            ("learned", Learned(graph, values.shape[2]), values),
        ):
            trained(model, given, fields, fit, stop)
            took[name] += perf_counter() - start
            start = perf_counter()
            with torch.no_grad():
                risk = model(given[out]).numpy()
            days, event = fields[out].numpy().T
            scores[name].append(concordance(risk, days, event.astype(int)))
    for name, found in scores.items():
        print(f"{name:8} c-index by fold {np.mean(found):.3f}, training {took[name]:6.1f} s")


if __name__ == "__main__":
    main()
