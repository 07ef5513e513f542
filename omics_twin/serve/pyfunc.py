"""The registered model: one that ranks patients' records, as MLflow asks it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlflow

from omics_twin.answers.rankings import ranking_lines
from omics_twin.bedside.record import ranked
from omics_twin.settings import TwinSettings
from omics_twin.told import PatientRecord
from omics_twin.tracking import MODEL_FOLDER, TrainedModel

_DRAWS_PER_MEMBER = 8
# Not Any: MLflow would warn whoever logs or loads the model.
Cell = str | float | int | bool | None


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
    ) -> list[dict[str, Cell]]:
        """Return each patient's open therapies, best first, from all that the record tells."""
        return self.lines(model_input)

    def lines(self, records: Sequence[PatientRecord]) -> list[dict[str, Cell]]:
        """Return the same of records that were checked; MLflow checks those of `predict` anew."""
        return [line for record in records for line in rank_record(self.model, record)]


def rank_record(model: TrainedModel, record: PatientRecord) -> list[dict[str, Cell]]:
    """Return one patient's open therapies, best first; where none is, all with the reasons.

    Raises
    ------
    OmicsTwinError
        If the record names a modality, column, category, stratum or arm the model does not know,
        or a number out of its range.
    """
    settings = TwinSettings(draws=_DRAWS_PER_MEMBER * model.twin.network.members)
    _, ranking = ranked(model, record, settings)
    return ranking_lines(ranking, 0, excluded=False)
