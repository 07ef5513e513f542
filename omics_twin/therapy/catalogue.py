"""The therapies a trial compared: arms as sets of agents."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from omics_twin.errors import TherapyError, nearest, quoted
from omics_twin.settings import CatalogueDeclaration
from omics_twin.types import Dose, Intervention


@dataclass(frozen=True)
class Catalogue:
    """Arms that can be asked about.

    Attributes
    ----------
    arms, labels, agents
        Arm names; what people call them; the agents of each.
    thin_support
        See :class:`CatalogueDeclaration`.
    """

    name: str
    arms: tuple[str, ...]
    labels: tuple[str, ...]
    agents: tuple[tuple[str, ...], ...]
    thin_support: int

    @staticmethod
    def declared(declaration: CatalogueDeclaration) -> Catalogue:
        """Return the catalogue of a declaration.

        Raises
        ------
        TherapyError
            If there is no arm, or an arm without agents.
        """
        if not declaration.arms:
            raise TherapyError(
                f"therapy catalogue '{declaration.name}' has no arms: declare at least one"
            )
        for name, arm in declaration.arms.items():
            if not arm.agents or len(set(arm.agents)) < len(arm.agents):
                raise TherapyError(
                    f"arm '{name}' has agents {quoted(arm.agents) or 'none'}, "
                    "expected at least one and each once"
                )
        return Catalogue(
            name=declaration.name,
            arms=tuple(declaration.arms),
            labels=tuple(arm.label or name for name, arm in declaration.arms.items()),
            agents=tuple(tuple(arm.agents) for arm in declaration.arms.values()),
            thin_support=declaration.thin_support,
        )

    @property
    def known_agents(self) -> tuple[str, ...]:
        """All agents, in the order they first appear."""
        return tuple(dict.fromkeys(agent for arm in self.agents for agent in arm))

    def intervention(self, arm: str) -> Intervention:
        """Return an arm as a plan, by its name or its label.

        Raises
        ------
        TherapyError
            If there is no such arm.
        """
        named = {label: index for index, label in enumerate(self.labels)}
        named |= {name: index for index, name in enumerate(self.arms)}
        if arm not in named:
            raise TherapyError(f"unknown intervention '{arm}'{nearest(arm, self.arms)}")
        index = named[arm]
        return Intervention(self.arms[index], tuple(Dose(agent) for agent in self.agents[index]))

    def interventions(self) -> tuple[Intervention, ...]:
        """Return every arm as a plan."""
        return tuple(self.intervention(arm) for arm in self.arms)

    def multi_hot(self, arm: str) -> list[float]:
        """Return 1 for each known agent that is in an arm."""
        drugs = self.intervention(arm).drugs
        return [float(agent in drugs) for agent in self.known_agents]

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
                f"{quoted(unknown)}; add them to conf/therapy/{self.name}.yaml"
            )
