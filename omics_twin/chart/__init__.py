"""The patient's chart: what was measured, given, believed and answered, in a database."""
