"""Every reader reads a spoilt file as it is, or refuses it in a sentence; see scripts/faults."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import SmallRun
from tests.faults.examining import examine, input_of
from tests.faults.suite import readers

NAMES = list(readers(Path("."), Path(".")))
# Those that compose a configuration, read a folder or check a Bundle take longer.
FEW = {"configuration": 8, "FHIR Bundle": 20, "FHIR mapping": 20, "model description": 20}


OF_A_MODEL = ("scoring gate", "model description")


def inputs_of(name: str) -> int:
    return FEW.get(name, 12 if name.startswith(("table", "study", "cohort")) else 60)


@pytest.mark.parametrize("name", NAMES)
def test_a_spoilt_file_is_read_as_it_is_or_refused(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    # Most of them need no trained model.
    model = tmp_path
    if name in OF_A_MODEL:
        small: SmallRun = request.getfixturevalue("small_run")
        model = small.model
    reader = readers(tmp_path, model)[name][0]()
    assert examine(reader, reader.seeds[0])

    @settings(
        max_examples=inputs_of(name),
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.randoms(use_true_random=False))
    def shown(dice: Random) -> None:
        examine(reader, input_of(reader.seeds, reader.mutations, dice))

    shown()
