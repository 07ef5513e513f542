"""A twin that learns from visit to visit, with what it needs to answer, on disk."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors.torch import load, save
from torch import Tensor

from omics_twin.dynamics.growth import TwoClones
from omics_twin.errors import ModelError, TherapyError, nearest
from omics_twin.files import (
    MANIFEST,
    json_of,
    read_checked,
    sha256,
    write_json,
    write_manifest,
    write_whole,
)
from omics_twin.settings import Reading
from omics_twin.therapy.utility import Utility
from omics_twin.trust.roster import Roster
from omics_twin.twin.clones import clones_from_json, clones_to_json
from omics_twin.twin.growth_process import GrowthProcessTwin
from omics_twin.twin.likeness import Likeness
from omics_twin.twin.mechanistic import MechanisticTwin
from omics_twin.twin.neural_prior import NeuralPrior
from omics_twin.twin.published import PUBLISHED
from omics_twin.twin.reference import Reference
from omics_twin.twin.response import response_restored, response_to_json
from omics_twin.twin.storage import part_of, readable
from omics_twin.twin.visits import VisitTwin
from omics_twin.twin.volume import volume_from_json, volume_to_json
from omics_twin.types import Dose, Endpoint, Intervention, Visit

FORMAT = 1
_TWIN, _WEIGHTS = "twin.json", "weights.safetensors"
_LIKENESS, _REFERENCE = "likeness.", "reference."
GROWTH, VOLUME, VISITS = "growth process", "tumour volume", "visits"
CLONES, RESPONSE = "two clones", "volume and response"
LivingTwin = GrowthProcessTwin | MechanisticTwin | VisitTwin
_KINDS: Mapping[str, Callable[[Mapping[str, Any], Mapping[str, Tensor]], LivingTwin]] = {
    GROWTH: lambda stored, _: GrowthProcessTwin.from_json(stored),
    CLONES: lambda stored, _: clones_from_json(stored),
    VOLUME: lambda stored, _: volume_from_json(stored),
    VISITS: VisitTwin.restored,
    RESPONSE: response_restored,
}


@dataclass(frozen=True)
class LivingModel:
    """A twin with the question it answers and the therapies it saw.

    Attributes
    ----------
    arms
        Therapies of the training patients.
    false_alarms
        Share of patients for whom a false alarm is ever raised, at most.
    provenance
        Cohort, fingerprint of its files, settings and performance.
    plans
        What was given in an arm, dose by dose, where it is known.
    likeness
        What its training patients looked like at first; None where it was not fitted.
    reference
        How often they had which values at first, and how what came next fell in its forecasts;
        None where it was not kept.
    """

    twin: LivingTwin
    endpoint: Endpoint
    title: str
    arms: tuple[str, ...]
    false_alarms: float
    provenance: Mapping[str, Any]
    digest: str = ""
    plans: Mapping[str, Intervention] = field(default_factory=dict)
    likeness: Likeness | None = None
    reference: Reference | None = None

    @property
    def kind(self) -> str:
        """What it is made of: ``GROWTH``, ``CLONES``, ``VOLUME``, ``VISITS`` or ``RESPONSE``."""
        return _kind_of(self.twin)

    @property
    def never_untreated(self) -> bool:
        """Whether it learned outcomes: of nobody without any of the therapies, as none was seen."""
        return self.kind in (VISITS, RESPONSE)

    @staticmethod
    def published(name: str) -> LivingModel:
        """Return a twin whose population is published, with the question of its utility.

        Raises
        ------
        ModelError
            If there is none of this name.
        """
        if name not in PUBLISHED:
            raise ModelError(f"no published twin '{name}'{nearest(name, PUBLISHED)}")
        free = Endpoint("progression-free", "progression_free", 182.0)
        toxic = Endpoint("neutropenia of grade 4", "neutropenia_grade_4", 182.0)
        twin = PUBLISHED[name]()
        return LivingModel(
            twin=twin,
            endpoint=Utility.of("net benefit", (1.0, free), (-0.5, toxic)),
            title="Free of progression at 26 weeks, less half of neutropenia of grade 4",
            arms=tuple(twin.dynamics.drugs or ()),
            false_alarms=0.05,
            provenance={"cohort": "published constants", "patients": 0},
            digest=sha256(f"published {name}".encode()),
        )

    def learned_from(self, patient_id: str) -> bool | None:
        """Whether a patient is among those whom the twin was trained on; None: it does not say."""
        stored = self.provenance.get("roster")
        if stored is None:
            return None if self.provenance.get("patients") else False
        return Roster.from_json(stored).holds(patient_id)

    def arm(self, name: str) -> Intervention:
        """Return an arm as a plan: its doses where they are known, else its standard treatment.

        Raises
        ------
        TherapyError
            If no training patient received it.
        """
        if name not in self.arms:
            raise TherapyError(f"unknown therapy '{name}'{nearest(name, self.arms)}")
        return self.given(name)

    def given(self, arm: str) -> Intervention:
        """Return what is given in an arm, whether the twin knows it or not."""
        return self.plans.get(arm) or Intervention(arm, (Dose(arm),))

    @property
    def features_at_first(self) -> tuple[str, ...]:
        """What patients are compared by at their first visit, see :meth:`at_first`."""
        features = self.twin.modality.features
        return features if isinstance(self.twin, VisitTwin) else features[:1]

    def at_first(
        self, values: Float[Tensor, "patient visit feature"]
    ) -> dict[str, Float[Tensor, "patient compared"]]:
        """Return what was measured at each patient's first visit, as it is compared, by modality.

        Sizes and what a declaration says are logarithms; NaN where nothing was measured.
        """
        twin, there = self.twin, torch.isfinite(values).any(dim=2)
        first = values[torch.arange(len(values)), there.int().argmax(dim=1)]
        if isinstance(twin, VisitTwin):
            log = twin.network.log
        else:
            first, log = twin.sizes(first)[:, None], torch.ones(1, dtype=torch.bool)
        found = torch.where(log, torch.log1p(first.clamp(min=0.0)), first)
        return {twin.modality.name: torch.where(there.any(dim=1)[:, None], found, torch.nan)}

    def first_of(self, visits: Sequence[Visit]) -> dict[str, Float[Tensor, "1 compared"]]:
        """Return the same of the only patient of some visits."""
        name, features = self.twin.modality.name, len(self.twin.modality.features)
        told = [each.observation.values.get(name) for each in visits]
        rows = [each[0].double() for each in told if each is not None]
        blank = torch.full((1, features), torch.nan, dtype=torch.float64)
        return self.at_first(torch.cat([blank, *(row[None] for row in rows)])[None])

    def save(self, folder: Path) -> None:
        """Write the model, whole or not at all."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
        try:
            twin, tensors = _kept(self.twin)
            stored = {
                "format": FORMAT,
                "kind": self.kind,
                "twin": twin,
                "endpoint": asdict(self.endpoint) | {"reading": self.endpoint.reading.name},
                "title": self.title,
                "arms": list(self.arms),
                "false_alarms": self.false_alarms,
                "provenance": dict(self.provenance),
                "plans": {name: asdict(each) for name, each in self.plans.items()},
            }
            write_json(temporary / _TWIN, stored)
            for prefix, each in ((_LIKENESS, self.likeness), (_REFERENCE, self.reference)):
                if each is not None:
                    tensors |= {f"{prefix}{k}": v for k, v in each.to_tensors().items()}
            if tensors:
                write_whole(temporary / _WEIGHTS, save(tensors))
            write_manifest(temporary)
            temporary.chmod(0o755)
            if folder.exists():
                shutil.rmtree(folder)
            temporary.rename(folder)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise

    @staticmethod
    def load(folder: Path) -> LivingModel:
        """Return the model of a folder, checked against its manifest.

        Raises
        ------
        ModelError
            If the folder holds no such model, or a damaged one.
        """
        content = read_checked(folder)
        with readable(folder):
            stored = json_of(content[_TWIN])
            if stored["format"] > FORMAT or stored["kind"] not in _KINDS:
                raise ModelError(
                    f"model '{folder}' is of kind '{stored['kind']}', format {stored['format']}, "
                    f"this version reads {', '.join(_KINDS)} up to format {FORMAT}: install a "
                    "later omics_twin"
                )
            endpoint = stored["endpoint"]
            tensors = load(content[_WEIGHTS]) if _WEIGHTS in content else {}
            return LivingModel(
                twin=_KINDS[stored["kind"]](stored["twin"], tensors),
                endpoint=Endpoint(**{**endpoint, "reading": Reading[endpoint["reading"]]}),
                title=stored["title"],
                arms=tuple(stored["arms"]),
                false_alarms=stored["false_alarms"],
                provenance=stored["provenance"],
                digest=sha256((folder / MANIFEST).read_bytes()),
                plans={n: _plan(each) for n, each in stored.get("plans", {}).items()},
                likeness=Likeness.from_tensors(part_of(tensors, _LIKENESS)),
                reference=Reference.from_tensors(part_of(tensors, _REFERENCE)),
            )


def _kind_of(twin: LivingTwin) -> str:
    if isinstance(twin, GrowthProcessTwin):
        return GROWTH
    if isinstance(twin, VisitTwin):
        return VISITS
    if isinstance(twin.dynamics, TwoClones):
        return CLONES
    return RESPONSE if isinstance(twin.prior, NeuralPrior) else VOLUME


def _kept(twin: LivingTwin) -> tuple[dict[str, Any], dict[str, Tensor]]:
    if isinstance(twin, GrowthProcessTwin):
        return twin.to_json(), {}
    if isinstance(twin, VisitTwin):
        return twin.to_json(), twin.tensors()
    if isinstance(twin.prior, NeuralPrior):
        return response_to_json(twin), twin.prior.tensors()
    return (clones_to_json if _kind_of(twin) == CLONES else volume_to_json)(twin), {}


def _plan(stored: Mapping[str, Any]) -> Intervention:
    doses = tuple(Dose(**each) for each in stored["doses"])
    return Intervention(stored["name"], doses, stored["settings"])


def is_living(folder: Path) -> bool:
    """Return whether a folder's model learns from visit to visit."""
    try:
        return "kind" in json_of((folder / _TWIN).read_bytes())
    except (OSError, ValueError, TypeError):
        return False
