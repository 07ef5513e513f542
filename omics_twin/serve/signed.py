"""Who signed a hospital system's request: a short-lived token for one address, used once."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import jwt
from fastapi import Request

from omics_twin.intake.fhir_mapping import FhirMapping
from omics_twin.serve.reading import RefusedError

_LONGEST_TOKEN_SECONDS = 300
_ALGORITHMS = ["ES384", "RS384", "ES256", "RS256"]


@dataclass(frozen=True)
class Hospital:
    """Whose system may ask.

    Attributes
    ----------
    keys
        Public keys of the system, as a JWKS.
    issuer
        Who signs.
    address
        Where this server is reached, without a slash at its end.
    mapping
        What the codes of a prefetch mean; None: only patients of the chart are answered.
    """

    keys: Mapping[str, Any]
    issuer: str
    address: str
    mapping: FhirMapping | None = None


@dataclass
class Seen:
    """Tokens that were used: none counts twice."""

    until: dict[str, float] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)

    def first_time(self, number: str, until: float) -> bool:
        """Return whether a token comes for the first time; kept until it ends."""
        with self.lock:
            now = time.time()
            self.until = {each: end for each, end in self.until.items() if end > now}
            if number in self.until:
                return False
            self.until[number] = until
            return True


def signed(hospital: Hospital, seen: Seen, request: Request, path: str) -> str:
    """Return who signed a request.

    Raises
    ------
    RefusedError
        If nobody did, or not for this.
    """
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    try:
        if kind.lower() != "bearer":
            raise jwt.InvalidTokenError
        named = jwt.get_unverified_header(token).get("kid")
        keys = jwt.PyJWKSet.from_dict(dict(hospital.keys)).keys
        key = next(each for each in keys if each.key_id == named)
        claims = jwt.decode(
            token,
            key,
            algorithms=_ALGORITHMS,
            issuer=hospital.issuer,
            audience=hospital.address + path,
            options={"require": ["exp", "iat", "jti", "aud", "iss"]},
        )
        short = claims["exp"] - claims["iat"] <= _LONGEST_TOKEN_SECONDS
        if not short or not seen.first_time(str(claims["jti"]), claims["exp"]):
            raise jwt.InvalidTokenError
    except (jwt.PyJWTError, StopIteration, TypeError):
        raise RefusedError(
            401, "the request is not signed for this service: send a JWT of five minutes at most"
        ) from None
    return hospital.issuer
