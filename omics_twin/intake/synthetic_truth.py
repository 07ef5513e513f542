"""What is true of a synthetic patient: the biology, and what each regimen would do to it.

Every quantity of a chunk of patients has its own stream of random numbers, filled patient by
patient, so that a patient does not depend on how many others there are. Sums over features are
written out rather than left to matrix products, whose last bit depends on the number of rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Stream = Callable[[str], np.random.Generator]

PFS_HORIZON_DAYS = 1825.0
"""Progression-free survival in the truth is a mean restricted to this many days [day]."""

REGIMENS: dict[str, tuple[str, ...]] = {
    "paclitaxel": ("paclitaxel",),
    "paclitaxel + carboplatin": ("paclitaxel", "carboplatin"),
    "paclitaxel + pembrolizumab": ("paclitaxel", "pembrolizumab"),
    "paclitaxel + carboplatin + olaparib": ("paclitaxel", "carboplatin", "olaparib"),
    "paclitaxel + pembrolizumab + olaparib": ("paclitaxel", "pembrolizumab", "olaparib"),
    "paclitaxel + capivasertib": ("paclitaxel", "capivasertib"),
    "paclitaxel + trastuzumab + pertuzumab": ("paclitaxel", "trastuzumab", "pertuzumab"),
    "paclitaxel + trastuzumab + capivasertib": ("paclitaxel", "trastuzumab", "capivasertib"),
}
"""Arm -> agents; every arm is open to every patient."""

PATHWAYS: tuple[str, ...] = (
    "proliferation",
    "immune",
    "repair_deficiency",
    "pi3k",
    "her2",
    "oestrogen",
    "androgen",
    "basal",
    "interferon",
    "mesenchymal",
    "hypoxia",
    "angiogenesis",
    "p53",
    "myc",
    "apoptosis",
    "wnt",
    "notch",
    "tgf_beta",
    "oxidative_phosphorylation",
    "lipid_synthesis",
)

# Mutation frequency in hormone-receptor-negative and -positive tumours, of the order that public
# breast cancer cohorts report.
DRIVERS: dict[str, tuple[float, float]] = {
    "TP53": (0.75, 0.25),
    "PIK3CA": (0.18, 0.42),
    "GATA3": (0.02, 0.15),
    "CDH1": (0.03, 0.13),
    "MAP3K1": (0.02, 0.10),
    "PTEN": (0.08, 0.05),
    "AKT1": (0.02, 0.05),
    "ERBB2": (0.03, 0.03),
    "BRCA1": (0.12, 0.03),
    "BRCA2": (0.06, 0.05),
    "PALB2": (0.02, 0.02),
    "ATM": (0.03, 0.04),
    "ARID1A": (0.04, 0.05),
    "KMT2C": (0.08, 0.10),
    "KMT2D": (0.05, 0.04),
    "NF1": (0.06, 0.04),
    "RB1": (0.06, 0.02),
    "RUNX1": (0.02, 0.05),
    "CBFB": (0.01, 0.04),
    "FOXA1": (0.01, 0.05),
    "ESR1": (0.01, 0.03),
    "MAP2K4": (0.02, 0.05),
    "TBX3": (0.01, 0.04),
    "NCOR1": (0.03, 0.05),
    "SF3B1": (0.01, 0.03),
    "CTCF": (0.02, 0.03),
    "KRAS": (0.01, 0.01),
    "PIK3R1": (0.03, 0.02),
    "SPEN": (0.03, 0.04),
    "CDKN1B": (0.01, 0.02),
    "ERBB3": (0.02, 0.03),
    "FGFR2": (0.02, 0.02),
    "NOTCH1": (0.04, 0.02),
    "SMAD4": (0.01, 0.02),
    "STK11": (0.01, 0.01),
    "CHEK2": (0.02, 0.02),
    "BAP1": (0.02, 0.01),
    "TET2": (0.02, 0.02),
    "MEN1": (0.01, 0.02),
    "KDM6A": (0.02, 0.02),
}
# Share of tumours with the gene gained (positive) or lost (negative).
COPY_NUMBERS: dict[str, float] = {
    "ERBB2": 0.0,
    "MYC": 0.25,
    "CCND1": 0.16,
    "FGFR1": 0.12,
    "ZNF703": 0.12,
    "EGFR": 0.05,
    "MDM2": 0.06,
    "CCNE1": 0.06,
    "AURKA": 0.10,
    "PIK3CA": 0.10,
    "AKT3": 0.12,
    "RB1": -0.15,
    "PTEN": -0.12,
    "CDKN2A": -0.12,
    "TP53": -0.25,
    "BRCA1": -0.12,
}


@dataclass(frozen=True)
class AgentEffect:
    """What an agent adds to the log-odds of response.

    Attributes
    ----------
    offset
        Added whatever the tumour: a drug that does not help costs dose intensity of the others.
    weights
        Marker -> weight; the weighted sum is flattened at its ends before it is added.
    """

    offset: float
    weights: dict[str, float]


AGENTS: dict[str, AgentEffect] = {
    "paclitaxel": AgentEffect(0.0, {"proliferation": 0.4}),
    "carboplatin": AgentEffect(-0.2, {"repair_deficiency": 0.7, "proliferation": 0.3}),
    "pembrolizumab": AgentEffect(0.45, {"immune": 1.6, "mutation_burden": 0.5}),
    "olaparib": AgentEffect(-0.2, {"repair_deficiency": 1.3}),
    "capivasertib": AgentEffect(-0.2, {"pi3k": 1.7}),
    "trastuzumab": AgentEffect(-0.2, {"her2": 1.6}),
    "pertuzumab": AgentEffect(-0.2, {"her2": 0.5}),
}
_SYNERGIES: dict[tuple[str, str], AgentEffect] = {
    ("carboplatin", "olaparib"): AgentEffect(0.0, {"repair_deficiency": 0.3}),
    ("pembrolizumab", "olaparib"): AgentEffect(0.0, {}),
}
_INTERCEPT = -0.75


@dataclass(frozen=True)
class Tumours:
    """The true state of a chunk of patients before treatment; nothing here is measured.

    Attributes
    ----------
    age_years, stage, hr_positive, her2_positive
        Shape (patient,) [year], [1 to 3], [0 or 1], [0 or 1].
    mutations
        Shape (patient, gene of ``DRIVERS``) [0 or 1].
    copies
        Shape (patient, gene of ``COPY_NUMBERS``) [copies].
    burden
        Shape (patient,) [mutations per megabase].
    activities
        Shape (patient, pathway of ``PATHWAYS``), about standard normal.
    """

    age_years: Floats
    stage: Floats
    hr_positive: Floats
    her2_positive: Floats
    mutations: Floats
    copies: Floats
    burden: Floats
    activities: Floats

    def mutation(self, gene: str) -> Floats:
        """Return whether ``gene`` is mutated, shape (patient,)."""
        return self.mutations[:, list(DRIVERS).index(gene)]

    def marker(self, name: str) -> Floats:
        """Return a marker of drug effect on about a standard scale, shape (patient,)."""
        if name == "mutation_burden":
            return (np.log(self.burden) - 0.7) / 0.75
        return self.activities[:, PATHWAYS.index(name)]


def stream_of(seed: int, chunk: int) -> Stream:
    """Return the named streams of random numbers of one chunk; chunk -1 is the trial itself."""
    return lambda name: np.random.default_rng([seed, chunk + 1, crc32(name.encode())])


def draw_tumours(stream: Stream, patients: int) -> Tumours:
    """Draw the true state of ``patients`` patients."""
    age = np.clip(50.0 + 11.0 * stream("age").standard_normal(patients), 22.0, 85.0)
    place = np.searchsorted([0.12, 0.72], stream("stage").random(patients), side="right")
    stage = 1.0 + place.astype(float)
    hr = (stream("hr").random(patients) < 0.55).astype(float)
    her2 = (stream("her2").random(patients) < 0.28).astype(float)
    frequency = np.array(list(DRIVERS.values())).T
    rate = frequency[hr.astype(int)]
    mutations = (stream("mutations").random((patients, len(DRIVERS))) < rate).astype(float)
    copies = _copies(stream, her2)
    burden = np.exp(0.65 + 0.75 * stream("burden").standard_normal(patients) - 0.1 * (hr - 0.5))
    untouched = Tumours(age, stage, hr, her2, mutations, copies, burden, np.empty((patients, 0)))
    return replace(untouched, activities=_activities(stream, untouched))


def _copies(stream: Stream, her2_positive: Floats) -> Floats:
    """Return copies per gene: two, gained, lost or, for ERBB2 in HER2-positive, amplified."""
    patients = len(her2_positive)
    share = np.array(list(COPY_NUMBERS.values()))
    altered = stream("copy_altered").random((patients, len(share))) < np.abs(share)
    size = stream("copy_size").random((patients, len(share)))
    copies = 2.0 + altered * np.where(share > 0, 1.5 + 4.0 * size, -0.8 - size)
    amplified = 2.0 + her2_positive * (3.0 + 14.0 * size[:, 0] ** 1.5)
    copies[:, list(COPY_NUMBERS).index("ERBB2")] = amplified
    return copies


def _activities(stream: Stream, tumours: Tumours) -> Floats:
    """Return pathway activities: what the tumour's alterations explain, and the rest."""
    activities = stream("activities").standard_normal((len(tumours.stage), len(PATHWAYS)))
    hr = tumours.hr_positive - 0.55
    brca = np.maximum(tumours.mutation("BRCA1"), tumours.mutation("BRCA2"))
    amplified = np.log2(tumours.copies[:, list(COPY_NUMBERS).index("ERBB2")] / 2.0)
    explained = {
        "proliferation": (0.75, -0.8 * hr + 0.6 * (tumours.mutation("TP53") - 0.48)),
        "immune": (0.85, 0.4 * tumours.marker("mutation_burden") - 0.4 * hr),
        "repair_deficiency": (0.7, 1.6 * (brca - 0.13) - 0.9 * hr),
        "pi3k": (
            0.55,
            1.6 * (tumours.mutation("PIK3CA") - 0.31)
            + 1.4 * (tumours.mutation("PTEN") + tumours.mutation("AKT1") - 0.10),
        ),
        "her2": (0.3, 1.0 * amplified - 0.52),
        "oestrogen": (0.5, 1.7 * hr),
        "basal": (0.7, -1.4 * hr),
        "interferon": (0.8, 0.6 * activities[:, PATHWAYS.index("immune")]),
        "p53": (0.8, -1.2 * (tumours.mutation("TP53") - 0.48)),
        "myc": (0.8, 0.3 * (tumours.copies[:, list(COPY_NUMBERS).index("MYC")] - 2.9)),
    }
    for pathway, (rest, part) in explained.items():
        column = PATHWAYS.index(pathway)
        activities[:, column] = rest * activities[:, column] + part
    return activities


