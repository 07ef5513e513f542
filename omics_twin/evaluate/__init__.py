"""Is it true? Metrics, calibration, plots, and the baselines every twin is compared with."""
