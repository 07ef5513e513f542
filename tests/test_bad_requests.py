"""Every kind of bad request is answered by one sentence, and leaves nothing half-written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from omics_twin.cli import main
from omics_twin.files import write_manifest
from tests.conftest import SmallRun


@dataclass(frozen=True)
class World:
    """An empty working folder, and the small run to ask about."""

    small: SmallRun
    folder: Path

    @property
    def cohort(self) -> list[str]:
        return ["cohort=synthetic", f"synthetic_root={self.small.trial}"]

    def ask(self, verb: str, *settings: str, output: str = "answer.csv") -> list[str]:
        """Return a request that would succeed without the settings."""
        given = {each.split("=", 1)[0].lstrip("+~") for each in settings}
        request = [f"model_uri={self.small.model}", *self.cohort, f"output={self.folder / output}"]
        return [verb, *(each for each in request if each.split("=", 1)[0] not in given), *settings]

    def train(self, *settings: str) -> list[str]:
        """Return a training request that would succeed without the settings."""
        given = {each.split("=", 1)[0].lstrip("+~") for each in settings}
        request = [
            "experiment=synthetic_response",
            *self.small.settings,
            f"output_root={self.folder / 'runs'}",
        ]
        return [
            "train",
            *(each for each in request if each.split("=", 1)[0] not in given),
            *settings,
        ]

    def search(self, *settings: str) -> list[str]:
        """Return a request to search that would succeed without the settings."""
        return ["search", *self.train(*settings)[1:]]

    def model(self, change: Callable[[Path], object], *, signed: bool = False) -> str:
        """Return the address of a changed copy of the model; ``signed``: its manifest agrees."""
        copy = self.folder / "model"
        shutil.copytree(self.small.model, copy)
        change(copy)
        if signed:
            write_manifest(copy)
        return f"model_uri={copy}"

    def trial(self, file: str, change: Callable[[pd.DataFrame], pd.DataFrame | None]) -> str:
        """Return the address of a copy of the trial with one table changed."""
        copy = self.folder / "trial"
        shutil.copytree(self.small.trial, copy)
        table = pd.read_parquet(copy / file)
        changed = change(table)
        (table if changed is None else changed).to_parquet(copy / file)
        return f"synthetic_root={copy}"

    def file(self, name: str, content: bytes | str) -> Path:
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def ledger(self, *lines: str) -> str:
        header = "patient_id,decision,purpose,recorded_on"
        return f"trust.ledger={self.file('ledger.csv', chr(10).join([header, *lines, '']))}"

    def resumed(self, change: Callable[[Path], object]) -> list[str]:
        """Return a request to go on with an unfinished run whose checkpoints were changed."""
        run = self.folder / "runs" / "synthetic_response" / self.small.run.name
        shutil.copytree(self.small.run, run)
        for name in ("config.json", "tracking.json", "metrics.json"):
            (run / name).unlink()
        shutil.rmtree(run / "model")
        change(run / "checkpoints")
        return self.train()


def flipped(path: Path, at: int = -100) -> None:
    """Flip one bit of a file."""
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(bytes(content))


def rewritten(name: str, content: bytes | str) -> Callable[[Path], object]:
    """Return a change that replaces a file of a folder."""
    return lambda folder: (folder / name).write_bytes(
        content if isinstance(content, bytes) else content.encode()
    )


def stored(**fields: object) -> Callable[[Path], object]:
    """Return a change of fields of the model's description; None removes one."""

    def change(folder: Path) -> None:
        path = folder / "twin.json"
        content = json.loads(path.read_text()) | fields
        path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}))

    return change


def checkpoint(folder: Path) -> Path:
    return next(folder.glob("*.safetensors"))


Case = tuple[Callable[[World], list[str]], str]

