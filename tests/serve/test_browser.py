"""The page in a real browser: from signing in to a printed ranking, by keyboard too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.conftest import SmallRun
from tests.serve.hospital import PASSWORD, Running, running
from tests.serve.screens import clinician_at, kept

PATIENT = "SYN0000001"


@pytest.fixture(scope="module")
def served(small_run: SmallRun, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(small_run, tmp_path_factory.mktemp("browser")) as server:
        yield server


@pytest.fixture
def screen(browser: Browser, served: Running) -> Iterator[Page]:
    with clinician_at(browser, served.url) as page:
        yield page


def test_a_clinician_follows_a_patient_through_the_page(screen: Page) -> None:
    kept(screen, "worklist")
    screen.get_by_role("link", name=PATIENT).click()
    expect(screen.get_by_role("heading", level=1)).to_have_text(f"Patient {PATIENT}")
    kept(screen, "patient")
    before = screen.locator("footer dd").last.inner_text()

    screen.get_by_role("link", name="What if").click()
    screen.locator("fieldset input[type=checkbox]").nth(0).check()
    screen.locator("fieldset input[type=checkbox]").nth(1).check()
    screen.get_by_label("Measurement").fill("clinical.stage")
    screen.get_by_label("Value").fill("III")
    screen.get_by_role("button", name="Simulate").click()
    expect(screen.get_by_role("heading", name="If stage III")).to_be_visible()
    table = screen.get_by_role("table", name="Therapies as it is")
    expect(table.get_by_role("row")).to_have_count(3)
    kept(screen, "what_if")

    screen.get_by_role("link", name="Back to the patient").click()
    screen.get_by_role("link", name="radiomics, day 84").click()
    screen.get_by_label("tumour volume cm3").fill("2.5")
    screen.get_by_label("sphericity").fill("0.7")
    kept(screen, "visit")
    screen.get_by_role("button", name="Show it to the twin").click()
    expect(screen.get_by_role("heading", name="Ranking before and after")).to_be_visible()
    kept(screen, "learned")

    screen.get_by_role("link", name="Back to the patient").click()
    timeline = screen.get_by_role("table", name="Observations and therapies")
    expect(timeline.get_by_role("rowheader", name="day 84")).to_be_visible()
    assert screen.locator("footer dd").last.inner_text() != before
    screen.get_by_label("Reason, where it is not the first of the list").fill("agreed with her")
    screen.get_by_role("button", name="Keep the decision").click()
    expect(screen.get_by_text("agreed with her")).to_be_visible()
    kept(screen, "decided")
    screen.get_by_role("link", name="Worklist").click()
    row = screen.get_by_role("row", name=PATIENT)
    expect(row.get_by_text("decided", exact=True)).to_be_visible()


def test_the_page_is_printed_without_forms(screen: Page, tmp_path: Path) -> None:
    screen.get_by_role("link", name="SYN0000003").click()
    screen.emulate_media(media="print")
    expect(screen.get_by_role("button", name="Keep the decision")).to_be_hidden()
    expect(screen.get_by_text("Research use only").first).to_be_visible()
    printed = screen.pdf(format="A4")
    assert printed.startswith(b"%PDF")


def test_the_page_is_read_on_a_tablet_and_by_keyboard(screen: Page) -> None:
    screen.set_viewport_size({"width": 768, "height": 1024})
    screen.keyboard.press("Tab")
    expect(screen.get_by_role("link", name="Skip to the content")).to_be_focused()
    screen.get_by_role("link", name="SYN0000003").focus()
    screen.keyboard.press("Enter")
    expect(screen.get_by_role("heading", level=1)).to_have_text("Patient SYN0000003")
    kept(screen, "tablet")
    screen.set_viewport_size({"width": 390, "height": 844})
    kept(screen, "phone")


def test_a_page_is_light(screen: Page) -> None:
    screen.get_by_role("link", name="SYN0000003").click()
    expect(screen.get_by_role("heading", level=1)).to_be_visible()
    # Itself, and what it loads; nothing is compressed.
    kinds = "['navigation', 'resource'].flatMap(kind => performance.getEntriesByType(kind))"
    sizes = screen.evaluate(f"{kinds}.map(each => each.decodedBodySize)")
    assert len(sizes) >= 2
    assert sum(sizes) < 1_500_000


def test_who_may_not_look_is_told_so(browser: Browser, served: Running) -> None:
    page = browser.new_page()
    page.goto(f"{served.url}/sign-in")
    page.get_by_label("Name").fill("auditor")
    page.get_by_label("Password").fill(PASSWORD)
    kept(page, "sign_in")
    page.keyboard.press("Enter")
    expect(page).to_have_title("Audit log - research use only")
    kept(page, "audit")
    page.goto(f"{served.url}/patient?id={PATIENT}")
    expect(page.get_by_role("alert")).to_contain_text("role of auditor")
    kept(page, "refused")
    page.close()
