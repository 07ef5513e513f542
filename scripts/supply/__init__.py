"""What the environment is made of: locked, verified against the lock, listed, looked up."""
