"""A small trial whose truth is known, as a task: what rules of choosing are judged on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from omegaconf import OmegaConf

from omics_twin.cohort.cohort import build_cohort
from omics_twin.config import Config, typed
from omics_twin.intake.tables import read_tables
from omics_twin.report.console import Console
from omics_twin.training.tasks import Task, task_of
from omics_twin.trust.consent import permit
from tests.evaluate.trials import FollowUp, Trial

SETTINGS = """
name: judged
cohort:
  name: trial
  roster: roster.csv
  root: {root}
  strata: [stratum]
  assignment: {assignment}
  modalities:
    clinical: {{table: roster.csv, columns: {{marker: {{}}, severity: {{}}}}}}
  therapy: {{table: roster.csv, arm_column: arm}}
  outcomes:
    response: {{table: roster.csv, value_column: response, kind: {kind}}}
    survival:
      table: roster.csv
      kind: TIME_TO_EVENT
      value_column: time
      unit: day
      event_column: event
      event_value: "1"
      censored_value: "0"
  policy_groups:
    stratum_group: {{columns: [stratum]}}
    marker_group: {{columns: [marker], at_least: 0}}
endpoint: {endpoint}
therapy:
  name: trial
  arms:
    a0: {{agents: [a], label: Alpha}}
    a1: {{agents: [b], label: Beta}}
    a2: {{agents: [c], label: Gamma}}
    a3: {{agents: [d], label: Delta}}
  agents:
    a: {{drug_class: class a, mechanism: unknown}}
    b: {{drug_class: class b, mechanism: unknown}}
    c: {{drug_class: class c, mechanism: unknown}}
    d: {{drug_class: class d, mechanism: unknown}}
split: {{folds: 4, repeats: 2}}
"""
RESPONSE = "{name: response, outcome: response, title: response}"
HARM = "{name: response, outcome: response, title: harm, higher_is_better: false}"
SURVIVAL = (
    "{name: alive, outcome: survival, title: alive, horizon_days: 24, reading: MEAN_UP_TO_HORIZON}"
)


def judged_task(
    root: Path,
    trial: Trial,
    *,
    follow_up: FollowUp | None = None,
    endpoint: str = RESPONSE,
    assignment: str = "RANDOMISED",
    kind: str = "BINARY",
    arms: int = 4,
) -> tuple[Task, Config]:
    """Write a trial as a table and read it back as a task with its configuration."""
    time = np.ones(len(trial.arms)) if follow_up is None else follow_up.time
    event = np.ones(len(trial.arms)) if follow_up is None else follow_up.event
    response = trial.outcome if follow_up is None else np.arange(len(time)) % 2
    lines = ["patient_id,marker,severity,stratum,arm,response,time,event"]
    lines += [
        f"p{i},{trial.features[i, 0]:.6f},{trial.features[i, 1]:.6f},{trial.strata[i]},"
        f"a{trial.arms[i]},{response[i]:g},{time[i]:.6f},{event[i]:g}"
        for i in range(len(trial.arms))
    ]
    (root / "roster.csv").write_text("\n".join(lines) + "\n")
    text = SETTINGS.format(root=root, assignment=assignment, kind=kind, endpoint=endpoint)
    settings = OmegaConf.create(text)
    for arm in range(arms, 4):
        settings.therapy.arms.pop(f"a{arm}")
    config = typed(settings)
    tables = read_tables(config.cohort)
    cohort = build_cohort(tables, permit(tables.patient_ids, ledger=None, purpose="research"))
    return task_of(cohort, config, Console(quiet=True)), config
