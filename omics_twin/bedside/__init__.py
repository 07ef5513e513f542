"""What is believed of one patient, and what follows from a visit or a plan."""
