"""The folder of the shipped configuration, and what it offers."""

from __future__ import annotations

from pathlib import Path


def config_folder() -> Path:
    """Return the folder of the shipped configuration, in a checkout or an installation."""
    package = Path(__file__).resolve().parent.parent
    return next(each for each in (package / "conf", package.parent / "conf") if each.is_dir())


# Folders whose files are named by their path, and choose nothing of a run.
_NAMED_BY_PATH = frozenset({"fhir"})


def options(group: str) -> list[str]:
    """Return the choices of a config group."""
    return sorted(each.stem for each in (config_folder() / group).glob("*.yaml"))


def groups() -> list[str]:
    """Return the names of the config groups."""
    folders = (each.name for each in config_folder().iterdir() if each.is_dir())
    return sorted(each for each in folders if each not in _NAMED_BY_PATH)
