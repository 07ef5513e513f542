"""May we? Consent, privacy and audit, asked before anything else happens."""
