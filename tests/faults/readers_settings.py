"""Settings as a person writes them: on the command line, and in a file of them."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from random import Random
from typing import Any

from omics_twin.config import Config, check_overrides, load, plain, read_overrides
from tests.faults.examining import Reader
from tests.faults.mutations import NASTY, TEXT, delimited
from tests.faults.strict import Invalid

_LINES = (
    "trainer.seed=3",
    "trainer.learning_rate=0.01",
    "model.dropout=0.2",
    "split.folds=4",
    "name=mine",
    "therapy.thin_support=5",
    "cohort.modalities.clinical.columns.age_years.minimum=18",
    "twin.interval=0.8",
    "++trainer.patience=3",
    "~cohort.outcomes.pfs",
    "cohort.strata=[hr_positive]",
    "experiment=synthetic_response",
)
_SIMPLE = re.compile(r"\+{0,2}([a-z_.]+)=(-?[0-9]+(?:\.[0-9]+)?|[a-z]+)")


def _changed(content: bytes, dice: Random) -> bytes:
    """Change a key or a value."""
    lines = content.decode("utf-8", errors="replace").split("\n")
    place = dice.randrange(len(lines))
    key, equals, value = lines[place].partition("=")
    odd = dice.choice(NASTY)[:200]
    lines[place] = dice.choice(
        (f"{key}={odd}", f"{odd}={value}", f"{key}.{odd}={value}", f"{key}{equals}{value}{odd}")
    )
    return "\n".join(lines).encode()


_OWN = (_changed, *delimited("=", ("null", "true", "[1,2]", "{a:1}", "1,2", "-1", "1e9")), *TEXT)


def overrides(_: Path) -> Reader:
    """Return the check of settings on the command line, before anything is composed."""

    def read(content: bytes) -> Any:
        return check_overrides(content.decode("utf-8", errors="replace").split("\n"))

    def wrong(content: bytes, found: Any) -> str | None:
        lines = content.decode("utf-8", errors="replace").split("\n")
        keys = [each.key_or_group for each in found]
        if len(found) != len(lines) or len(set(keys)) < len(keys):
            return f"{len(lines)} settings were given, {keys} are read"
        return None

    seeds = tuple("\n".join(_LINES[at : at + 4]).encode() for at in range(0, len(_LINES), 4))
    return Reader("settings", seeds, _OWN, read, wrong)


def composed(_: Path) -> Reader:
    """Return the whole reading of a configuration: what is set is what was asked for."""

    def read(content: bytes) -> Config:
        return load("train", content.decode("utf-8", errors="replace").split("\n"))

    def wrong(content: bytes, found: Config) -> str | None:
        tree = plain(found)
        try:
            json.dumps(tree, allow_nan=False)
            for line in content.decode("utf-8", errors="replace").split("\n"):
                _check_set(line, tree)
        except (ValueError, Invalid) as error:
            return str(error)
        return None

    seeds = tuple(f"experiment=synthetic_response\n{line}".encode() for line in _LINES[:-1])
    return Reader("configuration", seeds, _OWN, read, wrong)


def _check_set(line: str, tree: Any) -> None:
    """Refuse a tree in which a simple setting is not what was given."""
    given = _SIMPLE.fullmatch(line)
    if given is None or given[1] == "experiment":
        return
    held = tree
    for part in given[1].split("."):
        if not isinstance(held, dict) or part not in held:
            raise Invalid(f"'{line}' was accepted, and nothing is set by it")
        held = held[part]
    if isinstance(held, bool | dict | list) or held is None:
        return
    if isinstance(held, int | float):
        if not math.isclose(float(held), float(given[2])):
            raise Invalid(f"'{line}' was accepted, set is {held!r}")
    elif str(held).lower() != given[2].lower():
        raise Invalid(f"'{line}' was accepted, set is {held!r}")


def settings_file(folder: Path) -> Reader:
    """Return the reader of a file of settings, as a search writes it."""
    path = folder / "best.yaml"

    def read(content: bytes) -> list[str]:
        path.write_bytes(content)
        return read_overrides(str(path))

    def wrong(content: bytes, found: list[str]) -> str | None:
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            return f"no UTF-8: {error}"
        lines = [line.split("#", 1)[0].strip() for line in text.splitlines()]
        told = [line[2:].strip() for line in lines if line not in ("", "[]")]
        return None if told == found and all("=" in each for each in found) else f"read {found}"

    whole = "# settings of the best trial\n" + "".join(f"- {line}\n" for line in _LINES[:4])
    return Reader("file of settings", (whole.encode(), b"[]\n"), _OWN, read, wrong)
