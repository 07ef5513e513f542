"""Numbers and names that a setting can have."""

from __future__ import annotations

from omics_twin.errors import ConfigError


def require(name: str, found: float, lowest: float, highest: float = float("inf")) -> None:
    """Refuse a number that is out of range, or not a number."""
    if not lowest <= found <= highest:
        limit = f"at least {lowest:g}" if highest == float("inf") else f"{lowest:g} to {highest:g}"
        raise ConfigError(f"'{name}' is {found:g}, expected {limit}")


def require_named(name: str, found: str | None) -> None:
    """Refuse text that names nothing: an empty answer is not the same as none."""
    if found is None:
        return
    if not found.strip():
        raise ConfigError(f"'{name}' is empty: give it a value or leave it out")
    if "\0" in found:
        raise ConfigError(f"'{name}' holds a zero byte: give it a name without one")
