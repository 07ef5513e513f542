"""The command line: ``omics-twin <verb> key=value …``."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

VERBS = {
    "train": "train a twin beside its baselines:      omics-twin train experiment=ispy2_response",
    "federate": (
        "sites on own machines, one twin:        "
        "omics-twin federate experiment=… trainer=federated output=FOLDER"
    ),
    "ablate": "what each modality adds, same folds:    omics-twin ablate experiment=ispy2_response",
    "search": "settings by nested cross-validation:    omics-twin search experiment=ispy2_response",
    "attack": "are training patients given away:       omics-twin attack experiment=ispy2_response",
    "evaluate": "the same metrics for another cohort:    omics-twin evaluate model_uri=… cohort=…",
    "predict": (
        "expected endpoint per patient:          "
        "omics-twin predict model_uri=… cohort=… output=p.csv"
    ),
    "rank": (
        "therapies ranked per patient:           omics-twin rank model_uri=… cohort=… output=r.csv"
    ),
    "score": (
        "the same for more than fit in memory:   "
        "omics-twin score model_uri=… records=FILE.parquet output=FOLDER score=ray"
    ),
    "report": (
        "one patient's page:                     "
        "omics-twin report model_uri=… cohort=… patient=… output=report.html"
    ),
    "update": (
        "show a patient's twin a visit:          "
        "omics-twin update model_uri=… patient=… observation=visit.json"
    ),
    "simulate": (
        "what would happen under each plan:      "
        "omics-twin simulate model_uri=… patient=… output=plans.html"
    ),
    "monitor": (
        "do later patients differ from training: "
        "omics-twin monitor model_uri=… cohort=… (or chart=…)"
    ),
    "promote": (
        "a registered version in use, checked:   omics-twin promote model_uri=models:/NAME/3"
    ),
    "rollback": "the champion before it, in use again:   omics-twin rollback name=NAME",
    "serve": "answer over HTTP behind a strict gate:  omics-twin serve model_uri=… serve.port=8000",
    "admit": "patients into a chart, with consent:    omics-twin admit chart=… cohort=…",
    "consent": (
        "what a patient decided, in which models: "
        "omics-twin consent chart=… patient=ID decision=withdraw"
    ),
    "account": (
        "who may sign in to the page:            "
        "omics-twin account chart=… account=NAME role=clinician"
    ),
    "results": "docs/results.md from the tracked runs:  omics-twin results",
    "synthesise": (
        "a synthetic trial with known truth:     "
        "omics-twin synthesise intake.patients=1000 output=FOLDER"
    ),
    "check": "is a file what it should be:            omics-twin check intake=vcf intake.path=FILE",
    "audit": "is an audit log as it was written:      omics-twin audit log=FILE key=FILE",
    "rotate": "another key for what is stored:         omics-twin rotate key=NEW chart=…",
    "fetch": "a cohort's public source files:         omics-twin fetch cohort=ispy2 output=FOLDER",
}
_NEEDS = {
    "train": ("experiment",),
    "federate": ("experiment", "trainer", "output"),
    "ablate": ("experiment",),
    "search": ("experiment",),
    "attack": ("experiment",),
    "evaluate": ("model_uri", "cohort"),
    "predict": ("model_uri", "cohort", "output"),
    "rank": ("model_uri", "cohort", "output"),
    "score": ("model_uri", "records|cohort", "output"),
    "report": ("model_uri", "cohort", "patient", "output"),
    "update": ("model_uri", "patient"),
    "simulate": ("model_uri", "patient", "output"),
    "monitor": ("model_uri", "chart|cohort"),
    "promote": ("model_uri",),
    "rollback": ("name",),
    "admit": ("chart",),
    "consent": ("patient",),
    "account": ("chart", "account", "role"),
    "check": ("intake",),
    "audit": ("log",),
    "rotate": ("key",),
    "fetch": ("cohort",),
}

_KEPT_BACK = (
    "what is a patient's is left out: OMICS_TWIN_REVEAL=true shows it on a screen of your own"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit status; a mistake is answered by one sentence."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help", "help"):
        print(_help())
        return 0
    if given[0] == "--version":
        from importlib.metadata import version

        print(version("omics-twin"))
        return 0
    from omics_twin.errors import OmicsTwinError, public

    os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    try:
        return _run(given[0], given[1:])
    except OmicsTwinError as error:
        told, notes = public(error), getattr(error, "__notes__", ())
        _tell(told, *notes, *(() if told == str(error) else (_KEPT_BACK,)))
        return error.status
    except OSError as error:
        where = "" if error.filename is None else f": '{error.filename}'"
        _tell(f"{error.strerror or error}{where}")
        return 1
    except KeyboardInterrupt:
        print("omics-twin: interrupted; start again to resume", file=sys.stderr)
        return 130


def _tell(sentence: str, *notes: str) -> None:
    """Write a mistake on one line, so that no name can pass for another message."""
    for line in (f"omics-twin: {sentence}", *(f"  {note}" for note in notes)):
        shown = [each if each.isprintable() else repr(each)[1:-1] for each in line]
        print("".join(shown), file=sys.stderr)


def _run(verb: str, rest: list[str]) -> int:
    from omics_twin.errors import ConfigError, nearest

    if verb not in VERBS:
        raise ConfigError(f"unknown verb '{verb}'{nearest(verb, VERBS)}")
    if any(each in ("-h", "--help") for each in rest):
        print(_help())
        return 0
    several = any(each in ("-m", "--multirun") for each in rest)
    overrides = _with_cohort([each for each in rest if each not in ("-m", "--multirun")], verb)
    overrides = _with_files(overrides)
    _check_needed(verb, overrides)
    from omics_twin import config

    if not several:
        _execute(verb, config.load(verb, overrides))
        return 0
    runs = config.combinations(verb, overrides)
    for place, each in enumerate(runs, start=1):
        print(f"run {place} of {len(runs)}")
        _execute(verb, each)
    return 0


def _with_cohort(rest: list[str], verb: str) -> list[str]:
    """Let ``omics-twin fetch ispy2`` mean ``cohort=ispy2``."""
    if verb == "fetch" and rest and "=" not in rest[0]:
        return [f"cohort={rest[0]}", *rest[1:]]
    return rest


def _with_files(rest: list[str]) -> list[str]:
    """Put the settings of a file, such as a search's ``@best.yaml``, where the file is named."""
    if not any(each.startswith("@") for each in rest):
        return rest
    from omics_twin.config import read_overrides

    parts = [read_overrides(each[1:]) if each.startswith("@") else [each] for each in rest]
    return [setting for part in parts for setting in part]


