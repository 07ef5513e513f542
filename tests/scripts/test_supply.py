"""What was downloaded is compared with the lock, and what is not known is said."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from scripts.supply import lock, verify, vulnerabilities
from scripts.supply.installed import archives_in, locked_in

ROOT = Path(__file__).parents[2]


def reported(path: Path, **digests: str) -> Path:
    """Write a report as pip does."""
    items = [
        {
            "metadata": {"name": name, "version": "1.0"},
            "download_info": {"url": "x", "archive_info": {"hashes": {"sha256": digest}}},
            "is_yanked": digest == "withdrawn",
        }
        for name, digest in digests.items()
    ]
    own = {"metadata": {"name": "omics-twin", "version": "0"}, "download_info": {"dir_info": {}}}
    path.write_text(json.dumps({"install": [own, *items]}))
    return path


def test_a_lock_keeps_what_it_knows_and_leaves_the_build_of_torch_open(tmp_path: Path) -> None:
    written = tmp_path / "requirements.lock"
    lock.main(reported(tmp_path / "a.json", Numpy_Thing="aa", torch="bb"), written)
    lock.main(reported(tmp_path / "b.json", Numpy_Thing="cc", torch="dd"), written)
    assert locked_in(written) == {"numpy-thing==1.0": {"aa", "cc"}}


def test_another_file_an_unknown_one_and_a_withdrawn_one_are_told(tmp_path: Path) -> None:
    locked = {"a==1.0": {"aa"}, "c==1.0": {"withdrawn"}}
    report = reported(tmp_path / "r.json", a="changed", b="bb", c="withdrawn", torch="any")
    told = verify.mistakes(archives_in(report), locked)
    assert len(told) == 3
    assert "a==1.0 has SHA-256 changed" in told[0]
    assert "b==1.0 is not in the lock" in told[1]
    assert "c==1.0 was withdrawn" in told[2]
    fine = reported(tmp_path / "f.json", a="aa")
    assert verify.mistakes(archives_in(fine), locked) == []


def test_the_lock_holds_the_versions_of_the_constraints() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {line for line in lines if "==" in line and not line.startswith("#")}
    names = {each.partition("==")[0].replace(".", "-"): each.partition("==")[2] for each in pinned}
    for release in locked_in(ROOT / "requirements.lock"):
        name, _, version = release.partition("==")
        assert names.get(name, version) == version, release


def test_a_vulnerability_is_told_and_silence_is_not_taken_for_safety() -> None:
    vulnerable = {"name": "a", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}]}
    skipped = {"name": "b", "skip_reason": "not found"}
    lines, known, unknown = vulnerabilities.told({"dependencies": [vulnerable, skipped]})
    assert lines == ["a 1: CVE-1, mended in 2"]
    assert (known, unknown) == (1, 1)


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.7"])
def test_runs_are_shown_to_others_only_with_a_sign_in(host: str) -> None:
    open_to_all = {**os.environ, "OMICS_TWIN_TRACKING_HOST": host, "OMICS_TWIN_MLFLOW": "echo"}
    told = subprocess.run(
        ["scripts/tracking"], cwd=ROOT, env=open_to_all, capture_output=True, text=True, check=False
    )
    assert told.returncode == 1
    assert "MLFLOW_FLASK_SERVER_SECRET_KEY" in told.stderr
    signed = {"MLFLOW_FLASK_SERVER_SECRET_KEY": "x" * 32, "OMICS_TWIN_TRACKING_NAMES": "runs.org"}
    told = subprocess.run(
        ["scripts/tracking"], cwd=ROOT, env={**open_to_all, **signed}, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    assert "--app-name basic-auth" in told.stdout
    assert "--allowed-hosts runs.org" in told.stdout


def test_runs_are_shown_to_this_machine_alone_otherwise() -> None:
    alone = {**os.environ, "OMICS_TWIN_MLFLOW": "echo"}
    told = subprocess.run(
        ["scripts/tracking"], cwd=ROOT, env=alone, capture_output=True, text=True, check=True
    )
    assert "--host 127.0.0.1" in told.stdout
    assert "--allowed-hosts localhost:5000,127.0.0.1:5000" in told.stdout
