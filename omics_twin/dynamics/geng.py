"""Lung tumours under chemo- and radiotherapy, day by day, treated the more the larger they are.

The simulator on which networks for treatment effects over time are compared, as it is coded in the
public benchmark: the same numbers from the same seed. Volumes in cm3, doses in mg/m3 and Gy.
Geng, Paganetti & Grassberger 2017, doi:10.1038/s41598-017-13646-z; Lim, Alaa & van der Schaar 2018
(NeurIPS); Melnychuk, Frauen & Feuerriegel 2022, arXiv:2204.07258.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from scipy.stats import truncnorm

Array = np.ndarray
CHEMO, RADIO = 5.0, 2.0
ACTIONS = ((0, 0), (0, 1), (1, 0), (1, 1))
NOISE = 0.01
_CELLS_PER_CM3 = 5.8e8
_WINDOW = 15
# Share of patients by stage, and mean, standard deviation and bounds of the log diameter [cm].
_STAGES = {
    "I": (1432, 1.72, 4.70, 0.3, 5.0),
    "II": (128, 1.96, 1.63, 0.3, 13.0),
    "IIIA": (1306, 1.91, 9.40, 0.3, 13.0),
    "IIIB": (7248, 2.76, 6.87, 0.3, 13.0),
    "IV": (12840, 3.86, 8.82, 0.3, 13.0),
}
_MEAN, _SPREAD, _CORRELATION = np.array([0.0398, 7e-5]), np.array([0.168, 7.23e-3]), 0.87
_CHEMO_MEAN, _CHEMO_SPREAD = 0.028, 0.0007


def volume(diameter_cm: Array) -> Array:
    """Return the volume of a ball [cm3]."""
    return 4.0 / 3.0 * np.pi * (diameter_cm / 2.0) ** 3


def diameter(volume_cm3: Array) -> Array:
    """Return the diameter of a ball [cm].

    Examples
    --------
    >>> diameter(volume(np.array([3.0]))).tolist()
    [3.0]
    """
    # A volume below 0, which the simulator can reach, has none, and leads to no treatment.
    possible = np.where(volume_cm3 >= 0, volume_cm3, np.nan)
    return ((possible / (4.0 / 3.0 * np.pi)) ** (1.0 / 3.0)) * 2.0


CAPACITY, DEATH = (float(each) for each in volume(np.array([30.0, 13.0])))


class Policy(Enum):
    """Whose tumour decides on the treatment in test histories.

    ``PUBLISHED``: as in the benchmark, a row of the output that belongs to another patient;
    ``FIXED``: the patient's own.
    """

    PUBLISHED = "published"
    FIXED = "fixed"


@dataclass(frozen=True)
class Patients:
    """Parameters of some patients, each (patient,).

    Attributes
    ----------
    kind
        Type 1 responds better to radiotherapy, type 3 to chemotherapy.
    start
        First volume [cm3].
    alpha, rho, beta_c
        Of radiotherapy [1/Gy] (its square has a tenth), of growth and of chemotherapy.
    """

    kind: Array
    start: Array
    alpha: Array
    rho: Array
    beta_c: Array


def draw_patients(count: int, random: np.random.RandomState) -> Patients:
    """Return patients in the benchmark's order of random numbers."""
    names = sorted(_STAGES)
    total = sum(each[0] for each in _STAGES.values())
    stages = random.choice(names, count, p=[_STAGES[name][0] / total for name in names])
    diameters: list[float] = []
    for name in names:
        _, mean, spread, low, high = _STAGES[name]
        bounds = (np.log(low) - mean) / spread, (np.log(high) - mean) / spread
        normal = truncnorm.rvs(*bounds, size=int((stages == name).sum()), random_state=random)
        diameters += list(np.exp(normal * spread + mean))
    cross = _CORRELATION * _SPREAD[0] * _SPREAD[1]
    covariance = np.array([[_SPREAD[0] ** 2, cross], [cross, _SPREAD[1] ** 2]])
    kept = np.zeros((0, 2))
    while len(kept) < count:
        drawn = random.multivariate_normal(_MEAN, covariance, size=count)
        kept = np.concatenate([kept, drawn[(drawn > 0).all(axis=1)]])
    kept = kept[:count]
    kind = random.choice([1, 2, 3], count)
    alpha = kept[:, 0] + _MEAN[0] * np.where(kind > 1, 0.0, 0.1)
    bounds = ((0.0 - _CHEMO_MEAN) / _CHEMO_SPREAD, np.inf)
    normal = truncnorm.rvs(*bounds, size=count, random_state=random)
    beta_c = _CHEMO_MEAN + _CHEMO_SPREAD * normal + _CHEMO_MEAN * np.where(kind < 3, 0.0, 0.1)
    order = list(range(count))
    random.shuffle(order)
    start = volume(np.array(diameters))
    return Patients(kind[order], start[order], alpha[order], kept[order, 1], beta_c[order])