REQUESTS: dict[str, Case] = {
    "no such verb": (lambda w: ["trian"], "unknown verb 'trian': did you mean 'train'?"),
    "an option for a verb": (lambda w: ["--quiet"], "unknown verb '--quiet'"),
    "an empty verb": (lambda w: [""], "unknown verb ''"),
    "no experiment": (
        lambda w: ["train"],
        "'train' needs experiment=…, one of cbioportal_survival",
    ),
    "no model": (lambda w: ["predict", *w.cohort], "'predict' needs model_uri=…"),
    "no cohort": (lambda w: ["rank", "model_uri=m", "output=r.csv"], "'rank' needs cohort=…"),
    "no output": (lambda w: ["rank", "model_uri=m", "cohort=oak"], "'rank' needs output=…"),
    "no patient": (lambda w: w.ask("report", output="page.html"), "'report' needs patient=…"),
    "no cohort to fetch": (lambda w: ["fetch"], "'fetch' needs cohort=…"),
    "no source to fetch": (lambda w: ["fetch", "synthetic"], "no public source"),
    "unknown key": (
        lambda w: w.ask("rank", "twin.n_draws=3"),
        "unknown key 'twin.n_draws': did you mean 'draws'?",
    ),
    "unknown key with a plus": (
        lambda w: w.train("+model.n_latnet=3"),
        "unknown key 'model.n_latnet': did you mean 'latent'?",
    ),
    "unknown group": (
        lambda w: w.train("cohrt=oak"),
        "unknown key 'cohrt': did you mean 'cohort'?",
    ),
    "unknown option": (
        lambda w: w.train("cohort=ispy3"),
        "unknown cohort 'ispy3': did you mean 'ispy2'?",
    ),
    "unknown experiment": (
        lambda w: ["train", "experiment=ispy_response"],
        "unknown experiment 'ispy_response': did you mean 'ispy2_response'?",
    ),
    "empty experiment": (lambda w: ["train", "experiment="], "unknown experiment ''"),
    "two options of a group": (
        lambda w: w.train("cohort=[ispy2,oak]"),
        "'cohort' takes one choice: choose one of cbioportal, imvigor210, ispy2",
    ),
    "a key below a number": (lambda w: w.train("trainer.seed.x=3"), "no settings below it"),
    "the launcher's own keys": (lambda w: w.train("hydra.run.dir=x"), "unknown key 'hydra'"),
    "a launcher's option": (lambda w: w.train("--cfg"), "'--cfg' is not a setting"),
    "the verb twice": (lambda w: w.train("verb=rank"), "'verb' is the first word"),
    "key without value": (lambda w: w.train("trainer"), "'trainer' is not a setting"),
    "value without key": (lambda w: w.train("=3"), "unknown key ''"),
    "open bracket": (lambda w: w.train("name=[1,"), "cannot read the settings"),
    "key twice": (lambda w: w.train("trainer.seed=1", "trainer.seed=2"), "is given twice"),
    "group twice": (
        lambda w: w.train("split.folds=2", "split.folds=3"),
        "'split.folds' is given twice",
    ),
    "a number removed": (
        lambda w: w.train("~trainer.seed"),
        "'trainer.seed' cannot be removed: give it a value",
    ),
    "a group removed": (lambda w: w.train("~trainer"), "'trainer' takes one choice"),
    "text for a number": (lambda w: w.train("trainer.seed=abc"), "'trainer.seed'"),
    "a fraction for a count": (lambda w: w.train("split.repeats=1.5"), "'split.repeats'"),
    "nothing for a number": (lambda w: w.train("trainer.batch_size="), "'trainer.batch_size'"),
    "null for a number": (lambda w: w.train("trainer.batch_size=null"), "'trainer.batch_size'"),
    "neither yes nor no": (lambda w: w.ask("rank", "excluded=perhaps"), "'excluded'"),
    "no such device": (lambda w: w.train("trainer.device=TPU"), "'trainer.device'"),
    "several values without -m": (lambda w: w.train("trainer.seed=1,2"), "put -m before"),
    "folds out of range": (lambda w: w.train("split.folds=1"), "'split.folds' is 1, expected"),
    "dropout out of range": (lambda w: w.train("model.dropout=1"), "'model.dropout' is 1"),
    "interval out of range": (lambda w: w.ask("rank", "twin.interval=95"), "is 95, expected 0.01"),
    "no draws": (lambda w: w.ask("rank", "twin.draws=0"), "'twin.draws' is 0"),
    "not a number": (lambda w: w.train("trainer.learning_rate=nan"), "'trainer.learning_rate'"),
    "infinity": (
        lambda w: w.train("trainer.weight_decay=inf"),
        "'trainer.weight_decay' is inf, expected a finite number",
    ),
    "infinity in a declaration": (
        lambda w: w.ask("rank", "cohort.modalities.clinical.columns.age_years.maximum=inf"),
        "age_years.maximum' is inf, expected a finite number",
    ),
    "horizon in the past": (lambda w: w.train("endpoint.horizon_days=-1"), "horizon_days' is -1"),
    "day that is no number": (lambda w: w.ask("rank", "as_of_days=nan"), "'as_of_days' is nan"),
    "day before the baseline": (lambda w: w.ask("rank", "as_of_days=-1"), "'as_of_days' is -1"),
    "support below zero": (lambda w: w.train("therapy.thin_support=-1"), "thin_support' is -1"),
    "value from nowhere": (lambda w: w.train("name=${nope}"), "nope"),
    "name out of the folder": (
        lambda w: w.train("name=../../etc"),
        "'name' is '../../etc', expected",
    ),
    "name that is hidden": (lambda w: w.train("name=.hidden"), "'name' is '.hidden', expected"),
    "empty name": (lambda w: w.train("name="), "'name' is '', expected"),
    "empty model": (lambda w: w.ask("rank", "model_uri="), "'model_uri' is empty"),
    "empty output": (lambda w: w.ask("rank", "output="), "'output' is empty"),
    "empty patient": (lambda w: w.ask("rank", "patient="), "'patient' is empty"),
    "empty intervention": (lambda w: w.ask("predict", "intervention="), "'intervention' is empty"),
    "empty ledger": (lambda w: w.ask("rank", "trust.ledger="), "'trust.ledger' is empty"),
    "empty cohort folder": (lambda w: w.ask("rank", "cohort.root="), "declares no 'root'"),
    "empty run folder": (lambda w: w.train("output_root="), "'output_root' is empty"),
    "sweep of a wrong type": (
        lambda w: [*w.train("trainer.seed=1,abc"), "-m"],
        "'trainer.seed'",
    ),
    "sweep out of range": (lambda w: [*w.train("split.folds=2,1"), "-m"], "'split.folds' is 1"),
    "sweep of an unknown key": (
        lambda w: [*w.train("trainer.seeed=1,2"), "-m"],
        "unknown key 'trainer.seeed'",
    ),
    "sweep of an unknown option": (
        lambda w: ["train", "-m", "experiment=oak_survival", "model=small,larg"],
        "unknown model 'larg'",
    ),
    "no experiment to ablate": (lambda w: ["ablate"], "'ablate' needs experiment=…"),
    "no experiment to search": (lambda w: ["search"], "'search' needs experiment=…"),
    "a search that tries nothing": (
        lambda w: w.search("search.trials=0"),
        "'search.trials' is 0, expected 1 to",
    ),
    "a search of an unknown key": (
        lambda w: w.search("search.space.trainer.weight_decayy=interval(0,1)"),
        "unknown key 'trainer.weight_decayy' in search.space: did you mean 'weight_decay'?",
    ),
    "a search of no model or trainer key": (
        lambda w: w.search("search.space.split.folds=2,3"),
        "'split.folds' cannot be searched, expected a setting of trainer or model",
    ),
    "a search of the seed": (
        lambda w: w.search("search.space.trainer.seed=1,2"),
        "'trainer.seed' is not a way to learn",
    ),
    "a search of an empty interval": (
        lambda w: w.search("search.space.trainer.weight_decay=interval(3,1)"),
        "the interval of 'trainer.weight_decay' is empty: 3 to 1",
    ),
    "a search out of range": (
        lambda w: w.search("search.space.model.dropout=interval(0,2)"),
        "'model.dropout' is 2, expected 0 to 0.95",
    ),
    "a search of half a unit": (
        lambda w: w.search("search.space.model.hidden=interval(4,8)"),
        "'model.hidden' takes whole numbers",
    ),
    "a search of no values": (
        lambda w: w.search("search.space.model.hidden=interval("),
        "cannot read the settings",
    ),
    "a file of settings that is not there": (
        lambda w: [*w.train(), "@nowhere.yaml"],
        "nowhere.yaml",
    ),
    "a file of settings that holds others": (
        lambda w: [*w.train(), f"@{w.file('best.yaml', 'trainer: 3')}"],
        "holds 'trainer: 3', expected lines such as '- key=value'",
    ),
    "results of no run": (lambda w: ["results"], "no finished run at 'sqlite:///"),
    "results of a store that is not there": (
        lambda w: ["results", "tracking.uri='sqlite:///nowhere.db'"],
        "no finished run at 'sqlite:///nowhere.db': train first",
    ),
    "results without tracking": (
        lambda w: ["results", "tracking=off"],
        "results are read from the tracked runs: leave tracking=off out",
    ),
    "results as a table": (
        lambda w: ["results", "output=results.csv"],
        "expected a name that ends in .md",
    ),
    "sweep cut short": (lambda w: [*w.train("trainer.seed=range("), "-m"], "cannot read"),
}

