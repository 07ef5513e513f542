"""The key of an audit log is secret, long enough, and apart from the log."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from omics_twin.errors import AuditError
from omics_twin.trust.audit_key import VARIABLE, audit_key

CANARY = "KANARIE4711"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log" / "audit.jsonl"


def test_a_key_is_made_once_and_only_when_told(tmp_path: Path, path: Path) -> None:
    place = tmp_path / "keys" / "audit.key"
    with pytest.raises(AuditError, match="cannot be read"):
        audit_key(place, log=path)
    key = audit_key(place, log=path, create=True)
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert audit_key(place, log=path, create=True) == audit_key(place, log=path) == key
    assert list(place.parent.iterdir()) == [place]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o622])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, path: Path, mode: int) -> None:
    place = tmp_path / "audit.key"
    audit_key(place, log=path, create=True)
    place.chmod(mode)
    with pytest.raises(AuditError, match=f"has mode {mode:04o}, expected 0600"):
        audit_key(place, log=path)


@pytest.mark.parametrize(
    ("text", "fragment"),
    [(CANARY, "is not hexadecimal"), ("ab" * 31, "holds 31 bytes"), ("", "holds 0 bytes")],
)
def test_a_key_that_is_none_is_refused_and_not_repeated(
    tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch, text: str, fragment: str
) -> None:
    place = tmp_path / "audit.key"
    place.touch(0o600)
    place.write_text(text)
    monkeypatch.setenv(VARIABLE, text)
    for named in (place, None):
        with pytest.raises(AuditError, match=fragment) as refused:
            audit_key(named, log=path)
        assert CANARY not in str(refused.value)


def test_without_a_key_the_sentence_says_where_it_goes(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(AuditError, match=f"key=FILE or set {VARIABLE}"):
        audit_key(None, log=path)


def test_a_key_beside_its_log_is_refused(path: Path) -> None:
    with pytest.raises(AuditError, match="in the folder of the log"):
        audit_key(path.with_name("audit.key"), log=path, create=True)