def prognosis(tumours: Tumours) -> Floats:
    """Return the log-odds of response that no regimen changes, shape (patient,)."""
    return (
        _INTERCEPT
        - 0.5 * (tumours.stage - 2.16)
        - 0.015 * (tumours.age_years - 50.0)
        - 0.5 * (tumours.hr_positive - 0.55)
    )


def response_probability(tumours: Tumours, heterogeneity: float) -> Floats:
    """Return the probability of response under every regimen, shape (patient, arm)."""

    def added(effect: AgentEffect) -> Floats:
        total = np.zeros(len(tumours.stage))
        for marker, weight in effect.weights.items():
            total = total + weight * tumours.marker(marker)
        return effect.offset + heterogeneity * 3.0 * np.tanh(total / 3.0)

    of_agent = {agent: added(effect) for agent, effect in AGENTS.items()}
    of_pair = {pair: added(effect) for pair, effect in _SYNERGIES.items()}
    shared = prognosis(tumours)
    columns = []
    for agents in REGIMENS.values():
        log_odds = shared
        for agent in agents:
            log_odds = log_odds + of_agent[agent]
        for pair, effect in of_pair.items():
            if set(pair) <= set(agents):
                log_odds = log_odds + effect
        columns.append(1.0 / (1.0 + np.exp(-log_odds)))
    return np.stack(columns, axis=1)


