"""What is answered about many patients."""
