"""A warm ranking of one patient in process beside one plain forward pass: RUN [draws a member].

The forward pass is of all members of the network for one patient under one therapy: encoders of
all that is measured before treatment, latent code, head.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from serving import record_for

from omics_twin.bedside.record import ranked, visits_of
from omics_twin.models.fusion import posterior
from omics_twin.serve.reading import schema_of
from omics_twin.settings import TrackingSettings, TwinSettings
from omics_twin.told import PatientRecord, record_of
from omics_twin.tracking import TrainedModel, load_model

TIMES = 100


def forward_pass(model: TrainedModel, record: PatientRecord) -> Callable[[], object]:
    """Return what asks the network alone."""
    network = model.twin.network
    observation = visits_of(model, record)[0].observation
    values = {
        channel.name: observation.values[channel.modality].float()
        for channel in model.twin.design.channels
        if not channel.follow_up and channel.modality in observation.values
    }
    shown = {name: torch.ones(1) for name in values}
    agents, day = torch.zeros(1, len(model.twin.agents)), torch.zeros(1)

    @torch.no_grad()
    def ask() -> object:
        mean, _ = posterior(network.together(values, agents, shown))
        added = sum(network.encoder(name).added(each) for name, each in values.items())
        return network.outcome(torch.cat([mean, added], dim=-1), agents, day)

    return ask


def taken(ask: Callable[[], object]) -> tuple[float, float]:
    """Return the median time of one question, by the wall's clock and of a processor [ms]."""
    found = []
    for _ in range(TIMES):
        begun = time.perf_counter(), time.process_time()
        ask()
        found.append((time.perf_counter() - begun[0], time.process_time() - begun[1]))
    wall, processor = 1000 * np.median(found, axis=0)
    return float(wall), float(processor)


def main(run: str, draws: int = 26) -> None:
    model = load_model(run, TrackingSettings(enabled=False))
    record = record_of(record_for(schema_of(model)))
    settings = TwinSettings(draws=draws * model.twin.network.members)
    plain = forward_pass(model, record)
    _, found = ranked(model, record, settings)
    taken(plain)
    (wall, processor), (one, _) = taken(lambda: ranked(model, record, settings)), taken(plain)
    columns = sum(len(each) for each in record.visits[0].values.values())
    print(
        f"{columns} columns, {len(found.interventions)} therapies x {settings.draws} draws: p50 "
        f"{wall:.1f} ms ({processor:.1f} of a processor); a plain forward pass of "
        f"{model.twin.network.members} members {one:.1f} ms: {wall / one:.1f} times as long"
    )


if __name__ == "__main__":
    main(sys.argv[1], *(int(each) for each in sys.argv[2:]))
