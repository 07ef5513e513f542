"""Where runs are recorded; ``conf/tracking``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class TrackingSettings:
    """Where runs are recorded; ``conf/tracking``.

    Attributes
    ----------
    enabled
        A run without tracking is the same run.
    uri
        Of the MLflow tracking server; null: SQLite below ``mlruns/``.
    register
        Whether the model is registered.
    """

    enabled: bool = True
    uri: str | None = None
    register: bool = True
