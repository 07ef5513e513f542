"""What each modality adds, and which settings serve."""
