"""Typed configuration; every mistake is answered by one sentence."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from enum import Enum
from itertools import product
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from omics_twin.dynamics.settings import DynamicsSettings
from omics_twin.errors import ConfigError, nearest
from omics_twin.intake.declaration import CohortDeclaration
from omics_twin.intake.settings import IntakeSettings, KnowledgeSettings
from omics_twin.settings import (
    AttackSettings,
    CardSettings,
    CatalogueDeclaration,
    EndpointSettings,
    FairnessSettings,
    MonitorSettings,
    NetworkSettings,
    PolicySettings,
    ScoreSettings,
    SearchSettings,
    ServeSettings,
    SplitSettings,
    TrackingSettings,
    TrainerSettings,
    TrustSettings,
    TwinSettings,
    config_folder,
    groups,
    options,
    require,
    require_named,
)

_SPACE = "search.space."
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


@dataclass
class Config:
    """One pipeline run, whole.

    Attributes
    ----------
    name, verb
        The experiment, which also names its folder and its registered model, and what is done.
    data_root, output_root, synthetic_root
        Where real cohorts are read, runs are written and the synthetic cohort lies.
    model_uri
        A run's folder, a model's folder, ``models:/name/version`` or ``runs:/id/model``.
    output
        File (or, to synthesise or score, folder) the answer is written to.
    records
        Parquet file, or folder of such, with the records of patients to score.
    patient, intervention
        One patient to rank, report, update or simulate; one intervention to predict under, or to
        simulate: an arm, or a JSON file with a list of plans.
    observation
        JSON file with a visit, or a list of visits, to show to a patient's twin.
    beliefs
        Folder in which beliefs about patients are kept; null: ``beliefs`` below the output root.
    log, key, anchor
        An audit log, the file of its key where the environment does not hold it, and its anchor.
    chart
        Database with the patients' charts: ``sqlite:///file`` or ``postgresql://…``.
    mapping
        What the codes of FHIR resources mean: a file such as ``conf/fhir/ispy2.yaml``.
    decision, purpose, modality, valid_until
        What a patient decided: ``grant`` or ``withdraw``, about what, and the last day of a grant.
    account, role
        Who may sign in to the page, and as what; ``none`` closes the account.
    demo
        Serve the synthetic trial's twin, with a chart of its own.
    excluded
        Whether a ranking also lists the therapies that are not open to a patient.
    as_of_days
        Only visits up to this day are shown to the twin; null: those before treatment (day 0)
        where a cohort is asked about, all to ``admit``, ``update`` and ``simulate`` [day].
    force
        Whether a version that is worse than the champion is promoted all the same.
    accept_unverified
        Whether to keep a fetched file of which no checksum is recorded.
    """

    name: str = "run"
    verb: str = "train"
    data_root: str = "data"
    output_root: str = "outputs"
    synthetic_root: str = "outputs/cohorts/synthetic"
    model_uri: str | None = None
    output: str | None = None
    records: str | None = None
    patient: str | None = None
    intervention: str | None = None
    observation: str | None = None
    beliefs: str | None = None
    log: str | None = None
    key: str | None = None
    anchor: str | None = None
    chart: str | None = None
    mapping: str | None = None
    decision: str | None = None
    purpose: str = "all"
    modality: str = "all"
    valid_until: str | None = None
    account: str | None = None
    role: str | None = None
    demo: bool = False
    excluded: bool = False
    as_of_days: float | None = None
    force: bool = False
    accept_unverified: bool = False
    intake: IntakeSettings = field(default_factory=IntakeSettings)
    cohort: CohortDeclaration = field(default_factory=CohortDeclaration)
    endpoint: EndpointSettings = field(default_factory=EndpointSettings)
    therapy: CatalogueDeclaration = field(default_factory=CatalogueDeclaration)
    knowledge: KnowledgeSettings = field(default_factory=KnowledgeSettings)
    model: NetworkSettings = field(default_factory=NetworkSettings)
    trainer: TrainerSettings = field(default_factory=TrainerSettings)
    twin: TwinSettings = field(default_factory=TwinSettings)
    dynamics: DynamicsSettings = field(default_factory=DynamicsSettings)
    split: SplitSettings = field(default_factory=SplitSettings)
    policy: PolicySettings = field(default_factory=PolicySettings)
    fairness: FairnessSettings = field(default_factory=FairnessSettings)
    search: SearchSettings = field(default_factory=SearchSettings)
    attack: AttackSettings = field(default_factory=AttackSettings)
    tracking: TrackingSettings = field(default_factory=TrackingSettings)
    monitor: MonitorSettings = field(default_factory=MonitorSettings)
    card: CardSettings = field(default_factory=CardSettings)
    trust: TrustSettings = field(default_factory=TrustSettings)
    serve: ServeSettings = field(default_factory=ServeSettings)
    score: ScoreSettings = field(default_factory=ScoreSettings)

    def __post_init__(self) -> None:
        """Refuse names that lead elsewhere, empty answers and days that are none."""
        if not _PLAIN_NAME.fullmatch(self.name):
            raise ConfigError(
                f"'name' is '{self.name}', expected letters, digits, '_', '-' and '.', beginning "
                "with a letter or digit"
            )
        for setting in [
            "data_root",
            "output_root",
            "synthetic_root",
            "model_uri",
            "output",
            "records",
            "patient",
            "intervention",
            "observation",
            "beliefs",
            "chart",
            "mapping",
            "decision",
            "purpose",
            "modality",
            "valid_until",
            "account",
            "role",
            "log",
            "key",
            "anchor",
        ]:
            require_named(setting, getattr(self, setting))
        if self.as_of_days is not None:
            require("as_of_days", self.as_of_days, 0.0)
        if self.policy.horizon_days is not None:
            latest = self.endpoint.horizon_days
            require("policy.horizon_days", self.policy.horizon_days, 0.5, latest)
        control = self.policy.control
        if control is not None and control not in self.therapy.arms:
            raise ConfigError(
                f"unknown policy.control '{control}'{nearest(control, self.therapy.arms)}"
            )

    @property
    def shown_days(self) -> float:
        """The last day that is shown where nothing is of the time under therapy, unless named."""
        return self.as_of_days or 0.0

    @property
    def until_days(self) -> float:
        """The last day that is shown where everything is, unless a day was named [day]."""
        return float("inf") if self.as_of_days is None else self.as_of_days


def load(verb: str, overrides: Sequence[str]) -> Config:
    """Return the configuration of a run.

    Raises
    ------
    ConfigError
        For anything that is unknown, missing, of the wrong type or out of range.
    """
    settings = [_addable(override) for override in check_overrides(overrides)]
    try:
        with initialize_config_dir(str(config_folder()), version_base="1.3"):
            composed = compose("config", [*settings, f"verb={verb}"])
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(_sentence(error)) from error
    return typed(composed)


def _addable(override: Override) -> str:
    """Let a setting that exists, but is not written out in ``conf/``, be set like any other."""
    text = str(override.input_line)
    if override.key_or_group.startswith(_SPACE) and not override.is_delete():
        # The values to try are text here; `omics_twin.searches.space` reads them.
        values = text.split("=", 1)[1].strip("'\"").replace("'", "\\'")
        return f"++{override.get_key_element().lstrip('+')}='{values}'"
    if override.is_sweep_override():
        raise ConfigError(
            f"'{text}' gives several values: put -m before the settings to run every combination, "
            "or quotation marks around a value with commas"
        )
    changed = override.is_delete() or override.is_add() or override.is_force_add()
    return text if changed or override.key_or_group in groups() else f"++{text}"


def combinations(verb: str, overrides: Sequence[str]) -> list[Config]:
    """Return the configuration of every combination of several values, all checked.

    Raises
    ------
    ConfigError
        As :func:`load`, and if two runs would write the same output.
    """
    choices = [
        [f"{each.get_key_element()}={value}" for value in each.sweep_string_iterator()]
        if each.is_sweep_override() and not each.key_or_group.startswith(_SPACE)
        else [str(each.input_line)]
        for each in check_overrides(overrides)
    ]
    found = [load(verb, chosen) for chosen in product(*choices)]
    outputs = [each.output for each in found if each.output]
    if len(set(outputs)) < len(outputs):
        raise ConfigError(
            f"{len(found)} runs would write {len(set(outputs))} outputs: ask for one run at a time"
        )
    return found


def typed(composed: DictConfig) -> Config:
    """Return a composed tree as checked dataclasses.

    Raises
    ------
    ConfigError
        If a key is unknown or a value is of the wrong type, out of range or infinite.
    """
    try:
        merged = OmegaConf.merge(OmegaConf.structured(Config), composed)
        config = OmegaConf.to_object(merged)
    except OmegaConfBaseException as error:
        cause = error.__cause__
        if isinstance(cause, ConfigError):
            raise cause from error
        raise ConfigError(_sentence(error)) from error
    if not isinstance(config, Config):
        raise ConfigError("the configuration is not a mapping: compose it from conf/config.yaml")
    _check_finite("", asdict(config))
    return config


def _check_finite(key: str, value: object) -> None:
    """Refuse NaN and infinity wherever they are: no record of a run can hold them."""
    if isinstance(value, Mapping):
        for name, each in value.items():
            _check_finite(f"{key}.{name}".lstrip("."), each)
    elif isinstance(value, list):
        for each in value:
            _check_finite(key, each)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"'{key}' is {value:g}, expected a finite number")


def restored(stored: dict[str, Any]) -> Config:
    """Return the configuration of which :func:`plain` made plain values, checked again.

    Raises
    ------
    ConfigError
        As :func:`typed`.
    """
    return typed(OmegaConf.create(stored))


def plain(config: Config) -> dict[str, Any]:
    """Return the configuration as plain values that JSON can hold."""
    return json.loads(json.dumps(asdict(config), default=_enum_name))


# Who was asked about, and where patients' data are kept: not what a run is made of.
_ASKED = (
    "records",
    "patient",
    "observation",
    "output",
    "beliefs",
    "chart",
    "account",
    "log",
    "key",
    "anchor",
)


def recorded(config: Config) -> dict[str, Any]:
    """Return the configuration as a run's record holds it: nothing of whom it was asked about."""
    return {name: value for name, value in plain(config).items() if name not in _ASKED}


