"""Look up known vulnerabilities of what is installed; who is offline is told so."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

_SECONDS = 120


def told(found: Mapping[str, Any]) -> tuple[list[str], int, int]:
    """Return a sentence for each vulnerability, and how many packages were and were not found."""
    packages = found.get("dependencies", [])
    looked_up = [each for each in packages if "vulns" in each]
    lines = [
        f"{each['name']} {each['version']}: {one['id']}, mended in "
        f"{', '.join(one['fix_versions']) or 'no version yet'}"
        for each in looked_up
        for one in each["vulns"]
    ]
    return lines, len(looked_up), len(packages) - len(looked_up)


def main() -> int:
    command = [sys.executable, "-m", "pip_audit", "--local", "--skip-editable", "--format=json"]
    command += ["--progress-spinner=off", "--timeout=10"]
    try:
        ended = subprocess.run(
            command, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
        found = json.loads(ended.stdout)
    except (subprocess.TimeoutExpired, ValueError):
        print("vulnerabilities: not looked up, the database cannot be reached from here")
        return 0
    lines, known, unknown = told(found)
    if not known:
        print("vulnerabilities: not looked up, the registry offers no such answer from here")
        return 0
    for line in lines:
        print(f"vulnerabilities: {line}", file=sys.stderr)
    print(f"vulnerabilities: {len(lines)} in {known} packages; {unknown} were not found there")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
