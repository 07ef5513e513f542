"""Seal the files of a store with another key, so that an interruption loses nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from omics_twin.errors import PrivacyError
from omics_twin.files import write_whole
from omics_twin.trust.vault import is_sealed, mark_of, opened, seal, sealed_with

# What holds a row of each patient: beliefs, and predictions of those held out.
_OF_PATIENTS = ("beliefs/*.json", "baselines/*.safetensors", "predictions/*.safetensors")


def reseal(folder: Path, old: bytes | None, new: bytes) -> int:
    """Return how many files below a folder were sealed with a new key.

    Each takes the place of the one before at once. Files that have the new key are left as they
    are, so that who was interrupted runs it again.

    Parameters
    ----------
    old
        Key that files are sealed with; ``None``: there was none, and what holds patients is sealed
        for the first time.

    Raises
    ------
    PrivacyError
        If a file was sealed with a third key, or is damaged; those before it are done.
    """
    done = 0
    for path in _stored(folder):
        content = path.read_bytes()
        if is_sealed(content):
            if sealed_with(content) == mark_of(new):
                continue
            content = _opened(path, content, old)
        write_whole(path, seal(content, new))
        done += 1
    return done


def _stored(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder that are sealed or should be."""
    own = {each for pattern in _OF_PATIENTS for each in folder.rglob(pattern)}
    if folder.name == "beliefs":
        own |= set(folder.glob("*.json"))
    for path in sorted(folder.rglob("*")):
        if path.is_file() and (path in own or _begins_sealed(path)):
            yield path


def _begins_sealed(path: Path) -> bool:
    with path.open("rb") as stream:
        return is_sealed(stream.read(64))


def _opened(path: Path, content: bytes, old: bytes | None) -> bytes:
    if old is None:
        raise PrivacyError(f"'{path}' is sealed: set the key it has, beside the new one")
    try:
        return opened(content, old)
    except PrivacyError as error:
        raise PrivacyError(f"'{path}' cannot be opened: {error}") from None
