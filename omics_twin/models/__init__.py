"""Learned parts: plain ``nn.Module`` classes in which every layer has a leading member axis."""
