"""Files made to run something, to reach another folder, or to fill the memory: none does."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import resource
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np

from omics_twin.cli import main
from omics_twin.config import load, read_overrides
from omics_twin.errors import ModelError
from omics_twin.files import sha256, write_manifest
from omics_twin.intake.cbioportal import check_study
from omics_twin.intake.fhir_mapping_file import mapping_of
from omics_twin.intake.knowledge import read_gene_sets
from omics_twin.intake.tables import read_tables
from omics_twin.intake.vcf import check_vcf
from omics_twin.models.checkpoint import SafeCheckpoints, last_checkpoint
from omics_twin.report.pictures import small
from omics_twin.settings import TrackingSettings
from omics_twin.tracking import TrainedModel, load_any
from tests.faults.rows import Row
from tests.intake.conftest import write_files
from tests.intake.portal import write_study

# More than any of them should take, and far less than a bomb would.
_MOST_MEGABYTES = 1_500


class _Payload:
    """An object that runs a command where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch '{self.mark}'",)


def payloads(mark: Path) -> dict[str, bytes]:
    """Return files that leave a mark where they are executed."""
    import torch

    plain = pickle.dumps(_Payload(mark))
    stream = io.BytesIO()
    torch.save({"state_dict": _Payload(mark)}, stream)
    array = io.BytesIO()
    np.save(array, np.array([_Payload(mark)], dtype=object), allow_pickle=True)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("../../mark", "x")
        packed.writestr("data.pkl", plain)
    command = f"touch '{mark}'"
    return {
        "pickle": plain,
        "torch.save": stream.getvalue(),
        "npy of objects": array.getvalue(),
        "pickle in gzip": gzip.compress(plain),
        "pickle in zlib (joblib)": zlib.compress(plain),
        "zip with a path out of the folder": archive.getvalue(),
        "YAML tag": f'!!python/object/apply:os.system ["{command}"]\n'.encode(),
        "YAML tag in a key": f'name: !!python/object/apply:os.system ["{command}"]\n'.encode(),
        "Hydra target": json.dumps({"_target_": "os.system", "_args_": [command]}).encode(),
        "script": f'import os; os.system("{command}")\n'.encode(),
    }


def of_payloads(folder: Path, model: Path, run: Path, every: int = 1) -> Row:
    """Put each payload in the place of every file that is loaded, or every few of the pairs."""
    row = Row("hostile file", "payloads that run a command")
    mark = folder / "executed"
    doors = _doors(folder, model, run)
    for what, door in list(product(payloads(mark), doors))[::every]:
        with row.trial(f"{what} as {door}"):
            doors[door](payloads(mark)[what])
            row.right(False, f"{what} was taken for {door}")
        if mark.exists():
            row.lost += 1
            row.told.append(f"{what} as {door} was executed")
            mark.unlink()
    return row


def _doors(folder: Path, model: Path, run: Path) -> dict[str, Callable[[bytes], object]]:
    """Return everything that reads a file, by what it takes the file for."""
    study, portal = folder / "study", folder / "portal"
    study.mkdir(parents=True)
    declared = write_files(study)
    write_study(portal)

    def model_file(name: str) -> Callable[[bytes], object]:
        def read(content: bytes) -> object:
            copy = folder / "model"
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(model, copy)
            (copy / name).write_bytes(content)
            if name != "manifest.json":
                write_manifest(copy)
            return load_any(str(copy), TrackingSettings(enabled=False))

        return read

    def checkpoint(content: bytes) -> object:
        copy = folder / "checkpoints"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(run / "checkpoints", copy)
        path = last_checkpoint(copy)
        assert path is not None
        pointer = json.loads((copy / "last.json").read_text())
        path.write_bytes(content)
        (copy / "last.json").write_text(json.dumps({**pointer, "sha256": sha256(content)}))
        return SafeCheckpoints().load_checkpoint(path)

    def table(name: str) -> Callable[[bytes], object]:
        def read(content: bytes) -> object:
            (study / name).write_bytes(content)
            declared.modalities["expression"].table = name
            return read_tables(declared)

        return read

    def written(name: str, then: Callable[[Path], object]) -> Callable[[bytes], object]:
        def read(content: bytes) -> object:
            (folder / name).write_bytes(content)
            return then(folder / name)

        return read

    def settings(content: bytes) -> object:
        text = content.decode("utf-8", errors="replace")
        return load("train", ["experiment=synthetic_response", f"name={text}"])

    def asked(path: Path) -> None:
        if main(["update", f"model_uri={model}", "patient=p", f"observation={path}"]):
            raise ModelError("refused by the command line in one sentence")

    def checked(path: Path) -> None:
        if check_vcf(path).errors:
            raise ModelError("refused by the check in one sentence")

    return {
        **{f"model's {name}": model_file(name) for name in ("twin.json", "weights.safetensors")},
        "model's manifest": model_file("manifest.json"),
        "checkpoint": checkpoint,
        **{f"table {n}": table(n) for n in ("e.parquet", "e.csv", "e.csv.gz", "e.tsv")},
        "FHIR mapping": written("mapping.yaml", mapping_of),
        "settings on the command line": settings,
        "file of settings": written("best.yaml", lambda path: read_overrides(str(path))),
        "visits": written("visits.json", asked),
        "VCF": written("v.vcf", checked),
        "gene sets": written("sets.gmt", read_gene_sets),
    }


