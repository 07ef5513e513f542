"""The registered model: MLflow runs this file and finds a ranking model in it (no pickle)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow

from omics_twin.record import PatientRecord, ranked
from omics_twin.settings import TwinSettings
from omics_twin.therapy.rank import order
from omics_twin.tracking import MODEL_FOLDER, TrainedModel

_DRAWS_PER_MEMBER = 8


class RankingModel(mlflow.pyfunc.PythonModel):
    """Patients in, ranked therapies out."""

    def load_context(self, context: Any) -> None:
        """Load the trained model, checked against its manifest."""
        self.model = TrainedModel.load(Path(context.artifacts[MODEL_FOLDER]))

    def predict(
        self,
        context: Any,
        model_input: list[PatientRecord],
        params: dict[str, Any] | None = None,
    ) -> list[dict[str, Any]]:
        """Return each patient's open therapies, best first, from all that the record tells."""
        return [line for record in model_input for line in rank_record(self.model, record)]


def rank_record(model: TrainedModel, record: PatientRecord) -> list[dict[str, Any]]:
    """Return one patient's open therapies, best first.

    Raises
    ------
    OmicsTwinError
        If the record names a modality, column, category, stratum or arm the model does not know,
        or a number out of its range.
    """
    settings = TwinSettings(draws=_DRAWS_PER_MEMBER * model.twin.network.members)
    _, ranking = ranked(model, record, settings)
    return [
        {
            "patient_id": record.patient_id,
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
