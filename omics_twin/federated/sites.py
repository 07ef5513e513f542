"""Who belongs to which site, and the folds and members that the sites make for themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from omics_twin.config import Config
from omics_twin.errors import CohortError
from omics_twin.report.console import Console
from omics_twin.tensors.members import MemberPlan
from omics_twin.training import learning
from omics_twin.training.tasks import Task, task_of

NOT_RECORDED = "not recorded"


@dataclass(frozen=True)
class Sites:
    """A task as several sites see it.

    Attributes
    ----------
    task
        Of all patients, each held out in the fold that its own site gave it.
    plan
        Of all patients: each site's own plan of members, side by side.
    own
        The task of each site's patients alone.
    hospitals
        Those of each site.
    """

    task: Task
    plan: MemberPlan
    own: Mapping[str, Task]
    hospitals: Mapping[str, Sequence[str]]

    def rows(self, site: str) -> np.ndarray:
        """Return the places of a site's patients in the task of all."""
        place = {patient: row for row, patient in enumerate(self.task.cohort.patient_ids)}
        return np.array([place[each] for each in self.own[site].cohort.patient_ids])


def sites_of(task: Task, config: Config) -> Sites:
    """Return the sites that a cohort's hospitals are grouped into.

    Each site divides its patients into folds by itself, as it would on a machine of its own: no
    outcome crosses a site for the folds to be balanced.

    Raises
    ------
    CohortError
        If no hospital is recorded, or there are fewer than sites.
    """
    cohort = task.cohort
    if "site" not in cohort.groups:
        raise CohortError(
            f"cohort '{cohort.name}' does not record 'site', by which patients are divided "
            "between the sites of a federation: use trainer=standard"
        )
    recorded = cohort.groups["site"].fillna(NOT_RECORDED).tolist()
    hospitals = grouped(recorded, config.trainer.federation.sites)
    silent = Console(quiet=True)
    own, held_out = {}, np.full_like(task.held_out, -1)
    plans: list[tuple[np.ndarray, MemberPlan]] = []
    for site, names in hospitals.items():
        rows = np.flatnonzero(np.isin(recorded, names))
        patients = [cohort.patient_ids[row] for row in rows]
        own[site] = task_of(cohort.select(patients), config, silent, agreed=lambda _: task.design)
        held_out[:, rows] = own[site].held_out
        plans.append((rows, learning.plan_of(own[site], config)))
    first = plans[0][1]
    training = torch.zeros(len(first.fold), len(recorded))
    stopping = torch.zeros_like(training)
    for rows, plan in plans:
        training[:, rows], stopping[:, rows] = plan.training, plan.stopping
    plan = MemberPlan(training, stopping, first.repeat, first.fold)
    return Sites(replace(task, held_out=held_out), plan, own, hospitals)


def grouped(hospitals: Sequence[str], sites: int) -> dict[str, list[str]]:
    """Return hospitals grouped into sites of about as many patients, whole hospitals together.

    The largest hospital that is left goes to the site with the fewest patients.

    Parameters
    ----------
    hospitals
        Of each patient.

    Raises
    ------
    CohortError
        If there are fewer hospitals than sites.

    Examples
    --------
    >>> grouped(["a"] * 5 + ["b"] * 3 + ["c"] * 2, 2)
    {'site-1': ['a'], 'site-2': ['b', 'c']}
    """
    counts = Counter(hospitals)
    if len(counts) < sites:
        raise CohortError(
            f"{len(counts)} hospitals are recorded, expected at least {sites} "
            "(trainer.federation.sites): ask for fewer sites"
        )
    found: dict[str, list[str]] = {f"site-{number + 1}": [] for number in range(sites)}
    size = dict.fromkeys(found, 0)
    for hospital, patients in sorted(counts.items(), key=lambda each: (-each[1], each[0])):
        site = min(found, key=lambda each: size[each])
        found[site].append(hospital)
        size[site] += patients
    return found