def of_targets() -> Row:
    """Ask Hydra to make an object of a setting."""
    row = Row("hostile file", "Hydra targets and resolvers")
    for text in (
        "+_target_=os.system",
        "trainer._target_=os.system",
        "+trainer={_target_:os.system,_args_:['true']}",
        "++cohort.modalities.clinical._target_=builtins.exec",
        "name=${oc.env:HOME}",
        "name=${oc.decode:1}",
        "data_root=${oc.create:1}",
        "name=${hydra:runtime.cwd}",
        "+hydra.launcher._target_=os.system",
        "--config-dir=/tmp",
        "hydra/launcher=basic",
        "+hydra.searchpath=[file:///tmp]",
    ):
        with row.trial(text):
            found = load("train", ["experiment=synthetic_response", text])
            secret = os.environ.get("HOME", "/") in (found.name, found.data_root)
            row.right(not secret, f"'{text}' was followed")
    return row


def of_paths(folder: Path, model: Path, run: Path) -> Row:
    """Name files outside the folder, as paths and as links."""
    row = Row("hostile file", "paths and links out of the folder")
    secret = folder / "secret.txt"
    folder.mkdir(parents=True, exist_ok=True)
    secret.write_text("Hugo_Symbol\tS1\nSECRET\t1\n")
    for name in ("../secret.txt", str(secret), "./../secret.txt", "..", "", "a/../../secret.txt"):
        copy = folder / "paths"
        for make in (_manifest_of, _pointer_of):
            shutil.rmtree(copy, ignore_errors=True)
            with row.trial(f"{make.__name__} {name}"):
                make(copy, model, run, name, secret)
                row.right(False, f"{make.__name__}: '{name}' was followed")
    for name in ("../secret.txt", str(secret), "..", "x" * 5000, "../" * 400 + "etc/passwd"):
        portal = folder / "portal"
        shutil.rmtree(portal, ignore_errors=True)
        write_study(portal)
        meta = portal / "meta_expression.txt"
        meta.write_text(meta.read_text().replace("data_expression.txt", name))
        report = check_study(portal)
        row.right(any("data_filename" in e.sentence for e in report.errors), f"'{name}' was read")
    for name in ("twin.json", "weights.safetensors", "manifest.json"):
        copy = folder / "links"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(model, copy)
        (folder / name).write_bytes((copy / name).read_bytes())
        (copy / name).unlink()
        (copy / name).symlink_to(folder / name)
        with row.trial(f"a link {name}"):
            TrainedModel.load(copy)
            row.right(False, f"the link '{name}' was followed")
    return row


def _manifest_of(copy: Path, model: Path, _: Path, name: str, secret: Path) -> None:
    shutil.copytree(model, copy)
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest[name] = sha256(secret.read_bytes())
    (copy / "manifest.json").write_text(json.dumps(manifest))
    TrainedModel.load(copy)


def _pointer_of(copy: Path, _: Path, run: Path, name: str, secret: Path) -> None:
    shutil.copytree(run / "checkpoints", copy)
    pointer = json.loads((copy / "last.json").read_text())
    pointer |= {"file": name, "sha256": sha256(secret.read_bytes())}
    (copy / "last.json").write_text(json.dumps(pointer))
    last_checkpoint(copy)


def _tensors(header: dict[str, object], body: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def of_sizes(folder: Path, model: Path, run: Path, *, bombs: bool = True) -> Row:
    """Claim sizes that no file has, and pack much into little."""
    row = Row("hostile file", "absurd shapes, and bombs")
    doors = _doors(folder, model, run)
    huge = 10**12
    f32 = {"dtype": "F32", "shape": [huge], "data_offsets": [0, 4]}
    tensors = {
        "a shape without its numbers": _tensors({"a": f32}, b"0000"),
        "a shape beyond all memory": _tensors(
            {"a": {**f32, "shape": [huge, huge], "data_offsets": [0, 2**62]}}
        ),
        "a negative shape": _tensors({"a": {**f32, "shape": [-1]}}, b"0000"),
        "offsets backwards": _tensors(
            {"a": {**f32, "shape": [1], "data_offsets": [4, 0]}}, b"0000"
        ),
        "tensors on top of each other": _tensors(
            {n: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} for n in "ab"}, b"0000"
        ),
        "a header beyond the file": struct.pack("<Q", 2**63) + b"{}",
        "a header without end": struct.pack("<Q", 100) + b"{" * 100,
        "nothing": b"",
    }
    for what, content in tensors.items():
        for door in ("model's weights.safetensors", "checkpoint"):
            with row.trial(f"{what} as {door}"):
                doors[door](content)
                row.right(False, f"{what} was taken for {door}")
    for key, value in (
        ("heads", [{"kind": "binary", "name": "x"}] * 10**5),
        ("agents", "x" * 10**7),
    ):
        described = json.loads((model / "twin.json").read_text()) | {key: value}
        with row.trial(f"absurd {key}"):
            doors["model's twin.json"](json.dumps(described).encode())
            row.right(key == "agents", f"absurd {key} were taken")
    bomb = gzip.compress(bytes(1 << 24), mtime=0) * 128
    for door in ("table e.csv.gz", "VCF") if bombs else ():
        with row.trial(f"two gigabytes of zeros as {door}"):
            doors[door](bomb)
            row.right(False, f"a bomb was taken for {door}")
    with row.trial("a picture of 10^10 points"):
        small("roc.png", _picture(100_000, 100_000))
        row.right(False, "a picture of 10^10 points was made small")
    if not bombs:
        return row
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    row.right(used < _MOST_MEGABYTES, f"{used} MB of memory were used")
    return row


def _picture(width: int, height: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