OUTPUTS: dict[str, Case] = {
    "output is a folder": (
        lambda w: ((w.folder / "r.csv").mkdir(), w.ask("rank", output="r.csv"))[1],
        "is a folder",
    ),
    "wrong ending": (lambda w: w.ask("rank", output="r.xlsx"), "expected a name that ends in .csv"),
    "no ending": (lambda w: w.ask("predict", output="p"), "expected a name that ends in .csv"),
    "page as a table": (
        lambda w: w.ask("report", "patient=SYN0000001", output="page.csv"),
        "expected a name that ends in .html",
    ),
    "metrics as a table": (
        lambda w: w.ask("evaluate", output="m.csv"),
        "expected a name that ends in .json",
    ),
    "parent is a file": (
        lambda w: (w.file("file", ""), w.ask("rank", output="file/r.csv"))[1],
        "file",
    ),
    "grandparent is a file": (
        lambda w: (w.file("file", ""), w.ask("rank", output="file/sub/r.csv"))[1],
        "file",
    ),
    "name too long": (lambda w: w.ask("rank", output="r" * 300 + ".csv"), "name too long"),
    "zero byte in the name": (
        lambda w: w.ask("rank", "output='r\0.csv'"),
        "'output' holds a zero byte",
    ),
    "link in a circle": (
        lambda w: ((w.folder / "loop").symlink_to("loop"), w.ask("rank", output="loop/r.csv"))[1],
        "loop",
    ),
    "run folder is a file": (
        lambda w: (w.file("runs", ""), w.train())[1],
        "runs",
    ),
    "synthesise into another folder": (
        lambda w: (
            w.file("mine.txt", "mine"),
            ["synthesise", "intake.patients=50", f"output={w.folder}"],
        )[1],
        "is not empty",
    ),
    "synthesise into a file": (
        lambda w: ["synthesise", f"output={w.file('mine.txt', 'mine')}"],
        "is a file, expected a folder",
    ),
    "synthesise another trial": (
        lambda w: ["synthesise", "intake.patients=51", f"output={w.small.trial}"],
        "holds another synthetic trial",
    ),
    "too few synthetic patients": (
        lambda w: ["synthesise", "intake.patients=3", f"output={w.folder / 't'}"],
        "'patients' is 3, expected a whole number from 50",
    ),
    "too many missing": (
        lambda w: ["synthesise", "intake.missing_modality=1.5", f"output={w.folder / 't'}"],
        "'missing_modality' is 1.5",
    ),
    "no such assignment": (
        lambda w: ["synthesise", "intake.assignment=LOTTERY", f"output={w.folder / 't'}"],
        "'intake.assignment'",
    ),
}

