"""What a twin gives away of its training patients."""
