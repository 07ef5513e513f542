"""Public files arrive verified, after their terms were told, or not at all."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from omics_twin.errors import FetchError
from omics_twin.intake.declaration import SourceDeclaration
from omics_twin.intake.fetch import fetch

CONTENT = bytes(range(256)) * 4096
CHECKSUM = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Site:
    """A loopback web site: what it serves and what it was asked for."""

    url: str = ""
    content: bytes = CONTENT
    cut_after: int | None = None
    honours_ranges: bool = True
    ranges: list[str | None] = field(default_factory=list)


def handler(site: Site) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/file":
                self.send_error(404)
                return
            asked = self.headers.get("Range")
            site.ranges.append(asked)
            start = int(asked.split("=")[1].rstrip("-")) if asked and site.honours_ranges else 0
            if start >= len(site.content):
                self.send_error(416)
                return
            body = site.content[start:]
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body if site.cut_after is None else body[: site.cut_after])

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


@pytest.fixture
def site() -> Iterator[Site]:
    served = Site()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(served))
    served.url = f"http://127.0.0.1:{server.server_port}/file"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield served
    server.shutdown()
    thread.join()
    server.server_close()


def source(url: str, sha256: str | None = CHECKSUM, file: str = "a/file.bin") -> SourceDeclaration:
    return SourceDeclaration(url, file, sha256, terms="free to use", citation="Doe 2024")


def test_a_file_is_downloaded_verified_and_announced_first(site: Site, tmp_path: Path) -> None:
    told: list[str] = []
    (path,) = fetch([source(site.url)], tmp_path, told.append)
    assert path.read_bytes() == CONTENT
    assert told[0] == f"a/file.bin: {site.url}; terms: free to use; cite: Doe 2024"
    assert told[1] == f"a/file.bin: downloaded, verified, SHA-256 {CHECKSUM}"


def test_a_file_that_is_here_is_not_downloaded_again(site: Site, tmp_path: Path) -> None:
    fetch([source(site.url)], tmp_path, print)
    told: list[str] = []
    fetch([source(site.url)], tmp_path, told.append)
    assert len(site.ranges) == 1
    assert "already here" in told[1]


def test_an_interrupted_download_goes_on_where_it_stopped(site: Site, tmp_path: Path) -> None:
    site.cut_after = 300_000
    with pytest.raises(FetchError, match=r"broke off with [1-9]\d+ bytes here"):
        fetch([source(site.url)], tmp_path, print)
    assert not (tmp_path / "a/file.bin").exists()
    here = (tmp_path / "a/file.bin.part").stat().st_size
    assert 200_000 < here <= 300_000
    site.cut_after = None
    (path,) = fetch([source(site.url)], tmp_path, print)
    assert path.read_bytes() == CONTENT
    assert site.ranges == [None, f"bytes={here}-"]
    assert [each.name for each in path.parent.iterdir()] == ["file.bin"]


def test_a_server_without_ranges_sends_the_whole_file_again(site: Site, tmp_path: Path) -> None:
    site.honours_ranges = False
    (tmp_path / "a").mkdir()
    (tmp_path / "a/file.bin.part").write_bytes(b"old")
    (path,) = fetch([source(site.url)], tmp_path, print)
    assert path.read_bytes() == CONTENT


def test_a_part_longer_than_the_file_is_started_over(site: Site, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/file.bin.part").write_bytes(CONTENT + b"more")
    (path,) = fetch([source(site.url)], tmp_path, print)
    assert path.read_bytes() == CONTENT


def test_a_file_with_another_checksum_is_not_kept(site: Site, tmp_path: Path) -> None:
    site.content = CONTENT[:-1] + b"!"
    with pytest.raises(FetchError, match="does not have the SHA-256 checksum"):
        fetch([source(site.url)], tmp_path, print)
    assert list((tmp_path / "a").iterdir()) == []


def test_a_different_file_that_is_here_is_refused_not_replaced(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file.bin").write_bytes(b"mine")
    with pytest.raises(FetchError, match="remove it and fetch again"):
        fetch([source(site.url, file="file.bin")], tmp_path, print)
    assert (tmp_path / "file.bin").read_bytes() == b"mine"


def test_an_unverified_file_is_refused_unless_accepted(site: Site, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="has no recorded SHA-256 checksum"):
        fetch([source(site.url, None)], tmp_path, print)
    assert site.ranges == []
    told: list[str] = []
    fetch([source(site.url, None)], tmp_path, told.append, accept_unverified=True)
    assert told[1] == f"a/file.bin: downloaded, not verified, SHA-256 {CHECKSUM}"


def test_an_unverified_file_is_never_resumed(site: Site, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/file.bin.part").write_bytes(b"of another file")
    (path,) = fetch([source(site.url, None)], tmp_path, print, accept_unverified=True)
    assert path.read_bytes() == CONTENT


def test_an_absent_page_is_told(site: Site, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="answered 404 Not Found: check the address"):
        fetch([source(site.url.replace("file", "none"))], tmp_path, print)


def test_a_refused_connection_is_told(site: Site, tmp_path: Path) -> None:
    closed = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    closed.server_close()
    with pytest.raises(FetchError, match=r"broke off with 0 bytes here \(ConnectionError\)"):
        fetch([source(f"http://127.0.0.1:{closed.server_port}/file")], tmp_path, print)


def test_a_folder_that_cannot_be_written_is_told(site: Site, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a file, not a folder")
    with pytest.raises(FetchError, match="cannot be written"):
        fetch([source(site.url)], tmp_path, print)


@pytest.mark.parametrize(
    ("wrong", "fragment"),
    [
        (source("ftp://example.org/file"), "not an http or https address"),
        (source("http://example.org/file", file="../file"), "expected a name below"),
        (source("http://example.org/file", file="/file"), "expected a name below"),
        (source("http://example.org/file", "abc"), "expected 64 hexadecimal digits"),
        (SourceDeclaration("http://example.org/f", "f", CHECKSUM), "no terms or no citation"),
    ],
)
def test_a_wrong_source_is_refused_before_any_download(
    site: Site, tmp_path: Path, wrong: SourceDeclaration, fragment: str
) -> None:
    with pytest.raises(FetchError, match=fragment):
        fetch([source(site.url), wrong], tmp_path, print)
    assert site.ranges == []
