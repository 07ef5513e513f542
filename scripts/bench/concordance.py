"""Time concordance against lifelines in one run; prints ratios, never asserts them.

Run: ``python scripts/bench/concordance.py``. Peer and own calls are interleaved; medians of seven.
"""

from __future__ import annotations

from statistics import median
from time import perf_counter

import numpy as np
from lifelines.utils import concordance_index

from omics_twin.evaluate.concordance import concordance

REPEATS = 7


def main() -> None:
    """Print own time, peer time, their ratio and the difference of the answers."""
    rng = np.random.default_rng(0)
    for patients in (1_000, 10_000, 100_000):
        for ties in (False, True):
            time = rng.exponential(size=patients)
            risk = rng.normal(size=patients)
            if ties:
                time, risk = np.ceil(time * 50), np.round(risk, 1)
            event = rng.integers(0, 2, patients)
            own, peer = [], []
            for _ in range(REPEATS):
                start = perf_counter()
                ours = concordance(risk, time, event)
                middle = perf_counter()
                theirs = concordance_index(time, -risk, event)
                own.append(middle - start)
                peer.append(perf_counter() - middle)
            print(
                f"{patients:>7} patients, ties {ties!s:5}: {1e3 * median(own):7.2f} ms, "
                f"lifelines {1e3 * median(peer):8.2f} ms, ratio {median(peer) / median(own):5.1f}, "
                f"difference {ours - theirs:.1e}"
            )


if __name__ == "__main__":
    main()
