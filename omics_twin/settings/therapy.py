"""Arms of a trial and the agents in them, as declared; ``conf/therapy``."""

from __future__ import annotations

from dataclasses import dataclass, field

from omics_twin.settings.ranges import require


@dataclass
class AgentDeclaration:
    """One agent that is in an arm; checked by :mod:`omics_twin.therapy.agents`.

    Attributes
    ----------
    label
        What a person calls it; the agent's own name where empty.
    drug_class
        Agents of one class are written alike, such as ``taxane``: they share strength.
    mechanism
        What it does, in a few plain words.
    targets
        Symbols approved by HGNC; empty where it binds no protein, and the mechanism says so.
    atc
        Code of the WHO's Anatomical Therapeutic Chemical classification; empty: none, or not sure.
    source
        ``doi:…`` or ``https://…``.
    """

    label: str = ""
    drug_class: str = ""
    mechanism: str = ""
    targets: list[str] = field(default_factory=list)
    atc: str = ""
    source: str = ""


@dataclass
class EligibilityDeclaration:
    """Whom an arm is open to: only where each column has one of the values.

    Attributes
    ----------
    where
        Stratum column of the cohort -> values to which the arm is open, as text: ``["1"]``.
    reason
        What those are told for whom it is closed: a clause, such as ``tested in HER2-negative
        disease only``.
    source
        ``doi:…`` or ``https://…``.
    """

    where: dict[str, list[str]] = field(default_factory=dict)
    reason: str = ""
    source: str = ""


@dataclass
class AdditionDeclaration:
    """Agents that some patients of an arm also received.

    Attributes
    ----------
    agents
        Names under the catalogue's ``agents``.
    where
        Stratum column of the cohort -> values with which they were given, as text; empty: to
        everyone.
    reason
        Why they were given, as a clause.
    source
        ``doi:…`` or ``https://…``.
    """

    agents: list[str] = field(default_factory=list)
    where: dict[str, list[str]] = field(default_factory=dict)
    reason: str = ""
    source: str = ""


@dataclass
class ArmDeclaration:
    """One arm of a trial.

    Attributes
    ----------
    label
        What a person calls it; the arm's own name where empty.
    agents
        International non-proprietary names, lower case: what a twin learns the arm by.
    also
        What was given besides to some, or to all; told to people, not given to a twin.
    then
        Agents given after these, the same for everyone in the arm.
    eligible
        The arm is open where all of these hold.
    note, source
        What else a reader should know; where all this is from.
    """

    label: str = ""
    agents: list[str] = field(default_factory=list)
    also: list[AdditionDeclaration] = field(default_factory=list)
    then: list[str] = field(default_factory=list)
    eligible: list[EligibilityDeclaration] = field(default_factory=list)
    note: str = ""
    source: str = ""


@dataclass
class CatalogueDeclaration:
    """The arms of a trial; ``conf/therapy``.

    Attributes
    ----------
    arms
        By the name used in the therapy table.
    thin_support
        Fewer training patients of the same stratum than this and the ranking says so.
    agents
        Everything given in the arms, by the name used there.
    """

    name: str = ""
    arms: dict[str, ArmDeclaration] = field(default_factory=dict)
    thin_support: int = 10
    agents: dict[str, AgentDeclaration] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a number of patients below zero."""
        require("therapy.thin_support", self.thin_support, 0)
