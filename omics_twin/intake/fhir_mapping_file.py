"""Read what codes of FHIR mean from a YAML file, strictly; ``conf/fhir`` holds examples."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from omics_twin.errors import IntakeError, nearest, quoted
from omics_twin.intake.fhir_mapping import (
    Combine,
    ConditionRule,
    FhirMapping,
    IndexEvent,
    IndexRule,
    ObservationRule,
    Target,
    VariantRule,
)
from omics_twin.intake.fhir_parts import Code
from omics_twin.trust.consent import ALL, Purpose
from omics_twin.units import conversion

_KEYS = (
    *("name", "systems", "answers", "patient", "observations", "conditions", "variants"),
    *("strata", "agents", "arms", "continuing", "index", "baseline_days", "consents"),
)
_TARGET = ("modality", "column", "stratum")
_OBSERVATION = ("codes", "system", *_TARGET, "unit", "answers", "combine")
_GENDERS = ("male", "female", "other", "unknown")
_Named = TypeVar("_Named", bound=Enum)
_Read = TypeVar("_Read")


def mapping_of(path: Path) -> FhirMapping:
    """Return what codes mean as a YAML file declares it.

    Raises
    ------
    IntakeError
        If it is no YAML, or holds a key or a word that is not known, or a code twice.
    """
    import yaml

    try:
        given = _yaml_of(path.read_text(encoding="utf-8"))
    except OSError as mistake:
        raise IntakeError(
            f"mapping '{path}' cannot be read ({mistake.strerror}): name a file such as "
            "conf/fhir/synthetic.yaml"
        ) from mistake
    except (yaml.YAMLError, ValueError, RecursionError) as mistake:
        told = " ".join(str(mistake).split())
        raise IntakeError(f"mapping '{path.name}' is not YAML ({told}): correct it") from mistake
    try:
        return _mapping(_section(given, "", _KEYS, ("name",)))
    except IntakeError as mistake:
        raise IntakeError(f"mapping '{path.name}': {mistake}") from mistake


def _yaml_of(text: str) -> Any:
    """Return plain YAML; a key that a block holds twice is refused, where its last would hold."""
    import yaml

    class Once(yaml.SafeLoader):
        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            keys = [self.construct_object(key, deep=True) for key, _ in node.value]
            twice = [each for place, each in enumerate(keys) if each in keys[:place]]
            if twice:
                raise ValueError(f"{twice[0]!r} stands there twice{node.start_mark}")
            return super().construct_mapping(node, deep)

    # Derived from the safe loader: nothing but plain values is made.
    return yaml.load(text, Loader=Once)


def _mapping(given: Mapping[str, Any]) -> FhirMapping:
    systems = _texts(given.get("systems", {}), "systems")
    reader = _Reader(systems)
    answers = {
        name: reader.answers(listed, f"answers.{name}")
        for name, listed in _section(given.get("answers", {}), "answers").items()
    }
    rules = _each(given, "observations", partial(reader.observation, answers=answers))
    _check_different([*(code for rule in rules for code in rule.codes)], "observations")
    _check_different([rule.system for rule in rules if rule.system], "observations")
    patient = _section(given.get("patient", {}), "patient", ("age", "gender"))
    genders = _section(
        patient.get("gender", {}), "patient.gender", ("modality", "column", "values")
    )
    values = _section(genders.get("values", {}), "patient.gender.values", _GENDERS)
    agents, agent_system = reader.agents(given.get("agents", {}))
    # Where every code of a system is an agent, any name may be one.
    known = None if agent_system else set(agents.values())
    variants = given.get("variants")
    return FhirMapping(
        name=_text(given["name"], "name"),
        systems=systems,
        age=_column(patient["age"], "patient.age") if "age" in patient else None,
        gender=_column(_without(genders, "values"), "patient.gender") if genders else None,
        genders={each: _value(told, "patient.gender.values") for each, told in values.items()},
        observations=rules,
        conditions=_each(given, "conditions", reader.condition),
        variants=None if variants is None else reader.variants(variants),
        strata={
            column: _column(each, f"strata.{column}")
            for column, each in _section(given.get("strata", {}), "strata").items()
        },
        agents=agents,
        agent_system=agent_system,
        arms=_arms(given.get("arms", {}), known),
        continuing=_agents(given.get("continuing", []), "continuing", known),
        index=_each({"index": [{"event": "FIRST_TREATMENT"}], **given}, "index", reader.index),
        baseline_days=_whole(given.get("baseline_days"), "baseline_days"),
        consents=reader.consents(given.get("consents", [])),
    )


@dataclass(frozen=True)
class _Reader:
    """Reads the parts that name codes, in which a system may be written as its abbreviation."""

    systems: Mapping[str, str]

    def system(self, written: Any, where: str) -> str:
        text = _text(written, where)
        if text not in self.systems and ":" not in text:
            raise IntakeError(
                f"'{where}' has an unknown system '{text}'{nearest(text, self.systems)}"
            )
        return self.systems.get(text, text)

    def code(self, written: Any, where: str) -> Code:
        system, _, code = _text(written, where).rpartition("|")
        if not system or not code:
            raise IntakeError(f"'{where}' has the code '{written}', expected one as 'loinc|718-7'")
        return self.system(system, where), code

    def codes(self, written: Any, where: str) -> tuple[Code, ...]:
        return tuple(self.code(each, where) for each in _list(written, where))

    def answers(self, written: Any, where: str) -> dict[Code, int | float | str]:
        listed = _section(written, where)
        return {self.code(each, where): _value(told, where) for each, told in listed.items()}

    def observation(
        self, written: Any, where: str, answers: Mapping[str, Mapping[Code, int | float | str]]
    ) -> ObservationRule:
        given = _section(written, where, _OBSERVATION)
        if ("codes" in given) == ("system" in given):
            raise IntakeError(f"'{where}' names no codes, or codes and a system: name one of them")
        if "system" in given and "column" in given:
            raise IntakeError(f"'{where}' gives every code of a system one column: name the codes")
        if "unit" in given and "answers" in given:
            raise IntakeError(f"'{where}' has a unit and answers, expected one of them")
        named = given.get("answers")
        if named is not None and named not in answers:
            raise IntakeError(
                f"'{where}' has unknown answers '{named}'{nearest(str(named), answers)}"
            )
        combine = _choice(Combine, given.get("combine", "LATEST"), f"{where}.combine")
        column = _text(given["column"], where) if "column" in given else ""
        if combine is Combine.ANY and not column:
            raise IntakeError(f"'{where}' combines codes into no column: name the column")
        unit = _text(given["unit"], where) if "unit" in given else ""
        if unit:
            conversion(unit, unit)
        return ObservationRule(
            codes=self.codes(given.get("codes", []), where),
            system=self.system(given["system"], where) if "system" in given else "",
            modality=_modality(given, where),
            column=column,
            unit=unit,
            answers=answers[named] if named is not None else {},
            combine=combine,
        )

    def condition(self, written: Any, where: str) -> ConditionRule:
        given = _section(
            written, where, ("codes", "profile", *_TARGET, "value"), ("column", "value")
        )
        codes = frozenset(self.codes(given.get("codes", []), where))
        profile = _text(given.get("profile", ""), where, empty=True)
        if not codes and not profile:
            raise IntakeError(f"'{where}' names no codes and no profile: name one of them")
        target = Target(_modality(given, where), _text(given["column"], where))
        return ConditionRule(codes, profile, target, _value(given["value"], where))

    def variants(self, written: Any) -> VariantRule:
        given = _section(
            written, "variants", ("modality", "genes", "sources"), ("modality", "genes")
        )
        return VariantRule(
            modality=_text(given["modality"], "variants.modality"),
            genes=_texts(given["genes"], "variants.genes"),
            sources=frozenset(self.codes(given.get("sources", []), "variants.sources")),
        )

    def agents(self, written: Any) -> tuple[dict[Code, str], str]:
        """Return code -> agent, and the system under the name ``system``."""
        listed = dict(_section(written, "agents"))
        system = self.system(listed.pop("system"), "agents.system") if "system" in listed else ""
        pairs = [
            (code, agent)
            for agent, codes in listed.items()
            for code in self.codes(codes, f"agents.{agent}")
        ]
        _check_different([code for code, _ in pairs], "agents")
        return dict(pairs), system

    def index(self, written: Any, where: str) -> IndexRule:
        given = _section(written, where, ("event", "codes", "profile"), ("event",))
        event = _choice(IndexEvent, given["event"], f"{where}.event")
        plain = event in (IndexEvent.FIRST_TREATMENT, IndexEvent.LAST_MEASURED)
        if plain == ("codes" in given or "profile" in given):
            more = "codes or a profile" if not plain else "neither codes nor a profile"
            raise IntakeError(f"'{where}' is {event.name}, expected {more}")
        codes = frozenset(self.codes(given.get("codes", []), where))
        return IndexRule(event, codes, _text(given.get("profile", ""), where, empty=True))

    def consents(self, written: Any) -> dict[Code, tuple[str, ...]]:
        found: dict[Code, tuple[str, ...]] = {}
        known = (*(each.value for each in Purpose), ALL)
        for place, each in enumerate(_list(written, "consents")):
            where = f"consents[{place}]"
            given = _section(each, where, ("codes", "purposes"), ("codes", "purposes"))
            purposes = _names(given["purposes"], where)
            for purpose in purposes:
                if purpose not in known:
                    raise IntakeError(
                        f"'{where}': unknown purpose '{purpose}'{nearest(purpose, known)}"
                    )
            codes = self.codes(given["codes"], where)
            _check_different([*found, *codes], "consents")
            found |= dict.fromkeys(codes, purposes)
        return found


def _section(
    given: Any, where: str, known: Iterable[str] | None = None, needed: Iterable[str] = ()
) -> Mapping[str, Any]:
    place = f"'{where}'" if where else "it"
    if not isinstance(given, dict) or not all(isinstance(each, str) for each in given):
        raise IntakeError(f"{place} is no list of names with what they mean: write 'name: …'")
    names = None if known is None else list(known)
    for key in given:
        if names is not None and key not in names:
            whole = f"{where}.{key}" if where else key
            raise IntakeError(f"unknown key '{whole}'{nearest(key, names)}")
    missing = [each for each in needed if each not in given]
    if missing:
        raise IntakeError(f"{place} has no {quoted(missing)}: add it")
    return given


def _each(
    given: Mapping[str, Any], key: str, read: Callable[[Any, str], _Read]
) -> tuple[_Read, ...]:
    listed = _list(given.get(key, []), key)
    return tuple(read(each, f"{key}[{place}]") for place, each in enumerate(listed))


def _list(given: Any, where: str) -> list[Any]:
    if not isinstance(given, list):
        raise IntakeError(f"'{where}' is no list, expected one such as [a, b]")
    return given


def _text(given: Any, where: str, *, empty: bool = False) -> str:
    if not isinstance(given, str) or not (given or empty):
        raise IntakeError(f"'{where}' holds no text where a name was expected: write it in quotes")
    return given


def _names(given: Any, where: str) -> tuple[str, ...]:
    return tuple(_text(each, where) for each in _list(given, where))


def _texts(given: Any, where: str) -> dict[str, str]:
    return {key: _text(each, f"{where}.{key}") for key, each in _section(given, where).items()}


def _value(given: Any, where: str) -> int | float | str:
    bare = isinstance(given, int | float | str) and not isinstance(given, bool)
    if not bare or isinstance(given, float) and not math.isfinite(given):
        raise IntakeError(f"'{where}' holds no number or level: write 0 or 1 for no and yes")
    return given


def _whole(given: Any, where: str) -> int | None:
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int) or given < 0:
        raise IntakeError(f"'{where}' is {given!r}, expected a whole number of days from 0 on")
    return given


def _choice(kind: type[_Named], given: Any, where: str) -> _Named:
    known = [each.name for each in kind]
    if given not in known:
        raise IntakeError(f"'{where}' is '{given}'{nearest(str(given), known)}")
    return kind[given]


def _modality(given: Mapping[str, Any], where: str) -> str:
    stratum = given.get("stratum", False)
    if not isinstance(stratum, bool) or stratum == ("modality" in given):
        raise IntakeError(f"'{where}' has no target: add 'modality: …', or 'stratum: true'")
    return "" if stratum else _text(given["modality"], where)


def _column(given: Any, where: str) -> Target:
    keys = ("modality", "column")
    named = _section(given, where, keys, keys)
    return Target(_text(named["modality"], where), _text(named["column"], where))


def _without(given: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {each: held for each, held in given.items() if each != key}


def _agents(given: Any, where: str, known: set[str] | None) -> frozenset[str]:
    agents = frozenset(_names(given, where))
    for agent in sorted(agents):
        if known is not None and agent not in known:
            raise IntakeError(f"'{where}' has an unknown agent '{agent}'{nearest(agent, known)}")
    return agents


def _arms(given: Any, known: set[str] | None) -> dict[frozenset[str], str]:
    """Return agents -> arm."""
    found: dict[frozenset[str], str] = {}
    for arm, listed in _section(given, "arms").items():
        for each in _list(listed, f"arms.{arm}"):
            agents = _agents(each, f"arms.{arm}", known)
            if not agents or agents in found:
                raise IntakeError(f"arm '{arm}' has no agents, or those of another arm: correct it")
            found[agents] = arm
    return found


def _check_different(named: list[Any], where: str) -> None:
    twice = [each for each, times in Counter(named).items() if times > 1]
    if twice:
        raise IntakeError(f"'{where}' names {quoted(twice)} twice, expected once")
