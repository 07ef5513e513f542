"""The page of a twin that learns from visit to visit, by a browser and by hostile forms."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
import requests
import torch
import uvicorn
from playwright.sync_api import Browser, expect

from omics_twin.alerts.watch import Kind
from omics_twin.audited import log_of
from omics_twin.chart.accounts import set_account
from omics_twin.chart.doses import add_dose, doses_of
from omics_twin.chart.learned import learn
from omics_twin.chart.lived import check_dose, live, relived
from omics_twin.chart.store import Chart
from omics_twin.cli import main
from omics_twin.config import load
from omics_twin.desk import opened
from omics_twin.errors import ChartError, ConsentError, TherapyError, TwinError
from omics_twin.lifecycle.validity import governed_by
from omics_twin.report.console import Console
from omics_twin.serve.about_living import LivingDesk, Supposed, about, visit_in, what_if
from omics_twin.settings import TwinSettings, Unlike
from omics_twin.told import RecordedDose, RecordedVisit
from omics_twin.trust.consent import Decision, Entry
from omics_twin.twin.likeness import fit_likeness
from omics_twin.types import Dose, Endpoint, Intervention
from omics_twin.visits.living import LivingModel
from tests.serve.hospital import PASSWORD, free_port, token_in
from tests.serve.screens import clinician_at, kept
from tests.twins import visit_twin
from tests.twins_mechanistic import tumour_twin

BY = "test"
PATIENT, WITHDRAWN = "KANARIE4711", "GEHT4712"
SETTINGS = TwinSettings(draws=64)
WEEKLY = RecordedDose(drug="paclitaxel", amount=1.0, interval_days=7.0, repeat=4)
MODEL = LivingModel(
    twin=tumour_twin(),
    endpoint=Endpoint("progression-free", "progression_free", 182.0),
    title="Free of progression by size at 26 weeks",
    arms=("weekly",),
    false_alarms=0.05,
    provenance={"cohort": "made up", "patients": 0},
    digest="ab" * 32,
    plans={"weekly": Intervention("weekly", (Dose("paclitaxel", 1.0, "mg", 0.0, 0.0, 7.0, 26),))},
)


def scan(day: float, size: float) -> RecordedVisit:
    return RecordedVisit(day=day, values={"tumour": {"diameter_mm": size}})


def fill(chart: Chart, patient: str) -> None:
    chart.add_patient(patient, by=BY)
    chart.add_consent(Entry(patient, Decision.GRANT, "scoring", date(2026, 1, 1)), by=BY)
    for day, size in ((0.0, 60.0), (28.0, 52.0)):
        chart.add_visit(patient, scan(day, size), key=f"{day}", by=BY)
    add_dose(chart, patient, WEEKLY, key="given", by=BY)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> str:
    chart = f"sqlite:///{tmp_path_factory.mktemp('living') / 'chart.db'}"
    with closing(Chart.open(chart)) as kept_in:
        for each in (PATIENT, WITHDRAWN):
            fill(kept_in, each)
        left = Entry(WITHDRAWN, Decision.WITHDRAW, "scoring", date(2026, 2, 1))
        kept_in.add_consent(left, by=BY)
        for role in ("clinician", "scientist"):
            set_account(kept_in, role, role, PASSWORD, by=BY)
    return chart


@pytest.fixture(scope="module")
def url(place: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder, port = tmp_path_factory.mktemp("log"), free_port()
    log = [f"log={folder / 'audit.jsonl'}", f"key={folder / 'key' / 'audit.key'}"]
    log += [f"anchor={folder / 'anchor' / 'anchor.json'}"]
    config = load("serve", [f"chart={place}", *log, f"twin.draws={SETTINGS.draws}"])
    console = Console(quiet=True)
    written = log_of(config, console)
    assert written is not None
    with opened(config, MODEL, None, written, console) as page:
        server = uvicorn.Server(uvicorn.Config(page, port=port, log_level="error"))
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{port}"
        server.should_exit = True
        thread.join()
    assert PATIENT not in (folder / "audit.jsonl").read_text()


def test_a_clinician_follows_a_living_twin(browser: Browser, url: str, place: str) -> None:
    with clinician_at(browser, url) as screen:
        screen.get_by_role("link", name=PATIENT).click()
        for heading in ("Trajectory", "Plans compared", "Doses", "What limits this answer"):
            expect(screen.get_by_role("heading", name=heading)).to_be_visible()
        expect(screen.locator("svg.curves text", has_text="progression")).to_be_visible()
        expect(screen.get_by_text("paclitaxel 1 mg, day 0 to day 21").first).to_be_visible()
        kept(screen, "living_patient")

        screen.get_by_role("link", name="What if").click()
        screen.get_by_label("Amount").fill("4")
        screen.get_by_label("Schedule").select_option("4 weeks on, 2 off")
        screen.get_by_role("button", name="Simulate").click()
        answer = screen.get_by_role("heading", name="paclitaxel 4 mg 4 weeks on, 2 off: place")
        expect(answer).to_contain_text("in no clear order")
        expect(answer).to_be_visible()
        expect(screen.get_by_text("lies outside the amounts")).to_be_visible()
        kept(screen, "living_what_if")

        screen.get_by_role("link", name="Back to the patient").click()
        screen.get_by_role("link", name="tumour", exact=True).click()
        screen.get_by_label("Day since treatment began").fill("56")
        screen.get_by_label("diameter mm").fill("190")
        kept(screen, "living_visit")
        screen.get_by_role("button", name="Show it to the twin").click()
        expect(screen.get_by_text("outside its interval")).to_be_visible()
        kept(screen, "living_learned")

        screen.get_by_role("link", name="Back to the patient").click()
        screen.get_by_role("link", name="amend tumour of day 56").click()
        screen.get_by_label("diameter mm").fill("55")
        screen.get_by_label("Why it was wrong").fill("two lesions counted twice")
        screen.get_by_role("button", name="Show it to the twin").click()
        expect(screen.get_by_role("heading", name="The ranking was made anew")).to_be_visible()
        screen.get_by_role("link", name="Back to the patient").click()
        expect(screen.get_by_text("190 → 55 (two lesions counted twice)")).to_be_visible()
        expect(screen.get_by_text("The visit that raised it was amended since")).to_be_visible()
        screen.get_by_role("link", name="Add a dose").click()
        screen.get_by_label("Drug").fill("paclitaxel")
        screen.get_by_label("Amount").fill("2")
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
    assert "made up" in session.get(f"{url}/model", timeout=60).text
    for path in ("patient", "what-if", "dose", "visit"):
        answer = session.get(f"{url}/{path}?id={PATIENT}&channel=tumour", timeout=60)
        assert answer.status_code == 403
    sign_in("clinician")
    for path in ("patient", "what-if", "dose", "visit"):
        answer = session.get(f"{url}/{path}?id={WITHDRAWN}&channel=tumour", timeout=60)
        assert (answer.status_code, "withdrawn" in answer.text) == (403, True)
    form = session.get(f"{url}/dose?id={WITHDRAWN[:-1]}x", timeout=60)
    assert form.status_code == 403
    for asked in (
        "drug=aspirin&amount=1&schedule=daily",
        "drug=paclitaxel&amount=x&schedule=daily",
    ):
        answer = session.get(f"{url}/what-if?id={PATIENT}&{asked}", timeout=60)
        assert answer.status_code == 422
        assert "aspirin" not in answer.text
    page = session.get(f"{url}/dose?id={PATIENT}", timeout=60).text
    dose = {"drug": "paclitaxel", "amount": "1", "start_days": "0", "key": "k"}
    assert session.post(f"{url}/dose?id={PATIENT}", dose, timeout=60).status_code == 403
    dose["csrf_token"] = token_in(page)
    refused = {
        "at least 0": {"amount": "-1"},
        "whole number": {"repeat": "1.5"},
        "interval_days": {"repeat": "3"},
        "of a dose": {"drug": " "},
        "The body surface is no area": {"unit": "mg/m2", "surface": "175"},
    }
    for told, wrong in refused.items():
        answer = session.post(f"{url}/dose?id={PATIENT}", {**dose, **wrong}, timeout=60)
        assert (answer.status_code, told in answer.text) == (422, True), wrong
    values = {"csrf_token": token_in(page), "day": "1", "key": "k"}
    address = f"{url}/visit?id={PATIENT}&channel=tumour"
    assert "filled in" in session.post(address, values, timeout=60).text
    names = re.findall(r'name="(\w+)"', session.get(address, timeout=60).text)
    assert "diameter_mm" in names


def test_plans_told_of_a_living_twin_are_told_again_bit_for_bit(tmp_path: Path) -> None:
    with closing(Chart.open(f"sqlite:///{tmp_path / 'chart.db'}")) as chart:
        fill(chart, "ada")
        first = live(chart, MODEL, "ada", SETTINGS, by=BY)
        assert live(chart, MODEL, "ada", SETTINGS, by=BY).number == first.number
        wrong = doses_of(chart, "ada")[0].number
        half = WEEKLY.model_copy(update={"amount": 0.5})
        add_dose(chart, "ada", half, key="b", by=BY, amends=wrong, reason="half tablets")
        assert live(chart, MODEL, "ada", SETTINGS, by=BY).lines != first.lines
        assert relived(chart, MODEL, first.number) == first.lines
        with pytest.raises(ChartError, match="load the model that gave it"):
            relived(chart, replace(MODEL, digest="0" * 64), first.number)
        entry = Entry("ada", Decision.WITHDRAW, "scoring", date(2026, 2, 1), "tumour")
        chart.add_consent(entry, by=BY)
        with pytest.raises(ConsentError, match="all that the twin is shown"):
            live(chart, MODEL, "ada", SETTINGS, by=BY)


def test_what_cannot_be_is_refused_before_it_is_kept(tmp_path: Path) -> None:
    with closing(Chart.open(f"sqlite:///{tmp_path / 'chart.db'}")) as chart:
        fill(chart, "ada")
        seen, dose = chart.visits("ada"), doses_of(chart, "ada")[0]
        for day, amends in ((14.0, None), (0.0, seen[0])):
            with pytest.raises(TwinError, match="beyond anything"):
                learn(
                    chart, MODEL, "ada", scan(day, 1e9), SETTINGS,
                    key="x", by=BY, amends=amends, reason="typed",
                )  # fmt: skip
        assert chart.visits("ada") == seen
        check_dose(chart, MODEL, "ada", WEEKLY, SETTINGS, amends=dose.number)
        chart.add_visit("ada", scan(56.0, 1e9), key="elsewhere", by=BY)
        with pytest.raises(TwinError, match="beyond anything"):
            check_dose(chart, MODEL, "ada", WEEKLY, SETTINGS, amends=dose.number)


def test_going_on_is_a_plan_only_where_a_dose_lies_ahead(tmp_path: Path) -> None:
    with closing(Chart.open(f"sqlite:///{tmp_path / 'chart.db'}")) as chart:
        fill(chart, "ada")
        desk, missing = LivingDesk(chart, MODEL, SETTINGS), "lack of benefit is not judged"

        def told() -> tuple[set[str], bool]:
            told, page = about(desk, "ada", by=BY)
            names = {each["intervention"] for each in told.lines}
            return names, any(missing in each for each in page["limits"])

        assert told() == ({"weekly", "no intervention"}, True)
        later = WEEKLY.model_copy(update={"start_days": 28.0})
        past = WEEKLY.model_copy(update={"planned": True})
        for key, each in (("later", later), ("past", past)):
            add_dose(chart, "ada", each, key=key, by=BY)
        assert told() == ({"go on with as given", "no intervention"}, False)


@pytest.mark.parametrize(("least", "alarms"), [(1.0, 1), (0.0, 0)])
def test_lack_of_benefit_is_judged_as_the_settings_say(
    tmp_path: Path, least: float, alarms: int
) -> None:
    with closing(Chart.open(f"sqlite:///{tmp_path / 'chart.db'}")) as chart:
        fill(chart, "ada")
        settings = replace(SETTINGS, least_benefit=least)
        for day, amount in ((56.0, 20), (57.0, 4)):
            visit = scan(day, 50.0)
            _, change = learn(chart, MODEL, "ada", visit, settings, key=f"{day}", by=BY)
            assert change is not None
            told = [each for each in change.alerts if each.kind is Kind.NO_BENEFIT]
            assert len(told) == (alarms if amount == 4 else 0)
            # So little that nobody can be told to benefit: half of the belief says so by ties.
            later = WEEKLY.model_copy(update={"start_days": 56.0, "repeat": amount, "amount": 1e-9})
            add_dose(chart, "ada", later, key=f"dose {day}", by=BY)


def test_a_twin_that_knows_no_dose_of_the_chart_is_told_of_arms(tmp_path: Path) -> None:
    with closing(Chart.open(f"sqlite:///{tmp_path / 'chart.db'}")) as chart:
        desk = LivingDesk(chart, MODEL, SETTINGS)
        fill(chart, "ada")
        assert about(desk, "ada", by=BY)[1]["timeline"][0].under == "see the doses"
        wrong = doses_of(chart, "ada")[0].number
        other = WEEKLY.model_copy(update={"drug": "aspirin"})
        add_dose(chart, "ada", other, key="b", by=BY, amends=wrong, reason="misread")
        again = scan(28.0, 52.0).model_copy(update={"under": "weekly"})
        last = chart.visits("ada")[-1]
        chart.add_visit("ada", again, key="c", by=BY, amends=last, reason="forgotten")
        assert about(desk, "ada", by=BY)[1]["timeline"][1].under == "weekly"
    written = {"day": "28", "diameter_mm": "53"}
    assert visit_in(desk, "tumour", written, again).under == "weekly"
    assert visit_in(desk, "tumour", {**written, "under": ""}, again).under is None
    assert visit_in(desk, "tumour", {**written, "under": "weekly"}).under == "weekly"


@pytest.mark.parametrize("arms", [(), ("placebo",)])
def test_a_twin_of_one_arm_or_none_is_asked_about(tmp_path: Path, arms: tuple[str, ...]) -> None:
    model = replace(
        MODEL,
        twin=visit_twin(),
        endpoint=Endpoint("event-free", "event_free", 182.0),
        arms=arms,
        plans={},
    )
    with closing(Chart.open(f"sqlite:///{tmp_path / 'chart.db'}")) as chart:
        chart.add_patient("ada", by=BY)
        chart.add_consent(Entry("ada", Decision.GRANT, "scoring", date(2026, 1, 1)), by=BY)
        desk = LivingDesk(chart, model, SETTINGS)
        if not arms:
            with pytest.raises(TherapyError, match="knows no therapy to compare"):
                about(desk, "ada", by=BY)
            return
        told, _ = about(desk, "ada", by=BY)
        assert what_if(desk, told, Supposed(arm="placebo"))["place"] == 1


def test_a_living_twin_is_not_served_without_a_chart(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "model_uri=published:sunitinib", "serve.port=0"]) == 1
    assert "add chart=…" in capsys.readouterr().err


def test_who_is_unlike_the_others_is_told_so_and_can_be_amended(tmp_path: Path) -> None:
    sizes = torch.linspace(3.9, 4.3, 200, dtype=torch.float64)[:, None]
    model = replace(MODEL, likeness=fit_likeness({"tumour": sizes}))
    barring = governed_by(model, Unlike.REFUSE)
    with closing(Chart.open(f"sqlite:///{tmp_path / 'chart.db'}")) as chart:
        fill(chart, "ada")
        assert about(LivingDesk(chart, barring, SETTINGS), "ada", by=BY)[0].lines
        wrong = chart.visits("ada")[0]
        learn(
            chart, barring, "ada", scan(0.0, 600.0), SETTINGS,
            key="x", by=BY, amends=wrong, reason="typed",
        )  # fmt: skip
        warned, page = about(LivingDesk(chart, model, SETTINGS), "ada", by=BY)
        assert "more unusual than in 99" in page["limits"][0]
        assert "diameter mm" in page["limits"][0]
        desk = LivingDesk(chart, barring, SETTINGS)
        told, page = about(desk, "ada", by=BY)
        assert (warned.lines != [], told.lines, page["course"]) == (True, [], None)
        assert page["limits"][0].startswith("No answer")
        assert relived(chart, barring, told.number) == []
        assert relived(chart, barring, warned.number) == warned.lines
        with pytest.raises(TwinError, match="such are refused"):
            what_if(desk, told, Supposed("paclitaxel", "1", "daily"))
        # Shown again without the policy, the plans are there.
        assert about(LivingDesk(chart, model, SETTINGS), "ada", by=BY)[0].lines == warned.lines
        right = chart.visits("ada")[0]
        learn(
            chart, barring, "ada", scan(0.0, 60.0), SETTINGS,
            key="y", by=BY, amends=right, reason="misread",
        )  # fmt: skip
        assert about(desk, "ada", by=BY)[0].lines