def _check_needed(verb: str, overrides: Sequence[str]) -> None:
    from omics_twin.errors import ConfigError
    from omics_twin.settings import options

    present = {each.split("=", 1)[0].lstrip("+") for each in overrides}
    for key in _NEEDS.get(verb, ()):
        either = key.split("|")
        if present.isdisjoint(either):
            choices = ", ".join(options(either[-1]))
            which = f", one of {choices}" if choices else ""
            raise ConfigError(f"'{verb}' needs {'=… or '.join(either)}=…{which}")


def _execute(verb: str, config: object) -> None:
    from omics_twin import pipelines
    from omics_twin.report.console import Console

    getattr(pipelines, verb)(config, Console())


def _help() -> str:
    from omics_twin.settings import groups, options

    lines = ["omics-twin: patient digital twins from multi-omics cohorts", "", "verbs"]
    lines += [f"  {verb:<11}{text}" for verb, text in VERBS.items()]
    lines += ["", "groups (choose with group=option, change with group.key=value)"]
    lines += [f"  {group:<11}{', '.join(options(group))}" for group in groups()]
    lines += [
        "",
        "-m before key=1,2,3 runs every combination. Real cohorts are read below",
        "OMICS_TWIN_DATA (now '" + os.environ.get("OMICS_TWIN_DATA", "data") + "').",
        "Research use only: not a medical device.",
    ]
    return "\n".join(lines)
