"""What is declared of the arms agrees with who received them, up to the exceptions named here."""

from __future__ import annotations

import os
from dataclasses import dataclass

import pytest

from omics_twin.cohort.cohort import build_cohort
from omics_twin.config import load
from omics_twin.intake.tables import read_tables
from omics_twin.therapy.catalogue import Catalogue
from omics_twin.therapy.support import Support
from omics_twin.training.tasks import support_of
from omics_twin.trust.consent import permit


@dataclass(frozen=True)
class Trial:
    """A real cohort's catalogue and who received what."""

    catalogue: Catalogue
    support: Support

    def opened(self) -> set[tuple[str, str]]:
        eligible, _, _ = self.support.judge(self.catalogue, list(self.support.counts))
        return {
            (stratum, arm)
            for stratum, row in zip(self.support.counts, eligible.tolist(), strict=True)
            for arm, opened in zip(self.catalogue.arms, row, strict=True)
            if opened
        }

    def received(self) -> set[tuple[str, str]]:
        return {(stratum, arm) for stratum, arms in self.support.counts.items() for arm in arms}


@pytest.fixture
def trial(request: pytest.FixtureRequest) -> Trial:
    root = os.environ.get("OMICS_TWIN_DATA")
    if not root:
        pytest.skip("OMICS_TWIN_DATA is not set: declared eligibility not compared with data")
    name = request.param
    config = load("train", [f"cohort={name}", f"therapy={name}", f"data_root={root}"])
    tables = read_tables(config.cohort)
    cohort = build_cohort(tables, permit(tables.patient_ids, ledger=None, purpose="research"))
    return Trial(Catalogue.declared(config.therapy), support_of(cohort))


@pytest.mark.parametrize("trial", ["ispy2", "oak"], indirect=True)
def test_everybody_received_an_arm_that_was_declared_open(trial: Trial) -> None:
    assert trial.support.check_declared(trial.catalogue) == ()
    assert trial.opened() == trial.received()


@pytest.mark.parametrize("trial", ["ispy2"], indirect=True)
def test_one_open_arm_of_ispy2_has_a_stratum_without_patients(trial: Trial) -> None:
    _, support, reasons = trial.support.judge(trial.catalogue, list(trial.support.counts))
    by_data = [
        (stratum, arm)
        for stratum, row in zip(trial.support.counts, reasons, strict=True)
        for arm, reason in zip(trial.catalogue.arms, row, strict=True)
        if "was assigned to it" in reason
    ]
    assert by_data == [
        ("hr_positive 0 | her2_positive 1 | mammaprint_ultra_high 0", "AMG386"),
    ]
    # Of 883: one to four of a stratum are told as 1.
    assert support.sum() == 860


@pytest.mark.parametrize("trial", ["transneo"], indirect=True)
def test_one_patient_of_transneo_is_an_exception(trial: Trial) -> None:
    (note,) = trial.support.check_declared(trial.catalogue)
    assert note.startswith("1 patient with HER2.status -1 received 'taxane + anthracycline + anti")
    assert trial.received() - trial.opened() == {
        ("HER2.status -1", "taxane + anthracycline + anti-HER2"),
    }
