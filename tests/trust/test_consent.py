"""Nobody is used without a recorded basis; a ledger that cannot be read permits nobody."""

from __future__ import annotations

from pathlib import Path

import pytest

from omics_twin.errors import ConsentError
from omics_twin.trust.consent import Purpose, permit

HEADER = "patient_id,decision,purpose,recorded_on\n"


def ledger(folder: Path, *lines: str) -> Path:
    path = folder / "consent.csv"
    path.write_text(HEADER + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def test_without_a_ledger_the_protocol_is_the_recorded_basis() -> None:
    permission = permit(["a", "b"], ledger=None, purpose="training")
    assert permission.granted == ("a", "b")
    assert permission.basis == "granted by protocol"
    assert permission.purpose == "training"


def test_the_latest_decision_wins_whatever_the_order_of_the_lines(tmp_path: Path) -> None:
    path = ledger(
        tmp_path,
        "a,withdraw,training,2024-03-01",
        "a,grant,training,2023-01-01",
        "b,withdraw,training,2023-01-01",
        "b,grant,training,2024-01-01",
    )
    permission = permit(["a", "b"], ledger=path, purpose=Purpose.TRAINING)
    assert permission.granted == ("b",)
    assert permission.refused == {"a": "consent for training withdrawn on 2024-03-01"}
    assert permission.basis == "ledger 'consent.csv'"


def test_a_withdrawal_holds_against_a_grant_of_the_same_day(tmp_path: Path) -> None:
    path = ledger(
        tmp_path,
        "a,withdraw,all,2024-03-01",
        "a,grant,training,2024-03-01",
        "b,grant,training,2024-03-01",
    )
    assert permit(["a", "b"], ledger=path, purpose="training").granted == ("b",)


def test_consent_for_one_purpose_is_no_consent_for_another(tmp_path: Path) -> None:
    path = ledger(tmp_path, "a,grant,research,2024-01-01", "b,grant,all,2024-01-01")
    permission = permit(["a", "b", "c"], ledger=path, purpose="scoring")
    assert permission.granted == ("b",)
    assert permission.refused == dict.fromkeys("ac", "no consent for scoring is recorded")


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("", "has no header"),
        ("patient_id,decision\n", "expected the columns"),
        (HEADER + "a,grant,training\n", "line 2: found 3 cells, expected 4"),
        (HEADER + ",grant,training,2024-01-01\n", "found no patient_id"),
        (HEADER + "a,yes,training,2024-01-01\n", "found decision 'yes'"),
        (HEADER + "a,grant,fun,2024-01-01\n", "found purpose 'fun'"),
        (HEADER + "a,grant,training,01.02.2024\n", "found recorded_on '01.02.2024'"),
        (HEADER + 'a,"grant,training,2024-01-01\n', "correct the line"),
        (HEADER + "b,grant,training,2024-01-01\n", "permits none of the 1 patients"),
    ],
)
def test_a_malformed_ledger_permits_nobody(tmp_path: Path, text: str, fragment: str) -> None:
    path = tmp_path / "consent.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConsentError) as caught:
        permit(["a"], ledger=path, purpose="training")
    assert fragment in str(caught.value)


def test_a_missing_or_unreadable_ledger_permits_nobody(tmp_path: Path) -> None:
    with pytest.raises(ConsentError, match="cannot be read"):
        permit(["a"], ledger=tmp_path / "none.csv", purpose="training")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(ConsentError, match="not UTF-8 text"):
        permit(["a"], ledger=tmp_path / "binary.csv", purpose="training")


def test_an_unknown_purpose_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConsentError, match="did you mean 'training'"):
        permit(["a"], ledger=None, purpose="trainning")
