"""Get public source files here, unchanged and with their terms read first."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from omics_twin.errors import FetchError
from omics_twin.intake.declaration import SourceDeclaration

_SHA256 = re.compile(r"[0-9a-f]{64}")
# What an interruption loses at most.
_CHUNK_BYTES = 1 << 16


@dataclass(frozen=True)
class ResumingDownloader:
    """Download over HTTP into ``part``, going on where an earlier attempt stopped.

    ``pooch`` calls it with the address and the temporary file that it will verify.

    Attributes
    ----------
    part
        Where the file grows; kept when the transfer breaks off.
    resume
        Whether what is in ``part`` may be built upon, which only a checksum makes safe.
    timeout_seconds
        Longest wait for the server.
    """

    part: Path
    resume: bool
    timeout_seconds: float = 30.0

    def __call__(self, url: str, output_file: str, pooch: object) -> None:
        """Download ``url`` into ``output_file``."""
        if not self.resume:
            self.part.unlink(missing_ok=True)
        if not self._transfer(url):
            self.part.unlink()
            self._transfer(url)
        self.part.replace(output_file)

    def _transfer(self, url: str) -> bool:
        """Append what is missing to ``part``; False if the server has nothing from there on.

        Raises
        ------
        FetchError
            If the server refuses.
        """
        import requests

        start = self.part.stat().st_size if self.part.exists() else 0
        # Compressed transfer would make byte positions meaningless.
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
        with requests.get(
            url, headers=headers, stream=True, timeout=self.timeout_seconds
        ) as response:
            if start and response.status_code == requests.codes.requested_range_not_satisfiable:
                return False
            if not response.ok:
                raise FetchError(
                    f"source '{url}' answered {response.status_code} {response.reason}: check the "
                    "address"
                )
            partial = response.status_code == requests.codes.partial_content
            with self.part.open("ab" if partial else "wb") as file:
                for chunk in response.iter_content(_CHUNK_BYTES):
                    file.write(chunk)
        return True


def fetch(
    sources: Sequence[SourceDeclaration],
    root: Path,
    announce: Callable[[str], None],
    *,
    accept_unverified: bool = False,
) -> tuple[Path, ...]:
    """Download the public files of a cohort that are not here yet.

    Parameters
    ----------
    sources
        What to download, with terms and citation.
    root
        Folder the files go to.
    announce
        Is told, before anything is downloaded, each address, its terms and its citation, and
        then what happened to each file.
    accept_unverified
        Download files without a recorded checksum; their checksums are announced.

    Returns
    -------
    tuple of Path
        The files, in the order of the sources.

    Raises
    ------
    FetchError
        If a source has no checksum and that is not accepted, a download fails, or a file is not
        the one expected.
    """
    root = Path(root)
    for source in sources:
        _check_source(source, accept_unverified)
    for source in sources:
        announce(f"{source.file}: {source.url}; terms: {source.terms}; cite: {source.citation}")
    return tuple(_fetch_one(source, root, announce) for source in sources)


def _check_source(source: SourceDeclaration, accept_unverified: bool) -> None:
    if not source.url.startswith(("https://", "http://")):
        raise FetchError(f"source '{source.url}' is not an http or https address: correct it")
    path = PurePosixPath(source.file)
    if not source.file or path.is_absolute() or ".." in path.parts:
        raise FetchError(
            f"source '{source.url}' has the file name '{source.file}', expected a name below the "
            "download folder"
        )
    if not source.terms or not source.citation:
        raise FetchError(f"source '{source.url}' states no terms or no citation: state both")
    if source.sha256 is None:
        if not accept_unverified:
            raise FetchError(
                f"source '{source.url}' has no recorded SHA-256 checksum, so the file cannot be "
                "verified: record 'sha256', or accept unverified files explicitly"
            )
    elif not _SHA256.fullmatch(source.sha256):
        raise FetchError(
            f"source '{source.url}' has the checksum '{source.sha256}', expected 64 hexadecimal "
            "digits in lower case"
        )


def _fetch_one(source: SourceDeclaration, root: Path, announce: Callable[[str], None]) -> Path:
    target = root / source.file
    if target.exists():
        found = _sha256(target)
        if source.sha256 not in (None, found):
            raise FetchError(
                f"file '{target}' has the SHA-256 checksum {found}, expected {source.sha256}: "
                "remove it and fetch again"
            )
        announce(f"{source.file}: already here, SHA-256 {found}")
        return target
    _download(source, target)
    kind = "not verified" if source.sha256 is None else "verified"
    announce(f"{source.file}: downloaded, {kind}, SHA-256 {_sha256(target)}")
    return target


def _download(source: SourceDeclaration, target: Path) -> None:
    import pooch
    import requests

    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        pooch.retrieve(
            source.url,
            known_hash=None if source.sha256 is None else f"sha256:{source.sha256}",
            fname=target.name,
            path=target.parent,
            downloader=ResumingDownloader(part, resume=source.sha256 is not None),
        )
    except FetchError:
        raise
    except (
        requests.ConnectionError,
        requests.Timeout,
        requests.exceptions.ChunkedEncodingError,
    ) as error:
        here = part.stat().st_size if part.exists() else 0
        raise FetchError(
            f"download of '{source.url}' broke off with {here} bytes here "
            f"({type(error).__name__}): check the connection and run it again"
        ) from error
    except requests.RequestException as error:
        raise FetchError(f"source '{source.url}' cannot be requested: {error}") from error
    except ValueError as error:
        # pooch raises ValueError, and keeps nothing, for a file with another checksum.
        raise FetchError(
            f"the file from '{source.url}' does not have the SHA-256 checksum {source.sha256} and "
            "was not kept: the source has changed or the transfer was damaged; fetch again"
        ) from error
    except OSError as error:
        raise FetchError(
            f"file '{target}' cannot be written ({error.strerror}): check the download folder"
        ) from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
