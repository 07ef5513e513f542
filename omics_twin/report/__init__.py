"""What a person is told: lines on a terminal, a patient's page."""
