"""How a model is asked, one patient or many; ``conf/serve`` and ``conf/score``."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from omics_twin.settings.ranges import require, require_named


@dataclass
class ServeSettings:
    """How a model is asked over HTTP; ``conf/serve``.

    Attributes
    ----------
    host, port
        Where it listens; port 0: any that is free.
    most_bytes, most_patients
        A larger request is refused [byte].
    timeout_seconds
        For a request to arrive, and for the model to answer it [s].
    at_once
        Requests that the model answers at the same time; others wait.
    https
        Whether a proxy before it speaks HTTPS: the page's cookie never travels without.
    address
        Where others reach it, without a slash at its end; null: ``http://host:port``.
    hospital_keys, hospital_issuer
        JWKS file of the hospital system whose CDS Hooks are answered, and the issuer of its tokens;
        null: none is.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    most_bytes: int = 4_000_000
    most_patients: int = 256
    timeout_seconds: float = 30.0
    at_once: int = 4
    https: bool = False
    address: str | None = None
    hospital_keys: str | None = None
    hospital_issuer: str | None = None

    def __post_init__(self) -> None:
        """Refuse limits under which nothing is answered."""
        require_named("serve.host", self.host)
        require("serve.port", self.port, 0, 65_535)
        require("serve.most_bytes", self.most_bytes, 1_000, 1_000_000_000)
        require("serve.most_patients", self.most_patients, 1, 1_000_000)
        require("serve.timeout_seconds", self.timeout_seconds, 0.1, 3_600.0)
        require("serve.at_once", self.at_once, 1, 1_000)


class Engine(Enum):
    """By whom many patients are scored."""

    HERE = "this process"
    RAY = "workers of a Ray cluster, or of this machine"


@dataclass
class ScoreSettings:
    """How more patients than one request holds are scored; ``conf/score``.

    Attributes
    ----------
    engine, workers
        By whom, and by how many of them at once.
    block
        Patients that are answered together, and written to one file.
    """

    engine: Engine = Engine.HERE
    workers: int = 1
    block: int = 512

    def __post_init__(self) -> None:
        """Refuse nobody, and blocks of nobody."""
        require("score.workers", self.workers, 1, 100_000)
        require("score.block", self.block, 1, 100_000)
