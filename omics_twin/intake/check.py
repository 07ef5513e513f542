"""Are files what they should be? One question for every format; nothing is learned from them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from omics_twin.errors import ConfigError, IntakeError
from omics_twin.intake.cbioportal import check_study
from omics_twin.intake.declaration import CohortDeclaration
from omics_twin.intake.fhir_check import check_fhir
from omics_twin.intake.findings import CheckReport, error
from omics_twin.intake.maf import check_maf
from omics_twin.intake.settings import Format, IntakeSettings
from omics_twin.intake.tables import read_tables
from omics_twin.intake.vcf import check_vcf


def check(intake: IntakeSettings, cohort: CohortDeclaration) -> CheckReport:
    """Return everything that is wrong with files of a format.

    Parameters
    ----------
    intake
        The format, and the file or folder.
    cohort
        What tables are declared to hold; other formats say so themselves.

    Raises
    ------
    ConfigError
        If no file or folder of the format is named.
    """
    if intake.format is Format.TABLES:
        return _check_tables(cohort)
    checker = _CHECKERS.get(intake.format)
    if checker is None:
        raise ConfigError(
            f"intake={intake.format.name.lower()} is not read from files that others wrote: "
            "choose intake=tables"
        )
    return checker(_place(intake))


def _place(intake: IntakeSettings) -> Path:
    key = "path" if intake.format in (Format.VCF, Format.MAF, Format.FHIR) else "root"
    named = intake.path or intake.root
    if named is None:
        raise ConfigError(f"nothing to check was named: add intake.{key}=…")
    place = Path(named)
    if not place.exists():
        raise ConfigError(f"'{place}' does not exist: correct intake.{key}")
    return place


def _check_tables(cohort: CohortDeclaration) -> CheckReport:
    """Tables are read up to the first mistake: the next one may follow from it."""
    subject = cohort.root or ", ".join(cohort.parts.values())
    try:
        tables = read_tables(cohort)
    except IntakeError as mistake:
        told = "; ".join([str(mistake), *getattr(mistake, "__notes__", ())])
        return CheckReport(subject, {}, (error(cohort.name, None, told),))
    channels = len(tables.channels) + len(tables.variants) + len(tables.repeated)
    amounts = {"patients": len(tables.patient_ids), "channels": channels}
    return CheckReport(subject, amounts)


_CHECKERS: dict[Format, Callable[[Path], CheckReport]] = {
    Format.VCF: check_vcf,
    Format.FHIR: check_fhir,
    Format.CBIOPORTAL: check_study,
    Format.MAF: check_maf,
}
