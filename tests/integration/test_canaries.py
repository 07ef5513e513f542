"""Nothing of a patient is found in what the platform writes, outside of what was asked for."""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.integration.canaries import Search, needles
from tests.integration.planted import CANARIES, MAPPING, STRATUM, plant
from tests.serve.hospital import free_port, token_in

SEALED = find_spec("sqlcipher3") is not None
# Where a patient may be told of: what somebody gave, and the files that output= named. Without
# SQLCipher nothing is sealed here, and the chart and the beliefs hold what they are for.
# Four bytes of a needle are anywhere in enough sealed ones: one chart is searched, for both.
PERMITTED = ("given", "asked", "chart_living.db*")
PERMITTED += () if SEALED else ("chart.db*", "outputs/beliefs")
# The audit log names who asked, and nothing of a patient; who compares plans reads their names.
NAMED = {"log/audit.jsonl": {"account"}, "terminal/asked.out": {"name of a plan"}}

# One process for all commands: each would import everything again.
_RUN = """
import io, json, sys
from omics_twin.cli import main
latest = {"RUN": "synthetic_response", "LIVING": "tumour_size"}
for expected, arguments, typed in json.load(open(sys.argv[1])):
    print("$", arguments[0], flush=True)
    sys.stdin = io.StringIO(typed)
    for place, each in enumerate(arguments):
        named = latest.get(each.removeprefix("model_uri="))
        if named:
            run = json.load(open(f"outputs/{named}/latest.json"))["run_folder"]
            arguments[place] = f"model_uri={run}"
    found = main(arguments)
    print("=", found, "" if found == expected else f"!! {expected}", flush=True)
"""
Command = tuple[int, list[str], str]


