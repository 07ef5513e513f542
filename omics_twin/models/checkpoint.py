"""Checkpoints as safetensors and JSON: atomic, checked, and free of pickle."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins.io import CheckpointIO
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from omics_twin.errors import TrainingError
from omics_twin.files import json_of, sha256, write_json, write_whole

_POINTER = "last.json"
_FILE = re.compile(r"epoch-\d+\.safetensors")
_FORMAT = 1
_UNREADABLE = (
    *(ValueError, LookupError, TypeError, AttributeError, RuntimeError),
    *(OverflowError, SafetensorError),
)


class SafeCheckpoints(CheckpointIO):
    """Lightning's checkpoints in one file of tensors with the rest as JSON in its header.

    A pointer with the file's SHA-256 is written last: until then the previous checkpoint is the
    one that counts, so a kill at any moment leaves a whole checkpoint behind.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write the checkpoint, then the pointer, then remove older ones."""
        path = Path(path)
        tensors: dict[str, Tensor] = {}
        structure = _split(checkpoint, tensors)
        content = save(tensors, metadata={"structure": json.dumps(structure)})
        write_whole(path, content)
        pointer = {
            "format": _FORMAT,
            "file": path.name,
            "sha256": sha256(content),
            "epochs_completed": checkpoint["epoch"] + 1,
        }
        write_json(path.parent / _POINTER, pointer)
        for other in path.parent.glob("*.safetensors"):
            if other.name != path.name:
                other.unlink(missing_ok=True)

    def load_checkpoint(self, path: str | Path, *_: Any, **__: Any) -> dict[str, Any]:
        """Return the checkpoint, checked against the pointer's digest."""
        path = Path(path)
        pointer = _pointer(path.parent)
        content = path.read_bytes()
        if sha256(content) != pointer["sha256"]:
            raise TrainingError(
                f"checkpoint '{path}' was changed after it was written (SHA-256 differs): "
                "delete its folder to train from the start"
            )
        try:
            size = int.from_bytes(content[:8], "little")
            header = json_of(content[8 : 8 + size])
            structure = json_of(header["__metadata__"]["structure"].encode())
            return _join(structure, load(content))
        except _UNREADABLE as error:
            raise TrainingError(
                f"'{path}' is no checkpoint of this version: delete its folder to train from the "
                "start"
            ) from error

    def remove_checkpoint(self, path: str | Path) -> None:
        """Delete a checkpoint file."""
        Path(path).unlink(missing_ok=True)


def last_checkpoint(folder: Path) -> Path | None:
    """Return the checkpoint that counts, if there is one.

    Raises
    ------
    TrainingError
        If the pointer is damaged, or names a file that is not there.
    """
    pointer = folder / _POINTER
    if not pointer.is_file():
        return None
    path = folder / _pointer(folder)["file"]
    if not path.is_file():
        raise TrainingError(
            f"'{pointer}' names '{path.name}', which is not there: "
            "delete the folder to train from the start"
        )
    return path


def _pointer(folder: Path) -> dict[str, Any]:
    try:
        pointer = json_of((folder / _POINTER).read_bytes())
        if not (_FILE.fullmatch(pointer["file"]) and pointer["sha256"]):
            raise ValueError("it names no checkpoint")
    except (ValueError, LookupError, TypeError) as error:
        raise TrainingError(
            f"'{folder / _POINTER}' is damaged: delete its folder to train from the start"
        ) from error
    return pointer


class EveryFewEpochs(Checkpoint):
    """Ask the trainer for a checkpoint at the end of every few epochs.

    Derives from Lightning's ``Checkpoint`` so that it runs after the module's own end of epoch.
    """

    def __init__(self, folder: Path, every: int) -> None:
        self.folder = folder
        self.every = every

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Save where the epoch number is a multiple, and at the end."""
        done = trainer.current_epoch + 1
        if done % self.every == 0 or trainer.should_stop:
            # The second argument asks for the optimiser's state beside the weights.
            trainer.save_checkpoint(self.folder / f"epoch-{done:05d}.safetensors", False)


def _split(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Return the value as JSON, its tensors moved to ``tensors``."""
    if isinstance(value, Tensor):
        name = f"t{len(tensors)}"
        tensors[name] = value.detach().cpu().contiguous().clone()
        return {"tensor": name}
    if isinstance(value, dict):
        items = [[key, _split(each, tensors)] for key, each in value.items()]
        return {"dict": items}
    if isinstance(value, tuple):
        return {"tuple": [_split(each, tensors) for each in value]}
    if isinstance(value, list):
        return [_split(each, tensors) for each in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(
        f"a checkpoint holds a {type(value).__name__}: expected tensors and plain values"
    )


def _join(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_join(each, tensors) for each in value]
    if isinstance(value, dict):
        [(kind, content)] = value.items()
        if kind == "tensor":
            return torch.clone(tensors[content])
        if kind == "tuple":
            return tuple(_join(each, tensors) for each in content)
        return {key: _join(each, tensors) for key, each in content}
    return value
