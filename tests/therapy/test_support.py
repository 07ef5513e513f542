"""What a comparison rests on is counted, and every exclusion has its reason."""

from __future__ import annotations

from omics_twin.settings import ArmDeclaration, CatalogueDeclaration
from omics_twin.therapy.catalogue import Catalogue
from omics_twin.therapy.support import Support, stratum_key

CATALOGUE = Catalogue.declared(
    CatalogueDeclaration(
        name="trial",
        arms={name: ArmDeclaration("", [name]) for name in ("a", "b", "c")},
        thin_support=3,
    )
)
STRATA = ["hr 1"] * 5 + ["hr 0"] * 4
ARMS = ["a", "a", "a", "b", "b", "a", "b", "b", "b"]


def support() -> Support:
    return Support.of(["hr"], STRATA, ARMS)


def test_training_patients_are_counted_by_stratum_and_arm() -> None:
    _, counts, _ = support().judge(CATALOGUE, ["hr 1", "hr 0"])
    assert counts.tolist() == [[3.0, 2.0, 0.0], [1.0, 3.0, 0.0]]


def test_an_arm_nobody_of_the_stratum_received_is_closed() -> None:
    eligible, _, reasons = support().judge(CATALOGUE, ["hr 1"])
    assert eligible.tolist() == [[True, True, False]]
    assert reasons[0][2] == "not open: no patient with hr 1 was assigned to it"


def test_thin_support_is_open_and_said() -> None:
    _, _, reasons = support().judge(CATALOGUE, ["hr 1", "hr 0"])
    assert reasons[0][0] == ""
    assert reasons[0][1] == "thin support: 2 training patients with hr 1 received it"
    assert reasons[1][1] == ""


def test_nothing_is_open_to_a_stratum_never_seen() -> None:
    eligible, _, reasons = support().judge(CATALOGUE, ["hr not measured"])
    assert eligible.tolist() == [[False, False, False]]
    assert set(reasons[0]) == {"no training patient with hr not measured"}


def test_without_columns_everyone_is_one_stratum() -> None:
    everyone = Support.of([], [stratum_key((), ())] * 2, ["a", "b"])
    eligible, _, reasons = everyone.judge(CATALOGUE, [stratum_key((), ())])
    assert eligible.tolist() == [[True, True, False]]
    assert reasons[0][2] == "not open: no patient in training was assigned to it"


def test_support_survives_storage() -> None:
    assert Support.from_json(support().to_json()) == support()