class Place:
    """A machine of its own: folder, environment, and what was written to its terminal."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for each in ("given", "asked", "tmp", "home", "terminal", "keys"):
            (root / each).mkdir()
        repository = Path(__file__).parents[2]
        (root / "conf").symlink_to(repository / "conf")
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "OMICS_TWIN"))},
            "TMPDIR": str(root / "tmp"),
            "HOME": str(root / "home"),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join([str(repository), os.environ.get("PYTHONPATH", "")]),
        }
        for name in ("SITE", "STORE") if SEALED else ("SITE",):
            path = root / "keys" / name
            path.write_text(secrets.token_hex(32))
            path.chmod(0o600)
            self.environment[f"OMICS_TWIN_{name}_KEY_FILE"] = str(path)

    def run(self, name: str, commands: list[Command]) -> None:
        """Run commands one after the other, each of which ends as expected."""
        asked = self.root / "given" / f"{name}.commands.json"
        asked.write_text(json.dumps(commands))
        with self.terminal(name) as (out, err):
            ended = subprocess.run(
                [sys.executable, "-c", _RUN, str(asked)],
                cwd=self.root,
                env=self.environment,
                stdout=out,
                stderr=err,
                timeout=600,
                check=False,
            )
        told = (self.root / "terminal" / f"{name}.out").read_text()
        err = (self.root / "terminal" / f"{name}.err").read_text()
        assert ended.returncode == 0, err[-3000:]
        assert "!!" not in told, told + err

    @contextmanager
    def terminal(self, name: str) -> Iterator[tuple[Any, Any]]:
        paths = (self.root / "terminal" / f"{name}.{end}" for end in ("out", "err"))
        first, second = paths
        with first.open("ab") as out, second.open("ab") as err:
            yield out, err


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    found = Place(tmp_path_factory.mktemp("canaries"))
    plant(found.root / "given")
    return found


SETTINGS = [
    "cohort=synthetic", "cohort.name=planted", "therapy=synthetic", "endpoint=pcr",
    "cohort.root=given/trial",
]  # fmt: skip
SMALL = [
    "experiment=synthetic_response", *SETTINGS, "trust.ledger=given/ledger.csv", "model=small",
    "split.folds=2", "split.replicas=1", "trainer.max_epochs=1",
    "trainer.checkpoint_every_epochs=1", "trainer.device=CPU", "twin.calibration=NONE",
    "tracking.register=true",
]  # fmt: skip


def test_every_canary_is_told_apart_in_every_encoding() -> None:
    assert len(CANARIES) >= 25
    search = Search(CANARIES)
    for name, value in CANARIES.items():
        assert all(name in search.within(b"__" + each + b"__") for each in needles(value)), name
    assert not search.within(b"a file without any of them, 0.123456, 17.3 and SYN0000001")


def test_nothing_of_a_patient_is_written_where_nobody_asked_for_it(place: Place) -> None:
    place.run("asked", [(0, ["train", *SMALL], ""), *_ask(), *_provoke(), *_keep(), *_follow()])
    _serve(place)
    found = Search(CANARIES).below(place.root, PERMITTED)
    left = {path: sorted(names - NAMED.get(path, set())) for path, names in found.items()}
    assert {path: names for path, names in left.items() if names} == {}


MODEL = "model_uri=RUN"


def _ask() -> list[Command]:
    patient = f"patient={CANARIES['patient of the cohort']}"
    new = f"patient={CANARIES['patient of update']}"
    other = f"patient={CANARIES['patient of a published twin']}"
    published = "model_uri=published:sunitinib"
    registered = "model_uri=models:/synthetic_response/1"
    ledger = "trust.ledger=given/ledger.csv"
    asked = [
        ["predict", registered, *SETTINGS, "output=asked/predictions.csv"],
        ["rank", MODEL, *SETTINGS, "output=asked/ranking.csv", ledger],
        ["rank", MODEL, *SETTINGS, patient, "excluded=true", "output=asked/r.fhir.json"],
        ["report", MODEL, *SETTINGS, patient, "output=asked/report.html"],
        ["evaluate", MODEL, *SETTINGS, "output=outputs/evaluation.json"],
        ["update", MODEL, new, "observation=given/visits.json"],
        ["update", MODEL, *SETTINGS, patient],
        ["simulate", MODEL, *SETTINGS, patient, "output=asked/plans.html"],
        ["update", published, other, "observation=given/size.json", "twin.draws=50"],
        ["simulate", published, other, "intervention=given/plans.json", "output=asked/dose.html"],
    ]
    return [(0, each, "") for each in asked]


def _provoke() -> list[Command]:
    """Return what is refused, each with a value of a patient in it."""
    nobody = f"patient={CANARIES['patient who is none']}"
    gone = f"patient={CANARIES['who withdrew']}"
    new = f"patient={CANARIES['patient of update']}"
    ledger, output = "trust.ledger=given/ledger.csv", "output=asked/none.html"
    asked = [
        *(
            ["rank", MODEL, *SETTINGS[:-1], f"cohort.root=given/{each}", "output=asked/none.csv"]
            for each in ("bad_level", "bad_number", "bad_range", "twice")
        ),
        ["report", MODEL, *SETTINGS, nobody, output],
        ["report", MODEL, *SETTINGS, gone, output, ledger],
        *(
            ["update", MODEL, new, f"observation=given/{each}.json"]
            for each in ("wrong_visit", "out_of_range", "torn")
        ),
        ["admit", "chart=sqlite:///other.db", "intake=fhir", "intake.path=given/bad_bundle.json",
         f"mapping={MAPPING}"],
        ["update", "model_uri=published:sunitinib", nobody, "observation=given/visits.json"],
    ]  # fmt: skip
    return [(1, each, "") for each in asked]


def _keep() -> list[Command]:
    chart, patient = "chart=sqlite:///chart.db", CANARIES["patient of the cohort"]
    asked = [
        ["admit", chart, MODEL, *SETTINGS, f"patient={patient}", "as_of_days=21"],
        ["admit", chart, MODEL, "intake=fhir", "intake.path=given/bundle.json",
         f"mapping={MAPPING}"],
        ["account", chart, f"account={CANARIES['account']}", "role=clinician"],
    ]  # fmt: skip
    return [(0, each, f"{CANARIES['password']}\n") for each in asked]


def _follow() -> list[Command]:
    """Return what is done with a twin that learns from visit to visit."""
    scans = ["experiment=tumour_size", "data_root=given", "split.folds=2", "twin.draws=50"]
    patient = f"patient={CANARIES['study']}/a/{CANARIES['patient of scans']}"
    model, chart = ["model_uri=LIVING", *scans[1:]], "chart=sqlite:///chart_living.db"
    own = [*model, "cohort=tumour_size"]
    asked = [
        ["train", *scans],
        ["update", *own, patient],
        ["simulate", *own, patient, "output=asked/scans.html"],
        ["admit", chart, *own, patient],
        ["monitor", *own, "output=outputs/monitor.html", "monitor.level=0.000001"],
    ]
    return [(0, each, "") for each in asked]


def _serve(place: Place) -> None:
    latest = json.loads((place.root / "outputs/synthetic_response/latest.json").read_text())
    model, port = f"model_uri={latest['run_folder']}", free_port()
    command = [sys.executable, "-m", "omics_twin", "serve", model, "cohort.root=none"]
    command += ["chart=sqlite:///chart.db", "log=log/audit.jsonl", "key=keys/audit.key"]
    command += ["anchor=anchor/anchor.json", f"serve.port={port}"]
    with (
        place.terminal("serve") as (out, err),
        subprocess.Popen(
            command, cwd=place.root, env=place.environment, stdout=out, stderr=err
        ) as server,
    ):
        try:
            _browse(place, f"http://127.0.0.1:{port}", server)
        finally:
            server.terminate()
            server.wait(timeout=20)


def _browse(place: Place, url: str, server: subprocess.Popen[bytes]) -> None:
    session = requests.Session()
    session.trust_env = False
    while b"page: " not in (place.root / "terminal/serve.out").read_bytes():
        assert server.poll() is None, (place.root / "terminal/serve.err").read_text()
    door = session.get(f"{url}/sign-in", timeout=30)
    form = {"name": CANARIES["account"], "password": CANARIES["wrong value of a form"],
            "csrf_token": token_in(door.text)}  # fmt: skip
    assert session.post(f"{url}/sign-in", form, timeout=60).status_code == 401
    form["password"] = CANARIES["password"]
    assert session.post(f"{url}/sign-in", form, timeout=60).status_code == 200
    words = session.get(f"{url}/", timeout=60).text
    (who,) = set(re.findall(r"/patient\?id=([^\"&#]+)", words))
    page = session.get(f"{url}/patient?id={who}", timeout=60).text
    number = re.findall(r'name="ranking" value="(\d+)"', page)[0]
    therapies = page[page.index('id="therapy"') : page.index('id="reason"')]
    therapy = re.findall(r'<option value="([^"]+)">', therapies)[-1]
    decision = {"ranking": number, "therapy": therapy, "csrf_token": token_in(page),
                "reason": CANARIES["reason of an override"]}  # fmt: skip
    assert session.post(f"{url}/decision?id={who}", decision, timeout=60).status_code == 200
    address = f"{url}/visit?id={who}&channel=radiomics@84"
    words = session.get(address, timeout=60).text
    visit = {
        "csrf_token": token_in(words), "day": "84",
        "key": re.findall(r'name="key" value="([^"]+)"', words)[0],
        "under": re.findall(r'<option value="([^"]+)" selected', words)[0],
        "tumour_volume_cm3": CANARIES["wrong value of a form"],
    }  # fmt: skip
    assert session.post(address, visit, timeout=60).status_code == 422
    visit["tumour_volume_cm3"] = str(CANARIES["value of a form"])
    assert session.post(address, visit, timeout=60).status_code == 200
    strange = CANARIES["part of an address"]
    for path in (
        f"/{strange}",
        f"/patient?id={strange}",
        f"/patient/{strange}",
        f"/?named={strange}",
    ):
        session.get(url + path, timeout=60)
    _score(url)


def _score(url: str) -> None:
    def ask(value: Any, **more: Any) -> requests.Response:
        visits = [{"day": 0, "values": {"clinical": {"age_years": value}}}]
        record = {"patient_id": CANARIES["record asked over HTTP"], "stratum": STRATUM,
                  "visits": visits, **more}  # fmt: skip
        return requests.post(f"{url}/invocations", json={"inputs": [record]}, timeout=60)

    value, known = CANARIES["value asked over HTTP"], CANARIES["patient of the cohort"]
    assert ask(value, patient_id=known).status_code == 200
    # Of somebody without a chart no consent is known.
    without = ask(value)
    assert without.status_code == 403
    assert not Search(CANARIES).within(without.content)
    for refused in (
        ask(CANARIES["value refused over HTTP"]),
        ask(CANARIES["level that is none"]),
        ask(50.0, note=CANARIES["free text"]),
        ask(50.0, stratum={"hr_positive": CANARIES["level that is none"]}),
    ):
        assert refused.status_code in (400, 422)
        assert not Search(CANARIES).within(refused.content)
    told = {"card": str(uuid.uuid4()), "comment": CANARIES["comment of a hospital"]}
    requests.post(f"{url}/cds-services/x/feedback", json=told, timeout=60)