def digest(config: Config, fingerprint: str) -> str:
    """Return what tells this run from others: its settings, and its patients and code.

    ``fingerprint`` is of the patients' files and, for a run, the commit as well.

    Where answers go, and where runs are recorded, does not change a run.
    """
    settings = plain(config)
    for elsewhere in (
        "verb",
        "data_root",
        "output_root",
        "synthetic_root",
        "model_uri",
        "output",
        "records",
        "patient",
        "intervention",
        "observation",
        "beliefs",
        "chart",
        "mapping",
        "decision",
        "purpose",
        "modality",
        "valid_until",
        "account",
        "role",
        "demo",
        "log",
        "key",
        "anchor",
        "excluded",
        "as_of_days",
        "force",
        "accept_unverified",
        "tracking",
        "intake",
        "search",
        "attack",
        "serve",
        "score",
        "monitor",
    ):
        settings.pop(elsewhere)
    settings["cohort"].pop("root")
    settings["cohort"]["parts"] = list(settings["cohort"]["parts"])
    settings["knowledge"].pop("root")
    text = json.dumps([settings, fingerprint], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def _enum_name(value: object) -> str:
    if isinstance(value, Enum):
        return value.name
    raise TypeError(f"{type(value).__name__} has no place in a configuration")


def check_overrides(overrides: Sequence[str]) -> list[Override]:
    """Return overrides, each of which names something that can be set.

    Raises
    ------
    ConfigError
        At the first one that is malformed or unknown.
    """
    for text in overrides:
        if "=" not in text and not text.startswith("~"):
            raise ConfigError(f"'{text}' is not a setting: write key=value, such as cohort=ispy2")
    try:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
    except (HydraException, ValueError, RecursionError) as error:
        # Hydra itself reads a number of thousands of digits only to fail.
        raise ConfigError(
            f"cannot read the settings {' '.join(overrides)!r}: quote values with special "
            "characters, such as \"key='a b'\""
        ) from error
    seen: set[str] = set()
    for override in parsed:
        key = override.key_or_group
        if key in seen:
            raise ConfigError(f"'{key}' is given twice: give it once")
        seen.add(key)
        if key == "verb":
            raise ConfigError("'verb' is the first word, not a setting: leave it out here")
        if key in groups():
            _check_choice(key, override)
        else:
            _check_key(key, removed=override.is_delete())
    return parsed


def read_overrides(path: str) -> list[str]:
    """Return the settings of a file with one ``- key=value`` per line.

    Raises
    ------
    ConfigError
        If a line is something else.
    """
    found = []
    try:
        lines = Path(path).read_bytes().decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"'{path}' is not UTF-8 text (byte {error.start}), expected lines such as '- key=value'"
        ) from error
    for line in lines:
        text = line.split("#", 1)[0].strip()
        if text.startswith("- ") and "=" in text:
            found.append(text.removeprefix("- ").strip())
        elif text not in ("", "[]"):
            raise ConfigError(f"'{path}' holds '{text}', expected lines such as '- key=value'")
    return found


