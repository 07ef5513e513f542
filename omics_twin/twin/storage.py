"""A neural or hybrid twin on disk: safetensors and JSON under a SHA-256 manifest; no pickle."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from omics_twin.errors import ModelError, OmicsTwinError, quoted
from omics_twin.files import json_of, read_checked, write_json, write_manifest, write_whole
from omics_twin.models.build import FADE, restored_network
from omics_twin.models.companion import Companion
from omics_twin.tensors.design import Design
from omics_twin.twin.course import Course
from omics_twin.twin.hybrid import HybridTwin
from omics_twin.twin.likeness import Likeness
from omics_twin.twin.neural import Membership, NeuralTwin
from omics_twin.twin.reference import Reference

# Earlier versions can answer with a network alone, and with trees beside it, but know neither
# causes nor effects that fade.
_ALONE, _WITH_TREES, FORMAT = 1, 2, 3
_WEIGHTS, _TWIN = "weights.safetensors", "twin.json"
_COURSE = (
    "days",
    "offset",
    "level",
    "response",
    "effects",
    "covariance",
    "tails",
    "lowest",
)


def save_twin(
    folder: Path,
    twin: NeuralTwin | HybridTwin,
    record: Mapping[str, Any],
    likeness: Likeness | None = None,
    reference: Reference | None = None,
) -> None:
    """Write a twin and a JSON record of what else belongs to it; whole or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    try:
        tensors = {f"network.{k}": v.contiguous() for k, v in twin.network.state_dict().items()}
        if not _fades(twin.proposal):
            tensors.pop(f"network.{FADE}", None)
        tensors["membership.digests"] = twin.membership.digests
        tensors["membership.seen"] = twin.membership.seen
        if isinstance(twin, HybridTwin):
            tensors |= {f"course.{k}": getattr(twin.course, k).contiguous() for k in _COURSE}
        companion = twin.proposal.companion
        if companion is not None:
            of_one_head = () if twin.network.outcome.event else ("causes",)
            tensors |= {
                f"companion.{k}": v
                for k, v in companion.to_tensors().items()
                if k not in of_one_head
            }
        if likeness is not None:
            tensors |= {f"likeness.{k}": v for k, v in likeness.to_tensors().items()}
        if reference is not None:
            tensors |= {f"reference.{k}": v for k, v in reference.to_tensors().items()}
        write_whole(temporary / _WEIGHTS, save(tensors))
        stored = {
            "format": _format(twin.proposal),
            "name": twin.name,
            "agents": list(twin.agents),
            "salt": twin.membership.salt,
            "spread": [twin.membership.spread, twin.membership.spread_new],
            "heads": [head.described() for _, head in twin.network.outcome.parts],
            "event": twin.network.outcome.event,
            "design": twin.design.to_json(),
            "course": twin.course.modality if isinstance(twin, HybridTwin) else None,
            "record": record,
        }
        write_json(temporary / _TWIN, stored)
        write_manifest(temporary)
        temporary.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        temporary.rename(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _fades(twin: NeuralTwin) -> bool:
    effects = twin.network.outcome.effects
    return effects is not None and bool((effects.fade != 0.0).any())


def _format(twin: NeuralTwin) -> int:
    if twin.network.outcome.event or _fades(twin):
        return FORMAT
    return _ALONE if twin.companion is None else _WITH_TREES


Stored = tuple[NeuralTwin | HybridTwin, dict[str, Any], Likeness | None, Reference | None]


def load_twin(folder: Path) -> Stored:
    """Return a twin, its record, and what the training patients look like where that is known.

    That is told in two ways: how unusual a patient is, and how often each feature had which value.

    Every file is checked before anything is read.

    Raises
    ------
    ModelError
        If the folder holds no model, a damaged one, or one of a later format.
    """
    content = read_checked(folder)
    with readable(folder):
        return _twin_of(folder, content)


@contextmanager
def readable(folder: Path) -> Iterator[None]:
    """Name the folder whose content, though unchanged, is no model of this format.

    Raises
    ------
    ModelError
        If a part is absent or does not fit the others.
    """
    try:
        yield
    except OmicsTwinError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError, SafetensorError) as e:
        found = " ".join(str(e).split())[:160]
        raise ModelError(
            f"model '{folder}' cannot be read ({type(e).__name__}: {found}): "
            "save it again with this version"
        ) from e


def _twin_of(folder: Path, content: Mapping[str, bytes]) -> Stored:
    stored = json_of(content[_TWIN])
    if stored["format"] > FORMAT:
        raise ModelError(
            f"model '{folder}' has format {stored['format']}, this version reads up to {FORMAT}: "
            "install a later omics_twin"
        )
    tensors = load(content[_WEIGHTS])
    weights = part_of(tensors, "network.")
    design = Design.from_json(stored["design"])
    course = stored.get("course")
    learned = design if course is None else design.before_treatment()
    channels = [channel.name for channel in learned.channels]
    network = restored_network(channels, stored["heads"], weights, stored.get("event", ""))
    twin = NeuralTwin(
        name=stored["name"],
        network=network.eval().requires_grad_(False),
        design=learned,
        agents=tuple(stored["agents"]),
        membership=Membership(
            stored["salt"],
            tensors["membership.digests"],
            tensors["membership.seen"].to(torch.bool),
            *stored["spread"],
        ),
        companion=Companion.from_tensors(part_of(tensors, "companion.")),
    )
    likeness = Likeness.from_tensors(part_of(tensors, "likeness."))
    reference = Reference.from_tensors(part_of(tensors, "reference."))
    if course is None:
        return twin, stored["record"], likeness, reference
    absent = [name for name in _COURSE if f"course.{name}" not in tensors]
    if absent:
        raise ModelError(
            f"model '{folder}' holds a course of an earlier version, without {quoted(absent)}: "
            "train it again with this version"
        )
    parts = {name: tensors[f"course.{name}"] for name in _COURSE}
    hybrid = HybridTwin(twin, Course(course, **parts), design)
    return hybrid, stored["record"], likeness, reference


def part_of(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """Return the tensors whose names begin alike, without that beginning."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
