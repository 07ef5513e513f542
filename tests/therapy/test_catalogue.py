"""What can be asked about is declared once; a misspelling is answered with the nearest name."""

from __future__ import annotations

import pytest

from omics_twin.errors import TherapyError
from omics_twin.settings import ArmDeclaration, CatalogueDeclaration
from omics_twin.therapy.catalogue import Catalogue


def catalogue() -> Catalogue:
    return Catalogue.declared(
        CatalogueDeclaration(
            name="trial",
            arms={
                "Ctr": ArmDeclaration("Paclitaxel", ["paclitaxel"]),
                "VC": ArmDeclaration("", ["paclitaxel", "veliparib", "carboplatin"]),
            },
        )
    )


def test_an_arm_is_found_by_its_name_and_by_its_label() -> None:
    assert catalogue().intervention("Ctr") == catalogue().intervention("Paclitaxel")
    assert catalogue().intervention("VC").drugs == ("paclitaxel", "veliparib", "carboplatin")
    assert catalogue().labels == ("Paclitaxel", "VC")


def test_arms_share_their_agents() -> None:
    assert catalogue().known_agents == ("paclitaxel", "veliparib", "carboplatin")
    assert catalogue().multi_hot("Ctr") == [1.0, 0.0, 0.0]
    assert catalogue().multi_hot("VC") == [1.0, 1.0, 1.0]


def test_an_unknown_intervention_is_answered_with_the_nearest() -> None:
    with pytest.raises(TherapyError, match=r"unknown intervention 'Crt': did you mean 'Ctr'\?"):
        catalogue().intervention("Crt")


@pytest.mark.parametrize("agents", [[], ["paclitaxel", "paclitaxel"]], ids=["none", "twice"])
def test_an_arm_needs_agents_each_once(agents: list[str]) -> None:
    with pytest.raises(TherapyError, match="expected at least one and each once"):
        Catalogue.declared(CatalogueDeclaration("trial", {"Ctr": ArmDeclaration("", agents)}))


def test_a_catalogue_without_arms_is_refused() -> None:
    with pytest.raises(TherapyError, match="catalogue 'trial' has no arms"):
        Catalogue.declared(CatalogueDeclaration("trial"))


def test_an_arm_that_patients_received_must_be_listed() -> None:
    catalogue().check_received(["VC", "Ctr", "VC"])
    with pytest.raises(TherapyError, match="does not list: 'MK2206'"):
        catalogue().check_received(["Ctr", "MK2206"])