def _check_choice(group: str, override: Override) -> None:
    known = options(group)
    chosen = override.value()
    if override.is_delete() or isinstance(chosen, list | dict):
        raise ConfigError(f"'{group}' takes one choice: choose one of {', '.join(known)}")
    several = override.is_sweep_override()
    for choice in override.sweep_string_iterator() if several else [str(chosen)]:
        if choice not in known:
            raise ConfigError(f"unknown {group} '{choice}'{nearest(choice, known)}")


def _check_key(key: str, *, removed: bool) -> None:
    """Walk the schema along a dotted key; only what a person has named can be removed."""
    node: Any = Config
    walked: list[str] = []
    for part in key.split("."):
        if get_origin(node) is dict:
            node = get_args(node)[1]
        elif is_dataclass(node):
            known = [each.name for each in fields(node)]
            if part not in known:
                where = ".".join([*walked, part])
                raise ConfigError(f"unknown key '{where}'{nearest(part, known)}")
            if removed and key == ".".join([*walked, part]):
                raise ConfigError(f"'{key}' cannot be removed: give it a value")
            node = _without_none(get_type_hints(node)[part])
        elif get_origin(node) is not list:
            raise ConfigError(f"unknown key '{key}': '{'.'.join(walked)}' has no settings below it")
        walked.append(part)


def _without_none(hint: Any) -> Any:
    kept = [each for each in get_args(hint) if each is not type(None)]
    return kept[0] if type(None) in get_args(hint) else hint


def _sentence(error: Exception) -> str:
    """Return the first line of a library's message, with the key it is about."""
    first = str(error).strip().splitlines()[0]
    key = getattr(error, "full_key", None)
    return f"'{key}': {first}" if key and key not in first else first
