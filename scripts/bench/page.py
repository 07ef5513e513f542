"""The page of a demonstration under load: URL PASSWORD [patients], as its server tells them."""

from __future__ import annotations

import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import requests
from playwright.sync_api import sync_playwright

CLIENTS = (1, 8, 32)
ASKED, PAINTED = 64, 10


def signed_in(url: str, password: str) -> requests.Session:
    session = requests.Session()
    page = session.get(f"{url}/sign-in", timeout=60).text
    token = page.partition('name="csrf_token" value="')[2].partition('"')[0]
    form = {"name": "clinician", "password": password, "csrf_token": token}
    if session.post(f"{url}/sign-in", form, timeout=60).url.endswith("/sign-in"):
        raise SystemExit("nobody has this password: take the one of the server that runs now")
    return session


def waited(session: requests.Session, address: str) -> float:
    """Return how long an answer took [s]."""
    begun = time.perf_counter()
    answer = session.get(address, timeout=300)
    if answer.status_code != 200:
        raise SystemExit(f"answered {answer.status_code}")
    return time.perf_counter() - begun


def painted(url: str, password: str, addresses: list[str]) -> None:
    """Print when a browser first shows something of a page, and what it had to load for it."""
    kinds = "['navigation', 'resource'].flatMap(kind => performance.getEntriesByType(kind))"
    with sync_playwright() as driver:
        chromium = shutil.which("chromium")
        opened = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = opened.new_page()
        page.goto(f"{url}/sign-in")
        page.get_by_label("Name").fill("clinician")
        page.get_by_label("Password").fill(password)
        page.keyboard.press("Enter")
        page.wait_for_url(f"{url}/")
        for address in addresses:
            took = []
            for _ in range(PAINTED):
                page.goto(address)
                first = "performance.getEntriesByName('first-contentful-paint')"
                page.wait_for_function(f"{first}.length")
                took.append(page.evaluate(f"{first}[0].startTime"))
            weight = page.evaluate(f"{kinds}.reduce((sum, e) => sum + e.decodedBodySize, 0)")
            where = address.removeprefix(url).partition("?")[0]
            print(f" browser,   {where:<20} first paint p50 {np.median(took):6.0f} ms, "
                  f"most {max(took):6.0f} ms, {weight / 1000:.0f} kB")  # fmt: skip
        opened.close()


def main(url: str, password: str, patients: int = 16) -> None:
    names = [f"SYN{number:07d}" for number in range(1, patients + 1)]
    first = signed_in(url, password)
    pages = {
        "worklist": [f"{url}/"],
        "patient, first time": [f"{url}/patient?id={name}" for name in names],
        "patient, again": [f"{url}/patient?id={name}" for name in names],
        "what if": [f"{url}/what-if?id={name}" for name in names],
    }
    for name, addresses in pages.items():
        took = [waited(first, each) for each in addresses]
        print(f" 1 client,  {name:<20} p50 {np.median(took):6.3f} s, most {max(took):6.3f} s")
    painted(url, password, [f"{url}/", pages["patient, again"][0], pages["what if"][0]])
    for clients in CLIENTS[1:]:
        sessions = [signed_in(url, password) for _ in range(clients)]
        for name in ("worklist", "patient, again"):
            asked = [
                (sessions[number % clients], pages[name][number % len(pages[name])])
                for number in range(max(ASKED, 2 * clients))
            ]
            begun = time.perf_counter()
            with ThreadPoolExecutor(clients) as pool:
                took = list(pool.map(lambda each: waited(*each), asked))
            rate = len(asked) / (time.perf_counter() - begun)
            middle, high = np.quantile(took, [0.5, 0.99])
            print(
                f"{clients:>2} clients, {name:<20} p50 {middle:6.3f} s, p99 {high:6.3f} s, "
                f"{rate:5.1f} a second"
            )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *(int(each) for each in sys.argv[3:]))