def progression_hazard(tumours: Tumours) -> tuple[Floats, Floats]:
    """Return the hazard of progression without and with a response, each (patient,) [1/day].

    The hazard is constant in time; a regimen acts on progression through the response only.
    """
    risk = 0.5 * (tumours.stage - 2.16) + 0.25 * tumours.marker("proliferation")
    without = 4.5e-4 * np.exp(risk)
    return without, without * 0.25


def restricted_mean_days(tumours: Tumours, probability: Floats) -> Floats:
    """Return mean progression-free days up to ``PFS_HORIZON_DAYS``, shape (patient, arm) [day]."""
    without, with_response = (
        -np.expm1(-hazard * PFS_HORIZON_DAYS) / hazard for hazard in progression_hazard(tumours)
    )
    return without[:, None] + probability * (with_response - without)[:, None]


def propensity(tumours: Tumours, confounded: bool) -> Floats:
    """Return the probability of being given each regimen, shape (patient, arm).

    Confounded: physicians lean on receptors, stage, age and mutations, all of them measured.
    """
    patients = len(tumours.stage)
    if not confounded:
        return np.full((patients, len(REGIMENS)), 1.0 / len(REGIMENS))
    negative = (1.0 - tumours.hr_positive) * (1.0 - tumours.her2_positive)
    brca = np.maximum(tumours.mutation("BRCA1"), tumours.mutation("BRCA2"))
    belief = {
        "carboplatin": 0.4 * negative,
        "pembrolizumab": 0.6 * negative,
        "olaparib": 1.2 * brca - 0.2,
        "capivasertib": 0.8 * tumours.mutation("PIK3CA") - 0.3,
        "trastuzumab": 1.2 * tumours.her2_positive - 0.4,
        "pertuzumab": 0.4 * tumours.her2_positive,
    }
    intensity = 0.4 * (tumours.stage - 2.0) - 0.02 * (tumours.age_years - 50.0)
    weights = np.stack(
        [
            np.exp(sum((belief[agent] + intensity for agent in agents[1:]), np.zeros(patients)))
            for agents in REGIMENS.values()
        ],
        axis=1,
    )
    return weights / weights.sum(axis=1, keepdims=True)
