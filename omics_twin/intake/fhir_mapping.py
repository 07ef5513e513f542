"""What codes of a FHIR Bundle mean: columns, agents, arms and purposes of a cohort."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property

from omics_twin.errors import shown
from omics_twin.intake.fhir_parts import Code


class Combine(Enum):
    """What several codes of one column make: the latest counts, or any that is 1."""

    LATEST = "latest"
    ANY = "any"


class IndexEvent(Enum):
    """What makes the index date, day 0 of a record."""

    FIRST_TREATMENT = "first_treatment"
    LAST_MEASURED = "last_measured"
    CONDITION = "condition"
    PROCEDURE = "procedure"
    IMAGING = "imaging"


@dataclass(frozen=True)
class Target:
    """Where a value goes: a column of a modality; without a modality, of the stratum."""

    modality: str
    column: str

    def __str__(self) -> str:
        """Return how a sentence names the column."""
        return f"'{self.modality or 'stratum'}.{self.column}'"


@dataclass(frozen=True)
class ObservationRule:
    """How an Observation, or a component of one, is read.

    Attributes
    ----------
    codes, system
        Codes that are meant, or a system of which every code is.
    modality, column
        Where the value goes; without a column, to the column that is called as the code. Without a
        modality, into the stratum.
    unit
        Unit of the column; without one, the value is 0 or 1, or a level.
    answers
        Coded answer -> value of the column.
    combine
        What several codes make: ER or PR positive is hormone receptor positive.
    """

    codes: tuple[Code, ...]
    system: str
    modality: str
    column: str
    unit: str
    answers: Mapping[Code, int | float | str]
    combine: Combine

    def target(self, code: Code) -> Target:
        """Return where the value of a code goes."""
        return Target(self.modality, self.column or code[1])


@dataclass(frozen=True)
class ConditionRule:
    """A Condition with one of these codes, or of this profile, is this value of a column."""

    codes: frozenset[Code]
    profile: str
    target: Target
    value: int | float | str


@dataclass(frozen=True)
class VariantRule:
    """How a variant of Genomics Reporting is read: 1 in the column of its gene where present.

    Attributes
    ----------
    modality, genes
        HGNC identifier, such as ``HGNC:1100``, or symbol -> column; other genes are listed.
    sources
        Genomic source classes that count, such as LOINC LA6684-0, somatic; empty: any.
    """

    modality: str
    genes: Mapping[str, str]
    sources: frozenset[Code]


@dataclass(frozen=True)
class IndexRule:
    """An event whose earliest day is the index date; of codes or of a profile, where named."""

    event: IndexEvent
    codes: frozenset[Code]
    profile: str


@dataclass(frozen=True)
class FhirMapping:
    """What codes mean; :func:`omics_twin.intake.fhir_mapping_file.mapping_of` reads one.

    Attributes
    ----------
    name
        Of the mapping.
    systems
        Abbreviation -> code system, such as ``loinc``.
    age, gender, genders
        Where the age in whole years and the gender at the index date go; gender -> value.
    observations, conditions, variants
        How these are read.
    strata
        Column of the stratum -> the column whose value at the index date it is.
    agents, agent_system
        Code of a medication -> agent; a system each of whose codes is an agent's name.
    arms
        Agents given together -> name of the arm.
    continuing
        Agents that belong to every arm: given alone, the arm before goes on.
    index
        What makes the index date, the first that is found.
    baseline_days
        What was measured up to so many days before the index date is shown as of day 0 [day];
        ``None``: everything stays on its own day.
    consents
        Code of a Consent's scope or purpose -> purposes here.
    """

    name: str
    systems: Mapping[str, str] = field(default_factory=dict)
    age: Target | None = None
    gender: Target | None = None
    genders: Mapping[str, int | float | str] = field(default_factory=dict)
    observations: tuple[ObservationRule, ...] = ()
    conditions: tuple[ConditionRule, ...] = ()
    variants: VariantRule | None = None
    strata: Mapping[str, Target] = field(default_factory=dict)
    agents: Mapping[Code, str] = field(default_factory=dict)
    agent_system: str = ""
    arms: Mapping[frozenset[str], str] = field(default_factory=dict)
    continuing: frozenset[str] = frozenset()
    index: tuple[IndexRule, ...] = ()
    baseline_days: int | None = None
    consents: Mapping[Code, tuple[str, ...]] = field(default_factory=dict)

    @cached_property
    def _by_code(self) -> dict[Code, ObservationRule]:
        return {code: rule for rule in self.observations for code in rule.codes}

    @cached_property
    def _by_system(self) -> dict[str, ObservationRule]:
        return {rule.system: rule for rule in self.observations if rule.system}

    @cached_property
    def _abbreviations(self) -> dict[str, str]:
        return {system: short for short, system in self.systems.items()}

    def rule_of(self, codes: Sequence[Code]) -> tuple[Code, ObservationRule] | None:
        """Return the first code that a rule names, else the first whose system one does."""
        for code in codes:
            if code in self._by_code:
                return code, self._by_code[code]
        for code in codes:
            if code[0] in self._by_system:
                return code, self._by_system[code[0]]
        return None

    def agent_of(self, codes: Sequence[Code]) -> str | None:
        """Return the agent of a medication's codes, ``None`` where they are none or several."""
        named = {self.agents[each] for each in codes if each in self.agents}
        found = named or {code for system, code in codes if system == self.agent_system}
        return found.pop() if len(found) == 1 else None

    def spelled(self, code: Code) -> str:
        """Return a code as a sentence names it, such as ``'loinc|718-7'``."""
        system, name = code
        return shown(f"{self._abbreviations.get(system, system)}|{name}", 100)
