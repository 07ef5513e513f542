"""Compare what pip installed with the lock: nothing else, nothing unknown, nothing withdrawn."""

from __future__ import annotations

import sys
from pathlib import Path

from scripts.supply.installed import CHOSEN_BY_USER, Archive, archives_in, locked_in


def mistakes(archives: list[Archive], locked: dict[str, set[str]]) -> list[str]:
    """Return a sentence for every archive that is not the one of the lock."""
    found = []
    for each in archives:
        if each.is_yanked:
            found.append(f"{each.pinned} was withdrawn by its authors: choose another version")
        if CHOSEN_BY_USER.fullmatch(each.name):
            continue
        if each.pinned not in locked:
            found.append(
                f"{each.pinned} is not in the lock: run scripts/lock and look at the change"
            )
        elif each.sha256 not in locked[each.pinned]:
            found.append(
                f"{each.pinned} has SHA-256 {each.sha256[:12]}…, none of the lock's: another file "
                "of the same version, or another platform; run scripts/lock and look at the change"
            )
    return found


def main(report: Path, lock: Path) -> int:
    if not report.is_file():
        print(
            f"supply chain: '{report}' is not there, nothing was verified: run scripts/setup anew"
        )
        return 0
    archives = archives_in(report)
    wrong = mistakes(archives, locked_in(lock))
    for each in wrong:
        print(f"supply chain: {each}", file=sys.stderr)
    if not wrong:
        print(f"supply chain: {len(archives)} archives are those of {lock.name}, none withdrawn")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
