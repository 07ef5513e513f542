"""Asked: the model as MLflow serves it."""
