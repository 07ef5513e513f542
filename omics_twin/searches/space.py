"""Which settings does a search try? Hydra's grammar of sweeps, read as the axes of a space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, RangeSweep
from hydra.errors import HydraException

from omics_twin.config import Config
from omics_twin.errors import ConfigError, nearest
from omics_twin.settings import NetworkSettings, TrainerSettings

Value = float | int | str | bool
_ROOMS = {"trainer": TrainerSettings, "model": NetworkSettings}
# What no search may choose: these say where, how often and by which chance, not how to learn.
_FIXED = {"trainer.seed", "trainer.device", "trainer.checkpoint_every_epochs"}


@dataclass(frozen=True)
class Axis:
    """One setting of a space.

    Attributes
    ----------
    key
        Such as ``trainer.weight_decay``.
    low, high
        Ends of an interval; None: the values are listed.
    log
        Whether the interval is even on the logarithmic scale.
    whole
        Whether only whole numbers are tried.
    choices
        Values of a list.
    """

    key: str
    low: float | None = None
    high: float | None = None
    log: bool = False
    whole: bool = False
    choices: tuple[Value, ...] = ()

    @property
    def ends(self) -> tuple[Value, ...]:
        """The values that are checked before anything is trained."""
        if self.low is None or self.high is None:
            return self.choices
        kind = int if self.whole else float
        return (kind(self.low), kind(self.high))


def axes_of(config: Config) -> list[Axis]:
    """Return the axes of a configuration's space, all checked.

    Raises
    ------
    ConfigError
        If the space is empty, names what cannot be searched, or holds values that no training
        takes.
    """
    space = config.search.space
    found = [_axis(room, name, text) for room, each in space.items() for name, text in each.items()]
    if not found:
        raise ConfigError(
            "'search.space' is empty: add a setting to try, such as "
            "search.space.trainer.weight_decay='interval(0.1, 10)'"
        )
    for axis in found:
        for value in axis.ends:
            with_values(config, {axis.key: value})
    return found


def with_values(config: Config, values: Mapping[str, Value]) -> Config:
    """Return the configuration with settings of a trial.

    Raises
    ------
    ConfigError
        If a value is out of range or of the wrong kind.
    """
    changed: dict[str, Any] = {"trainer": config.trainer, "model": config.model}
    for key, value in values.items():
        room, name = key.split(".", 1)
        _check_kind(key, getattr(changed[room], name), value)
        changed[room] = replace(changed[room], **{name: value})
    return replace(config, **changed)


def overrides_of(values: Mapping[str, Value]) -> list[str]:
    """Return values as settings of a command.

    Examples
    --------
    >>> overrides_of({"trainer.weight_decay": 0.5})
    ['trainer.weight_decay=0.5']
    """
    return [f"{key}={value!r}" for key, value in values.items()]


def _check_kind(key: str, present: object, value: Value) -> None:
    if isinstance(value, str | bool) or (isinstance(present, int) and not isinstance(value, int)):
        kind = "whole numbers" if isinstance(present, int) else "numbers"
        raise ConfigError(
            f"search.space: '{key}' takes {kind}, found {value!r}: use choice(8, 16), range(1, 5) "
            "or int(interval(1, 5))"
        )


def _axis(room: str, name: str, text: str) -> Axis:
    key = f"{room}.{name}"
    if room not in _ROOMS:
        raise ConfigError(
            f"search.space: '{key}' cannot be searched, expected a setting of trainer or model"
        )
    known = [each.name for each in fields(_ROOMS[room]) if f"{room}.{each.name}" not in _FIXED]
    if key in _FIXED:
        raise ConfigError(f"search.space: '{key}' is not a way to learn: leave it out")
    if name not in known:
        raise ConfigError(f"unknown key '{key}' in search.space{nearest(name, known)}")
    try:
        sweep = OverridesParser.create().parse_override(f"{key}={text}").value()
    except HydraException as error:
        raise ConfigError(
            f"cannot read the values of '{key}' in search.space: '{text}', expected "
            "interval(a, b), choice(a, b) or range(a, b)"
        ) from error
    if isinstance(sweep, IntervalSweep):
        return _interval(key, sweep)
    return Axis(key, choices=_listed(key, sweep, text))


def _interval(key: str, sweep: IntervalSweep) -> Axis:
    low, high, log = float(sweep.start or 0), float(sweep.end or 0), "log" in sweep.tags
    if not low < high:
        raise ConfigError(f"search.space: the interval of '{key}' is empty: {low:g} to {high:g}")
    if log and low <= 0:
        raise ConfigError(
            f"search.space: the interval of '{key}' begins at {low:g}, expected more than 0 on "
            "the logarithmic scale"
        )
    # int(interval(1, 5)) leaves whole ends, interval(1, 5) does not.
    whole = all(type(each) is int for each in (sweep.start, sweep.end))
    return Axis(key, low, high, log, whole)


def _listed(key: str, sweep: object, text: str) -> tuple[Value, ...]:
    values: Sequence[Any]
    if isinstance(sweep, ChoiceSweep):
        values = sweep.list
    elif isinstance(sweep, RangeSweep):
        values = list(sweep.range())
    else:
        raise ConfigError(
            f"search.space: '{key}' has one value, {text}: set it with {key}={text} instead, or "
            "give several"
        )
    if len(values) < 2:
        raise ConfigError(f"search.space: '{key}' has {len(values)} values, expected at least 2")
    return tuple(values)
