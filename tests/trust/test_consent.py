"""Nobody is used without a recorded basis; a ledger that cannot be read permits nobody."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from omics_twin.errors import ConsentError
from omics_twin.trust.consent import Decision, Entry, Ledger, Purpose, judged, permit
from omics_twin.trust.ledger import read_ledger

HEADER = "patient_id,decision,purpose,recorded_on\n"
WIDE = HEADER.replace("\n", ",modality,valid_from,valid_until\n")
TODAY = date(2026, 6, 15)


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
    permission = permit(["a", "b"], ledger=read_ledger(path), purpose=Purpose.TRAINING)
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
    assert permit(["a", "b"], ledger=read_ledger(path), purpose="training").granted == ("b",)


def test_consent_for_one_purpose_is_no_consent_for_another(tmp_path: Path) -> None:
    path = ledger(tmp_path, "a,grant,research,2024-01-01", "b,grant,all,2024-01-01")
    permission = permit(["a", "b", "c"], ledger=read_ledger(path), purpose="scoring")
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
        (HEADER + "a,grant,training,\n", "found no recorded_on"),
        (HEADER + "b,grant,training,2024-01-01\n", "permits none of the 1 patients"),
        (HEADER.replace("\n", ",colour\n"), "expected the columns"),
        (HEADER.replace("\n", ",purpose\n"), "each once"),
        (WIDE + "a,withdraw,all,2024-01-01,all,,2025-01-01\n", "a withdrawal has a period"),
        (WIDE + "a,grant,all,2024-01-01,all,,2023-01-01\n", "before its first day 2024-01-01"),
    ],
)
def test_a_malformed_ledger_permits_nobody(tmp_path: Path, text: str, fragment: str) -> None:
    path = tmp_path / "consent.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConsentError) as caught:
        permit(["a"], ledger=read_ledger(path), purpose="training")
    assert fragment in str(caught.value)


def test_a_missing_or_unreadable_ledger_permits_nobody(tmp_path: Path) -> None:
    with pytest.raises(ConsentError, match="cannot be read"):
        permit(["a"], ledger=read_ledger(tmp_path / "none.csv"), purpose="training")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(ConsentError, match="not UTF-8 text"):
        permit(["a"], ledger=read_ledger(tmp_path / "binary.csv"), purpose="training")


def test_an_unknown_purpose_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConsentError, match="did you mean 'training'"):
        permit(["a"], ledger=None, purpose="trainning")


def test_a_modality_that_is_withdrawn_is_withheld_and_the_patient_takes_part(
    tmp_path: Path,
) -> None:
    path = tmp_path / "consent.csv"
    path.write_text(
        WIDE
        + "a,grant,all,2024-01-01,,,\n"
        + "a,withdraw,training,2024-02-01,rna,,\n"
        + "b,grant,all,2024-01-01,,,2024-12-31\n"
        + "c,grant,all,2024-01-01,rna,,\n"
        + "d,grant,all,2024-01-01,,,\n"
        + "d,withdraw,all,2024-01-02,rnaseq,,\n"
        + "e,grant,all,2024-01-01,,2027-01-01,\n"
    )
    found = permit(
        list("abcde"),
        ledger=read_ledger(path),
        purpose="training",
        modalities=["rna", "mri"],
        on=TODAY,
    )
    assert found.granted == ("a",)
    assert found.withheld == {"a": ("rna",)}
    assert found.refused == {
        "b": "consent for all ended on 2024-12-31",
        "c": "consent for training is recorded for single modalities alone",
        "d": "modality 'rnaseq' may not be used and is not known here",
        "e": "consent for all begins on 2027-01-01",
    }
    assert found.without("rna") == set("abcde")
    assert found.without("mri") == set("bcde")


def allowed_by_rule(entries: Sequence[Entry], patient: str, purpose: str, item: str) -> bool:
    """Decide day by day, from the first decision to the last: the rule as it is written down."""

    def permits(entry: Entry) -> bool:
        first = entry.valid_from or entry.recorded_on
        last = entry.valid_until or date.max
        return entry.decision is Decision.GRANT and first <= TODAY <= last

    state = {"all": False, item: False}
    for entry in sorted(entries, key=lambda each: (each.recorded_on, not permits(each))):
        if entry.patient_id != patient or entry.purpose not in (purpose, "all"):
            continue
        if entry.modality == "all":
            state = dict.fromkeys(state, permits(entry))
        elif entry.modality == item:
            state[item] = permits(entry)
    return state["all"] and state[item]


def test_500_histories_are_judged_as_the_written_rule_judges_them() -> None:
    draw = np.random.default_rng(7)
    patients, modalities = ["a", "b", "c"], ["rna", "mri"]

    def entry() -> Entry:
        recorded = TODAY - timedelta(days=int(draw.integers(-3, 12)))
        decision = Decision.GRANT if draw.random() < 0.6 else Decision.WITHDRAW
        first = last = None
        if decision is Decision.GRANT and draw.random() < 0.3:
            first = recorded + timedelta(days=int(draw.integers(-4, 8)))
            last = first + timedelta(days=int(draw.integers(0, 8)))
        purpose = str(draw.choice(["all", "training", "scoring"]))
        modality = str(draw.choice(["all", "all", *modalities]))
        patient = str(draw.choice(patients))
        return Entry(patient, decision, purpose, recorded, modality, first, last)

    disagreements = questions = 0
    for _ in range(500):
        entries = [entry() for _ in range(draw.integers(1, 14))]
        ledger = Ledger("ledger", tuple(entries))
        for purpose in Purpose:
            found = judged(patients, ledger, purpose, modalities, TODAY)
            for patient in patients:
                takes_part = allowed_by_rule(entries, patient, purpose.value, "all")
                disagreements += takes_part != (patient in found.granted)
                for modality in modalities:
                    questions += 1
                    ruled = allowed_by_rule(entries, patient, purpose.value, modality)
                    disagreements += ruled != (patient not in found.without(modality))
    assert questions == 9000
    assert disagreements == 0
