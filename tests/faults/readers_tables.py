"""Tables of a cohort, as text and as Parquet, and gene sets beside them."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pandas as pd

from omics_twin.intake.declaration import CohortDeclaration, ColumnDeclaration, ModalityDeclaration
from omics_twin.intake.tables import Tables, read_tables
from tests.faults.examining import Reader
from tests.faults.mutations import BYTES, Mutation, delimited, replaced
from tests.faults.strict import Invalid, name_of, number_of, records_of
from tests.intake.conftest import FILES, write_files

_WORDS = ("P1", "P3", "P5", "II", "IV", "White", "Black", "Y", "N", "CR", "NE", "50", "17", "111")
_PATIENTS = ("P1", "P2", "P3", "P4")


def table(folder: Path, file: str) -> Reader:
    """Return the reader of one of a study's tables; the others stay as they should be."""
    root = folder / f"study of {file}"
    root.mkdir(exist_ok=True)
    declared = write_files(root)

    def read(content: bytes) -> Tables:
        (root / file).write_bytes(content)
        return read_tables(declared)

    def wrong(content: bytes, found: Tables) -> str | None:
        try:
            return _differs(found, file, records_of(content))
        except (Invalid, KeyError) as error:
            return f"no table: {error!r}"

    seeds = (FILES[file].encode(), FILES[file].replace("\n", "\r\n").encode())
    return Reader(f"table {file}", seeds, delimited(",", _WORDS), read, wrong)


def _differs(found: Tables, file: str, rows: Sequence[Mapping[str, str]]) -> str | None:
    """Return where what was read is not what the rows say."""
    for row in rows:
        name_of(row["patient_id"])
    read = {
        "clinical.csv": _clinical,
        "expression.csv": _expression,
        "mri.csv": _mri,
        "calls.csv": _calls,
        "therapy.csv": _therapy,
        "outcome.csv": _outcome,
    }[file]
    told, is_read = read(rows, found)
    for place, value in told.items():
        if not _alike(is_read.get(place, math.nan), value):
            return f"{place}: read {is_read.get(place)!r}, the file says {value!r}"
    extra = [each for each in is_read if each not in told and not _alike(is_read[each], None)]
    return f"{extra[0]} is read, but not in the file" if extra else None


def _alike(read: Any, told: Any) -> bool:
    if told is None or told != told:
        return bool(pd.isna(read))
    if isinstance(told, float):
        return not isinstance(read, str) and bool(np.isclose(float(read), told, rtol=1e-12, atol=0))
    return read is not pd.NA and read == told


Told = tuple[dict[Any, Any], dict[Any, Any]]


def _cells(found: Tables, channel: str) -> dict[Any, Any]:
    if channel not in found.channels:
        return {}
    values = found.channels[channel].values
    return {(p, c): values.loc[p, c] for p in values.index for c in values.columns}


def _among(text: str, meaning: Mapping[str, Any], unknown: Any = Invalid) -> Any:
    """Return what a word means; numbers that are equal are one word."""
    words = dict(meaning)
    if text and text not in words:
        # '1.0' and '1' are one word.
        alike = [each for each in words if _equal(each, " ".join(text.split()))]
        if not alike and unknown is Invalid:
            raise Invalid(f"{text!r} is not one of {list(words)}")
        return words[alike[0]] if alike else unknown
    return words.get(text)


def _equal(one: str, other: str) -> bool:
    try:
        return one == other or number_of(one) == number_of(other)
    except Invalid:
        return False


