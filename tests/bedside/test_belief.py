"""A belief is kept as its visits and replayed from them, bit for bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from omics_twin.bedside.belief import (
    KeptBelief,
    intervention_of,
    place_of,
    read_belief,
    replay,
    visit_of,
    visit_to_json,
    write_belief,
)
from omics_twin.errors import ModelError, TwinError
from omics_twin.types import NO_INTERVENTION, Dose, Intervention, Modality
from tests.twins import neural_twin

TUMOUR = (Modality("tumour", "mm", ("diameter_mm", "too_small")),)
PLAN = {
    "name": "weekly",
    "doses": [
        {"drug": "paclitaxel", "amount": 80.0, "unit": "mg", "interval_days": 7, "repeat": 3}
    ],
}


def test_a_kept_belief_is_the_same_belief(tmp_path: Path) -> None:
    twin = neural_twin(seed=3)
    modality = twin.modalities[0]
    record = {"day": 0, "values": {modality.name: {modality.features[0]: 1.5}}}
    kept = KeptBelief("ada", "model", 60, 7).seen(visit_of(record, "ada", twin.modalities))
    path = place_of(tmp_path, "model", "ada")
    write_belief(path, kept, twin.modalities)
    again = read_belief(path, twin.modalities)
    assert torch.equal(replay(twin, again).draws, replay(twin, kept).draws)
    assert "ada" not in path.name


def test_a_visit_is_written_as_it_was_told() -> None:
    record = {"day": 42.0, "values": {"tumour": {"diameter_mm": 31.0}}, "under": PLAN}
    visit = visit_of(record, "ada", TUMOUR)
    assert visit.under == Intervention("weekly", (Dose("paclitaxel", 80.0, "mg", 0, 0, 7, 3),))
    assert torch.isnan(visit.observation.values["tumour"][0, 1])
    written = visit_to_json(visit, TUMOUR)
    assert written["values"] == record["values"]
    assert visit_of(written, "ada", TUMOUR).under == visit.under


def test_an_arm_is_known_by_its_name() -> None:
    known = {"control": Intervention("control", (Dose("paclitaxel"),))}
    assert intervention_of("control", known.__getitem__) is known["control"]
    assert intervention_of(None) is NO_INTERVENTION


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        ([], "a visit is list, expected an object"),
        ({}, "a visit has no 'day'"),
        ({"day": "x"}, "'day' is 'x', expected a finite number"),
        ({"day": True}, "'day' is True, expected a finite number"),
        ({"day": float("nan")}, "'day' is nan, expected a finite number"),
        ({"day": 1, "vlues": {}}, "unknown 'vlues' in a visit: did you mean 'values'?"),
        ({"day": 1, "values": [1]}, "'values' of a visit is"),
        ({"day": 1, "values": {"tumor": {}}}, "unknown modality 'tumor': did you mean 'tumour'?"),
        ({"day": 1, "values": {"tumour": 3}}, "'tumour' of a visit is 3, expected feature"),
        ({"day": 1, "values": {"tumour": {"diameter": 3}}}, "has no feature 'diameter': did you"),
        ({"day": 1, "values": {"tumour": {"diameter_mm": "3"}}}, "'diameter_mm' is '3', expected"),
        ({"day": 1, "under": 3}, "a therapy is 3, expected the name of an arm"),
        ({"day": 1, "under": "control"}, "a therapy is 'control', expected"),
        ({"day": 1, "under": {"name": "x", "doses": [3]}}, "a dose is 3, expected an object"),
        (
            {"day": 1, "under": {"name": "x", "doses": [{"drug": "a", "start": 1}]}},
            "a dose has 'start', expected",
        ),
        (
            {"day": 1, "under": {"name": "x", "doses": [{"drug": "a", "amount": -1}]}},
            "'amount' of a dose is -1, expected at least 0",
        ),
    ],
)
def test_a_visit_that_tells_nothing_is_refused(record: Any, sentence: str) -> None:
    with pytest.raises(TwinError) as caught:
        visit_of(record, "ada", TUMOUR)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "cannot be read"),
        (b"[]", "cannot be read"),
        (b'{"format": 3}', "has format 3, this version reads up to 2"),
        (json.dumps({"format": 1, "patient_id": "a"}).encode(), "cannot be read"),
    ],
)
def test_a_damaged_belief_is_refused(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "belief.json"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=sentence):
        read_belief(path, TUMOUR)
