"""A neoadjuvant platform trial whose truth is known, written as the tables of a cohort.

The tables stand in the cohort's root; what is true, and what no twin may see, stands aside in
its folder ``truth``.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from omics_twin.errors import ConfigError, IntakeError
from omics_twin.files import json_of
from omics_twin.intake.synthetic_trial import Assignment, SyntheticTrial

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Assignment", "SyntheticTrial", "assignment_of", "generate", "holds_truth", "read_truth"]

VERSION = 2
"""Changes whenever the same settings would give other tables."""

_SETTINGS = "trial.json"


def generate(
    trial: SyntheticTrial,
    root: Path,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write a trial's tables into a folder, all of them or none.

    Memory is bounded by ``trial.chunk`` x ``trial.genes``, whatever the number of patients. A
    folder that already holds the same trial is left as it is.

    Parameters
    ----------
    trial
        The settings.
    root
        Folder to make; it may exist if it is empty.
    progress
        Called after each chunk with the patients written and their total.

    Raises
    ------
    ConfigError
        If the folder holds something else, or cannot be written.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     generate(SyntheticTrial(patients=50, genes=200), Path(folder) / "trial")
    ...     len(read_truth(Path(folder) / "trial"))
    50
    """
    if _holds(trial, root):
        return
    partial = root.parent / f".{root.name}.{uuid4().hex[:8]}.partial"
    try:
        (partial / "truth").mkdir(parents=True)
        _write_tables(trial, partial, progress)
        (partial / _SETTINGS).write_text(_stored(trial), encoding="utf-8")
        # Somebody else may have finished the same trial meanwhile.
        if not _holds(trial, root):
            if root.exists():
                root.rmdir()
            partial.rename(root)
    except OSError as error:
        raise ConfigError(
            f"folder '{root}' cannot be written ({error.strerror or error}): choose another folder"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def holds_truth(root: str) -> bool:
    """Return whether a cohort's root is a synthetic trial's; a cohort of parts has no root.

    Examples
    --------
    >>> holds_truth("")
    False
    """
    return bool(root) and (Path(root) / "truth").is_dir()


def read_truth(root: Path) -> pd.DataFrame:
    """Return what is true of each patient of a synthetic trial.

    Parameters
    ----------
    root
        The folder given to :func:`generate`.

    Returns
    -------
    pandas.DataFrame
        One row per patient, indexed by ``patient_id``. For every arm ``p_response::<arm>`` the
        probability of response, ``response::<arm>`` the response the patient would have had,
        ``pfs_days::<arm>`` the mean progression-free time restricted to five years [day] and
        ``propensity::<arm>`` the probability of having been given the arm; for every pathway
        ``activity::<pathway>``.

    Raises
    ------
    IntakeError
        If the folder holds no truth.
    """
    import pandas as pd

    from omics_twin.intake.synthetic_tables import TRUTH

    path = root / TRUTH
    if not path.is_file():
        raise IntakeError(
            f"folder '{root}' holds no '{TRUTH}', expected a synthetic trial: generate one there, "
            "or evaluate against observed outcomes instead"
        )
    return pd.read_parquet(path).set_index("patient_id")


def assignment_of(root: Path) -> Assignment:
    """Return how patients of a synthetic trial came to their regimen, as its folder records it.

    Raises
    ------
    ConfigError
        If the folder holds no synthetic trial.
    """
    return Assignment(_found(root)["settings"]["assignment"])


def _stored(trial: SyntheticTrial) -> str:
    return json.dumps({"version": VERSION, "settings": trial.settings()}, indent=2) + "\n"


def _holds(trial: SyntheticTrial, root: Path) -> bool:
    """Return whether the folder holds this trial; refuse a folder that holds anything else."""
    if not root.exists():
        return False
    if not root.is_dir():
        raise ConfigError(f"'{root}' is a file, expected a folder: choose another folder")
    if not any(root.iterdir()):
        return False
    found = _found(root)
    wanted = json.loads(_stored(trial))
    if found == wanted:
        return True
    if found.get("version") != VERSION:
        raise ConfigError(
            f"folder '{root}' holds a synthetic trial of version {found.get('version')}, expected "
            f"version {VERSION}: choose another folder or remove this one"
        )
    stored = found["settings"]
    other = ", ".join(
        f"'{name}' {stored.get(name)!r} instead of {value!r}"
        for name, value in wanted["settings"].items()
        if stored.get(name) != value
    )
    raise ConfigError(
        f"folder '{root}' holds another synthetic trial ({other}): choose another folder or "
        "remove this one"
    )


def _found(root: Path) -> dict[str, Any]:
    """Return what the folder's own description says."""
    try:
        found = json_of((root / _SETTINGS).read_bytes())
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("settings"), dict):
        raise ConfigError(
            f"folder '{root}' is not empty and has no readable '{_SETTINGS}', expected an empty "
            "folder or a synthetic trial: choose another folder"
        )
    return found


def _write_tables(
    trial: SyntheticTrial, folder: Path, progress: Callable[[int, int], None] | None
) -> None:
    import pyarrow.parquet as pq

    from omics_twin.intake.synthetic_tables import chunk_tables, laboratory

    lab = laboratory(trial)
    with ExitStack() as stack:
        writers: dict[str, pq.ParquetWriter] = {}
        for chunk in range(-(-trial.patients // trial.chunk)):
            for name, table in chunk_tables(trial, lab, chunk).items():
                if name not in writers:
                    writer = pq.ParquetWriter(
                        folder / name, table.schema, compression="zstd", write_page_checksum=True
                    )
                    writers[name] = stack.enter_context(writer)
                writers[name].write_table(table, row_group_size=max(len(table), 1))
            if progress is not None:
                progress(min((chunk + 1) * trial.chunk, trial.patients), trial.patients)
