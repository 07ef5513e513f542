"""The page of a demonstration under load: URL PASSWORD [patients], as its server tells them."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import requests

CLIENTS = (1, 8, 32)
ASKED = 64


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