def _clinical(rows: Sequence[Mapping[str, str]], found: Tables) -> Told:
    told: dict[Any, Any] = {}
    ids = [row["patient_id"] for row in rows]
    if len(set(ids)) < len(ids) or tuple(ids) != found.patient_ids:
        raise Invalid("a patient twice, or in another order")
    for row in rows:
        patient, age = row["patient_id"], number_of(row["age"])
        weight = number_of(row["weight"])
        if age < 18 or age > 110 or weight < 0:
            raise Invalid(f"age {age}, weight {weight}")
        told[patient, "age"], told[patient, "weight"] = age, weight
        her2 = _among(row["her2"], {"1": 1.0, "0": 0.0})
        told[patient, "her2"] = math.nan if her2 is None else her2
        told[patient, "stage"] = _among(row["stage"], {"II": "two", "III": "three"})
        told[patient, "race"] = _among(row["race"], {"White": "white", "Asian": "asian"}, None)
        told[patient, "site"] = row["site"] or None
    read = _cells(found, "clinical")
    read |= {(p, "site"): found.groups["site"].get(p) for p in found.patient_ids}
    return _shortened(told), _shortened(read)


def _shortened(values: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return texts in the form in which they are compared."""
    return {
        place: " ".join(value.split()) if isinstance(value, str) else value
        for place, value in values.items()
        if not (place[1] == "site" and isinstance(value, str) and value[:1].isdigit())
    }


def _known(row: Mapping[str, str], once: set[Any], key: Any) -> None:
    if row["patient_id"] not in _PATIENTS or key in once:
        raise Invalid(f"{key} is a stranger, or stands there twice")
    once.add(key)


def _expression(rows: Sequence[Mapping[str, str]], found: Tables) -> Told:
    once: set[Any] = set()
    told: dict[Any, Any] = {}
    for row in rows:
        _known(row, once, row["patient_id"])
        told |= {(row["patient_id"], c): number_of(v) for c, v in row.items() if c != "patient_id"}
    return told, _cells(found, "expression")


def _mri(rows: Sequence[Mapping[str, str]], found: Tables) -> Told:
    once: set[Any] = set()
    told: dict[Any, Any] = {}
    for row in rows:
        day, volume = number_of(row["day"]), number_of(row["volume"])
        visit = "mri@0" if day <= 0 else "mri@21"
        if not -14 <= day <= 35 or (0 < day < 7) or volume < 0:
            raise Invalid(f"day {day}, volume {volume}")
        _known(row, once, (row["patient_id"], visit))
        told[row["patient_id"], visit] = volume / 1000
    read = {(p, v): x for v in ("mri@0", "mri@21") for (p, _), x in _cells(found, v).items()}
    return told, read


def _calls(rows: Sequence[Mapping[str, str]], found: Tables) -> Told:
    told = []
    for row in rows:
        fraction = number_of(row["af"])
        known = row["gene"] and row["patient_id"] in ("P1", "P2")
        if not known or (row["af"] and not 0 <= fraction <= 1):
            raise Invalid(f"a call {dict(row)}")
        if row["effect"] in ("missense", "nonsense"):
            told.append((row["patient_id"], row["gene"], fraction))
    calls = found.variants["genomics"].calls
    read = list(zip(calls["patient_id"], calls["gene"], calls["fraction"], strict=True))
    return {"calls": repr(told)}, {"calls": repr([(p, g, float(f)) for p, g, f in read])}


def _therapy(rows: Sequence[Mapping[str, str]], found: Tables) -> Told:
    once: set[Any] = set()
    told: dict[Any, Any] = {}
    for row in rows:
        _known(row, once, row["patient_id"])
        told[row["patient_id"]] = row["arm"] or None
    assert found.received is not None
    return told, dict(found.received.items())


def _outcome(rows: Sequence[Mapping[str, str]], found: Tables) -> Told:
    once: set[Any] = set()
    told: dict[Any, Any] = {}
    answers = {"CR": 1.0, "PR": 1.0, "SD": 0.0, "PD": 0.0, "NE": math.nan}
    for row in rows:
        _known(row, once, row["patient_id"])
        patient, score, months = row["patient_id"], number_of(row["score"]), row["months"]
        response = _among(row["response"], answers)
        event = _among(row["censored"], {"0": True, "1": False})
        if score < 0 or number_of(months) < 0 or (event is None) != (not months):
            raise Invalid(f"an outcome {dict(row)}")
        told[patient, "response"] = math.nan if response is None else response
        told[patient, "score"] = score
        told[patient, "os"] = number_of(months) * 365.25 / 12
        told[patient, "event"] = bool(event)
    read = {
        (p, name): float(x)
        for name in ("response", "score", "os")
        for p, x in zip(found.patient_ids, found.outcomes[name].values, strict=True)
    }
    events = found.outcomes["os"].events
    assert events is not None
    read |= {(p, "event"): bool(x) for p, x in zip(found.patient_ids, events, strict=True)}
    told |= {(p, "event"): False for p in _PATIENTS if (p, "event") not in told}
    return told, read


def _packed(frame: pd.DataFrame) -> bytes:
    stream = io.BytesIO()
    frame.to_parquet(stream, write_page_checksum=True)
    return stream.getvalue()


def _frame() -> pd.DataFrame:
    generator = np.random.default_rng(0)
    values = generator.normal(size=(4, 6)).astype(np.float32)
    frame = pd.DataFrame(values, columns=[f"GENE{each}" for each in range(6)])
    frame.insert(0, "patient_id", _PATIENTS)
    frame.loc[2, "GENE1"] = np.nan
    return frame


def _odd_frame(content: bytes, dice: Random) -> bytes:
    """Write the table again with a column of another kind."""
    frame = _frame()
    odd = {
        "dates": pd.date_range("2024-01-01", periods=4),
        "lists": [[1], [2], [3], [4]],
        "booleans": [True, False, True, False],
        "numbers": [1, 2, 3, 2**62],
        "texts": ["1", "x", "", "\x00"],
        "infinite": [1.0, float("inf"), 0.0, float("-inf")],
        "bytes": [b"1", b"2", b"\xff", b""],
        "nothing": [None] * 4,
        "decimal": pd.array([1, None, 3, 4], dtype="Int8"),
    }
    name = dice.choice(("patient_id", "GENE0", "GENE5", "new"))
    frame[name] = dice.choice(list(odd.values()))
    return _packed(frame)


def parquet(folder: Path) -> Reader:
    """Return the reader of a Parquet table whose pages carry checksums."""
    root = folder / "parquet"
    root.mkdir(exist_ok=True)
    declared: CohortDeclaration = write_files(root)
    declared.modalities["expression"] = ModalityDeclaration(
        table="expression.parquet", other_columns=ColumnDeclaration(unit="score")
    )
    whole = _packed(_frame())

    def read(content: bytes) -> Tables:
        (root / "expression.parquet").write_bytes(content)
        return read_tables(declared)

    def wrong(content: bytes, found: Tables) -> str | None:
        told = _expected_frame(content)
        if told is None:
            return "a file that another reader refuses"
        read = _cells(found, "expression")
        differs = [p for p in told.keys() | read.keys() if not _alike_or_absent(told, read, p)]
        return f"{differs[0]}: {read.get(differs[0])!r}" if differs else None

    own: tuple[Mutation, ...] = (_odd_frame, *BYTES, *BYTES, replaced([("GENE1", "GENE2")]))
    return Reader("table in Parquet", (whole,), own, read, wrong)


def _alike_or_absent(told: Mapping[Any, Any], read: Mapping[Any, Any], place: Any) -> bool:
    return _alike(read.get(place, math.nan), told.get(place, math.nan))


def _expected_frame(content: bytes) -> dict[Any, Any] | None:
    """Return what the file holds: as written, or as written with one odd column."""
    columns = [f"GENE{each}" for each in range(6)]
    whole = {
        (p, c): float(_frame().set_index("patient_id").loc[p, c])
        for p in _PATIENTS
        for c in columns
    }
    if len(content) == len(_packed(_frame())):
        return whole
    try:
        frame = pd.read_parquet(io.BytesIO(content)).set_index("patient_id")
        return {(str(p), c): _plain(frame.loc[p, c]) for p in frame.index for c in frame.columns}
    except Exception:  # noqa: BLE001  whatever another reader has to say
        return None


def _plain(value: Any) -> float:
    if value is None or value is pd.NA or value == "":
        return math.nan
    return float(value)
