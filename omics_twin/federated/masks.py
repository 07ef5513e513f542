"""Sums of which the server sees only the whole: every pair of sites shares masks that cancel.

A number is sent in fixed point modulo 2^64 (one of double precision as two words, its whole and its
fraction), plus a mask that another site subtracts from its own: a single part is then as good as
random, and the sum is exact to 2^-36, or to 2^-52 of double precision. Keys are agreed by X25519
through the server, which must relay them as they are; a server that exchanged them, or that
colludes with all sites but one, could see that site's part.

References
----------
Bonawitz et al. 2017, Practical secure aggregation for privacy-preserving machine learning
(doi:10.1145/3133956.3133982), without its recovery from a site that drops out: such a run ends.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from jaxtyping import UInt64
from numpy import ndarray

from omics_twin.errors import TrainingError

# Leaves room for the sum of 4,096 fractions, and of numbers up to 16 million at eight sites.
_FRACTION, _SINGLE, _LARGEST_SINGLE = 2.0**52, 2.0**36, 2.0**24
_WORD = 8


class Masks:
    """The masks of one site in one run.

    Attributes
    ----------
    public
        Key for the other sites, as hexadecimal text.
    """

    def __init__(self, site: str) -> None:
        self._site = site
        self._private = X25519PrivateKey.generate()
        self._shared: dict[str, bytes] = {}
        self.public = self._private.public_key().public_bytes_raw().hex()

    def meet(self, keys: Mapping[str, str]) -> None:
        """Agree on a secret with each of the other sites, from their public keys."""
        for other, key in keys.items():
            if other != self._site:
                secret = self._private.exchange(
                    X25519PublicKey.from_public_bytes(bytes.fromhex(key))
                )
                pair = " and ".join(sorted([self._site, other]))
                derived = HKDF(SHA256(), 32, salt=None, info=f"omics_twin masks {pair}".encode())
                self._shared[other] = derived.derive(secret)

    def masked(self, values: ndarray, number: int) -> UInt64[ndarray, "word value"]:
        """Return values as words under this site's masks for a message.

        Parameters
        ----------
        number
            Of the message; a mask is used once.

        Raises
        ------
        TrainingError
            If a value is not finite, or too large to be a sum of measurements.
        """
        words = words_of(values)
        for other, key in self._shared.items():
            mask = _mask(key, number, words.size).reshape(words.shape)
            words = words + mask if self._site < other else words - mask
        return words


def words_of(values: ndarray) -> UInt64[ndarray, "word value"]:
    """Return values in fixed point modulo 2^64: one word, or two for double precision.

    Examples
    --------
    >>> numbers_of(words_of(np.array([1.25])) + words_of(np.array([-2.5])))
    array([-1.25])
    """
    single = values.dtype == np.float32
    largest = _LARGEST_SINGLE if single else 2.0**60
    if not (np.abs(values) < largest).all():
        raise TrainingError(
            "a sum over patients is no number, or far too large: training diverges; lower "
            "trainer.learning_rate"
        )
    if single:
        scaled = np.rint(values.astype(np.float64) * _SINGLE)
        return scaled.astype(np.int64).view(np.uint64)[None]
    whole = np.floor(values)
    fraction = ((values - whole) * _FRACTION).astype(np.uint64)
    return np.stack([whole.astype(np.int64).view(np.uint64), fraction])


def numbers_of(words: UInt64[ndarray, "word value"]) -> ndarray:
    """Return the values of summed words."""
    first = words[0].view(np.int64).astype(np.float64)
    if len(words) == 1:
        return (first / _SINGLE).astype(np.float32)
    return np.asarray(first + words[1].astype(np.float64) / _FRACTION)


def _mask(key: bytes, number: int, size: int) -> UInt64[ndarray, " word"]:
    nonce = bytes(4) + number.to_bytes(12, "little")
    stream = Cipher(ChaCha20(key, nonce), mode=None).encryptor().update(bytes(_WORD * size))
    return np.frombuffer(stream, dtype="<u8")
