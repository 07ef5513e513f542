"""What may be done with patients; ``conf/trust``."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from omics_twin.settings.ranges import require, require_named


class Unlike(Enum):
    """What becomes of a patient who is unlike the training patients."""

    WARN = "an answer with a warning"
    REFUSE = "no answer"


@dataclass
class TrustSettings:
    """May we; ``conf/trust``.

    Attributes
    ----------
    ledger
        CSV of consent, or the address of a chart that holds it, such as ``sqlite:///chart.db``;
        null: granted by the study's protocol.
    pseudonyms
        Whether patients are called by pseudonyms where the site has a key (OMICS_TWIN_SITE_KEY).
    date_window_days
        By up to so many days dates are then moved, the same in one patient [day].
    unlike
        Whether a patient outside the domain of validity is answered with a warning or not at all;
        the stricter of what was set in training and where the model is asked.
    """

    ledger: str | None = None
    pseudonyms: bool = True
    date_window_days: int = 30
    unlike: Unlike = Unlike.WARN

    def __post_init__(self) -> None:
        """Refuse an empty ledger: it must not pass for the study's own grant."""
        require_named("trust.ledger", self.ledger)
        require("trust.date_window_days", self.date_window_days, 0, 3650)
