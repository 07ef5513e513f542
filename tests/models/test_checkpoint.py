"""A kill at any moment leaves a whole checkpoint behind, and a damaged one is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from omics_twin.errors import TrainingError
from omics_twin.models.checkpoint import SafeCheckpoints, last_checkpoint

CONTENT = {
    "epoch": 4,
    "state_dict": {"a.b": torch.arange(6).reshape(2, 3), "empty": torch.zeros(0)},
    "optimizer_states": [{"state": {0: {"step": torch.tensor(3.0)}}, "betas": (0.9, 0.999)}],
    "loops": {"nested": [1, None, True, "text", {"deep": ()}]},
}


def saved(folder: Path, epoch: int = 4) -> Path:
    path = folder / f"epoch-{epoch + 1:05d}.safetensors"
    SafeCheckpoints().save_checkpoint({**CONTENT, "epoch": epoch}, path)
    return path


def test_nested_content_comes_back_with_its_types(tmp_path: Path) -> None:
    found = SafeCheckpoints().load_checkpoint(saved(tmp_path))
    assert found.keys() == CONTENT.keys()
    assert torch.equal(found["state_dict"]["a.b"], CONTENT["state_dict"]["a.b"])
    assert found["state_dict"]["empty"].shape == (0,)
    [optimiser] = found["optimizer_states"]
    assert optimiser["betas"] == (0.9, 0.999)
    assert torch.equal(optimiser["state"][0]["step"], torch.tensor(3.0))
    assert found["loops"] == CONTENT["loops"]


def test_what_is_neither_tensor_nor_plain_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"a checkpoint holds a \w*Path"):
        SafeCheckpoints().save_checkpoint(
            {"epoch": 0, "where": tmp_path}, tmp_path / "epoch-00001.safetensors"
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", [0, 9, 200, -1])
def test_a_flipped_bit_is_refused(tmp_path: Path, place: int) -> None:
    path = saved(tmp_path)
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(TrainingError, match="was changed after it was written"):
        SafeCheckpoints().load_checkpoint(path)


def test_a_new_checkpoint_takes_the_place_of_the_older_ones(tmp_path: Path) -> None:
    saved(tmp_path, 0)
    path = saved(tmp_path, 4)
    assert [each.name for each in tmp_path.glob("*.safetensors")] == [path.name]
    assert last_checkpoint(tmp_path) == path


def test_until_the_pointer_is_written_the_earlier_checkpoint_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = saved(tmp_path, 0)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("omics_twin.models.checkpoint.write_json", killed)
    with pytest.raises(KeyboardInterrupt):
        saved(tmp_path, 4)
    assert last_checkpoint(tmp_path) == first
    assert SafeCheckpoints().load_checkpoint(first)["epoch"] == 0


def test_a_folder_without_a_pointer_holds_no_checkpoint(tmp_path: Path) -> None:
    assert last_checkpoint(tmp_path) is None


@pytest.mark.parametrize(
    "pointer", ["{", "[]", "{}", json.dumps({"file": "../epoch-00001.safetensors", "sha256": "0"})]
)
def test_a_damaged_pointer_is_refused(tmp_path: Path, pointer: str) -> None:
    saved(tmp_path)
    (tmp_path / "last.json").write_text(pointer)
    with pytest.raises(TrainingError, match="is damaged: delete its folder"):
        last_checkpoint(tmp_path)


def test_a_pointer_to_a_file_that_is_gone_is_refused(tmp_path: Path) -> None:
    saved(tmp_path).unlink()
    with pytest.raises(TrainingError, match=r"'epoch-00005.safetensors', which is not there"):
        last_checkpoint(tmp_path)
