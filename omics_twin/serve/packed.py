"""What MLflow keeps beside a model and runs: it names one module, so that others may move."""

import mlflow

from omics_twin.serve.pyfunc import RankingModel

mlflow.models.set_model(RankingModel())
