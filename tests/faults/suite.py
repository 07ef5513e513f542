"""The readers and the faults together: which there are, and how often each is tried."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from omics_twin.cli import main
from omics_twin.tracking import TrainedModel
from tests.chart.servers import new_database, postgresql_server
from tests.faults import corruptions, full_disks, hostile, kills, others
from tests.faults import readers_genomic as genomic
from tests.faults import readers_records as records
from tests.faults import readers_settings as settings
from tests.faults import readers_tables as tables
from tests.faults import readers_trust as trust
from tests.faults.examining import Reader
from tests.faults.rows import Row
from tests.intake.conftest import FILES
from tests.intake.portal import STUDY

COHORT_FILES = (
    *("data_patients.txt", "data_mutations.txt", "data_expression.txt", "data_cna.txt"),
)
# A training of a few seconds with every one of its steps.
SETTINGS = (
    "experiment=synthetic_response",
    "intake.patients=150",
    "intake.genes=200",
    "model=small",
    "split.folds=2",
    "split.repeats=1",
    "split.replicas=2",
    "trainer.max_epochs=6",
    "trainer.checkpoint_every_epochs=1",
    "trainer.device=CPU",
    "tracking=off",
    "twin.calibration=NONE",
)


@dataclass(frozen=True)
class Trained:
    """A small run that faults are tried on."""

    trial: Path
    run: Path

    @property
    def model(self) -> Path:
        return self.run / "model"


def trained(folder: Path) -> Trained:
    """Train a small twin, once for each folder."""
    trial, output = folder / "trial", folder / "runs"
    asked = ["train", *SETTINGS, f"synthetic_root={trial}", f"output_root={output}"]
    told = output / "synthetic_response" / "latest.json"
    if not told.is_file() and main(asked):
        raise RuntimeError("the small training failed")
    latest = json.loads(told.read_text())
    return Trained(trial, Path(latest["run_folder"]))


def readers(folder: Path, model: Path) -> dict[str, tuple[Callable[[], Reader], float]]:
    """Return what makes each reader, and its share of all inputs."""
    folder.mkdir(parents=True, exist_ok=True)
    listed: list[tuple[str, Callable[[], Reader], float]] = [
        ("consent ledger", lambda: trust.ledger(folder), 10),
        ("audit log", lambda: trust.audit_log(folder), 8),
        ("audit anchor", lambda: trust.anchor(folder), 8),
        ("visits", lambda: records.visits(folder), 10),
        ("scoring gate", lambda: records.gate(TrainedModel.load(model)), 14),
        ("belief", lambda: records.belief(folder), 6),
        ("settings", lambda: settings.overrides(folder), 5),
        ("file of settings", lambda: settings.settings_file(folder), 5),
        ("configuration", lambda: settings.composed(folder), 0.1),
        ("MAF", lambda: genomic.maf(folder), 8),
        ("VCF", lambda: genomic.vcf(folder), 8),
        ("FHIR Bundle", lambda: records.fhir(folder), 1.5),
        ("FHIR mapping", lambda: records.fhir_mapping(folder), 1),
        ("table in Parquet", lambda: tables.parquet(folder), 1),
        ("model description", lambda: records.model(folder, model), 0.4),
    ]
    listed += [(f"table {f}", lambda f=f: tables.table(folder, f), 0.3) for f in FILES]
    listed += [(f"study, {f}", lambda f=f: genomic.study_check(folder, f), 0.15) for f in STUDY]
    listed += [
        (f"cohort, {f}", lambda f=f: genomic.study_cohort(folder, f), 0.25) for f in COHORT_FILES
    ]
    whole = sum(share for *_, share in listed)
    return {name: (make, share / whole) for name, make, share in listed}


def faults(
    folder: Path, small: Trained, times: int, dice: Random
) -> Iterator[tuple[str, Callable[[], list[Row]]]]:
    """Yield every part of the table beside the readers: its name, and what tries it.

    ``times`` is how often the quick ones are tried; a training takes as long as hundreds of them.
    """
    own = (*SETTINGS, f"synthetic_root={small.trial}")

    def new(name: str) -> Path:
        place = folder / name
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        return place

    def disks() -> list[Row]:
        found = []
        for site in full_disks.sites(small.model, small.trial, fit=SETTINGS):
            with full_disks.small_disk(folder / "disk", 16_000) as disk:
                if disk is not None:
                    found.append(full_disks.of_a_site(site, disk))
        return found

    def postgresql() -> list[Row]:
        with postgresql_server() as server:
            if server is None:
                return []
            return [kills.of_the_chart(new_database(server), times, dice)]

    def sqlite() -> list[Row]:
        return [kills.of_the_chart(f"sqlite:///{new('kill chart') / 'chart.db'}", times, dice)]

    yield "kill audit", lambda: [kills.of_the_audit_log(new("kill audit"), times, dice)]
    yield "kill chart", sqlite
    yield "kill postgresql", postgresql
    yield "kill belief", lambda: [kills.of_a_belief(new("kill belief"), times, dice)]
    yield (
        "damaged checkpoint",
        lambda: corruptions.of_checkpoints(small.run, new("checkpoint"), 10 * times, dice),
    )
    yield (
        "damaged model",
        lambda: corruptions.of_a_model(small.model, new("damaged"), 10 * times, dice),
    )
    yield (
        "damaged chart",
        lambda: [
            corruptions.of_the_chart(new("chart"), 10 * times, dice),
            corruptions.of_a_sealed_chart(new("sealed"), 10 * times, dice),
        ],
    )
    yield "disk", disks
    yield "clock", lambda: [others.of_the_clock(new("clock"), 10 * times, dice)]
    yield (
        "hostile",
        lambda: [
            hostile.of_payloads(new("payloads"), small.model, small.run),
            hostile.of_targets(),
            hostile.of_paths(new("paths"), small.model, small.run),
            hostile.of_sizes(new("sizes"), small.model, small.run),
        ],
    )
    yield (
        "kill training",
        lambda: [*kills.of_training(new("kill training"), own, max(1, times // 5), dice)][-1:],
    )
    yield (
        "two",
        lambda: [
            others.of_two_beliefs(new("two beliefs"), max(1, times // 10)),
            others.of_two_trainings(new("two"), own, max(1, times // 20), dice),
        ],
    )
    yield (
        "server",
        lambda: [others.of_the_tracking_server(new("server"), own, max(1, times // 40))],
    )
