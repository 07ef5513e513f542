"""Seal files that hold something of patients, so that who has the disk has not read them.

A sealed file is a header and chunks of AES-256-GCM. The key of the file is derived from the key of
the store and a salt of its own, so that a nonce is never used twice; the nonce counts the chunks
and marks the last one, so that a chunk cannot be moved, repeated or cut off in silence.

References
----------
Hoang, Reyhanitabar, Rogaway & Vizár 2015, Online authenticated-encryption and its nonce-reuse
misuse-resistance, section 7 (STREAM), doi:10.1007/978-3-662-47989-6_24; McGrew & Viega 2004, the
Galois/Counter Mode, NIST SP 800-38D, doi:10.6028/NIST.SP.800-38D; Krawczyk & Eronen 2010, HKDF,
doi:10.17487/RFC5869.
"""

from __future__ import annotations

import hmac
import os
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from omics_twin.errors import PrivacyError
from omics_twin.files import write_whole
from omics_twin.trust.keys import STORE, named_key

_MAGIC = b"omics_twin sealed 1\n"
_SALT, _MARK, _TAG = 16, 8, 16
_CHUNK = 1 << 20
_HEADER = len(_MAGIC) + _MARK + _SALT


def store_key() -> bytes | None:
    """Return the key of the store; None: nothing is sealed."""
    return named_key(STORE)


def mark_of(key: bytes) -> bytes:
    """Return what tells a key from others, and nothing of the key."""
    return hmac.digest(key, b"omics_twin which key", "sha256")[:_MARK]


def derived(key: bytes, purpose: str, salt: bytes = b"") -> bytes:
    """Return a key of 32 bytes for one purpose."""
    info = f"omics_twin {purpose}".encode()
    return HKDF(algorithm=SHA256(), length=32, salt=salt or None, info=info).derive(key)


def seal(content: bytes, key: bytes) -> bytes:
    """Return some content sealed; never the same bytes twice.

    Examples
    --------
    >>> sealed = seal(b"a visit", bytes(32))
    >>> b"visit" in sealed, opened(sealed, bytes(32))
    (False, b'a visit')
    """
    salt = os.urandom(_SALT)
    header = _MAGIC + mark_of(key) + salt
    cipher = AESGCM(derived(key, "file", salt))
    starts = range(0, max(len(content), 1), _CHUNK)
    parts = [
        cipher.encrypt(_nonce(number, start == starts[-1]), content[start : start + _CHUNK], header)
        for number, start in enumerate(starts)
    ]
    return b"".join([header, *parts])


def is_sealed(content: bytes) -> bool:
    """Whether content was sealed."""
    return content.startswith(_MAGIC)


def sealed_with(sealed: bytes) -> bytes:
    """Return the mark of the key that sealed some content, see :func:`mark_of`."""
    return sealed[len(_MAGIC) : len(_MAGIC) + _MARK]


def opened(sealed: bytes, key: bytes) -> bytes:
    """Return what was sealed.

    Raises
    ------
    PrivacyError
        If it was sealed with another key, or changed or cut since.
    """
    header = sealed[:_HEADER]
    if sealed_with(sealed) != mark_of(key):
        raise PrivacyError(f"it was sealed with another key: set {STORE} to the one it had")
    cipher = AESGCM(derived(key, "file", header[-_SALT:]))
    starts = range(_HEADER, max(len(sealed), _HEADER + 1), _CHUNK + _TAG)
    try:
        return b"".join(
            cipher.decrypt(
                _nonce(number, start == starts[-1]), sealed[start : start + _CHUNK + _TAG], header
            )
            for number, start in enumerate(starts)
        )
    except (InvalidTag, ValueError):
        raise PrivacyError("it was changed or cut since it was sealed: restore a copy") from None


def write_sealed(path: Path, content: bytes) -> None:
    """Write content whole or not at all; sealed where the store has a key."""
    key = store_key()
    write_whole(path, content if key is None else seal(content, key))


def read_sealed(path: Path) -> bytes:
    """Return the content of a file, whether it was sealed or not.

    Raises
    ------
    PrivacyError
        If it was sealed and there is no key, it was with another key, or it is damaged.
    """
    content = path.read_bytes()
    if not is_sealed(content):
        return content
    key = store_key()
    if key is None:
        raise PrivacyError(f"'{path}' is sealed and there is no key: set {STORE} or {STORE}_FILE")
    try:
        return opened(content, key)
    except PrivacyError as error:
        raise PrivacyError(f"'{path}' cannot be opened: {error}") from None


def _nonce(number: int, is_last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([is_last])
