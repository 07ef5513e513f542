"""Find a key in the environment or in a file, and refuse one that others can read."""

from __future__ import annotations

import os
import secrets
import stat
import tempfile
from pathlib import Path

from omics_twin.errors import OmicsTwinError, PrivacyError

SITE = "OMICS_TWIN_SITE_KEY"
"""Makes pseudonyms and shifts dates; it stays as it is as long as the pseudonyms are to."""
STORE = "OMICS_TWIN_STORE_KEY"
"""Seals what is stored of patients; ``omics-twin rotate`` puts another in its place."""

_FEWEST_BYTES = 32
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_EXPECTED = f"{2 * _FEWEST_BYTES} or more hexadecimal digits"
_PROJECT = Path(__file__).resolve().parents[2]


def named_key(variable: str) -> bytes | None:
    """Return the key of an environment variable, or of the file that ``<variable>_FILE`` names.

    Returns
    -------
    bytes or None
        None where neither is set.

    Raises
    ------
    PrivacyError
        If the key is too short, the file can be read by others, or lies in the project's folder,
        which is copied and shared.
    """
    text, place = os.environ.get(variable), os.environ.get(f"{variable}_FILE")
    if text is not None:
        return bytes_of(text, variable)
    if place is None:
        return None
    path = Path(place)
    if (_PROJECT / "pyproject.toml").is_file() and path.resolve().is_relative_to(_PROJECT):
        raise PrivacyError(
            f"key '{path}' lies in the project's folder, which is copied and shared: move it out"
        )
    return read_key(path, f"key '{path}'")


def read_key(path: Path, what: str, refused: type[OmicsTwinError] = PrivacyError) -> bytes:
    """Return the key of a file that its owner alone can read.

    Raises
    ------
    OmicsTwinError
        Of the kind ``refused``, if it cannot be read, others can read it, or it holds no key.
    """
    try:
        with path.open("rb") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            content = stream.read()
    except OSError as error:
        raise refused(
            f"{what} cannot be read ({error.strerror}): nothing is released until it can be"
        ) from error
    if mode & _OTHERS:
        raise refused(
            f"{what} has mode {stat.S_IMODE(mode):04o}, expected 0600: others could have read it; "
            "make a new key, or run chmod 600 if nobody did"
        )
    return bytes_of(content.decode("ascii", errors="replace"), what, refused)


def bytes_of(text: str, where: str, refused: type[OmicsTwinError] = PrivacyError) -> bytes:
    """Return a key that is written in hexadecimal.

    Raises
    ------
    OmicsTwinError
        Of the kind ``refused``, if it is not, or is too short.
    """
    try:
        key = bytes.fromhex(text.strip())
    except ValueError:
        raise refused(f"{where} is not hexadecimal, expected {_EXPECTED}") from None
    if len(key) < _FEWEST_BYTES:
        raise refused(f"{where} holds {len(key)} bytes, expected {_EXPECTED}")
    return key


def make_key(path: Path, what: str, refused: type[OmicsTwinError] = PrivacyError) -> None:
    """Make a key; of several who make it at once, the first one's stands.

    Raises
    ------
    OmicsTwinError
        Of the kind ``refused``, if the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        try:
            with os.fdopen(handle, "w") as stream:
                stream.write(secrets.token_hex(_FEWEST_BYTES) + "\n")
                stream.flush()
                os.fsync(stream.fileno())
            os.link(temporary, path)
        finally:
            os.unlink(temporary)
    except FileExistsError:
        return
    except OSError as error:
        raise refused(f"{what} cannot be made ({error.strerror})") from error
