"""A twin on a gene graph, from tables to a stored model that needs neither files nor library."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from omics_twin.asked import read_cohort
from omics_twin.config import load
from omics_twin.errors import CohortError
from omics_twin.report.console import Console
from omics_twin.tensors.transforms import observations
from omics_twin.tracking import TrainedModel
from omics_twin.training.learning import fit, model_of
from omics_twin.training.tasks import Task, task_of
from omics_twin.trust.consent import Purpose
from tests.genes import GENES, known, planted

PATIENTS = 60

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*"),
]

ASK = """
import json, sys
from pathlib import Path
import torch
from omics_twin.tracking import TrainedModel
from omics_twin.types import NO_INTERVENTION, Observation
model = TrainedModel.load(Path(sys.argv[1]))
values = torch.tensor(json.loads(Path(sys.argv[2]).read_text()))
state = model.twin.start(["new"], draws=20, seed=0)
state = model.twin.observe(state, Observation(("new",), torch.zeros(1), {"expression": values}))
answer = model.twin.simulate(state, NO_INTERVENTION, torch.tensor([365.0])).values
print(json.dumps(["torch_geometric" in sys.modules, answer.flatten().tolist()]))
"""


def write(folder: Path, genes: tuple[str, ...] = GENES) -> None:
    """Write a cohort of the planted module, and what is known of its genes."""
    (folder / "cohort").mkdir()
    (folder / "knowledge").mkdir()
    cohort = planted(PATIENTS, seed=0)
    rng = np.random.default_rng(0)
    ids = [f"P{number}" for number in range(PATIENTS)]
    clinical = ["patient_id,age_at_initial_pathologic_diagnosis,gender,race"]
    outcome = ["patient_id,OS,OS.time,DSS,DSS.time,PFI,PFI.time"]
    folds = ["patient_id,fold"]
    expression = [",".join(["patient_id", *genes])]
    for row, patient in enumerate(ids):
        days = int(rng.exponential(200.0 if cohort.response[row] else 1500.0)) + 1
        clinical.append(f"{patient},{50 + row % 30},{'MALE' if row % 2 else 'FEMALE'},WHITE")
        outcome.append(f"{patient}," + ",".join([f"1,{days}"] * 3))
        folds.append(f"{patient},{row % 3}")
        expression.append(",".join([patient, *(f"{x:.4f}" for x in cohort.values[row].tolist())]))
    for name, lines in {"clinical": clinical, "outcome": outcome, "folds": folds}.items():
        (folder / "cohort" / f"{name}.csv").write_text("\n".join(lines))
    table = "\n".join(expression).encode()
    (folder / "cohort" / "expression.csv.gz").write_bytes(gzip.compress(table))
    sets = "\n".join("\t".join([name, "note", *each]) for name, each in known().sets.items())
    (folder / "knowledge" / "sets.gmt").write_text(sets)
    pairs = "\n".join(f"{a},{b},900" for a, b in known().pairs)
    (folder / "knowledge" / "pairs.csv").write_text(f"gene_a,gene_b,combined_score\n{pairs}\n")


def trained(folder: Path, encoder: str) -> tuple[Task, TrainedModel]:
    """Train a few members for two epochs."""
    config = load(
        "train",
        [
            "experiment=tcga_kirc",
            f"cohort.root={folder / 'cohort'}",
            f"knowledge.root={folder / 'knowledge'}",
            "knowledge.sets=[sets.gmt]",
            "knowledge.interactions=pairs.csv",
            f"model.gene_encoder={encoder}",
            "model.components=6",
            "trainer.max_epochs=2",
            "split.replicas=1",
        ],
    )
    console = Console(quiet=True)
    task = task_of(read_cohort(config, console, Purpose.TRAINING), config, console)
    return task, model_of(task, fit(task, config, folder / encoder, console), config)


@pytest.mark.parametrize("encoder", ["GENE_GRAPH", "PATHWAYS"])
def test_a_stored_twin_needs_neither_what_is_known_of_genes_nor_the_library_of_graphs(
    tmp_path: Path, encoder: str
) -> None:
    write(tmp_path)
    task, model = trained(tmp_path, encoder)
    assert task.fingerprint == f"{task.cohort.fingerprint} {task.graph.fingerprint}"
    model.save(tmp_path / "model")
    shutil.rmtree(tmp_path / "knowledge")
    visit = observations(task.design, task.matrices)[0]
    values = visit.values["expression"][:1]
    (tmp_path / "asked.json").write_text(json.dumps(values.tolist()))
    answered = subprocess.run(
        [sys.executable, "-c", ASK, str(tmp_path / "model"), str(tmp_path / "asked.json")],
        capture_output=True,
        text=True,
        check=True,
    )
    with_library, found = json.loads(answered.stdout.splitlines()[-1])
    assert not with_library
    assert np.isfinite(found).all()
    assert len(set(np.round(found, 6))) > 1
    assert torch.tensor(found).min() >= 0.0


def test_a_cohort_that_names_no_genes_has_no_graph(tmp_path: Path) -> None:
    write(tmp_path, tuple(f"probe{number}" for number in range(len(GENES))))
    with pytest.raises(CohortError, match="none of the 2 modalities names genes"):
        trained(tmp_path, "GENE_GRAPH")
