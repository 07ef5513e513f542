"""Sizes and parts of the network; ``conf/model``."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from omics_twin.settings.ranges import require


class GeneEncoder(Enum):
    """What a wide modality that names genes is reduced to before anything is learned from it."""

    COMPONENTS = "components"
    GENE_GRAPH = "gene_graph"
    PATHWAYS = "pathways"
    PATIENT_GRAPH = "patient_graph"


class FollowUp(Enum):
    """What reads the visits under therapy."""

    AUTO = "auto"
    NETWORK = "network"
    COURSE = "course"


class SurvivalHead(Enum):
    """How a time to event is learned."""

    HAZARD = "hazard"
    COX = "cox"


class CompanionKind(Enum):
    """What answers beside the network."""

    NONE = "none"
    TREES = "trees"


@dataclass
class NetworkSettings:
    """Sizes of the network; ``conf/model``.

    Attributes
    ----------
    latent, hidden, therapy_code, interaction_hidden
        Sizes of the latent code, the encoders' hidden layer, an agent's code and the layer for
        what prognosis, effect and their product leave unexplained.
    initial_precision
        Precision of an expert before training.
    dropout
        Share of hidden units dropped in training.
    intervals
        Intervals of a discrete-time hazard.
    wide_features, components
        A channel with more usable features than the first enters as this many principal
        components, fitted to each member's own training patients.
    gene_encoder
        ``COMPONENTS``: of the features themselves; ``GENE_GRAPH``: of gene sets, each with its
        neighbourhood in the graph of interactions; ``PATHWAYS``: of gene sets, in which every
        gene's weight is learned; ``PATIENT_GRAPH``: of the features, beside the mean of the
        nearest training patients.
    teleport
        Share of a gene's own value that each of ten steps over the gene graph brings back.
    neighbours
        Nearest training patients in the patient graph.
    linear_effects
        Whether effects that are linear in the measurements, of prognosis and of every agent, are
        found first, and the network learns what they leave.
    bent_effects
        Whether the effect of a number on prognosis may bend at the quartiles.
    follow_up
        ``NETWORK``: visits under therapy move the latent code; ``COURSE``: a course of what is
        measured, told apart by response, which needs a yes-or-no outcome; ``AUTO``: a course
        where there can be one and every member learns it from 100 patients.
    survival_head
        ``HAZARD``: the risk in each interval, effects may fade with time; ``COX``: proportional
        hazards by the partial likelihood of each batch, for which batches should be large.
    companion
        ``TREES``: every member has extremely randomised trees beside it, which take over as much
        of the prognosis as inner validation patients bear out; ``NONE``: the network is alone, as
        it is among sites that learn together, with secret weights and under a privacy budget.
    """

    latent: int = 16
    hidden: int = 32
    therapy_code: int = 8
    interaction_hidden: int = 16
    initial_precision: float = 4.0
    dropout: float = 0.1
    intervals: int = 12
    wide_features: int = 200
    components: int = 32
    gene_encoder: GeneEncoder = GeneEncoder.COMPONENTS
    teleport: float = 0.3
    neighbours: int = 10
    linear_effects: bool = True
    bent_effects: bool = True
    follow_up: FollowUp = FollowUp.AUTO
    survival_head: SurvivalHead = SurvivalHead.HAZARD
    companion: CompanionKind = CompanionKind.TREES

    def __post_init__(self) -> None:
        """Refuse sizes no network can have."""
        for name in ("latent", "hidden", "therapy_code", "interaction_hidden"):
            require(f"model.{name}", getattr(self, name), 1, 4096)
        require("model.initial_precision", self.initial_precision, 1e-3, 1e3)
        require("model.dropout", self.dropout, 0.0, 0.95)
        require("model.intervals", self.intervals, 2, 1000)
        require("model.wide_features", self.wide_features, 1)
        require("model.components", self.components, 1, self.wide_features)
        require("model.teleport", self.teleport, 0.01, 1.0)
        require("model.neighbours", self.neighbours, 1, 1000)
