"""A file is written whole or not at all, and checked before it is read."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from omics_twin.errors import ModelError
from omics_twin.files import read_checked, write_json, write_manifest, write_whole


def folder_of(path: Path, **files: bytes) -> Path:
    path.mkdir()
    for name, content in files.items():
        (path / name).write_bytes(content)
    write_manifest(path)
    return path


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    write_whole(tmp_path / "new" / "a.bin", b"old and longer")
    write_whole(tmp_path / "new" / "a.bin", b"new")
    assert (tmp_path / "new" / "a.bin").read_bytes() == b"new"
    assert [each.name for each in (tmp_path / "new").iterdir()] == ["a.bin"]


def test_a_write_that_fails_leaves_the_old_content_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_whole(tmp_path / "a.bin", b"old")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "a.bin", b"new")
    assert (tmp_path / "a.bin").read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["a.bin"]


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_what_is_not_json_is_not_written(tmp_path: Path, number: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"loss": number})
    assert list(tmp_path.iterdir()) == []


def test_json_comes_back(tmp_path: Path) -> None:
    content = {"name": "Müller · ± 1", "values": [1, 2.5, None]}
    write_json(tmp_path / "a.json", content)
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == content


def test_a_checked_folder_gives_the_content_of_every_file(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "model", a=b"1", b=b"2")
    assert read_checked(folder) == {"a": b"1", "b": b"2"}


def test_a_changed_added_or_missing_file_is_refused(tmp_path: Path) -> None:
    changed = folder_of(tmp_path / "changed", a=b"1")
    (changed / "a").write_bytes(b"2")
    with pytest.raises(ModelError, match="was changed after it was saved"):
        read_checked(changed)
    added = folder_of(tmp_path / "added", a=b"1")
    (added / "b").write_bytes(b"2")
    with pytest.raises(ModelError, match="holds files 'a', 'b', its manifest lists 'a'"):
        read_checked(added)
    missing = folder_of(tmp_path / "missing", a=b"1", b=b"2")
    (missing / "b").unlink()
    with pytest.raises(ModelError, match="holds files 'a', its manifest lists 'a', 'b'"):
        read_checked(missing)


@pytest.mark.parametrize("manifest", [b"{", b"[]", b"\xff\xfe", b"null"])
def test_a_damaged_manifest_is_refused(tmp_path: Path, manifest: bytes) -> None:
    folder = folder_of(tmp_path / "model", a=b"1")
    (folder / "manifest.json").write_bytes(manifest)
    with pytest.raises(ModelError, match="is damaged"):
        read_checked(folder)


def test_a_folder_without_a_manifest_holds_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds no model"):
        read_checked(tmp_path)