MODELS: dict[str, Case] = {
    "model absent": (
        lambda w: w.ask("rank", f"model_uri={w.folder / 'no'}"),
        "expected a run's folder or models:/name/version",
    ),
    "model folder empty": (
        lambda w: ((w.folder / "m").mkdir(), w.ask("rank", f"model_uri={w.folder / 'm'}"))[1],
        "holds no model",
    ),
    "model is a file": (
        lambda w: w.ask("rank", f"model_uri={w.file('model.bin', '')}"),
        "expected a run's folder",
    ),
    "manifest not JSON": (
        lambda w: w.ask("rank", w.model(rewritten("manifest.json", "{"))),
        "is damaged",
    ),
    "manifest a list": (
        lambda w: w.ask("rank", w.model(rewritten("manifest.json", "[]"))),
        "is damaged",
    ),
    "manifest not text": (
        lambda w: w.ask("rank", w.model(rewritten("manifest.json", b"\xff\xfe"))),
        "is damaged",
    ),
    "manifest lists nothing": (
        lambda w: w.ask("rank", w.model(rewritten("manifest.json", "{}"))),
        "its manifest lists",
    ),
    "flipped bit in the weights": (
        lambda w: w.ask("rank", w.model(lambda m: flipped(m / "weights.safetensors"))),
        "was changed after it was saved",
    ),
    "flipped bit in the description": (
        lambda w: w.ask("rank", w.model(lambda m: flipped(m / "twin.json"))),
        "was changed after it was saved",
    ),
    "weights cut short": (
        lambda w: w.ask("rank", w.model(rewritten("weights.safetensors", b"\x08"))),
        "was changed after it was saved",
    ),
    "weights gone": (
        lambda w: w.ask("rank", w.model(lambda m: (m / "weights.safetensors").unlink())),
        "its manifest lists",
    ),
    "file added": (
        lambda w: w.ask("rank", w.model(rewritten("more.bin", b"1"))),
        "'more.bin'",
    ),
    "later format": (
        lambda w: w.ask("rank", w.model(stored(format=999), signed=True)),
        "has format 999, this version reads up to",
    ),
    "format that is no number": (
        lambda w: w.ask("rank", w.model(stored(format="new"), signed=True)),
        "cannot be read",
    ),
    "description not JSON": (
        lambda w: w.ask("rank", w.model(rewritten("twin.json", "{"), signed=True)),
        "cannot be read",
    ),
    "description a list": (
        lambda w: w.ask("rank", w.model(rewritten("twin.json", "[]"), signed=True)),
        "cannot be read",
    ),
    "description without heads": (
        lambda w: w.ask("rank", w.model(stored(heads=None), signed=True)),
        "cannot be read",
    ),
    "description with another agent": (
        lambda w: w.ask("rank", w.model(stored(agents=["aspirin"]), signed=True)),
        "is not known to this twin",
    ),
    "record without catalogue": (
        lambda w: w.ask("rank", w.model(stored(record={}), signed=True)),
        "cannot be read",
    ),
    "weights of another format": (
        lambda w: w.ask("rank", w.model(rewritten("weights.safetensors", b"GGUF"), signed=True)),
        "cannot be read",
    ),
    "no such registered model": (
        lambda w: w.ask("rank", "model_uri=models:/nonexistent/1", f"tracking.uri={sqlite(w)}"),
        "cannot fetch the model 'models:/nonexistent/1'",
    ),
    "no such run": (
        lambda w: w.ask("rank", "model_uri=runs:/0123abcd/model", f"tracking.uri={sqlite(w)}"),
        "cannot fetch the model 'runs:/0123abcd/model'",
    ),
    "malformed model address": (
        lambda w: w.ask("rank", "model_uri=models:/", f"tracking.uri={sqlite(w)}"),
        "cannot fetch the model 'models:/'",
    ),
    "model at an unknown scheme": (
        lambda w: w.ask("rank", "model_uri=gopher://host/model", f"tracking.uri={sqlite(w)}"),
        "cannot fetch the model",
    ),
    "registry of an unknown scheme": (
        lambda w: w.ask("rank", "model_uri=models:/a/1", "tracking.uri=gopher://host"),
        "cannot fetch the model",
    ),
    "registry that does not answer": (
        lambda w: w.ask("rank", "model_uri=models:/a/1", "tracking.uri=http://127.0.0.1:1"),
        "cannot fetch the model",
    ),
}


