"""A key is found where it was put, and refused where others can read it."""

from __future__ import annotations

from pathlib import Path

import pytest

from omics_twin.errors import PrivacyError
from omics_twin.trust.keys import SITE, make_key, named_key


def test_a_key_is_found_in_the_environment_or_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(SITE, raising=False)
    monkeypatch.delenv(f"{SITE}_FILE", raising=False)
    assert named_key(SITE) is None
    path = tmp_path / "keys" / "site"
    make_key(path, "key")
    first = path.read_text()
    make_key(path, "key")
    monkeypatch.setenv(f"{SITE}_FILE", str(path))
    assert named_key(SITE) == bytes.fromhex(first)
    monkeypatch.setenv(SITE, "ab" * 32)
    assert named_key(SITE) == bytes([0xAB] * 32)


@pytest.mark.parametrize(
    ("text", "told"), [("xyz", "not hexadecimal"), ("ab", "holds 1 bytes"), ("", "holds 0 bytes")]
)
def test_what_is_no_key_gets_a_sentence(
    text: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SITE, text)
    with pytest.raises(PrivacyError, match=told):
        named_key(SITE)


def test_a_file_that_others_read_or_that_lies_in_the_project_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "site"
    path.write_text("ab" * 32)
    path.chmod(0o644)
    monkeypatch.setenv(f"{SITE}_FILE", str(path))
    with pytest.raises(PrivacyError, match="expected 0600"):
        named_key(SITE)
    monkeypatch.setenv(f"{SITE}_FILE", str(tmp_path / "none"))
    with pytest.raises(PrivacyError, match="cannot be read"):
        named_key(SITE)
    inside = Path(__file__).resolve().parents[2] / "site.key"
    monkeypatch.setenv(f"{SITE}_FILE", str(inside))
    with pytest.raises(PrivacyError, match="in the project's folder"):
        named_key(SITE)
