"""How often lack of benefit is told of patients who do not lack it, where the truth is known.

Usage: python scripts/studies/benefit.py RUN PATIENTS KEY=VALUE …, the run, how many patients to ask
about and the settings of ``omics-twin train experiment=synthetic_response``. Patients are answered
by members that never saw them, after every visit under the therapy they received.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np

from omics_twin.asked import read_cohort
from omics_twin.bedside.ranking import no_benefit
from omics_twin.bedside.record import beliefs_in, kept_of, ranking_of
from omics_twin.cohort.records import records_in
from omics_twin.config import Config, load
from omics_twin.intake.synthetic import read_truth
from omics_twin.report.console import Console
from omics_twin.tracking import TrainedModel
from omics_twin.trust.consent import Purpose
from omics_twin.types import NO_INTERVENTION

_LEAST = (0.05, 0.1, 0.2, 0.3)
_TRUE = ("p_response", "response")


def told(
    model: TrainedModel, config: Config, patients: int
) -> Iterator[tuple[int, float, float, float]]:
    """Yield patient, belief in the present therapy, and by how much the other is truly better.

    The last two are the probability of a response, and the response there would have been.
    """
    cohort = read_cohort(config, Console(quiet=True), Purpose.SCORING)
    truth = read_truth(Path(config.cohort.root))
    always = replace(config.twin, least_benefit=1.0)
    labels = {model.catalogue.label(arm): arm for arm in model.catalogue.arms}
    for patient, record in enumerate(islice(records_in(cohort), patients)):
        kept = kept_of(model, record, config.twin)
        own = truth.loc[record.patient_id]
        states = list(beliefs_in(model, kept))[1:]
        for place, (visit, state) in enumerate(zip(kept.visits, states, strict=True)):
            if visit.under == NO_INTERVENTION:
                continue
            known = replace(kept, visits=kept.visits[: place + 1])
            ranking = ranking_of(model, known, state, config.twin)
            alert = no_benefit(model, state, ranking, visit, always)
            if alert is not None:
                other, given = labels[alert.sentence.split("'")[1]], visit.under.name
                gains = [own[f"{k}::{other}"] - own[f"{k}::{given}"] for k in _TRUE]
                yield patient, alert.evidence, *gains


def main(run: str, asked: str, *settings: str) -> None:
    """Print, for every threshold, for how many it is told and what is true of them."""
    config = load("train", ["experiment=synthetic_response", *settings])
    model = TrainedModel.load(Path(run) / "model")
    found = np.array(list(told(model, config, int(asked))))
    patients, margin = len(np.unique(found[:, 0])), config.twin.benefit_margin
    for least in _LEAST:
        alarms = found[found[:, 1] < least]
        # Of each patient the first, as an alert is first told then.
        alarms = alarms[np.unique(alarms[:, 0], return_index=True)[1]]
        if not len(alarms):
            print(f"below {least:g}: told of none of {patients}")
            continue
        print(
            f"below {least:g}: ever told of {len(alarms)} of {patients} patients, at a belief of "
            f"{alarms[:, 1].mean():.3f} on average; the other is truly better by less than "
            f"{margin:g} in {(alarms[:, 2] < margin).mean():.3f}, worse in "
            f"{(alarms[:, 2] < 0).mean():.3f}; mean gain {alarms[:, 2].mean():.3f}, of responses "
            f"there would have been {alarms[:, 3].mean():.3f}"
        )
    print(f"at every visit of everybody: mean gain {found[:, 2].mean():.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
