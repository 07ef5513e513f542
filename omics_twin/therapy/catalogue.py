"""The therapies a trial compared: arms as sets of agents, and whom each is open to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

from omics_twin.errors import TherapyError, nearest, quoted
from omics_twin.settings import ArmDeclaration, CatalogueDeclaration
from omics_twin.therapy.agents import Agent, agent_features, check_source, target_incidence
from omics_twin.therapy.conditions import Addition, Condition
from omics_twin.types import Dose, Intervention


@dataclass(frozen=True)
class ArmDetail:
    """What is declared of an arm besides its agents; see :class:`ArmDeclaration`."""

    also: tuple[Addition, ...] = ()
    then: tuple[str, ...] = ()
    eligible: tuple[Condition, ...] = ()
    note: str = ""
    source: str = ""

    @staticmethod
    def declared(name: str, arm: ArmDeclaration) -> ArmDetail:
        """Return the details of a declaration.

        Raises
        ------
        TherapyError
            If a condition has no reason or no columns, or adds what the arm has already.
        """
        for rule in arm.eligible:
            if not rule.where:
                raise TherapyError(
                    f"eligibility of arm '{name}' names no stratum column under 'where': name one, "
                    "or leave the rule out"
                )
        for addition in arm.also:
            if not addition.agents or set(addition.agents) & {*arm.agents}:
                raise TherapyError(
                    f"arm '{name}' adds agents {quoted(addition.agents) or 'none'} under 'also', "
                    "expected at least one that the arm does not have already"
                )
        check_source(f"arm '{name}'", arm.source)
        return ArmDetail(
            also=tuple(
                Addition(tuple(each.agents), Condition.declared(f"addition to arm '{name}'", each))
                for each in arm.also
            ),
            then=tuple(arm.then),
            eligible=tuple(
                Condition.declared(f"eligibility of arm '{name}'", each) for each in arm.eligible
            ),
            note=arm.note,
            source=arm.source,
        )

    @staticmethod
    def from_json(stored: Mapping[str, Any]) -> ArmDetail:
        """Return the details stored as a dictionary."""
        return ArmDetail(
            also=tuple(Addition.from_json(each) for each in stored["also"]),
            then=tuple(stored["then"]),
            eligible=tuple(Condition.from_json(each) for each in stored["eligible"]),
            note=stored["note"],
            source=stored["source"],
        )


@dataclass(frozen=True)
class Catalogue:
    """Arms that can be asked about.

    Attributes
    ----------
    arms, labels, agents
        Arm names; what people call them; the agents of each, as a twin learns them.
    thin_support
        See :class:`CatalogueDeclaration`.
    details
        What else is declared of each arm; empty where nothing was.
    formulary
        What is known of the agents.
    """

    name: str
    arms: tuple[str, ...]
    labels: tuple[str, ...]
    agents: tuple[tuple[str, ...], ...]
    thin_support: int
    details: tuple[ArmDetail, ...] = ()
    formulary: tuple[Agent, ...] = ()

    @staticmethod
    def declared(declaration: CatalogueDeclaration) -> Catalogue:
        """Return the catalogue of a declaration.

        Raises
        ------
        TherapyError
            If there is no arm, an arm without agents, or anything that cannot be right.
        """
        if not declaration.arms:
            raise TherapyError(
                f"therapy catalogue '{declaration.name}' has no arms: declare at least one"
            )
        for name, arm in declaration.arms.items():
            _check_agents(name, arm, declaration.agents, alone=len(declaration.arms) == 1)
        return Catalogue(
            name=declaration.name,
            arms=tuple(declaration.arms),
            labels=tuple(arm.label or name for name, arm in declaration.arms.items()),
            agents=tuple(tuple(arm.agents) for arm in declaration.arms.values()),
            thin_support=declaration.thin_support,
            details=tuple(ArmDetail.declared(name, arm) for name, arm in declaration.arms.items()),
            formulary=tuple(
                Agent.declared(name, agent) for name, agent in declaration.agents.items()
            ),
        )

    @property
    def known_agents(self) -> tuple[str, ...]:
        """All agents that arms are learned by, in the order they first appear."""
        return tuple(dict.fromkeys(agent for arm in self.agents for agent in arm))

    @property
    def given_agents(self) -> tuple[str, ...]:
        """The known agents, then those given besides to some patients."""
        besides = [each for detail in self.details for add in detail.also for each in add.agents]
        return tuple(dict.fromkeys((*self.known_agents, *besides)))

    def label(self, arm: str) -> str:
        """Return what a person calls an arm; an arm that is not known, by its name."""
        return self.labels[self.arms.index(arm)] if arm in self.arms else arm

    def intervention(self, arm: str, stratum: Mapping[str, str] | None = None) -> Intervention:
        """Return an arm as a plan, by its name or its label.

        Parameters
        ----------
        stratum
            Column -> value: the plan then holds what a patient of it was given, without what
            hangs on a column that was not measured. Left out, it holds the arm's own agents,
            which is what a twin learns and is asked by.

        Raises
        ------
        TherapyError
            If there is no such arm.
        """
        index = self._index(arm)
        drugs = list(self.agents[index])
        if stratum is not None:
            for addition in self.detail(arm).also:
                if addition.condition.holds(stratum):
                    drugs += [each for each in addition.agents if each not in drugs]
        return Intervention(self.arms[index], tuple(Dose(agent) for agent in drugs))

    def interventions(self) -> tuple[Intervention, ...]:
        """Return every arm as a plan."""
        return tuple(self.intervention(arm) for arm in self.arms)

    def multi_hot(self, arm: str, stratum: Mapping[str, str] | None = None) -> list[float]:
        """Return 1 for each agent that is in an arm.

        Over ``known_agents``; with a stratum over ``given_agents``, which begin with those.
        """
        drugs = self.intervention(arm, stratum).drugs
        agents = self.known_agents if stratum is None else self.given_agents
        return [float(agent in drugs) for agent in agents]

    def detail(self, arm: str) -> ArmDetail:
        """Return what else is declared of an arm."""
        return self.details[self._index(arm)] if self.details else ArmDetail()

    def conditions(self, arm: str) -> tuple[Condition, ...]:
        """Return all that an arm makes depend on the stratum."""
        detail = self.detail(arm)
        return (*detail.eligible, *(each.condition for each in detail.also))

    def agent(self, name: str) -> Agent:
        """Return what is known of an agent; only its name where nothing is."""
        found = (each for each in self.formulary if each.name == name)
        return next(found, Agent(name, name))

    def closed(self, arm: str, stratum: Mapping[str, str]) -> str:
        """Return why an arm is declared closed to a stratum; empty if it is not.

        A column that was not measured closes every arm whose eligibility depends on it.
        """
        for rule in self.detail(arm).eligible:
            held = rule.holds(stratum)
            if held is None:
                return f"{' and '.join(rule.unmeasured(stratum))} not measured; {rule.reason}"
            if not held:
                return rule.reason
        return ""

    def check_strata(self, columns: Sequence[str]) -> None:
        """Refuse conditions on anything but the cohort's strata.

        Raises
        ------
        TherapyError
            If an arm depends on another column.
        """
        for arm in self.arms:
            for condition in self.conditions(arm):
                condition.check_columns(f"arm '{arm}' of catalogue '{self.name}'", columns)

    def check_received(self, arms: Iterable[str]) -> None:
        """Refuse arms that the catalogue does not list.

        Raises
        ------
        TherapyError
            If an arm is unknown.
        """
        unknown: Sequence[str] = sorted(set(arms) - set(self.arms))
        if unknown:
            raise TherapyError(
                f"the therapy table has arms that catalogue '{self.name}' does not list: "
                f"{quoted(unknown)}; add them to conf/therapy/{self.name}.yaml before training, or "
                "leave their cells empty: not known"
            )

    def target_incidence(self) -> tuple[tuple[str, ...], Float[Tensor, "agent gene"]]:
        """Return genes, and which known agent targets which of them."""
        return target_incidence([self.agent(name) for name in self.known_agents])

    def agent_features(self) -> tuple[tuple[str, ...], Float[Tensor, "agent feature"]]:
        """Return what the known agents have in common, one row each.

        See :func:`omics_twin.therapy.agents.agent_features`.
        """
        return agent_features([self.agent(name) for name in self.known_agents])

    def to_json(self) -> dict[str, Any]:
        """Return plain lists and dictionaries."""
        return asdict(self)

    @staticmethod
    def from_json(stored: Mapping[str, Any]) -> Catalogue:
        """Return the catalogue stored by :meth:`to_json`."""
        return Catalogue(
            name=stored["name"],
            arms=tuple(stored["arms"]),
            labels=tuple(stored["labels"]),
            agents=tuple(tuple(each) for each in stored["agents"]),
            thin_support=stored["thin_support"],
            details=tuple(ArmDetail.from_json(each) for each in stored.get("details", ())),
            formulary=tuple(Agent.from_json(each) for each in stored.get("formulary", ())),
        )

    def _index(self, arm: str) -> int:
        named = {label: index for index, label in enumerate(self.labels)}
        named |= {name: index for index, name in enumerate(self.arms)}
        if arm not in named:
            raise TherapyError(f"unknown intervention '{arm}'{nearest(arm, self.arms)}")
        return named[arm]


def _check_agents(name: str, arm: ArmDeclaration, declared: Iterable[str], *, alone: bool) -> None:
    """Refuse an arm without agents, or with one that is not declared.

    The only arm of a catalogue may have none: nothing is compared, and nobody says what was given.
    """
    if not (arm.agents or alone) or len(set(arm.agents)) < len(arm.agents):
        raise TherapyError(
            f"arm '{name}' has agents {quoted(arm.agents) or 'none'}, "
            "expected at least one and each once"
        )
    for agent in (*arm.agents, *arm.then, *(each for more in arm.also for each in more.agents)):
        if agent not in declared:
            raise TherapyError(
                f"arm '{name}' has agent '{agent}', which is not declared under 'agents'"
                f"{nearest(agent, declared) or ': declare it there'}"
            )
