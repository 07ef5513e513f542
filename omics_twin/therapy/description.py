"""An arm told to a person: what is given, how it works, and where that is from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from omics_twin.therapy.agents import Agent
from omics_twin.therapy.catalogue import Catalogue


@dataclass(frozen=True)
class GivenAgent:
    """An agent of an arm.

    Attributes
    ----------
    agent
        What is known of it.
    certain
        Whether the patient would be given it; False where that hangs on a condition that is not
        known to hold.
    reason
        Why it is given to some; empty where everyone in the arm received it.
    """

    agent: Agent
    certain: bool = True
    reason: str = ""

    def __str__(self) -> str:
        """Return one line."""
        targets = ", ".join(self.agent.targets)
        known = [self.agent.mechanism, f"targets {targets}" if targets else "", self.reason]
        told = " ".join(_sentence(each) for each in known if each)
        return f"{self.agent.label}: {told or 'Nothing is declared of it.'}"


@dataclass(frozen=True)
class Description:
    """An arm in words.

    Attributes
    ----------
    agents, then
        Given first, and after these.
    closed
        Why it is declared closed to the stratum; empty if it is not, or no stratum was given.
    """

    arm: str
    label: str
    agents: tuple[GivenAgent, ...]
    then: tuple[Agent, ...]
    closed: str
    note: str
    source: str

    def lines(self) -> Iterator[str]:
        """Yield it line by line."""
        yield self.label
        yield from (str(each) for each in self.agents)
        if self.then:
            yield f"Followed by {' and '.join(each.label.lower() for each in self.then)}."
        if self.closed:
            yield _sentence(f"not open: {self.closed}")
        if self.note:
            yield _sentence(self.note)
        if self.source:
            yield f"Source: {self.source}"


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:].rstrip('.')}."


def describe(
    catalogue: Catalogue, arm: str, stratum: Mapping[str, str] | None = None
) -> Description:
    """Return an arm as a patient of a stratum is given it; without a stratum, as it is for all.

    Raises
    ------
    TherapyError
        If there is no such arm.
    """
    plan = catalogue.intervention(arm)
    detail = catalogue.detail(arm)
    given = [GivenAgent(catalogue.agent(drug)) for drug in plan.drugs]
    for addition in detail.also:
        held = addition.condition.holds(stratum or {})
        if held is False and stratum is not None:
            continue
        certain = held is True
        reason = addition.condition.reason
        if not certain:
            reason = f"given where {addition.condition}: {reason}"
        given += [GivenAgent(catalogue.agent(name), certain, reason) for name in addition.agents]
    index = catalogue.arms.index(plan.name)
    return Description(
        arm=plan.name,
        label=catalogue.labels[index],
        agents=tuple(given),
        then=tuple(catalogue.agent(name) for name in detail.then),
        closed=catalogue.closed(arm, stratum) if stratum is not None else "",
        note=detail.note,
        source=detail.source,
    )
