"""The registered model: MLflow runs this file and finds a ranking model in it (no pickle)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import torch

from omics_twin.answers import calibrated
from omics_twin.errors import TwinError, nearest
from omics_twin.settings import TwinSettings
from omics_twin.tensors.design import encoded
from omics_twin.therapy.rank import order, rank_therapies
from omics_twin.therapy.support import stratum_key
from omics_twin.tracking import MODEL_FOLDER, TrainedModel
from omics_twin.types import Observation

_DRAWS_PER_MEMBER = 8
_STANDARD = TwinSettings()


class RankingModel(mlflow.pyfunc.PythonModel):
    """Patients in, ranked therapies out.

    A record is ``{"patient_id": str, "measurements": {modality: {column: value}},
    "stratum": {column: value}}``; what is not measured is left out.
    """

    def load_context(self, context: Any) -> None:
        """Load the trained model, checked against its manifest."""
        self.model = TrainedModel.load(Path(context.artifacts[MODEL_FOLDER]))

    def predict(
        self, context: Any, model_input: list[dict[str, Any]], params: dict[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """Return each patient's open therapies, best first, from what is known before treatment."""
        return [line for record in model_input for line in rank_record(self.model, record)]


def rank_record(model: TrainedModel, record: dict[str, Any]) -> list[dict[str, Any]]:
    """Return one patient's open therapies, best first.

    Raises
    ------
    TwinError
        If the record names a modality, column, category or stratum the model does not know.
    """
    patient = str(record["patient_id"])
    twin = model.twin
    given = record.get("stratum", {})
    key = stratum_key(
        model.support.columns,
        [str(given.get(column, "not measured")) for column in model.support.columns],
    )
    state = twin.start([patient], draws=_DRAWS_PER_MEMBER * twin.network.members, seed=0)
    state = calibrated(model, state, [key])
    baseline = {each.modality: each for each in twin.design.channels if not each.follow_up}
    values = {}
    for modality, columns in record.get("measurements", {}).items():
        if modality not in baseline:
            raise TwinError(f"unknown modality '{modality}'{nearest(modality, baseline)}")
        values[modality] = torch.tensor([encoded(baseline[modality], columns)])
    state = twin.observe(state, Observation((patient,), torch.zeros(1).double(), values))
    eligible, support, reasons = model.support.judge(model.catalogue, [key])
    ranking = rank_therapies(
        twin,
        state,
        model.catalogue.interventions(),
        model.endpoint,
        eligible=eligible,
        support=support,
        reasons=reasons,
        interval=_STANDARD.interval,
        thin_support=model.catalogue.thin_support,
        confidence=_STANDARD.confidence,
        power=model.calibration.power,
        arms=model.calibration.arms,
    )
    return [
        {
            "patient_id": patient,
            "rank": place,
            "intervention": ranking.interventions[option],
            "expected": float(ranking.expected[0, option]),
            "lower": float(ranking.lower[0, option]),
            "upper": float(ranking.upper[0, option]),
            "probability_best": float(ranking.probability_best[0, option]),
            "support": int(ranking.support[0, option]),
            "reason": ranking.reasons[0][option],
            "recommended": place == 1 and not bool(ranking.abstained[0]),
            "abstention": ranking.abstention[0] if place == 1 else "",
        }
        for place, option in enumerate(order(ranking, 0), start=1)
    ]


if __name__ != "omics_twin.serve.pyfunc":
    mlflow.models.set_model(RankingModel())
