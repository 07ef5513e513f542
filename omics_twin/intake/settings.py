"""Which files are meant, and in which format; the schema of ``conf/intake``."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from omics_twin.intake.synthetic_trial import SyntheticTrial
from omics_twin.settings import require_named


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
