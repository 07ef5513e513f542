"""Time concordance against lifelines and torchsurv in one run; prints ratios, never asserts them.

Run: ``python scripts/bench/concordance.py [MOST_TORCHSURV]``. Peer and own calls are interleaved;
medians of five. torchsurv looks at all pairs: it is asked up to so many patients (10,000; 100,000
take minutes and 5 GB), and where it is installed (``pip install torchsurv==0.2.0``).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from statistics import median
from time import perf_counter

import numpy as np
import torch
from lifelines.utils import concordance_index

from omics_twin.evaluate.concordance import concordance, concordance_uno
from omics_twin.evaluate.survival import censoring_survival

try:
    from torchsurv.metrics.cindex import ConcordanceIndex
except ImportError:
    ConcordanceIndex = None

REPEATS = 5
MOST_TORCHSURV = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000


def drawn(patients: int, ties: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    time, risk = rng.exponential(size=patients), rng.normal(size=patients)
    if ties:
        time, risk = np.ceil(time * 50), np.round(risk, 1)
    return risk, time, rng.integers(0, 2, patients)


def timed(function: Callable[..., float], *arguments) -> tuple[float, float]:
    start = perf_counter()
    answer = function(*arguments)
    return perf_counter() - start, float(answer)


def torchsurv(risk: np.ndarray, time: np.ndarray, event: np.ndarray) -> float:
    arrays = torch.tensor(risk), torch.tensor(event).bool(), torch.tensor(time)
    return ConcordanceIndex()(*arrays)


def lifelines(risk: np.ndarray, time: np.ndarray, event: np.ndarray) -> float:
    return concordance_index(time, -risk, event)


def uno(risk: np.ndarray, time: np.ndarray, event: np.ndarray) -> float:
    censoring = censoring_survival(time, event)
    return concordance_uno(risk, time, event, censoring, np.quantile(time, 0.95))


def compared(patients: int, ties: bool) -> str:
    case = drawn(patients, ties)
    peers = {"lifelines": lifelines}
    if ConcordanceIndex is not None and patients <= MOST_TORCHSURV:
        peers["torchsurv"] = torchsurv
    own, said = [], []
    taken = {name: [] for name in peers}
    for turn in range(REPEATS):
        seconds, ours = timed(concordance, *case)
        own.append(seconds)
        for name, peer in peers.items():
            # What takes a minute is asked once.
            if turn == 0 or median(taken[name]) < 2.0:
                seconds, theirs = timed(peer, *case)
                taken[name].append(seconds)
                difference = ours - theirs
                said = [each for each in said if each[0] != name] + [(name, difference)]
    text = f"{patients:>9,} patients, ties {ties!s:5}: {1e3 * median(own):8.2f} ms"
    for name, difference in said:
        peer = median(taken[name])
        ratio = peer / median(own)
        text += f" | {name} {1e3 * peer:9.1f} ms, ratio {ratio:7.1f}, difference {difference:.0e}"
    return text


def main() -> None:
    """Print own time, peer time, their ratio and the difference of the answers."""
    seconds, _ = timed(concordance, *drawn(100, False))
    print(f"the first call loads the compiler: {seconds:.2f} s")
    if ConcordanceIndex is None:
        print("torchsurv is not installed: compared with lifelines alone")
    for patients in (1_000, 10_000, 100_000):
        for ties in (False, True):
            print(compared(patients, ties), flush=True)
    for ties in (False, True):
        case = drawn(1_000_000, ties)
        for name, function in (("Harrell", concordance), ("Uno", uno)):
            times = [timed(function, *case)[0] for _ in range(REPEATS)]
            print(f"1,000,000 patients, ties {ties!s:5}: {name} {median(times):.3f} s")


if __name__ == "__main__":
    main()
