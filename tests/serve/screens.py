"""A clinician at a browser, and what must hold of every screen."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.serve.hospital import PASSWORD

SERIOUS = ("serious", "critical")


@contextmanager
def clinician_at(browser: Browser, url: str) -> Iterator[Page]:
    """Yield a page on which a clinician is signed in; a message of the browser is a failure."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    told: list[str] = []
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on(
        "request", lambda asked: told.append(asked.url) if not asked.url.startswith(url) else None
    )
    page.goto(f"{url}/sign-in")
    page.get_by_label("Name").fill("clinician")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page).to_have_title("Worklist - research use only")
    yield page
    context.close()
    assert told == []


def kept(page: Page, name: str) -> None:
    """Check what is on the screen for accessibility, and keep a picture where CI asks for it."""
    found = Axe().run(page).response["violations"]
    assert [each["id"] for each in found if each["impact"] in SERIOUS] == [], name
    # Nothing is cut off or has to be scrolled sideways.
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), name
    folder = os.environ.get("OMICS_TWIN_SCREENSHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)
