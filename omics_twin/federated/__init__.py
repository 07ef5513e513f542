"""Sites train one twin together, and no row of a patient leaves a site."""
