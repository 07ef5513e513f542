"""Which files are meant; the schemas of ``conf/intake`` and ``conf/knowledge``."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from omics_twin.intake.synthetic_trial import SyntheticTrial
from omics_twin.settings import require, require_named


class Format(Enum):
    """How patients' data come."""

    SYNTHETIC = "synthetic"
    TABLES = "tables"
    CBIOPORTAL = "cbioportal"
    MAF = "maf"
    VCF = "vcf"
    FHIR = "fhir"


@dataclass
class IntakeSettings(SyntheticTrial):
    """A synthetic trial to be made, or files to be checked.

    Attributes
    ----------
    format
        How the data come.
    path, root
        The file, or the folder, that ``omics-twin check`` is asked about.
    """

    format: Format = Format.SYNTHETIC
    path: str | None = None
    root: str | None = None

    def __post_init__(self) -> None:
        """Refuse empty names, and settings that no trial can be made of."""
        super().__post_init__()
        require_named("intake.path", self.path)
        require_named("intake.root", self.root)


@dataclass
class KnowledgeSettings:
    """What is known of genes; ``conf/knowledge``.

    Read where ``model.gene_encoder`` needs it, and for a patient's page.

    Attributes
    ----------
    root
        Folder of the files.
    sets
        GMT files: on each line a set's name, a note and its genes, separated by tabs.
    interactions
        CSV with ``gene_a``, ``gene_b`` and STRING's ``combined_score``.
    smallest_score
        Pairs with a lower combined score are not read.
    smallest_set
        Sets with fewer measured genes are not used.
    most_alike
        Of two sets that share more than this of the measured genes they have together, the
        smaller is not used.
    """

    root: str = "data/knowledge"
    sets: list[str] = field(default_factory=list)
    interactions: str = ""
    smallest_score: float = 700.0
    smallest_set: int = 5
    most_alike: float = 0.5

    def __post_init__(self) -> None:
        """Refuse scores STRING does not give, and sets of nothing."""
        require_named("knowledge.root", self.root)
        require("knowledge.smallest_score", self.smallest_score, 0.0, 1000.0)
        require("knowledge.smallest_set", self.smallest_set, 1)
        require("knowledge.most_alike", self.most_alike, 0.0, 1.0)
