"""The page of a twin that learns from visit to visit, by a browser and by hostile forms."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, expect

from omics_twin.chart.doses import add_dose, doses_of
from omics_twin.chart.lived import live, relived
from omics_twin.chart.store import Chart
from omics_twin.cli import main
from omics_twin.errors import ChartError, ConsentError
from omics_twin.living import LivingModel
from omics_twin.settings import TwinSettings
from omics_twin.told import RecordedDose, RecordedVisit
from omics_twin.trust.consent import Decision, Entry
from tests.serve.hospital import PASSWORD, free_port, token_in, with_account
from tests.serve.screens import clinician_at, kept

BY = "test"
PATIENT, WITHDRAWN = "KANARIE4711", "GEHT4712"
MODEL = "published:sunitinib"
SETTINGS = TwinSettings(draws=24)
DAILY = RecordedDose(drug="sunitinib", amount=50.0, interval_days=1.0, repeat=28)


def scan(day: float, size: float) -> RecordedVisit:
    return RecordedVisit(day=day, values={"visit": {"sum_of_diameters_mm": size}})


def fill(chart: Chart, patient: str, sizes: dict[float, float]) -> None:
    chart.add_patient(patient, by=BY)
    chart.add_consent(Entry(patient, Decision.GRANT, "scoring", date(2026, 1, 1)), by=BY)
    for day, size in sizes.items():
        chart.add_visit(patient, scan(day, size), key=f"{day}", by=BY)
    add_dose(chart, patient, DAILY, key="given", by=BY)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> str:
    chart = f"sqlite:///{tmp_path_factory.mktemp('living') / 'chart.db'}"
    with closing(Chart.open(chart)) as opened:
        for each in (PATIENT, WITHDRAWN):
            fill(opened, each, {0.0: 120.0, 28.0: 100.0})
        left = Entry(WITHDRAWN, Decision.WITHDRAW, "scoring", date(2026, 2, 1))
        opened.add_consent(left, by=BY)
    return chart


@pytest.fixture(scope="module")
def url(place: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("log")
    with pytest.MonkeyPatch.context() as patched:
        for role in ("clinician", "scientist"):
            with_account(place, role, role, patched)
    port = free_port()
    command = [sys.executable, "-m", "omics_twin", "serve", f"model_uri={MODEL}", f"chart={place}"]
    command += [f"log={folder / 'audit.jsonl'}", f"key={folder / 'key' / 'audit.key'}"]
    command += [f"serve.port={port}", f"twin.draws={SETTINGS.draws}"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        assert any("page: " in line for line in server.stdout), server.stderr.read()  # type: ignore[union-attr]
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            told = "".join(server.communicate(timeout=20))
        assert PATIENT not in told
        assert "Traceback" not in told
    assert PATIENT not in (folder / "audit.jsonl").read_text()


def test_a_clinician_follows_a_living_twin(browser: Browser, url: str, place: str) -> None:
    with clinician_at(browser, url) as screen:
        screen.get_by_role("link", name=PATIENT).click()
        for heading in ("Trajectory", "Plans compared", "Doses", "What limits this answer"):
            expect(screen.get_by_role("heading", name=heading)).to_be_visible()
        expect(screen.locator("svg.curves text", has_text="progression")).to_be_visible()
        expect(screen.get_by_text("sunitinib 50 mg, day 0 to day 27").first).to_be_visible()
        kept(screen, "living_patient")

        screen.get_by_role("link", name="What if").click()
        screen.get_by_label("Amount").fill("400")
        screen.get_by_label("Schedule").select_option("4 weeks on, 2 off")
        screen.get_by_role("button", name="Simulate").click()
        answer = screen.get_by_role("heading", name="sunitinib 400 mg 4 weeks on, 2 off: place")
        expect(answer).to_be_visible()
        expect(screen.get_by_text("lies outside the amounts")).to_be_visible()
        kept(screen, "living_what_if")

        screen.get_by_role("link", name="Back to the patient").click()
        screen.get_by_role("link", name="visit", exact=True).click()
        screen.get_by_label("Day since treatment began").fill("56")
        screen.get_by_label("sum of diameters mm").fill("310")
        kept(screen, "living_visit")
        screen.get_by_role("button", name="Show it to the twin").click()
        expect(screen.get_by_text("outside its interval")).to_be_visible()
        kept(screen, "living_learned")

        screen.get_by_role("link", name="Back to the patient").click()
        screen.get_by_role("link", name="amend visit of day 56").click()
        screen.get_by_label("sum of diameters mm").fill("130")
        screen.get_by_label("Why it was wrong").fill("two lesions counted twice")
        screen.get_by_role("button", name="Show it to the twin").click()
        expect(screen.get_by_role("heading", name="The ranking was made anew")).to_be_visible()
        screen.get_by_role("link", name="Back to the patient").click()
        expect(screen.get_by_text("310 → 130 (two lesions counted twice)")).to_be_visible()
        screen.get_by_role("link", name="Add a dose").click()
        screen.get_by_label("Drug").fill("sunitinib")
        screen.get_by_label("Amount").fill("37.5")
        screen.get_by_label("First day").fill("56")
        screen.get_by_label("Days between administrations").fill("1")
        screen.get_by_label("How many administrations").fill("84")
        screen.get_by_label("Planned, not given yet").check()
        kept(screen, "living_dose")
        screen.get_by_role("button", name="Keep the dose").click()
        plans = screen.get_by_role("table", name="Plans compared")
        expect(plans.get_by_role("rowheader", name="as planned")).to_be_visible()
        kept(screen, "living_amended")
    with closing(Chart.open(place)) as chart:
        assert [each.dose.planned for each in doses_of(chart, PATIENT)] == [False, True]


def test_what_may_not_be_is_refused_with_a_sentence(url: str, place: str) -> None:
    session = requests.Session()

    def sign_in(name: str) -> None:
        door = session.get(f"{url}/sign-in", timeout=30)
        form = {"name": name, "password": PASSWORD, "csrf_token": token_in(door.text)}
        session.post(f"{url}/sign-in", form, timeout=60)

    sign_in("scientist")
    assert "published" in session.get(f"{url}/model", timeout=60).text
    for path in ("patient", "what-if", "dose", "visit"):
        answer = session.get(f"{url}/{path}?id={PATIENT}&channel=visit", timeout=60)
        assert answer.status_code == 403
    sign_in("clinician")
    for path in ("patient", "what-if", "dose", "visit"):
        answer = session.get(f"{url}/{path}?id={WITHDRAWN}&channel=visit", timeout=60)
        assert (answer.status_code, "withdrawn" in answer.text) == (403, True)
    form = session.get(f"{url}/dose?id={WITHDRAWN[:-1]}x", timeout=60)
    assert form.status_code == 403
    for asked in ("drug=aspirin&amount=1&schedule=daily", "drug=sunitinib&amount=x&schedule=daily"):
        answer = session.get(f"{url}/what-if?id={PATIENT}&{asked}", timeout=60)
        assert answer.status_code == 422
        assert "aspirin" not in answer.text
    page = session.get(f"{url}/dose?id={PATIENT}", timeout=60).text
    dose = {"drug": "sunitinib", "amount": "1", "start_days": "0", "key": "k"}
    assert session.post(f"{url}/dose?id={PATIENT}", dose, timeout=60).status_code == 403
    dose["csrf_token"] = token_in(page)
    refused = {
        "at least 0": {"amount": "-1"},
        "whole number": {"repeat": "1.5"},
        "interval_days": {"repeat": "3"},
        "of a dose": {"drug": " "},
    }
    for told, wrong in refused.items():
        answer = session.post(f"{url}/dose?id={PATIENT}", {**dose, **wrong}, timeout=60)
        assert (answer.status_code, told in answer.text) == (422, True), wrong
    values = {"csrf_token": token_in(page), "day": "1", "key": "k"}
    address = f"{url}/visit?id={PATIENT}&channel=visit"
    assert "filled in" in session.post(address, values, timeout=60).text
    names = re.findall(r'name="(\w+)"', session.get(address, timeout=60).text)
    assert {"sum_of_diameters_mm", "neutrophils_1e9_per_l"} <= set(names)


def test_plans_told_of_a_living_twin_are_told_again_bit_for_bit(tmp_path: Path) -> None:
    model = LivingModel.published("sunitinib")
    with closing(Chart.open(f"sqlite:///{tmp_path / 'chart.db'}")) as chart:
        fill(chart, "ada", {28.0: 100.0})
        first = live(chart, model, "ada", SETTINGS, by=BY)
        assert live(chart, model, "ada", SETTINGS, by=BY).number == first.number
        wrong = doses_of(chart, "ada")[0].number
        half = DAILY.model_copy(update={"amount": 25.0})
        add_dose(chart, "ada", half, key="b", by=BY, amends=wrong, reason="half tablets")
        assert live(chart, model, "ada", SETTINGS, by=BY).lines != first.lines
        assert relived(chart, model, first.number) == first.lines
        with pytest.raises(ChartError, match="load the model that gave it"):
            relived(chart, replace(model, digest="0" * 64), first.number)
        entry = Entry("ada", Decision.WITHDRAW, "scoring", date(2026, 2, 1), "visit")
        chart.add_consent(entry, by=BY)
        with pytest.raises(ConsentError, match="all that the twin is shown"):
            live(chart, model, "ada", SETTINGS, by=BY)


def test_a_living_twin_is_not_served_without_a_chart(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", f"model_uri={MODEL}", "serve.port=0"]) == 1
    assert "add chart=…" in capsys.readouterr().err
