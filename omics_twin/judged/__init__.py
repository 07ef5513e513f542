"""Whether it is true, and what following it is worth: held-out answers beside baselines."""
