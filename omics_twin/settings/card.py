"""What a person says of a model in its card."""

from __future__ import annotations

from dataclasses import dataclass, field

from omics_twin.errors import ConfigError, nearest

_PARTS_OF_ITEMS = {3: 3, 5: 2, 6: 3, 8: 3, 9: 3, 12: 7, 18: 6, 20: 3, 23: 2, 27: 3}
TRIPOD_ITEMS = tuple(
    f"{item}{part}"
    for item in range(1, 28)
    for part in ("abcdefg"[: _PARTS_OF_ITEMS[item]] if item in _PARTS_OF_ITEMS else ("",))
)
"""Numbers of the items of TRIPOD+AI, in order; see :mod:`omics_twin.report.tripod`."""


@dataclass
class CardSettings:
    """What a person says of a model in its card, beside what the run knows.

    Attributes
    ----------
    intended_use, not_for
        For what and whom the model is meant, and for what and whom it is not.
    statements
        Item of TRIPOD+AI, such as ``5b`` -> what is said of it.
    """

    intended_use: str = ""
    not_for: str = ""
    statements: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a statement on no item, which the card would not show."""
        for number in self.statements:
            if number not in TRIPOD_ITEMS:
                raise ConfigError(
                    f"unknown card.statements '{number}'{nearest(number, TRIPOD_ITEMS)}"
                )
