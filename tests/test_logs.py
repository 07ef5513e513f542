"""Other libraries are hushed for a while, and heard again afterwards."""

from __future__ import annotations

import logging

import pytest

from omics_twin.logs import quiet


def test_notices_are_hushed_and_errors_are_heard(caplog: pytest.LogCaptureFixture) -> None:
    library = logging.getLogger("some.library")
    library.setLevel(logging.INFO)
    with quiet("some.library"):
        library.info("not now")
        library.error("broken")
    library.info("later")
    assert [record.message for record in caplog.records] == ["broken", "later"]


def test_levels_come_back_after_an_error() -> None:
    library = logging.getLogger("another.library")
    library.setLevel(logging.DEBUG)

    def fail() -> None:
        with quiet("another.library"):
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        fail()
    assert library.level == logging.DEBUG
