"""Read what pip reports of an installation: name, version and digest of every archive."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# The build of torch is the user's choice, and for a GPU it brings packages of its own.
CHOSEN_BY_USER = re.compile(r"torch|triton|nvidia-.*|cuda-.*")


@dataclass(frozen=True)
class Archive:
    """One distribution as it was downloaded."""

    name: str
    version: str
    sha256: str
    is_yanked: bool

    @property
    def pinned(self) -> str:
        """The release without a local label: 2.13.0+cpu is a build of 2.13.0."""
        return f"{self.name}=={self.version.partition('+')[0]}"


def archives_in(report: Path) -> list[Archive]:
    """Return the archives of a report that pip wrote, the project itself left out."""
    told = json.loads(report.read_bytes())
    return [_archive(each) for each in told["install"] if "dir_info" not in each["download_info"]]


def _archive(item: dict[str, Any]) -> Archive:
    name = re.sub(r"[-_.]+", "-", item["metadata"]["name"]).lower()
    found = item["download_info"].get("archive_info", {})
    digest = found.get("hashes", {}).get("sha256") or found.get("hash", "=").partition("=")[2]
    return Archive(name, item["metadata"]["version"], digest, bool(item.get("is_yanked")))


def locked_in(lock: Path) -> dict[str, set[str]]:
    """Return release -> digests of a lock."""
    found: dict[str, set[str]] = {}
    for line in lock.read_text().splitlines():
        if line.startswith("#") or not line.strip():
            continue
        release, *digests = line.split(" --hash=sha256:")
        found[release.strip()] = {each.strip() for each in digests}
    return found
