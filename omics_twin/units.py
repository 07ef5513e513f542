"""Unit names and conversions; time at every interface is days."""

from __future__ import annotations

from omics_twin.errors import IntakeError, nearest

# A month is a twelfth of a Julian year, as clinical-trial tables use it (365.25 / 12 days).
_SCALE: dict[str, tuple[str, float]] = {
    "second": ("time", 1.0 / 86400.0),
    "day": ("time", 1.0),
    "week": ("time", 7.0),
    "month": ("time", 365.25 / 12.0),
    "year": ("time", 365.25),
    "mm": ("length", 0.1),
    "cm": ("length", 1.0),
    "m2": ("area", 1.0),
    "mm3": ("volume", 1e-3),
    "cm3": ("volume", 1.0),
    "ng": ("mass", 1e-9),
    "ug": ("mass", 1e-6),
    "mg": ("mass", 1e-3),
    "g": ("mass", 1.0),
    "mg/m2": ("dose by body surface", 1e-3),
    "g/m2": ("dose by body surface", 1.0),
    "ng/mL": ("concentration", 1e-3),
    "mg/L": ("concentration", 1.0),
    "mg/dL": ("concentration", 10.0),
    "g/L": ("concentration", 1e3),
    "g/dL": ("concentration", 1e4),
    "fraction": ("share", 1.0),
    "percent": ("share", 0.01),
}
# Units without a conversion: they must be equal to be the same.
_PLAIN = frozenset(
    {
        "1",
        "count",
        "score",
        "z",
        "log2",
        "log2_tpm",
        "log1p_cpm",
        "counts",
        "copies",
        "mixed",
        "U/L",
        "10^9/L",
        "mutations_per_mb",
        "coverage",
        "Gy",
    }
)


def conversion(found: str, wanted: str) -> float:
    """Return the factor that turns a value in unit ``found`` into unit ``wanted``.

    Raises
    ------
    IntakeError
        If a unit is unknown or the two do not measure the same thing.

    Examples
    --------
    >>> conversion("month", "day")
    30.4375
    """
    for unit in (found, wanted):
        if unit not in _SCALE and unit not in _PLAIN:
            raise IntakeError(f"unknown unit '{unit}'{nearest(unit, [*_SCALE, *sorted(_PLAIN)])}")
    if found == wanted:
        return 1.0
    if found in _PLAIN or wanted in _PLAIN or _SCALE[found][0] != _SCALE[wanted][0]:
        raise IntakeError(f"unit '{found}' cannot be converted to '{wanted}': declare the unit")
    return _SCALE[found][1] / _SCALE[wanted][1]
