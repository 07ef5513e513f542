"""Mechanistic parts: equations of a patient's body, and their solution for many draws at once."""
