"""What a run found of its groups of patients, as lines for a terminal or a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_MOST = 5


def group_lines(found: Mapping[str, Any]) -> list[str]:
    """Return what the groups of a run come to, as lines for a terminal or a page."""
    told = found.get("fairness")
    if not told:
        return []
    rows = [row for row in found["subgroups"] if row["attribute"] != "everyone"]
    shown = [row for row in rows if not row["suppressed"]]
    small = sum(row["suppressed"] for row in rows)
    lines = [
        f"groups of patients: {len(shown)} shown, {small} of fewer than "
        f"{told['least_shown']} patients not shown; {told['tests']} gaps to all others tested in "
        f"groups of at least {told['least_tested']}, {len(told['shown'])} shown after correction "
        f"({told['correction']})"
    ]
    lines += [
        f"{each['attribute']} {each['group']}: {each['measure'].replace('_', ' ')} "
        f"{each['difference']:+.3f} ({each['lower']:+.3f} to {each['upper']:+.3f}) less the others"
        for each in told["shown"][:_MOST]
    ]
    for name, cover in told["coverage"].items():
        lines.append(
            f"{name.replace('_', ' ')}, {cover['nominal']:.0%} promised: {len(cover['beyond'])} of "
            f"{cover['groups']} groups are more than 3 points away, the furthest is "
            f"{cover['furthest_group']} ({100 * cover['furthest']:+.1f} points)"
        )
    return lines