def step(
    now: Array,
    patients: Patients,
    chemo: Array,
    radio: Array,
    noise: Array,
    rows: Array | None = None,
) -> Array:
    """Return the volume a day later.

    Parameters
    ----------
    chemo, radio
        Concentration and dose of the day.
    rows
        Of which patients; all if left out.
    """
    chosen = slice(None) if rows is None else rows
    killed = patients.alpha[chosen] * radio + patients.alpha[chosen] / 10.0 * radio**2
    growth = patients.rho[chosen] * np.log(CAPACITY / now)
    return now * (1.0 + growth - patients.beta_c[chosen] * chemo - killed + noise)


def chance(metric: Array, gamma: float) -> Array:
    """Return the probability of being treated at a mean diameter [cm]."""
    longest = float(diameter(np.array([DEATH]))[0])
    return 1.0 / (1.0 + np.exp(-gamma / longest * (metric - longest / 2.0)))


@dataclass(frozen=True)
class Histories:
    """What was given and what came of it.

    Attributes
    ----------
    volumes
        (patient, day) [cm3], NaN after the last day.
    chemo, radio
        Whether given on a day, (patient, day).
    last
        Last day, (patient,).
    """

    volumes: Array
    chemo: Array
    radio: Array
    last: Array


def factual(
    patients: Patients, gamma: float, random: np.random.RandomState, days: int = 60
) -> Histories:
    """Return histories in which the larger the tumour was, the likelier it was treated."""
    count = len(patients.start)
    noise, recovery = NOISE * random.randn(count, days), random.rand(count, days)
    chemo_chance, radio_chance = random.rand(count, days), random.rand(count, days)
    volumes = np.full((count, days), np.nan)
    given, dosed = np.zeros((2, count, days)), np.zeros((count, days))
    volumes[:, 0] = patients.start
    last, alive = np.zeros(count, dtype=int), np.ones(count, dtype=bool)
    for day in range(1, days):
        rows = np.flatnonzero(alive)
        doses = dosed[rows, day - 1], RADIO * given[1, rows, day - 1]
        new = step(volumes[rows, day - 1], patients, *doses, noise[rows, day], rows)
        seen = volumes[rows, max(day - _WINDOW, 0) : day]
        likely = chance(diameter(seen).mean(axis=1), gamma)
        given[1, rows, day] = radio_chance[rows, day] < likely
        given[0, rows, day] = chemo_chance[rows, day] < likely
        dosed[rows, day] = dosed[rows, day - 1] / 2.0 + CHEMO * given[0, rows, day]
        dead = new > DEATH
        gone = ~dead & (recovery[rows, day] < np.exp(-new.clip(min=0.0) * _CELLS_PER_CM3))
        volumes[rows, day] = np.where(dead, DEATH, np.where(gone, 0.0, new))
        last[rows] = day
        alive[rows[dead | gone]] = False
    return Histories(volumes, given[0], given[1], last)


def one_step(
    patients: Patients,
    gamma: float,
    random: np.random.RandomState,
    days: int = 60,
    policy: Policy = Policy.PUBLISHED,
) -> tuple[Histories, Array]:
    """Return test histories, and the next volume under each of the four treatments.

    Returns
    -------
    histories
        As :func:`factual`; a day's treatment comes before the volume of the next.
    next_volumes
        (patient, day, action) in the order of :data:`ACTIONS`, NaN where nothing is asked.
    """
    count = len(patients.start)
    volumes, following = np.full((count, days), np.nan), np.full((count, days, 4), np.nan)
    chemo, radio = np.zeros((2, count, days))
    last = np.zeros(count, dtype=int)
    # Rows of the benchmark's output so far: what its policy reads by the number of the patient.
    written = np.zeros((count, days))
    filled = 0
    for patient in range(count):
        noise, recovery = NOISE * random.randn(days), random.rand(days)
        chemo_chance, radio_chance = random.rand(days), random.rand(days)
        one = np.array([patient])
        now, before = np.zeros(days), 0.0
        now[0] = patients.start[patient]
        for day in range(days - 1):
            seen = written[patient] if policy is Policy.PUBLISHED else now
            metric = diameter(seen[max(day - _WINDOW, 0) : day + 1]).mean()
            likely = float(chance(np.array([metric]), gamma)[0])
            action = (int(chemo_chance[day] < likely), int(radio_chance[day] < likely))
            chemo[patient, day], radio[patient, day] = action
            concentration = before / 2.0 + CHEMO * np.array([each[0] for each in ACTIONS])
            dose = RADIO * np.array([each[1] for each in ACTIONS])
            today, wobble = now[day : day + 1], noise[day + 1 : day + 2]
            new = step(today, patients, concentration, dose, wobble, one)
            taken = ACTIONS.index(action)
            following[patient, day] = new
            now[day + 1] = np.clip(new[taken], 0.0, DEATH)
            following[patient, day, taken] = now[day + 1]
            before = concentration[taken]
            last[patient] = day + 1
            if filled < count:
                rows = [now[day + 1], *np.delete(new, taken)]
                for value in rows[: count - filled]:
                    written[filled, : day + 1] = now[: day + 1]
                    written[filled, day + 1] = value
                    filled += 1
            gone = recovery[day] <= np.exp(-now[day + 1] * _CELLS_PER_CM3)
            if now[day + 1] >= DEATH or gone:
                break
        volumes[patient, : last[patient] + 1] = now[: last[patient] + 1]
    return Histories(volumes, chemo, radio, last), following
