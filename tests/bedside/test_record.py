"""A record that a client sends is checked before anything is asked of a model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from omics_twin.bedside.record import read_record
from omics_twin.errors import TwinError
from omics_twin.told import record_of

CANARY = "4711.0815"


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({}, "patient_id"),
        ({"patient_id": ""}, "patient_id"),
        ({"patient_id": 7}, "patient_id"),
        ({"patient_id": "p", "ssn": CANARY}, "the record"),
        ({"patient_id": "p", "stratum": {"er": 4711}}, "stratum"),
        ({"patient_id": "p", "visits": {"day": 0}}, "visits"),
        ({"patient_id": "p", "visits": [{"day": CANARY}]}, "visits.0.day"),
        ({"patient_id": "p", "visits": [{"day": float("nan")}]}, "visits.0.day"),
        ({"patient_id": "p", "visits": [{"values": {"mri": {CANARY: True}}}]}, "visits.0.values"),
        ({"patient_id": "p", "visits": [{"values": {"mri": {"v": [1]}}}]}, "visits.0.values"),
        ([], "the record"),
    ],
)
def test_a_mistake_is_placed_without_repeating_what_was_sent(given: object, place: str) -> None:
    with pytest.raises(TwinError) as caught:
        record_of(given)
    assert str(caught.value).startswith(f"'{place}' is not as it should be")
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    "told",
    [{"day": 21.0}, [{"day": 21.0}], {"visits": [{"day": 21.0}]}],
)
def test_a_file_tells_of_a_visit_of_several_or_of_a_patient(told: object, tmp_path: Path) -> None:
    path = tmp_path / "visit.json"
    path.write_text(json.dumps(told))
    assert [each.day for each in read_record(path, "p").visits] == [21.0]


def test_a_file_of_another_patient_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_text(json.dumps({"patient_id": "q", "visits": []}))
    with pytest.raises(TwinError, match="of another patient than the one asked for"):
        read_record(path, "p")
