"""Check the values of an INFO or FORMAT key against its Number and Type."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import comb

from omics_twin.errors import shown
from omics_twin.intake.vcf_reserved import (
    AT_MOST_ONE,
    FORMAT,
    INFO,
    NOT_COUNTED,
    NOT_NEGATIVE,
    Reserved,
    Version,
)

_INTEGER = r"[-+]?[0-9]+"
# Section 1.3 of the specification of 4.3; earlier versions do not say how a number is written.
_FLOAT = r"[-+]?(?:(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|(?i:inf|infinity|nan))"
_CHARACTER = r"(?:[^,%]|%[0-9A-Fa-f]{2}|%)"
FLOAT = re.compile(_FLOAT)
LARGEST_INTEGER = 2**31 - 1
MOST_PLOIDY = 64
# The binary form keeps the first eight for itself (section 1.3 of 4.3).
SMALLEST_INTEGER = -(2**31) + 8


def _listed(one: str) -> re.Pattern[str]:
    return re.compile(rf"(?:\.|{one})(?:,(?:\.|{one}))*")


_LISTS = {
    "Integer": _listed(_INTEGER),
    "Float": _listed(_FLOAT),
    "Character": _listed(_CHARACTER),
}
_SMALL = re.compile(r"[0-9]{1,9}(?:,[0-9]{1,9})*")
_NOUNS = {"Integer": "a whole number", "Float": "a number", "Character": "one character"}


@dataclass(frozen=True, eq=False)
class Rule:
    """What the values of one key must be.

    Attributes
    ----------
    column, key
        ``INFO`` or ``FORMAT``, and the key.
    number, type
        As declared in the header, else as reserved; empty: anything.
    lower, upper
        Bounds of every value, included; ``None``: unbounded.
    """

    column: str
    key: str
    number: str
    type: str
    lower: int | None = None
    upper: int | None = None


def rule_of(column: str, key: str, version: Version, declared: Reserved | None) -> Rule:
    """Return the rule of a key, as declared or else as the version reserves it.

    Examples
    --------
    >>> rule = rule_of("INFO", "AC", Version.V42, None)
    >>> rule.number, rule.type, rule.lower
    ('A', 'Integer', 0)
    """
    reserved = (INFO if column == "INFO" else FORMAT)[version].get(key)
    said = declared or reserved or Reserved("", "")
    upper = 1 if key in AT_MOST_ONE.get((column, version), ()) else None
    positive = key in NOT_NEGATIVE[column] or upper is not None
    number = "." if key in NOT_COUNTED or (column, said.number) == ("INFO", "G") else said.number
    return Rule(column, key, number, said.type, 0 if positive else None, upper)


def problem(rule: Rule, text: str, alternates: int, ploidy: int | None) -> str | None:
    """Return what is wrong with the values of a key, or ``None``.

    Parameters
    ----------
    rule
        What they must be.
    text
        The values as written, separated by commas.
    alternates
        Alleles in ALT; 0 where it is the missing value.
    ploidy
        Alleles of the genotype; ``None`` where it is not known.

    Examples
    --------
    >>> problem(rule_of("INFO", "AC", Version.V42, None), "1,x", 2, None)
    "AC is '1,x', expected a whole number in every place"
    """
    if text == ".":
        return None
    # Nearly every value is a small count: no need to look further than at how many there are.
    if rule.type == "Integer" and rule.upper is None and _SMALL.fullmatch(text):
        return None if rule.number == "." else _miscounted(rule, text, alternates, ploidy)
    pattern = _LISTS.get(rule.type)
    if pattern is not None and not pattern.fullmatch(text):
        places = " in every place" if "," in text else ""
        return f"{rule.key} is {shown(text)}, expected {_NOUNS[rule.type]}{places}"
    if rule.number not in ("", "."):
        counted = _miscounted(rule, text, alternates, ploidy)
        if counted:
            return counted
    if rule.type == "Integer" or rule.lower is not None:
        return _outside(rule, text)
    return None


def _miscounted(rule: Rule, text: str, alternates: int, ploidy: int | None) -> str | None:
    count = text.count(",") + 1
    if rule.number == "1" and count == 1:
        return None
    wanted = expected_count(rule.number, alternates, ploidy)
    if wanted is None or count == wanted:
        return None
    # Without alternate alleles, files give the values of none or of one.
    if alternates == 0 and count == expected_count(rule.number, 1, ploidy):
        return None
    per = {"A": " (one per ALT allele)", "R": " (one per allele)", "G": " (one per genotype)"}
    return (
        f"{rule.key} holds {count} values, {shown(text)}, expected {wanted}"
        f"{per.get(rule.number, '')}"
    )


def expected_count(number: str, alternates: int, ploidy: int | None) -> int | None:
    """Return how many values a Number stands for, or ``None`` where it cannot be said.

    Examples
    --------
    >>> expected_count("G", 2, 2), expected_count("G", 2, 3), expected_count("R", 2, 2)
    (6, 10, 3)

    References
    ----------
    Specification of 4.3, section 1.6.2: genotype ordering.
    """
    if number == "A":
        return alternates
    if number == "R":
        return alternates + 1
    if number == "G":
        return None if ploidy is None or ploidy > MOST_PLOIDY else comb(alternates + ploidy, ploidy)
    return int(number[:9]) if number.isdecimal() else None


def _outside(rule: Rule, text: str) -> str | None:
    if rule.type == "Integer":
        lower = SMALLEST_INTEGER if rule.lower is None else rule.lower
        upper = LARGEST_INTEGER if rule.upper is None else rule.upper
        numbers = [int(each[:20]) for each in text.split(",") if each != "."]
        if all(lower <= each <= upper for each in numbers):
            return None
        return f"{rule.key} is {shown(text)}, expected whole numbers from {lower} to {upper}"
    if rule.type != "Float":
        return None
    values = [float(each) for each in text.split(",") if each != "."]
    below = any(each < (rule.lower or 0) for each in values)
    above = rule.upper is not None and any(each > rule.upper for each in values)
    if not below and not above:
        return None
    range_ = "at least 0" if rule.upper is None else f"between {rule.lower} and {rule.upper}"
    return f"{rule.key} is {shown(text)}, expected numbers {range_}"
