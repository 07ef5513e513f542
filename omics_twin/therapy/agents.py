"""What is known of an agent, and what agents have in common."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from omics_twin.errors import TherapyError
from omics_twin.settings import AgentDeclaration

# Form of a symbol: https://www.genenames.org/about/guidelines (doi:10.1038/s41588-020-0669-3).
_SYMBOL = re.compile(r"[A-Z][A-Z0-9]*(orf[0-9]+)?(-[A-Z0-9]+)*")
_ATC = re.compile(r"[A-Z][0-9]{2}[A-Z]{2}([0-9]{2})?")
_SOURCE = re.compile(r"(doi:10\.[0-9]{4,9}/|https://)\S+")
# Names that drug labels use for a target, some of which have the form of a symbol.
_EVERYDAY = {
    "HER1": "EGFR",
    "HER2": "ERBB2",
    "HER3": "ERBB3",
    "HER4": "ERBB4",
    "PD1": "PDCD1",
    "PDL1": "CD274",
    "CTLA-4": "CTLA4",
    "HSP90": "HSP90AA1",
    "IGF-1R": "IGF1R",
    "VEGF": "VEGFA",
    "ER": "ESR1",
    "PARP": "PARP1",
    "AKT": "AKT1",
}


@dataclass(frozen=True)
class Agent:
    """One agent; the attributes are those of :class:`AgentDeclaration`."""

    name: str
    label: str
    drug_class: str = ""
    mechanism: str = ""
    targets: tuple[str, ...] = ()
    atc: str = ""
    source: str = ""

    @staticmethod
    def declared(name: str, declaration: AgentDeclaration) -> Agent:
        """Return the agent of a declaration.

        Raises
        ------
        TherapyError
            If class or mechanism are missing, or a target, code or source has another form.

        Examples
        --------
        >>> Agent.declared("x", AgentDeclaration("", "HER2 antibody", "Binds HER2.", ["ERBB2"]))
        Agent(name='x', label='x', drug_class='HER2 antibody', mechanism='Binds HER2.', \
targets=('ERBB2',), atc='', source='')
        """
        for attribute in ("drug_class", "mechanism"):
            if not getattr(declaration, attribute).strip():
                raise TherapyError(f"agent '{name}' has no '{attribute}': declare it")
        for symbol in declaration.targets:
            _check_symbol(name, symbol)
        if len(set(declaration.targets)) < len(declaration.targets):
            raise TherapyError(f"agent '{name}' has a target twice, expected each once")
        if declaration.atc and not _ATC.fullmatch(declaration.atc):
            raise TherapyError(
                f"agent '{name}' has the ATC code '{declaration.atc}', expected the form L01CD01 "
                "(or L01CD for a group)"
            )
        check_source(f"agent '{name}'", declaration.source)
        return Agent(
            name=name,
            label=declaration.label or name,
            drug_class=declaration.drug_class,
            mechanism=declaration.mechanism,
            targets=tuple(declaration.targets),
            atc=declaration.atc,
            source=declaration.source,
        )

    @staticmethod
    def from_json(stored: Mapping[str, Any]) -> Agent:
        """Return the agent stored as a dictionary."""
        return Agent(**{**stored, "targets": tuple(stored["targets"])})


def _check_symbol(agent: str, symbol: str) -> None:
    plain = symbol.upper().replace(" ", "")
    meant = _EVERYDAY.get(plain, _EVERYDAY.get(plain.replace("-", "")))
    if meant is None and _SYMBOL.fullmatch(symbol):
        return
    proposed = meant or plain
    hint = f": did you mean '{proposed}'?" if _SYMBOL.fullmatch(proposed) else ", such as 'ERBB2'"
    raise TherapyError(
        f"agent '{agent}' has the target '{symbol}', which is no symbol approved by HGNC{hint}"
    )


def check_source(owner: str, source: str) -> None:
    """Refuse a source that cannot be followed; none is none.

    Raises
    ------
    TherapyError
        If it is neither a DOI nor an address.
    """
    if source and not _SOURCE.fullmatch(source):
        raise TherapyError(
            f"{owner} has the source '{source}', expected doi:10.… or https://…, or nothing"
        )


def target_incidence(
    agents: Sequence[Agent],
) -> tuple[tuple[str, ...], Float[Tensor, "agent gene"]]:
    """Return the genes that any of the agents targets, and 1 where an agent targets one."""
    genes = tuple(dict.fromkeys(gene for agent in agents for gene in agent.targets))
    rows = [[float(gene in agent.targets) for gene in genes] for agent in agents]
    return genes, torch.tensor(rows).reshape(len(agents), len(genes))


def agent_features(
    agents: Sequence[Agent],
) -> tuple[tuple[str, ...], Float[Tensor, "agent feature"]]:
    """Return what agents can share strength by: class and targets.

    A row holds 1 for the agent's class and, for each of its targets, 1 over the root of their
    number. So the product of two rows is 1 for the same class plus the cosine of the targets: a
    family of ten isoforms weighs no more than a single receptor. An agent of which nothing is
    declared has zeros: it is like no other, and a learner still needs a code of its own for it.

    This is not a measure of how alike two agents work.

    Examples
    --------
    >>> names, rows = agent_features(
    ...     [Agent("a", "A", "taxane", "", ("TUBB", "TUBB3")), Agent("b", "B", "taxane")]
    ... )
    >>> names
    ('class taxane', 'target TUBB', 'target TUBB3')
    >>> round(float(rows[0] @ rows[0]), 3), round(float(rows[0] @ rows[1]), 3)
    (2.0, 1.0)
    """
    classes = tuple(dict.fromkeys(agent.drug_class for agent in agents if agent.drug_class))
    genes, incidence = target_incidence(agents)
    rows = [[float(agent.drug_class == each) for each in classes] for agent in agents]
    by_class = torch.tensor(rows).reshape(len(agents), len(classes))
    by_target = incidence / incidence.sum(dim=1, keepdim=True).clamp(min=1.0).sqrt()
    names = (*(f"class {each}" for each in classes), *(f"target {gene}" for gene in genes))
    return names, torch.cat([by_class, by_target], dim=1)
