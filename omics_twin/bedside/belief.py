"""One patient's belief, kept as the visits that made it, so that it can be replayed from them."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from omics_twin.errors import ModelError, PrivacyError, TwinError, about, nearest, quoted
from omics_twin.files import json_of, sha256
from omics_twin.trust.vault import read_sealed, write_sealed
from omics_twin.types import (
    NO_INTERVENTION,
    Dose,
    Intervention,
    Modality,
    Observation,
    Twin,
    TwinState,
    Visit,
)

FORMAT = 2
_SEAL = "sha256"
_DOSE = {each.name for each in fields(Dose)}


@dataclass(frozen=True)
class KeptBelief:
    """What is stored of a belief: never the draws, which follow from it.

    Attributes
    ----------
    patient_id
        The patient.
    model
        Digest of the model that holds the belief; another model starts from the visits anew.
    draws, seed
        As the belief was started.
    visits
        In the order shown, each of this patient alone.
    stratum
        Key of the patient's stratum, for a model that ranks.
    """

    patient_id: str
    model: str
    draws: int
    seed: int
    visits: tuple[Visit, ...] = ()
    stratum: str = ""

    def seen(self, visit: Visit) -> KeptBelief:
        """Return the belief with a further visit."""
        return replace(self, visits=(*self.visits, visit))

    def without_last(self) -> KeptBelief:
        """Return the belief before the last visit."""
        return replace(self, visits=self.visits[:-1])


@dataclass(frozen=True)
class Beliefs:
    """Those about several patients, from one source and one basis."""

    kept: tuple[KeptBelief, ...]
    name: str
    fingerprint: str


def states(
    twin: Twin, kept: KeptBelief, spread: Float[Tensor, "1"] | None = None
) -> Iterator[TwinState]:
    """Yield the belief before any visit, and then after each; bit for bit the same every time.

    Parameters
    ----------
    spread
        Factor by which draws are moved apart, from before the first visit on: what a draw foresees
        decides how a visit weighs it.

    Raises
    ------
    TwinError
        If a visit is not one this twin can be shown.
    """
    state = twin.start([kept.patient_id], draws=kept.draws, seed=kept.seed)
    state = replace(state, spread=spread)
    yield state
    for visit in kept.visits:
        state = twin.observe(state, visit.observation, under=visit.under)
        yield state


def replay(twin: Twin, kept: KeptBelief, spread: Float[Tensor, "1"] | None = None) -> TwinState:
    """Return the belief that the visits lead to, the last of :func:`states`."""
    *_, last = states(twin, kept, spread)
    return last


def place_of(folder: Path, kept_by: str, patient_id: str) -> Path:
    """Return the file of a patient's belief; its name does not tell who the patient is.

    Examples
    --------
    >>> place_of(Path("beliefs"), "0f" * 32, "ada").name
    '1a51ba618f512c36.json'
    """
    name = hashlib.blake2b(f"{kept_by}/{patient_id}".encode(), digest_size=8).hexdigest()
    return folder / f"{name}.json"


def write_belief(path: Path, kept: KeptBelief, modalities: Sequence[Modality]) -> None:
    """Write a belief, whole or not at all; sealed where the store has a key."""
    stored = {
        "format": FORMAT,
        "patient_id": kept.patient_id,
        "model": kept.model,
        "draws": kept.draws,
        "seed": kept.seed,
        "stratum": kept.stratum,
        "visits": [visit_to_json(each, modalities) for each in kept.visits],
    }
    text = json.dumps(
        {**stored, _SEAL: _seal_of(stored)}, indent=1, allow_nan=False, ensure_ascii=False
    )
    write_sealed(path, text.encode() + b"\n")


def _seal_of(stored: Mapping[str, Any]) -> str:
    """Return the digest of what is stored: one digit that flipped would be another patient."""
    return sha256(json.dumps(stored, sort_keys=True, allow_nan=False).encode())


def read_belief(path: Path, modalities: Sequence[Modality]) -> KeptBelief:
    """Return the belief of a file.

    Raises
    ------
    ModelError
        If the file is damaged, of a later format, or of a model with other measurements.
    """
    try:
        stored = json_of(read_sealed(path))
        if stored["format"] > FORMAT:
            raise ModelError(
                f"belief '{path}' has format {stored['format']}, this version reads up to "
                f"{FORMAT}: install a later omics_twin"
            )
        if stored.pop(_SEAL) != _seal_of(stored):
            raise ModelError(
                f"belief '{path}' was changed after it was kept (SHA-256 differs): remove it and "
                "show the visits again"
            )
        patient = str(stored["patient_id"])
        visits = tuple(visit_of(each, patient, modalities) for each in stored["visits"])
        made = (stored["model"], stored["draws"], stored["seed"])
        return KeptBelief(patient, *made, visits, stored["stratum"])
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        if isinstance(error, ModelError | PrivacyError):
            raise
        raise ModelError(
            f"belief '{path}' cannot be read ({error}): remove it and show the visits again"
        ) from error


def visit_to_json(visit: Visit, modalities: Sequence[Modality]) -> dict[str, Any]:
    """Return a visit of one patient as plain values; what was not measured is left out."""
    known = {modality.name: modality for modality in modalities}
    values = {}
    for name, row in visit.observation.values.items():
        pairs = zip(known[name].features, row[0].tolist(), strict=True)
        values[name] = {feature: value for feature, value in pairs if not math.isnan(value)}
    return {
        "day": float(visit.observation.days[0]),
        "values": {name: each for name, each in values.items() if each},
        "under": None if visit.under == NO_INTERVENTION else asdict(visit.under),
    }


def visit_of(
    record: Any,
    patient_id: str,
    modalities: Sequence[Modality],
    arm: Callable[[str], Intervention] | None = None,
) -> Visit:
    """Return the visit a record tells of.

    Parameters
    ----------
    record
        ``{"day": 42, "values": {modality: {feature: number}}, "under": therapy}``; ``under`` is
        what was given since the visit before: nothing, the name of an arm, or
        ``{"name": …, "doses": [{"drug": …, "amount": …, "unit": …, "start_days": …}]}``.
    arm
        What the name of an arm means.

    Raises
    ------
    TwinError
        If something is missing, unknown, or no number.
    """
    if not isinstance(record, Mapping):
        raise TwinError(
            f"a visit is {type(record).__name__}, expected an object with 'day' and 'values'"
        )
    for key in record:
        if key not in ("day", "values", "under"):
            raise TwinError(f"unknown '{key}' in a visit{nearest(key, ('day', 'values', 'under'))}")
    if "day" not in record:
        raise TwinError("a visit has no 'day', expected the day since the index date: add it")
    day = _number("day", record["day"])
    given = record.get("values") or {}
    if not isinstance(given, Mapping):
        told = f"'values' of a visit is {given!r}, expected modality -> feature -> number"
        raise TwinError(about(told, repr(given)))
    known = {modality.name: modality for modality in modalities}
    values = {}
    for name, row in given.items():
        if name not in known:
            raise TwinError(f"unknown modality '{name}'{nearest(name, known)}")
        values[name] = _row(known[name], row)
    observation = Observation((patient_id,), torch.tensor([day], dtype=torch.float64), values)
    return Visit(observation, intervention_of(record.get("under"), arm))


def read_told(path: Path, expected: str) -> Any:
    """Return what a person wrote to a JSON file.

    Raises
    ------
    TwinError
        If it is no JSON; the sentence says what was expected.
    """
    try:
        return json_of(path.read_bytes())
    except ValueError as error:
        raise TwinError(f"'{path}' is not JSON ({error}): write {expected}") from error


def _row(modality: Modality, given: Any) -> torch.Tensor:
    if not isinstance(given, Mapping):
        told = f"'{modality.name}' of a visit is {given!r}, expected feature -> number"
        raise TwinError(about(told, repr(given)))
    row = torch.full((1, len(modality.features)), torch.nan, dtype=torch.float64)
    for feature, value in given.items():
        if feature not in modality.features:
            raise TwinError(
                f"modality '{modality.name}' has no feature '{feature}'"
                f"{nearest(feature, modality.features)}"
            )
        if value is not None:
            row[0, modality.features.index(feature)] = _number(feature, value)
    return row


def intervention_of(record: Any, arm: Callable[[str], Intervention] | None = None) -> Intervention:
    """Return the therapy a record tells of: nothing, an arm's name, or its doses.

    Raises
    ------
    TwinError
        If it is none of these.

    Examples
    --------
    >>> plan = {"name": "weekly", "doses": [{"drug": "paclitaxel", "amount": 80.0}]}
    >>> intervention_of(plan).drugs
    ('paclitaxel',)
    """
    if record is None:
        return NO_INTERVENTION
    if isinstance(record, str) and arm is not None:
        return arm(record)
    if not isinstance(record, Mapping) or not isinstance(record.get("name"), str):
        told = f"a therapy is {record!r}, expected the name of an arm, or its 'name' and 'doses'"
        raise TwinError(about(told, repr(record)))
    doses = tuple(_dose(each) for each in record.get("doses") or ())
    settings = {
        str(key): _number(str(key), each) for key, each in (record.get("settings") or {}).items()
    }
    return Intervention(record["name"], doses, settings)


def _dose(record: Any) -> Dose:
    if not isinstance(record, Mapping) or "drug" not in record:
        told = f"a dose is {record!r}, expected an object with at least 'drug'"
        raise TwinError(about(told, repr(record)))
    unknown = set(record) - _DOSE
    if unknown:
        raise TwinError(f"a dose has {quoted(sorted(unknown))}, expected {quoted(sorted(_DOSE))}")
    text = {key: str(record[key]) for key in ("drug", "unit") if key in record}
    numbers = {key: _number(key, record[key]) for key in record if key not in ("drug", "unit")}
    if "repeat" in numbers:
        numbers["repeat"] = int(numbers["repeat"])
    for key in ("amount", "duration_days", "interval_days"):
        if numbers.get(key, 0.0) < 0:
            told = f"'{key}' of a dose is {numbers[key]:g}, expected at least 0"
            raise TwinError(about(told, f"{numbers[key]:g}"))
    return Dose(**text, **numbers)  # type: ignore[arg-type]


def _number(name: str, found: Any) -> float:
    if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
        told = f"'{name}' is {found!r}, expected a finite number"
        raise TwinError(about(told, repr(found)))
    return float(found)
