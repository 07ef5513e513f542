"""Numbers become tensors; MuData ends here."""