def sqlite(world: World) -> str:
    return f"sqlite:///{world.small.trial.parent / 'mlflow.db'}"


COHORTS: dict[str, Case] = {
    "stranger": (
        lambda w: w.ask("rank", "patient=SYN000001"),
        "patient '…' is not in cohort 'synthetic': did you mean '…",
    ),
    "hostile patient": (
        lambda w: w.ask("rank", "patient='../../etc'"),
        "patient '…' is not in cohort",
    ),
    "patient of two lines": (
        lambda w: w.ask("rank", "patient='a\nTraceback\x1b[2J'"),
        "patient '…' is not in cohort",
    ),
    "unknown intervention": (
        lambda w: w.ask("predict", "intervention=paclitaxil"),
        "unknown intervention 'paclitaxil': did you mean 'paclitaxel'?",
    ),
    "column missing": (
        lambda w: w.ask("rank", "~cohort.modalities.clinical.columns.age_years"),
        "first missing: 'age_years'",
    ),
    "other unit": (
        lambda w: w.ask("rank", "cohort.modalities.radiomics.columns.tumour_volume_cm3.unit=mm3"),
        "column 'tumour_volume_cm3' is in 'mm3', the model expects 'cm3'",
    ),
    "number read as category": (
        lambda w: w.ask(
            "rank",
            "cohort.modalities.radiomics.columns.sphericity={kind: CATEGORY}",
        ),
        "column 'sphericity' is declared as category, the model expects number",
    ),
    "stratum missing": (lambda w: w.ask("rank", "cohort.strata=[]"), "no stratum column"),
    "therapy received not known": (
        lambda w: w.ask("predict", "cohort.therapy=null"),
        "does not say which therapy patients received",
    ),
    "nothing to evaluate": (
        lambda w: w.ask("evaluate", "~cohort.outcomes.pcr", output="m.json"),
        "has no outcome 'pcr'",
    ),
    "one class to evaluate": (
        lambda w: w.ask(
            "evaluate",
            w.trial("outcome.parquet", lambda table: table.assign(pcr=1.0)),
            output="m.json",
        ),
        "the ROC curve needs both classes",
    ),
    "arm the model does not know": (
        lambda w: w.ask("predict", w.trial("therapy.parquet", with_arm("aspirin"))),
        "arms that catalogue 'synthetic' does not list: 'aspirin'",
    ),
    "cohort folder absent": (
        lambda w: w.ask("rank", "cohort.root=nowhere", "cohort.name=other"),
        "does not exist",
    ),
    "real cohort absent": (
        lambda w: w.ask("rank", "cohort=oak", "data_root=nowhere"),
        "does not exist",
    ),
    "real cohort absent in training": (
        lambda w: ["train", "experiment=ispy2_response", f"output_root={w.folder / 'runs'}"],
        "does not exist",
    ),
    "ledger absent": (
        lambda w: w.ask("rank", "trust.ledger=no.csv"),
        "consent ledger 'no.csv' cannot be read",
    ),
    "ledger a folder": (lambda w: w.ask("rank", f"trust.ledger={w.folder}"), "cannot be read"),
    "ledger malformed": (
        lambda w: w.ask("rank", w.ledger("SYN0000001,perhaps,all,2024-01-01")),
        "found decision 'perhaps'",
    ),
    "ledger permits nobody": (
        lambda w: w.ask("rank", w.ledger("SYN0000001,withdraw,all,2024-01-01")),
        "permits none of the 150 patients",
    ),
    "withdrawn patient": (
        lambda w: w.ask("rank", "patient=SYN0000002", w.ledger(*withdrawn())),
        "(consent for all withdrawn on 2024-01-01)",
    ),
}


