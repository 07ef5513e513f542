"""Are custom driver annotations complete, and short enough? Row by row."""

from __future__ import annotations

from dataclasses import dataclass, field

from omics_twin.errors import quoted
from omics_twin.intake.cbioportal_text import Mistakes, Sheet

DRIVER_VALUES = ("Putative_Driver", "Putative_Passenger", "Unknown", "NA", "")
_PAIRS = (
    ("cbp_driver", "cbp_driver_annotation"),
    ("cbp_driver_tiers", "cbp_driver_tiers_annotation"),
)
_LONGEST_TIER = 50
_LONGEST_ANNOTATION = 80
_MOST_TIERS = 10


@dataclass(frozen=True)
class Drivers:
    """The annotation columns of one file and the tiers met so far."""

    sheet: Sheet
    positions: dict[str, int]
    tiers: set[str] = field(default_factory=set)

    def check_row(self, line: int, cells: list[str], mistakes: Mistakes) -> None:
        """Note what is wrong with the annotations of one row."""
        if not self.positions:
            return
        file = self.sheet.file
        found = {name: cells[position].strip() for name, position in self.positions.items()}
        driver = found.get("cbp_driver", "")
        if driver not in DRIVER_VALUES:
            mistakes.error(
                file, line, f"cbp_driver is '{driver}', expected one of {quoted(DRIVER_VALUES)}"
            )
        for value, note in _PAIRS:
            self._check_pair(line, value, note, found, mistakes)
        tier = found.get("cbp_driver_tiers", "")
        if tier not in ("", "NA"):
            self.tiers.add(tier)
        for name, text in found.items():
            most = _LONGEST_TIER if name == "cbp_driver_tiers" else _LONGEST_ANNOTATION
            if len(text) > most:
                mistakes.error(
                    file, line, f"{name} has {len(text)} characters, expected {most} at most"
                )

    def _check_pair(
        self, line: int, value: str, note: str, found: dict[str, str], mistakes: Mistakes
    ) -> None:
        if value not in found or note not in found:
            return
        if found[note] not in ("", "NA") and found[value] in ("", "NA"):
            mistakes.warning(self.sheet.file, line, f"{note} is filled but {value} is empty")

    def check_tiers(self, mistakes: Mistakes) -> None:
        """Note more tiers than a menu can show."""
        if len(self.tiers) > _MOST_TIERS:
            mistakes.warning(
                self.sheet.file,
                None,
                f"cbp_driver_tiers has {len(self.tiers)} different tiers, expected {_MOST_TIERS} "
                "at most",
            )


def check_driver_columns(sheet: Sheet, mistakes: Mistakes) -> Drivers:
    """Note annotation columns without their partner, and return those that are there."""
    for pair in _PAIRS:
        for name, partner in (pair, pair[::-1]):
            if name in sheet.header and partner not in sheet.header:
                mistakes.error(
                    sheet.file,
                    sheet.header_line,
                    f"column '{name}' needs column '{partner}': add it",
                )
    names = [name for pair in _PAIRS for name in pair if name in sheet.header]
    return Drivers(sheet, {name: sheet.header.index(name) for name in names})
