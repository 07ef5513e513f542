"""Tables become one cohort: measurements, therapies and outcomes of permitted patients."""
