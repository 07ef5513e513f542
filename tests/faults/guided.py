"""Inputs guided by the coverage of our own code: python -m tests.faults.guided READER [runs]."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from random import Random

import atheris

# What is imported here is instrumented; what it stands on is not.
with atheris.instrument_imports(
    include=["omics_twin.intake", "omics_twin.trust", "omics_twin.files", "omics_twin.told"],
):
    from tests.faults import suite

from tests.faults.examining import examine
from tests.faults.mutations import mutated


def main(name: str, runs: int, model: Path) -> None:
    """Show a reader inputs until there were enough, or one is a fault."""
    with tempfile.TemporaryDirectory() as folder:
        reader = suite.readers(Path(folder) / "reader", model)[name][0]()
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        for number, content in enumerate(reader.seeds):
            (corpus / str(number)).write_bytes(content)

        def changed(content: bytes, most: int, seed: int) -> bytes:
            dice = Random(seed)
            if dice.random() < 0.5:
                return bytes(atheris.Mutate(content, most))
            return mutated(content, reader.mutations, dice)[:most]

        atheris.Setup(
            [sys.argv[0], f"-runs={runs}", "-max_len=20000", "-timeout=30", str(corpus)],
            lambda content: examine(reader, content) and None,
            custom_mutator=changed,
        )
        atheris.Fuzz()


if __name__ == "__main__":
    main(
        sys.argv[1],
        int(sys.argv[2]) if len(sys.argv) > 2 else 20_000,
        Path(sys.argv[3]) if len(sys.argv) > 3 else Path("outputs/faults/small/model"),
    )