def with_arm(name: str) -> Callable[[pd.DataFrame], None]:
    def change(table: pd.DataFrame) -> None:
        table.loc[0, "arm"] = name

    return change


def withdrawn() -> list[str]:
    return [
        "SYN0000001,grant,scoring,2024-01-01",
        "SYN0000002,withdraw,all,2024-01-01",
    ]


TRAININGS: dict[str, Case] = {
    "too many folds": (lambda w: w.train("split.folds=120"), "fewer"),
    "too many repeats of nobody": (lambda w: w.train("split.stopping_share=0.9"), "expected at"),
    "one class": (
        lambda w: w.train(w.trial("outcome.parquet", lambda t: t.assign(pcr=1.0))),
        "outcome 'pcr' is 1 in all 150 patients",
    ),
    "no event": (
        lambda w: w.train(
            "endpoint=progression_free_survival",
            w.trial("outcome.parquet", lambda t: t.assign(pfs_event=0)),
        ),
        "outcome 'pfs' has no event",
    ),
    "outcome both known and missing": (
        lambda w: w.train("cohort.outcomes.pcr.missing=['0','1']"),
        "declares '0', '1' as both known and missing",
    ),
    "outcome known for nobody": (
        lambda w: w.train(w.trial("outcome.parquet", lambda t: t.assign(pcr=float("nan")))),
        "is known for nobody",
    ),
    "too few patients": (
        lambda w: w.train(w.trial("therapy.parquet", lambda t: t.head(14))),
        "patients",
    ),
    "no therapy table": (
        lambda w: w.train("cohort.therapy=null"),
        "declare the table, or choose therapy=none",
    ),
    "no such outcome": (
        lambda w: w.train("endpoint.outcome=pcrr"),
        "has no outcome 'pcrr': did you mean 'pcr'?",
    ),
    "another trial's catalogue": (
        lambda w: w.train("therapy=oak"),
        "arms that catalogue 'oak' does not list",
    ),
    "arm without agents": (
        lambda w: w.train("therapy.arms.paclitaxel.agents=[]"),
        "arm 'paclitaxel' has agents none",
    ),
    "agent twice": (
        lambda w: w.train("therapy.arms.paclitaxel.agents=[a,a]"),
        "expected at least one and each once",
    ),
    "no arm at all": (lambda w: w.train("~therapy.arms"), "cannot be removed"),
    "no GPU": (lambda w: w.train("trainer.device=GPU"), "no GPU was found"),
    "no site": (
        lambda w: w.train("split.by=SITE", "~cohort.group_columns.site"),
        "does not record 'site'",
    ),
    "no day of enrolment": (
        lambda w: w.train("split.by=TIME", "~cohort.group_columns.enrolled"),
        "does not record 'enrolled'",
    ),
    "an arm never seen": (
        lambda w: w.train("split.by=THERAPY"),
        "a therapy that no training patient received is unknown to a neural twin",
    ),
    "more folds than sites": (
        lambda w: w.train("split.by=SITE", "split.folds=7"),
        "cannot fill 7 folds",
    ),
    "more components than patients": (
        lambda w: w.train("model.wide_features=100", "model.components=90"),
        "components",
    ),
    "a course of times": (
        lambda w: w.train("endpoint=progression_free_survival", "model.follow_up=COURSE"),
        "outcome 'pfs' is no yes or no",
    ),
    "a course nobody has": (
        lambda w: w.train(
            w.trial("radiomics.parquet", lambda t: t[(t["day"] < 10) | (t.index < 80)]),
            "model.follow_up=COURSE",
        ),
        "use model.follow_up=NETWORK",
    ),
    "training diverges": (
        lambda w: w.train("trainer.learning_rate=10", "trainer.weight_decay=1e6"),
        "lower trainer.learning_rate",
    ),
    "flipped bit in a checkpoint": (
        lambda w: w.resumed(lambda c: flipped(checkpoint(c))),
        "was changed after it was written",
    ),
    "checkpoint gone": (
        lambda w: w.resumed(lambda c: checkpoint(c).unlink()),
        "which is not there",
    ),
    "pointer not JSON": (lambda w: w.resumed(rewritten("last.json", "{")), "last.json"),
    "pointer without a file": (lambda w: w.resumed(rewritten("last.json", "{}")), "last.json"),
    "pointer out of the folder": (
        lambda w: w.resumed(rewritten("last.json", '{"file": "../../x", "sha256": ""}')),
        "last.json",
    ),
}

