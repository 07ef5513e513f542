"""Write ``competing.json``: a cohort with two kinds of event, and what lifelines makes of it.

Fine and Gray's model is fitted as a weighted Cox model of intervals (Geskus 2011,
doi:10.1111/j.1541-0420.2010.01420.x): python tests/reference/make_competing.py
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
from lifelines import AalenJohansenFitter, CoxPHFitter, KaplanMeierFitter

PATIENTS = 500
GRID = np.linspace(0.2, 3.0, 8)


def simulated() -> pd.DataFrame:
    """Return two markers, the day of the first event or of censoring, and which it was."""
    rng = np.random.default_rng(5)
    markers = rng.normal(size=(PATIENTS, 2))
    own = rng.exponential(np.exp(-0.7 * markers[:, 0]) / 0.3)
    other = rng.exponential(np.exp(-0.8 * markers[:, 1]) / 0.5)
    censored = rng.uniform(0.5, 5.0, PATIENTS)
    time = np.minimum.reduce([own, other, censored])
    cause = np.select([time == censored, time == own], [0, 1], 2)
    return pd.DataFrame({"a": markers[:, 0], "b": markers[:, 1], "time": time, "cause": cause})


def intervals(cohort: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of Fine and Gray's risk sets: after another event, G(t) / G(T) of a row."""
    censoring = KaplanMeierFitter().fit(cohort["time"], cohort["cause"] == 0)
    ends = np.sort(cohort["time"][cohort["cause"] == 1].unique())
    rows = []
    for each in cohort.itertuples():
        rows.append((each.a, each.b, 0.0, each.time, int(each.cause == 1), 1.0))
        if each.cause != 2:
            continue
        # Just before a day: who is censored on it was still followed.
        before = censoring.predict(np.nextafter(np.append(each.time, ends), 0)).to_numpy()
        start = each.time
        for end, left in zip(ends, before[1:], strict=True):
            if end > each.time and left > 0:
                rows.append((each.a, each.b, start, end, 0, left / before[0]))
                start = end
    return pd.DataFrame(rows, columns=["a", "b", "start", "time", "event", "weight"])


def main() -> None:
    """Write the cohort and the reference numbers."""
    cohort = simulated()
    model = CoxPHFitter().fit(
        intervals(cohort), "time", "event", entry_col="start", weights_col="weight", robust=True
    )
    curve = AalenJohansenFitter().fit(cohort["time"], cohort["cause"], event_of_interest=1)
    stored = {name: cohort[name].tolist() for name in cohort}
    stored |= {
        "grid": GRID.tolist(),
        "incidence": curve.predict(GRID).tolist(),
        "fine_gray": model.params_.tolist(),
    }
    Path(__file__).with_name("competing.json").write_text(json.dumps(stored) + "\n")


if __name__ == "__main__":
    main()
