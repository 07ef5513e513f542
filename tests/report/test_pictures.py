"""Pictures of a page are small, and the same every time."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from omics_twin.errors import TrackingError
from omics_twin.report.pictures import small


def noise(side: int) -> bytes:
    """Return a picture that hardly compresses."""
    shades = np.random.default_rng(0).integers(0, 255, (side, side, 4), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(shades).save(stream, "PNG")
    return stream.getvalue()


def test_a_small_picture_is_kept_as_it_is() -> None:
    content = noise(20)
    assert small("a.png", content) == content


def test_a_large_picture_is_made_smaller_and_the_same_each_time() -> None:
    content = noise(300)
    found = small("a.png", content, 30_000)
    assert len(found) <= 30_000 < len(content)
    assert found == small("a.png", content, 30_000)
    width, height = Image.open(io.BytesIO(found)).size
    assert width == height < 300


@pytest.mark.parametrize("content", [b"", b"<html>", noise(20)[:60]])
def test_what_is_no_picture_is_refused(content: bytes) -> None:
    with pytest.raises(TrackingError, match=r"'a\.png' is no readable PNG"):
        small("a.png", content)
