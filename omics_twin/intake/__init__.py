"""Data come in: files become plain tables, with columns, vocabularies and units checked."""