# MLflow's storage library warns about itself.
pytestmark = pytest.mark.filterwarnings("ignore:.*noload.*:DeprecationWarning")
MAY_REMAIN = ("config.json", "last.json", "safetensors", "latest.json", "mlflow.db")


@pytest.fixture
def world(small_run: SmallRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("OMICS_TWIN_DATA", str(tmp_path / "nowhere"))
    return World(small_run, tmp_path)


def files_below(folder: Path) -> dict[str, bytes]:
    return {
        str(each.relative_to(folder)): each.read_bytes()
        for each in folder.rglob("*")
        if each.is_file()
    }


def refusal(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one sentence with which a request is refused."""
    capsys.readouterr()
    status = main(arguments)
    errors = capsys.readouterr().err
    assert status == 1
    assert "Traceback (most" not in errors
    lines = [each for each in errors.splitlines() if not each.startswith(("warning: ", "  "))]
    assert len(lines) == 1, errors
    assert lines[0].startswith("omics-twin: ")
    return lines[0]


@pytest.mark.parametrize(
    ("request_of", "fragment"),
    [
        pytest.param(*case, id=name)
        for table in (REQUESTS, OUTPUTS, MODELS, COHORTS, TRAININGS)
        for name, case in table.items()
    ],
)
def test_a_bad_request_is_refused_in_one_sentence(
    world: World,
    request_of: Callable[[World], list[str]],
    fragment: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = request_of(world)
    before = files_below(world.folder)
    untouched = files_below(world.small.run.parent)
    assert fragment in refusal(arguments, capsys)
    after = files_below(world.folder)
    assert before.items() <= after.items()
    assert [name for name in after.keys() - before.keys() if not name.endswith(MAY_REMAIN)] == []
    assert files_below(world.small.run.parent) == untouched


def test_a_run_that_cannot_be_recorded_is_kept(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = world.folder / "runs" / "synthetic_response" / world.small.run.name
    shutil.copytree(world.small.run, run)
    measured = (run / "metrics.json").read_bytes()
    (run / "tracking.json").unlink()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    sentence = refusal(world.train("tracking=local"), capsys)
    assert f"the run is complete in '{run}'" in sentence
    assert "could not be recorded at 'http://127.0.0.1:1'" in sentence
    assert (run / "metrics.json").read_bytes() == measured
    assert (run / "model" / "manifest.json").is_file()


def test_every_combination_is_checked_before_the_first_one_runs(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    sentence = refusal([*world.ask("rank", "twin.seed=1,2"), "-m"], capsys)
    assert "2 runs would write 1 outputs" in sentence
    first, second = (world.folder / name for name in ("a.json", "b.json"))
    several = f"output={first},{second}"
    assert main([*world.ask("rank", "patient=SYN0000001", several), "-m"]) == 0
    assert first.read_bytes() == second.read_bytes()
