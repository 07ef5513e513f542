"""Pictures small enough for a page that is kept with the code."""

from __future__ import annotations

import io

from PIL import Image, UnidentifiedImageError

from omics_twin.errors import TrackingError

LARGEST_BYTES = 150_000
_STEP = 0.8


def small(name: str, content: bytes, largest: int = LARGEST_BYTES) -> bytes:
    """Return a PNG of at most so many bytes: as it is, in fewer colours, or smaller.

    Parameters
    ----------
    name
        What the picture is called in a message.
    largest
        Upper bound [byte].

    Raises
    ------
    TrackingError
        If the content is no PNG.
    """
    try:
        picture = Image.open(io.BytesIO(content), formats=["PNG"])
        picture.load()
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise TrackingError(f"picture '{name}' is no readable PNG: record its run again") from error
    if len(content) <= largest:
        return content
    opaque = Image.new("RGB", picture.size, "white")
    opaque.paste(picture, mask=picture.convert("RGBA").getchannel("A"))
    shrunk, found = opaque, _coded(opaque)
    while len(found) > largest and min(shrunk.size) > 1:
        width, height = (max(1, int(side * _STEP)) for side in shrunk.size)
        shrunk = opaque.resize((width, height), Image.Resampling.LANCZOS)
        found = _coded(shrunk)
    return found


def _coded(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.quantize(256, dither=Image.Dither.NONE).save(stream, "PNG", optimize=True)
    return stream.getvalue()
