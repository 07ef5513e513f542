"""Write requirements.lock from pip's report of an installation; digests that are known stay.

A lock is of one platform at a time (the wheels that pip chose on it); run on another platform, it
adds the digests of that one's wheels to the same releases.
"""

from __future__ import annotations

import sys
from pathlib import Path

from scripts.supply.installed import CHOSEN_BY_USER, archives_in, locked_in

_HEADER = """\
# SHA-256 of every archive that set-up installs, beside the exact versions of constraints.txt.
# Written by scripts/lock; .ci/run compares with it what pip installed. The build of torch is the
# user's choice (constraints.txt says how), so its digest is not here.
"""


def main(report: Path, lock: Path) -> None:
    known = locked_in(lock) if lock.is_file() else {}
    lines = []
    for each in sorted(archives_in(report), key=lambda archive: archive.name):
        if not CHOSEN_BY_USER.fullmatch(each.name) and each.sha256:
            digests = known.get(each.pinned, set()) | {each.sha256}
            lines.append(" ".join([each.pinned, *(f"--hash=sha256:{d}" for d in sorted(digests))]))
    lock.write_text(_HEADER + "\n".join(lines) + "\n")
    print(f"{lock}: {len(lines)} releases")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
