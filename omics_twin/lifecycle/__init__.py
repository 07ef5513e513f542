"""For whom a model is, how long, and which version is in use."""
