"""What is sealed is opened by its key alone, whole, and unchanged."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omics_twin.errors import PrivacyError
from omics_twin.trust.rotation import reseal
from omics_twin.trust.vault import is_sealed, opened, read_sealed, seal, write_sealed

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
CHUNK = 1 << 20


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_what_was_sealed_comes_back(size: int) -> None:
    content = os.urandom(size)
    sealed = seal(content, KEY)
    assert is_sealed(sealed)
    assert opened(sealed, KEY) == content
    assert seal(content, KEY) != sealed


@given(st.data())
def test_a_changed_byte_or_a_cut_is_never_opened(data: st.DataObject) -> None:
    sealed = seal(b"tumour volume 12.5 cm3", KEY)
    place = data.draw(st.integers(20, len(sealed) - 1))
    changed = bytearray(sealed)
    changed[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(PrivacyError):
        opened(bytes(changed), KEY)
    with pytest.raises(PrivacyError):
        opened(sealed[:place], KEY)


def test_chunks_are_neither_moved_nor_left_out() -> None:
    sealed = seal(os.urandom(2 * CHUNK + 5), KEY)
    first = len(sealed) - (2 * CHUNK + 5) - 3 * 16
    step = CHUNK + 16
    swapped = (
        sealed[:first]
        + sealed[first + step : first + 2 * step]
        + sealed[first : first + step]
        + sealed[first + 2 * step :]
    )
    for wrong in (swapped, sealed[: first + 2 * step], sealed[:first] + sealed[first + step :]):
        with pytest.raises(PrivacyError, match="changed or cut"):
            opened(wrong, KEY)


def test_a_wrong_key_or_none_gets_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "belief.json"
    monkeypatch.setenv("OMICS_TWIN_STORE_KEY", KEY.hex())
    write_sealed(path, b"{}")
    assert read_sealed(path) == b"{}"
    monkeypatch.setenv("OMICS_TWIN_STORE_KEY", OTHER.hex())
    with pytest.raises(PrivacyError, match="another key"):
        read_sealed(path)
    monkeypatch.delenv("OMICS_TWIN_STORE_KEY")
    with pytest.raises(PrivacyError, match="there is no key"):
        read_sealed(path)
    write_sealed(path, b"{}")
    assert path.read_bytes() == b"{}"


def test_another_key_takes_the_place_of_the_old_one_also_after_an_interruption(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "beliefs"
    folder.mkdir()
    for number in range(5):
        (folder / f"{number}.json").write_bytes(b"%d" % number)
    assert reseal(tmp_path, None, KEY) == 5
    # Two were done when somebody pulled the plug.
    for number in range(2):
        (folder / f"{number}.json").write_bytes(seal(b"%d" % number, OTHER))
    assert reseal(tmp_path, KEY, OTHER) == 3
    assert reseal(tmp_path, KEY, OTHER) == 0
    for number in range(5):
        assert opened((folder / f"{number}.json").read_bytes(), OTHER) == b"%d" % number
    with pytest.raises(PrivacyError, match="another key"):
        reseal(tmp_path, KEY, bytes(32))
