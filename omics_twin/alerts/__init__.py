"""Is the patient still where the twin expects? Forecasts watched visit by visit."""
