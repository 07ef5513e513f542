"""Pseudonyms hold, dates keep their distance, and what is written freely does not come in."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omics_twin.errors import PrivacyError, about, public
from omics_twin.trust.privacy import (
    Pseudonyms,
    left_out_lines,
    refuse_identifying,
    shown_count,
    site_pseudonyms,
)

NAMES = Pseudonyms(bytes(range(32)))
OTHERS = Pseudonyms(bytes(range(1, 33)))


@given(st.text(min_size=1, max_size=40))
def test_a_pseudonym_is_the_same_every_day_and_another_under_another_key(patient: str) -> None:
    called = NAMES.of(patient)
    assert called == NAMES.of(patient) == NAMES.of(called)
    assert OTHERS.of(patient) != called
    assert len(called) == 23


def test_no_two_of_many_patients_are_called_the_same() -> None:
    assert len({NAMES.of(f"p{number}") for number in range(20_000)}) == 20_000


@given(st.text(min_size=1, max_size=40), st.dates(date(1900, 1, 1), date(2090, 1, 1)))
def test_dates_of_a_patient_move_together_and_within_the_window(patient: str, day: date) -> None:
    moved = NAMES.shifted(patient, day)
    later = NAMES.shifted(patient, day + timedelta(days=84))
    assert later - moved == timedelta(days=84)
    assert 0 < abs((moved - day).days) <= NAMES.window_days
    assert NAMES.shift_days(patient) == NAMES.shift_days(NAMES.of(patient))


def test_every_shift_of_the_window_is_as_frequent() -> None:
    names = Pseudonyms(bytes(32), window_days=3)
    found = [names.shift_days(f"p{number}") for number in range(6000)]
    assert set(found) == {-3, -2, -1, 1, 2, 3}
    assert all(abs(found.count(each) - 1000) < 5 * 1000**0.5 for each in set(found))
    assert Pseudonyms(bytes(32), window_days=0).shift_days("ada") == 0


def test_without_a_key_or_a_wish_there_are_no_pseudonyms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMICS_TWIN_SITE_KEY", "ab" * 32)
    assert site_pseudonyms() is not None
    assert site_pseudonyms(wanted=False) is None
    monkeypatch.delenv("OMICS_TWIN_SITE_KEY")
    assert site_pseudonyms() is None


@pytest.mark.parametrize(
    ("column", "text", "told"),
    [
        ("surname", "x", "named like an identifier"),
        ("patient_name", "x", "named like an identifier"),
        ("e_mail", "x", "named like an identifier"),
        ("contact", "ada.lovelace@example.org", "an e-mail address"),
        ("contact", "+44 7700 912345", "a telephone number"),
        ("key", "MRN-77123904", "a record number"),
        ("key", "078-05-1120", "a social security number"),
        ("seen_by", "Dr. Lovelace", "a name with its title"),
        ("note", "she came in on Monday and said that it hurts at night", "text of 12 words"),
    ],
)
def test_what_could_tell_who_somebody_is_is_refused(column: str, text: str, told: str) -> None:
    with pytest.raises(PrivacyError, match=told) as refused:
        refuse_identifying("table 'clinical.csv'", column, [text])
    assert len(text) < 3 or text not in str(refused.value)


def test_levels_of_vocabularies_come_in() -> None:
    levels = ["II", "postmenopausal", "Luminal B (HER2 negative)", "T2 N1 M0", "2026-1", "0.5-1.5"]
    levels += ["HR+/HER2-", "invasive ductal carcinoma, grade 2", "10 to 20 %", "C50.9", ""]
    refuse_identifying("table 'clinical.csv'", "histology", levels)
    for column in ("stage", "gene_name_count", "race", "menopausal_status", "membership"):
        refuse_identifying("table 'clinical.csv'", column, levels)


def test_few_patients_are_told_as_one() -> None:
    assert [shown_count(each) for each in range(7)] == [0, 1, 1, 1, 1, 5, 6]


def test_who_is_left_out_is_counted_in_public(monkeypatch: pytest.MonkeyPatch) -> None:
    left = {"ada": "withdrawn on 2026-02-03", "bob": "withdrawn on 2026-05-06", "eve": "no visit"}
    lines = left_out_lines(left)
    assert [public(each) for each in lines] == [
        "2 patients are left out: withdrawn (…)",
        "1 patient is left out: no visit (…)",
    ]
    monkeypatch.setenv("OMICS_TWIN_REVEAL", "true")
    assert "'ada', 'bob'" in public(lines[0])


def test_an_error_tells_a_program_everything_and_a_log_nothing_of_a_patient() -> None:
    error = PrivacyError(about("found '47.8' for patient 'ada', expected a stage", "47.8", "ada"))
    assert str(error) == "found '47.8' for patient 'ada', expected a stage"
    assert public(error) == "found '…' for patient '…', expected a stage"
