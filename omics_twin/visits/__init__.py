"""How a twin that learns from visit to visit is trained and judged."""
