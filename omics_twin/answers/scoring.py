"""More patients than one request holds: read in blocks, answered, written part by part.

A part is written whole, with a digest of all that it rests on: the model, the settings, the
patients' records and what they permit on the day. Who starts again keeps the parts whose digest is
still the same, and no others: a patient who withdrew since is not in the answer.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from omics_twin.answers.beliefs import draws_of
from omics_twin.answers.together import Answering, Block, answers_to
from omics_twin.cohort.cohort import Cohort
from omics_twin.cohort.records import records_in
from omics_twin.errors import ConfigError, IntakeError, quoted
from omics_twin.files import alone, json_of, sha256, write_json, write_whole
from omics_twin.lifecycle.validity import policy_of
from omics_twin.settings import ScoreSettings, TwinSettings
from omics_twin.told import PatientRecord
from omics_twin.tracking import TrainedModel, commit
from omics_twin.trust.consent import Permission
from omics_twin.trust.privacy import Pseudonyms, called_by

SUMMARY = "_score.json"
"""Written last, beside the parts; readers of Parquet folders pass over it."""
_PATIENT, _RECORD = "patient_id", "record"

Rows = Iterator[tuple[str, str]]


@dataclass(frozen=True)
class Scored:
    """What became of the patients.

    Attributes
    ----------
    patients, unanswered
        How many there are, and how many of them have a reason instead of a ranking.
    parts, kept
        Files that hold the answers, and how many of them were there already.
    """

    patients: int
    unanswered: int
    parts: int
    kept: int


def rows_of_file(path: Path, names: Pseudonyms | None = None) -> tuple[int, Rows]:
    """Return how many patients a Parquet file, or a folder of such, holds, and each one's record.

    Columns are ``patient_id`` and ``record``, JSON text ``{"stratum": …, "visits": […]}``.

    Parameters
    ----------
    names
        What patients are called at this site; None: as in the file.

    Raises
    ------
    IntakeError
        If there is none, or one is not as it should be.
    """
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not files:
        raise IntakeError(f"folder '{path}' holds no file that ends in .parquet: name another")
    return sum(_opened(each).metadata.num_rows for each in files), _rows_in(files, names)


def _opened(path: Path) -> pq.ParquetFile:
    try:
        found = pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise IntakeError(f"'{path}' is no Parquet file: write patients' records to one") from error
    kinds = {each.name: each.type for each in found.schema_arrow}
    text = (pa.string(), pa.large_string())
    wrong = [each for each in (_PATIENT, _RECORD) if kinds.get(each) not in text]
    if wrong:
        raise IntakeError(
            f"'{path}' has no column of text {quoted(wrong)}: expected 'patient_id' and 'record', "
            "each patient's record as JSON"
        )
    return found


def _rows_in(files: Sequence[Path], names: Pseudonyms | None) -> Rows:
    for path in files:
        with _opened(path) as opened:
            for batch in opened.iter_batches(batch_size=64, columns=[_PATIENT, _RECORD]):
                told = batch.to_pydict()
                for patient, record in zip(told[_PATIENT], told[_RECORD], strict=True):
                    called = called_by(names, patient) if patient else ""
                    yield called, _called(names, record or "")


def _called(names: Pseudonyms | None, record: str) -> str:
    """Return a record whose patient, where it names one, is called as at this site."""
    if names is None:
        return record
    try:
        told = json_of(record.encode())
    except ValueError:
        # Why it is none is told where it is asked about.
        return record
    if isinstance(told, dict) and isinstance(own := told.get(_PATIENT), str) and own:
        return json.dumps({**told, _PATIENT: names.of(own)})
    return record


def rows_of_cohort(model: TrainedModel, cohort: Cohort, as_of_days: float) -> tuple[int, Rows]:
    """Return how many patients a cohort has, and each one's record as far as the model knows it.

    As in a ranking, later visits, and those under a therapy that the model does not know, are left
    out.
    """
    known: dict[str, set[str]] = {}
    for channel in model.twin.design.channels:
        known.setdefault(channel.modality, set()).update(each.column for each in channel.features)
    arms, strata = model.catalogue.arms, model.support.columns

    def told(record: PatientRecord) -> str:
        visits = [
            visit.model_copy(
                update={
                    "values": {
                        name: {each: row[each] for each in row if each in known[name]}
                        for name, row in visit.values.items()
                        if name in known
                    }
                }
            )
            for visit in record.visits
            if visit.day <= as_of_days and (visit.day <= 0 or visit.under in arms)
        ]
        stratum = {name: value for name, value in record.stratum.items() if name in strata}
        return record.model_copy(update={"visits": visits, "stratum": stratum}).model_dump_json()

    rows = ((record.patient_id, told(record)) for record in records_in(cohort))
    return len(cohort.patient_ids), rows


@contextmanager
def in_this_process(
    model: TrainedModel, settings: TwinSettings, asked: ScoreSettings, *, excluded: bool
) -> Iterator[Answering]:
    """Yield what answers one block after the other; ``asked`` is for workers."""
    yield lambda blocks: (
        (each.number, answers_to(model, each, settings, excluded=excluded)) for each in blocks
    )


def score(
    model: TrainedModel,
    rows: tuple[int, Rows],
    answering: Answering,
    folder: Path,
    settings: TwinSettings,
    *,
    size: int,
    excluded: bool,
    permits: Callable[[Sequence[str]], Permission] | None,
    noted: Callable[..., None],
    progress: Callable[[int, int], None],
) -> Scored:
    """Write the answers for all patients to a folder, a part for every block.

    Parameters
    ----------
    rows
        How many patients, and each with the record.
    answering
        By whom they are answered.
    size
        Patients of a block.
    permits
        Asked about the patients of each block; None: there is no ledger.
    noted
        Told the patients of a part, and digests of ``data`` and ``answer``, before it is written.

    Raises
    ------
    ConfigError
        If the folder holds parts that are not of these patients.
    ConsentError
        If the ledger cannot be read.
    """
    total, told = rows
    numbers = range(-(-total // size))
    with alone(folder):
        strange = {each.name for each in folder.glob("part-*.parquet")} - {*map(_name, numbers)}
        if strange:
            raise ConfigError(
                f"folder '{folder}' holds {quoted(sorted(strange))}, which are not of these "
                f"{total} patients in blocks of {size}: name another output"
            )
        (folder / SUMMARY).unlink(missing_ok=True)
        found = Scored(0, 0, len(numbers), 0)
        waiting: dict[int, tuple[Sequence[str], dict[str, str]]] = {}
        answer_rests_on = _resting_on(model, settings, excluded)

        def counted(notes: Mapping[str, str], kept: int) -> None:
            nonlocal found
            found = replace(
                found,
                patients=found.patients + int(notes["patients"]),
                unanswered=found.unanswered + int(notes["unanswered"]),
                kept=found.kept + kept,
            )
            progress(found.patients, total)

        def asked() -> Iterator[Block]:
            for number in numbers:
                block = _permitted(number, list(islice(told, size)), permits)
                notes = {
                    "patients": str(len(block.patient_ids)),
                    "rests_on": sha256(json.dumps([answer_rests_on, asdict(block)]).encode()),
                }
                stored = _notes_of(folder / _name(number))
                if stored.get("rests_on") == notes["rests_on"]:
                    counted(stored, kept=1)
                else:
                    waiting[number] = block.patient_ids, notes
                    yield block

        for number, table in answering(asked()):
            patients, notes = waiting.pop(number)
            notes |= {"unanswered": str(table.column("intervention").null_count)}
            part = _part_of(table, notes)
            noted(patients, data=notes["rests_on"], answer=sha256(part))
            write_whole(folder / _name(number), part)
            counted(notes, kept=0)
        write_json(folder / SUMMARY, {**asdict(found), **answer_rests_on})
    return found


def _name(number: int) -> str:
    return f"part-{number:06d}.parquet"


def _resting_on(model: TrainedModel, settings: TwinSettings, excluded: bool) -> dict[str, Any]:
    return {
        "model": model.twin.name,
        "digest": model.digest,
        "commit": commit(),
        "draws": draws_of(model, settings),
        "seed": settings.seed,
        "interval": settings.interval,
        "confidence": settings.confidence,
        "unlike": policy_of(model).name,
        "excluded": excluded,
    }


def _permitted(
    number: int,
    rows: Sequence[tuple[str, str]],
    permits: Callable[[Sequence[str]], Permission] | None,
) -> Block:
    patients, records = zip(*rows, strict=True)
    if permits is None:
        return Block(number, patients, records)
    found = permits(patients)
    return Block(number, patients, records, dict(found.refused), dict(found.withheld))


def _notes_of(part: Path) -> dict[str, str]:
    """Return what a part says of itself; nothing where it is not there, or not whole."""
    try:
        told = pq.read_schema(part).metadata or {}
    except (OSError, pa.ArrowInvalid):
        return {}
    return {name.decode(): value.decode() for name, value in told.items()}


def _part_of(table: pa.Table, notes: Mapping[str, str]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(notes), buffer, write_page_checksum=True)
    return buffer.getvalue()
