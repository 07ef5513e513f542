"""Small models that were never trained, and patients to ask them about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import anndata
import mudata
import numpy as np
import pandas as pd
import pytest
import torch

from omics_twin.answers.beliefs import Belief, beliefs
from omics_twin.cohort.cohort import Cohort
from omics_twin.intake.knowledge import Knowledge
from omics_twin.models.build import ChannelTensors, OutcomeTensors, build_network
from omics_twin.report.console import Console
from omics_twin.report.patient import write_report
from omics_twin.settings import NetworkSettings, Reading, TwinSettings
from omics_twin.tensors.graph import GeneGraph, gene_graph
from omics_twin.tensors.transforms import design_of
from omics_twin.therapy.catalogue import Catalogue
from omics_twin.therapy.support import Support
from omics_twin.tracking import TrainedModel
from omics_twin.trust.consent import Permission
from omics_twin.twin.neural import Membership, NeuralTwin
from omics_twin.types import Endpoint

ARMS = {
    "Ctr": ("Paclitaxel (control)", ("paclitaxel",)),
    "N": ("Paclitaxel + neratinib", ("paclitaxel", "neratinib")),
    "Pembro": ("Paclitaxel + pembrolizumab", ("paclitaxel", "pembrolizumab")),
    "VC": (
        "Paclitaxel + veliparib + carboplatin",
        ("paclitaxel", "veliparib", "carboplatin"),
    ),
    "Pertuzumab": (
        "Paclitaxel + pertuzumab + trastuzumab",
        ("paclitaxel", "pertuzumab", "trastuzumab"),
    ),
}
STRATA = ("hr_positive", "her2_positive")
NEGATIVE = "hr_positive 0 | her2_positive 0"
COUNTS = {"Ctr": 85, "Pembro": 29, "VC": 39, "N": 7}
PERFORMANCE = {
    "endpoint": "pcr",
    "n": 987,
    "folds": 5,
    "repeats": 5,
    "model": {"auc": {"mean": 0.761, "sd": 0.004}, "brier": {"mean": 0.171, "sd": 0.002}},
    "baselines": {
        "elastic_net": {"auc": {"mean": 0.772, "sd": 0.003}, "brier": {"mean": 0.170, "sd": 0.001}},
        "clinical_only": {"auc": {"mean": 0.702, "sd": 0.002}, "brier": {"mean": 0.19, "sd": None}},
    },
}
_PATIENTS = 48
_MEMBERS = 6


def _part(
    ids: list[str], columns: list[str], modality: str, day: float, generator: np.random.Generator
) -> anndata.AnnData:
    return anndata.AnnData(
        X=generator.normal(size=(len(ids), len(columns))).astype(np.float32),
        obs=pd.DataFrame({"day": [day] * len(ids)}, index=ids),
        var=pd.DataFrame(
            {"kind": "number", "unit": "score", "log": False, "minimum": np.nan, "maximum": np.nan},
            index=columns,
        ),
        uns={
            "modality": modality,
            "visit_day": day,
            "minimum_frequency": 0.0,
            "absent_value": np.nan,
            "window_days": 7.0,
            "categories": [],
            "not_in_all_parts": [],
        },
    )


def make_cohort(
    ids: list[str], *, without: tuple[str, ...] = (), strata: tuple[Any, ...] = ("0", "0")
) -> Cohort:
    """Return a cohort with two baseline modalities and a visit on day 21."""
    generator = np.random.default_rng(5)
    parts = {
        "clinical": _part(ids, ["age_years", "tumour_grade", "ki67"], "clinical", 0.0, generator),
        "expression": _part(ids, ["ESR1", "PGR", "ERBB2", "MKI67"], "expression", 0.0, generator),
        "mri@21": _part(ids, ["volume_cm3", "sphericity"], "mri", 21.0, generator),
    }
    index = pd.Index(ids, name="patient_id")
    with mudata.set_options(pull_on_update=False):
        measurements = mudata.MuData({k: v for k, v in parts.items() if k not in without})
    return Cohort(
        name="bedside",
        measurements=measurements,
        patient_ids=tuple(ids),
        received=pd.Series(["Ctr"] * len(ids), index=index, dtype="string"),
        outcomes={},
        groups=pd.DataFrame(index=index),
        strata=pd.DataFrame([strata] * len(ids), columns=list(STRATA), index=index),
        left_out={},
        permission=Permission(tuple(ids), {}, "granted by protocol", "scoring"),
        notes=(),
        fingerprint="f" * 64,
    )


def make_model(*, kind: str = "binary", spread: float = 0.25, **changes: Any) -> TrainedModel:
    """Return a model with random weights whose therapies differ.

    Parameters
    ----------
    spread
        Of the members' therapy codes: how much they disagree.
    """
    ids = [f"TRAINING-{number}" for number in range(_PATIENTS)]
    cohort = make_cohort(ids)
    design = design_of(cohort)
    agents = tuple(dict.fromkeys(agent for _, each in ARMS.values() for agent in each))
    network = _network(cohort, design, len(agents), kind, spread)
    twin = NeuralTwin(
        name="small_twin",
        network=network,
        design=design,
        agents=agents,
        membership=Membership.of(ids, torch.ones(_MEMBERS, _PATIENTS, dtype=torch.bool), "salt"),
    )
    survival = kind == "time_to_event"
    model = TrainedModel(
        twin=twin,
        endpoint=Endpoint(
            name="os" if survival else "pcr",
            quantity="os" if survival else "pcr",
            horizon_days=730.5 if survival else 180.0,
            reading=Reading.MEAN_UP_TO_HORIZON if survival else Reading.VALUE_AT_HORIZON,
        ),
        title="share of the first 24 months alive"
        if survival
        else "pathological complete response",
        outcome="os" if survival else "pcr",
        outcome_kind=kind,
        catalogue=Catalogue(
            name="trial",
            arms=tuple(ARMS),
            labels=tuple(label for label, _ in ARMS.values()),
            agents=tuple(each for _, each in ARMS.values()),
            thin_support=10,
        ),
        support=Support(STRATA, {NEGATIVE: dict(COUNTS)}),
        provenance={
            "cohort": "ispy2",
            "cohort_title": "I-SPY2, adaptively randomised neoadjuvant breast-cancer trial",
            "fingerprint": "0123456789abcdef",
            "patients": 987,
            "permission": "granted by protocol",
            "commit": "abc123def456",
            "trained_on": "2026-01-15",
            "performance": PERFORMANCE,
        },
    )
    return replace(model, **changes)


def _network(cohort: Cohort, design: Any, agents: int, kind: str, spread: float) -> Any:
    generator = torch.Generator().manual_seed(3)
    channels = {
        channel.name: ChannelTensors(
            values=torch.tensor(np.asarray(cohort.measurements.mod[channel.name].X)),
            binary=torch.zeros(len(channel.features), dtype=torch.bool),
            minimum_frequency=0.0,
            follow_up=channel.follow_up,
        )
        for channel in design.channels
    }
    value = (torch.arange(_PATIENTS) % 3 == 0).float()
    event = torch.zeros(_PATIENTS)
    if kind == "time_to_event":
        value = torch.linspace(20.0, 1400.0, _PATIENTS)
        event = (torch.arange(_PATIENTS) % 2).float()
    name = "os" if kind == "time_to_event" else "pcr"
    outcome = OutcomeTensors(name, kind, "1", torch.stack([value, event], dim=1))
    network = build_network(
        channels,
        outcome,
        agents,
        torch.ones(_MEMBERS, _PATIENTS),
        NetworkSettings(latent=4, hidden=8, therapy_code=3, linear_effects=False),
        seed=1,
    )
    codes = network.outcome.regimen.codes
    shared = torch.randn(1, *codes.shape[1:], generator=generator)
    own = torch.randn(codes.shape, generator=generator)
    with torch.no_grad():
        codes.copy_(2.0 * shared + spread * own)
    return network.eval().requires_grad_(requires_grad=False)


def believe(model: TrainedModel, cohort: Cohort, *, as_of_days: float = 0.0) -> list[Belief]:
    """Return the belief about a cohort's patients."""
    settings = TwinSettings(draws=240, seed=7)
    return list(beliefs(model, cohort, settings, Console(quiet=True), as_of_days=as_of_days))


