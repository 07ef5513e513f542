"""A twin lives: it starts, observes and simulates."""
