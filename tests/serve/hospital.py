"""A real server with a chart of a few patients, asked by a browser and by a hospital's system."""

from __future__ import annotations

import io
import json
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import jwt
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import ec

from omics_twin.asked import read_cohort
from omics_twin.audited import witness_of
from omics_twin.chart.store import Chart
from omics_twin.cli import main
from omics_twin.config import load
from omics_twin.desk import admitted
from omics_twin.report.console import Console
from omics_twin.told import RecordedVisit
from omics_twin.trust.consent import Decision, Entry, Purpose
from tests.conftest import SmallRun

PASSWORD = "correct horse battery"
CANARY = "KANARIE4711"
LEAVING = "GEHT4712"
WITHDRAWN = "SYN0000002"
ISSUER = "https://hospital.example"
KEY = "k1"
STRATUM = {"hr_positive": "1", "her2_positive": "0"}


@dataclass(frozen=True)
class Running:
    """Where the server is, what it keeps, and the key that the hospital signs with."""

    url: str
    chart: str
    log: Path
    key: Path
    anchor: Path
    signing: ec.EllipticCurvePrivateKey
    run: SmallRun

    def token(self, path: str, **changed: Any) -> str:
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "aud": self.url + path,
            "iat": now,
            "exp": now + 60,
            "jti": str(uuid.uuid4()),
            **changed,
        }
        return jwt.encode(claims, self.signing, algorithm="ES384", headers={"kid": KEY})

    def signed_in(self, name: str) -> requests.Session:
        session = requests.Session()
        door = session.get(f"{self.url}/sign-in", timeout=30)
        form = {"name": name, "password": PASSWORD, "csrf_token": token_in(door.text)}
        assert session.post(f"{self.url}/sign-in", form, timeout=60).status_code == 200
        return session


def token_in(page: str) -> str:
    """Return what the form of a page must send back."""
    return page.partition('name="csrf_token" value="')[2].partition('"')[0]


def with_account(chart: str, name: str, role: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(PASSWORD + "\n"))
    assert main(["account", f"chart={chart}", f"account={name}", f"role={role}"]) == 0


@contextmanager
def running(small_run: SmallRun, folder: Path) -> Iterator[Running]:
    """Yield a server of the small run's twin, with patients, accounts and a hospital's keys."""
    chart = f"sqlite:///{folder / 'chart.db'}"
    for each in ("log", "key", "anchor"):
        (folder / each).mkdir()
    key = folder / "key" / "audit.key"
    key.write_text("ab" * 32)
    key.chmod(0o600)
    trial = f"synthetic_root={small_run.trial}"
    config = load("admit", [f"chart={chart}", "cohort=synthetic", trial, "as_of_days=21"])
    quiet = Console(quiet=True)
    cohort = read_cohort(config, quiet, Purpose.SCORING)
    few = cohort.select(cohort.patient_ids[:3])
    assert admitted(config, few, None, witness_of(config, quiet), quiet)[0] == 3
    with pytest.MonkeyPatch.context() as patched:
        for role in ("clinician", "scientist", "auditor"):
            with_account(chart, role, role, patched)
    with closing(Chart.open(chart)) as opened:
        values = {"clinical": {"age_years": 51.5, "stage": "II"}}
        for each in (CANARY, LEAVING):
            opened.add_patient(each, by="test", stratum=STRATUM)
            opened.add_consent(Entry(each, Decision.GRANT, "scoring", date(2026, 1, 1)), by="test")
            opened.add_visit(each, RecordedVisit(values=values), key="first", by="test")
        day = date.today()
        opened.add_consent(Entry(WITHDRAWN, Decision.WITHDRAW, "scoring", day), by="test")
    signing = ec.generate_private_key(ec.SECP384R1())
    public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(signing.public_key()))
    keys = folder / "keys.json"
    keys.write_text(json.dumps({"keys": [{**public, "kid": KEY, "alg": "ES384"}]}))
    port = free_port()
    command = [sys.executable, "-m", "omics_twin", "serve", f"model_uri={small_run.run}", trial]
    command += [f"chart={chart}", f"log={folder / 'log' / 'audit.jsonl'}", f"key={key}"]
    command += [f"anchor={folder / 'anchor' / 'anchor.json'}", f"serve.port={port}"]
    command += [f"serve.hospital_keys={keys}", f"serve.hospital_issuer={ISSUER}"]
    command += ["mapping=conf/fhir/synthetic.yaml"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        assert any("page: " in line for line in server.stdout), server.stderr.read()  # type: ignore[union-attr]
        try:
            yield Running(
                f"http://127.0.0.1:{port}",
                chart,
                folder / "log" / "audit.jsonl",
                key,
                folder / "anchor" / "anchor.json",
                signing,
                small_run,
            )
        finally:
            server.terminate()
            told = "".join(server.communicate(timeout=20))
        assert CANARY not in told
        assert "Traceback" not in told


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
