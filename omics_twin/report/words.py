"""A twin's numbers and names as a clinician says them."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from omics_twin.settings import Reading

if TYPE_CHECKING:
    # Whoever only counts at a terminal need not wait for torch.
    from omics_twin.types import Endpoint

DAYS_PER_MONTH = 30.4375
_MINUS = "\N{MINUS SIGN}"
# A line must not break between a number and its sign.
_PERCENT = "\N{NO-BREAK SPACE}%"
# Parts smaller than this many decimals more can tell are told as 0.
_MOST_FINER = 3
_SPELLED = {
    "er": "ER",
    "hr": "HR",
    "pr": "PR",
    "her2": "HER2",
    "mri": "MRI",
    "ct": "CT",
    "rna": "RNA",
    "dna": "DNA",
    "pdl1": "PD-L1",
    "ecog": "ECOG",
    "tmb": "TMB",
    "mammaprint": "MammaPrint",
}
_YES = {"1", "1.0", "true", "yes"}
_NO = {"0", "0.0", "false", "no"}


@dataclass(frozen=True)
class Scale:
    """How the endpoint's number is written.

    Attributes
    ----------
    factor, decimals
        What a value is multiplied by, and the decimals that are kept.
    unit, difference_unit
        After a value, after a difference of two.
    months
        Whether a value is a share of time, also told in months up to the horizon.
    horizon_months
        The horizon [month].
    finer_by
        Decimals that a part of a difference has more than usual.
    """

    factor: float
    decimals: int
    unit: str
    difference_unit: str
    months: bool
    horizon_months: float
    finer_by: int = 0

    @staticmethod
    def of(endpoint: Endpoint, outcome_kind: str, unit: str) -> Scale:
        """Return the scale of an endpoint.

        Parameters
        ----------
        outcome_kind
            ``binary``, ``time_to_event`` or ``continuous``.
        unit
            Of the quantity a continuous outcome is measured in.
        """
        horizon = endpoint.horizon_days / DAYS_PER_MONTH
        if outcome_kind == "continuous":
            named = "" if unit in ("", "1") else f" {unit}"
            return Scale(1.0, 2, named, named, False, horizon)
        shared = endpoint.reading is Reading.MEAN_UP_TO_HORIZON
        return Scale(100.0, 0, _PERCENT, " points", shared, horizon)

    def value(self, number: float) -> str:
        """Return a value with its unit."""
        return self.bare(number) + self.unit

    def bare(self, number: float) -> str:
        """Return a value without its unit."""
        return _signless(number * self.factor, self.decimals)

    def interval(self, lower: float, upper: float) -> str:
        """Return an interval with its unit."""
        return f"{self.bare(lower)} to {self.bare(upper)}{self.unit}"

    def difference(self, number: float) -> str:
        """Return a difference with its sign and unit."""
        return _signed(number * self.factor, self.decimals) + self.difference_unit

    def contribution(self, number: float) -> str:
        """Return a part of a difference, one decimal finer than the difference itself."""
        unit = " months" if self.months else self.difference_unit
        return self.bare_contribution(number) + unit

    def bare_contribution(self, number: float) -> str:
        """Return a part of a difference without its unit."""
        if self.months:
            return _signed(number * self.horizon_months, 2 + self.finer_by)
        return _signed(number * self.factor, self.decimals + 1 + self.finer_by)

    def finer(self, size: float) -> Scale:
        """Return the scale with decimals enough for two digits of parts of this size.

        Parameters
        ----------
        size
            In the endpoint's own units.
        """
        decimals = 2 if self.months else self.decimals + 1
        shown = abs(size) * (self.horizon_months if self.months else self.factor)
        needed = 1 - math.floor(math.log10(shown)) if shown > 0 else 0
        return replace(self, finer_by=min(max(0, needed - decimals), _MOST_FINER))

    def contribution_interval(self, lower: float, upper: float) -> str:
        """Return the interval of a part of a difference."""
        return " to ".join(self.bare_contribution(each) for each in (lower, upper))

    def difference_interval(self, lower: float, upper: float) -> str:
        """Return the interval of a difference."""
        ends = (_signed(each * self.factor, self.decimals) for each in (lower, upper))
        return " to ".join(ends)

    def in_months(self, number: float) -> str:
        """Return a share of the horizon in months."""
        return _signless(number * self.horizon_months, 1)

    def difference_in_months(self, number: float) -> str:
        """Return a difference of shares in months."""
        return _signed(number * self.horizon_months, 1)


def _signless(number: float, decimals: int) -> str:
    # Adding zero turns a rounded minus zero into zero.
    return f"{round(number, decimals) + 0.0:.{decimals}f}".replace("-", _MINUS)


def _signed(number: float, decimals: int) -> str:
    rounded = round(number, decimals) + 0.0
    return ("+" if rounded > 0 else "") + _signless(number, decimals)


def percent(share: float) -> str:
    r"""Return a share as a percentage.

    Examples
    --------
    >>> percent(0.9), percent(0.995)
    ('90\xa0%', '99.5\xa0%')
    """
    return f"{100 * share:g}{_PERCENT}"


def probability(share: float) -> str:
    r"""Return a probability; a finite number of draws never says 0 or 100 %.

    Examples
    --------
    >>> probability(0.0), probability(0.42), probability(1.0)
    ('<1\xa0%', '42\xa0%', '>99\xa0%')
    """
    if share < 0.01:
        return f"<1{_PERCENT}"
    if share > 0.99:
        return f">99{_PERCENT}"
    return f"{100 * share:.0f}{_PERCENT}"


def visible(text: str) -> str:
    r"""Return text with every invisible or direction-changing character spelled out.

    An identifier may come from anywhere; what is on the page must be what it is.

    Examples
    --------
    >>> visible("P1\u202e")
    'P1\\u202e'
    """
    return "".join(
        each if unicodedata.category(each)[0] != "C" else f"\\u{ord(each):04x}" for each in text
    )


def name_in_words(name: str) -> str:
    """Return a column's or modality's name as words.

    Examples
    --------
    >>> name_in_words("hr_positive")
    'HR positive'
    """
    return " ".join(_SPELLED.get(part.lower(), part) for part in name.split("_") if part)


def column_in_words(column: str, unit: str) -> str:
    """Return a column's name as words, without the unit that is told beside it.

    Examples
    --------
    >>> column_in_words("tumour_volume_cm3", "cm3"), column_in_words("age_years", "year")
    ('tumour volume', 'age')
    >>> column_in_words("stage", "1")
    'stage'
    """
    words = name_in_words(column).split(" ")
    if len(words) > 1 and words[-1].rstrip("s") == unit.rstrip("s"):
        words = words[:-1]
    return " ".join(words)


def marker_in_words(column: str, value: str) -> str:
    """Return one marker of a stratum.

    Examples
    --------
    >>> marker_in_words("hr_positive", "0"), marker_in_words("stage", "III")
    ('HR negative', 'stage III')
    """
    name = name_in_words(column)
    plain = value.lower()
    stem = name.removesuffix(" positive")
    if plain == "not measured":
        return f"{stem} not measured"
    if plain in _YES:
        return name
    if plain in _NO:
        return f"{stem} negative" if stem != name else f"not {name}"
    return f"{name} {visible(value)}"


def stratum_in_words(columns: Sequence[str], values: Mapping[str, str]) -> str:
    """Return a stratum as a clinician would say it."""
    return ", ".join(marker_in_words(column, values[column]) for column in columns)


def day_in_words(day: float) -> str:
    """Return a day since the index date; the index date is where treatment begins.

    Examples
    --------
    >>> day_in_words(0.0), day_in_words(21.0), day_in_words(-3.0)
    ('baseline', 'day 21', '3 days before baseline')
    """
    if day == 0:
        return "baseline"
    if day < 0:
        return f"{-day:g} day{'' if day == -1 else 's'} before baseline"
    return f"day {day:g}"


def years_in_words(days: float) -> str:
    """Return a span of time as a clinician would say it.

    Examples
    --------
    >>> years_in_words(3652), years_in_words(1826), years_in_words(365), years_in_words(180)
    ('10 years', '5 years', '12 months', '180 days')
    """
    months = days / (365.25 / 12)
    if abs(months - round(months)) > 0.05:
        return f"{days:g} days"
    return f"{months / 12:.3g} years" if months > 23.5 else f"{months:.0f} months"


def listed(names: Sequence[str], most: int = 8) -> str:
    """Return names as a list in a sentence; the rest is counted.

    Examples
    --------
    >>> listed(["a", "b", "c"]), listed(["a", "b", "c"], most=2)
    ('a, b and c', 'a, b and 1 more')
    """
    shown = list(names[:most])
    if len(names) > most:
        return f"{', '.join(shown)} and {len(names) - most} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def counted(number: int, noun: str) -> str:
    """Return a number with its noun.

    Examples
    --------
    >>> counted(1, "patient"), counted(0, "patient")
    ('1 patient', '0 patients')
    """
    return f"{number} {noun}" + ("" if number == 1 else "s")


METRIC_NAMES = {
    "auc": "AUC (telling responders apart)",
    "brier": "Brier score",
    "ece": "Calibration error",
    "log_loss": "Log loss",
    "c_index": "C-index (ordering by survival)",
    "uno_c": "Uno's c (ordering, whatever the censoring)",
    "auc_at_horizon": "AUC at the horizon",
    "integrated_brier": "Integrated Brier score",
    "ici_at_horizon": "Calibration error at the horizon (ICI)",
    "d_calibration_p": "D-calibration (p-value)",
    "r2": "R² (share of variance explained)",
    "rmse": "Root mean square error",
    "spearman": "Rank correlation",
    "crps": "CRPS",
    "crps_mm": "CRPS (mm)",
    "crps_cm3": "CRPS (cm³)",
    "next_crps_cm3": "CRPS one ahead (cm³)",
    "median_error_mm": "Error of the median (mm)",
    "median_error_cm3": "Error of the median (cm³)",
    "interval_90_holds": "90 % intervals hold",
    "next_interval_90_holds": "90 % intervals of the next visit hold",
    "observed_less_predicted": "Observed less predicted",
    "next_observed_less_predicted": "Observed less predicted, one ahead",
}


def mean_and_spread(cell: Mapping[str, Any] | None) -> str:
    """Return a metric's ``mean ± sd``."""
    if not cell or cell.get("mean") is None:
        return "not known"
    text = _signless(float(cell["mean"]), 3)
    return text if cell.get("sd") is None else f"{text} ± {cell['sd']:.3f}"
