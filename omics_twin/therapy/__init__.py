"""Interventions are ranked, by one function for every twin."""