def make_graph(*names: str) -> GeneGraph:
    """Return what is known of the four genes that the cohort's expression names.

    Parameters
    ----------
    names
        Of the two gene sets.
    """
    first, second = names or ("HALLMARK_HORMONE", "Growth and division")
    sets = {first: ("ESR1", "PGR"), second: ("ERBB2", "MKI67", "ESR1")}
    pairs = np.array([["ERBB2", "ESR1"], ["ESR1", "PGR"]])
    known = Knowledge(sets, pairs, np.array([0.9, 0.8]), "test")
    design = design_of(make_cohort(["P-1"]))
    return gene_graph(design, known, smallest_set=2, most_alike=0.5)


Writer = Callable[..., str]


@pytest.fixture
def written(tmp_path: Path) -> Writer:
    """Return a function that writes a page and returns its text."""

    def write(
        model: TrainedModel | None = None,
        *,
        patient: str = "P-17",
        as_of_days: float = 0.0,
        cohort: Mapping[str, Any] | None = None,
        confidence: float = 0.6,
        graph: GeneGraph | None = None,
    ) -> str:
        model = model or make_model()
        bedside = make_cohort([patient], **(cohort or {}))
        output = tmp_path / "page.html"
        belief = iter(believe(model, bedside, as_of_days=as_of_days))
        settings = TwinSettings(draws=240, seed=7, confidence=confidence)
        write_report(model, bedside, belief, output, settings, graph=graph)
        return output.read_text(encoding="utf-8")

    return write


class Make:
    """What the tests build things with."""

    model = staticmethod(make_model)
    cohort = staticmethod(make_cohort)
    believe = staticmethod(believe)
    graph = staticmethod(make_graph)

    @staticmethod
    def separated(prognosis: float = 0.05, effect: float = 1.0) -> TrainedModel:
        """Return a model that is sure that pembrolizumab and neratinib are good and bad.

        Parameters
        ----------
        prognosis
            Of its uncertainty about the patient, which all therapies share.
        effect
            Of the two agents.
        """
        model = make_model()
        network = model.twin.network
        surface = network.outcome.surfaces[0]
        with torch.no_grad():
            surface.prognosis.weight.mul_(prognosis)
            for term in (surface.modified, surface.outer):
                term.weight.mul_(0.05)
            surface.effect.weight.fill_(1.0)
            codes = network.outcome.regimen.codes
            codes.mul_(0.05)
            codes[:, model.twin.agents.index("pembrolizumab")] += effect
            codes[:, model.twin.agents.index("neratinib")] -= effect
        return model


@pytest.fixture
def make() -> type[Make]:
    """Return the builders of models, cohorts and beliefs."""
    return Make
