"""How a twin is learned."""
