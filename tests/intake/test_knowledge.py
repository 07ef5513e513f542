"""Gene sets and interactions are read as their files say, and every mistake has its sentence."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from omics_twin.errors import IntakeError
from omics_twin.intake.knowledge import missing_file, read_knowledge
from omics_twin.intake.settings import KnowledgeSettings

SETS = "REPAIR\tfrom a book\tTP53\tATM\tTP53\nGROWTH\tfrom a book\tEGFR\tKRAS\tBRAF\n"
PAIRS = """gene_a,gene_b,combined_score,database
TP53,ATM,990,1
ATM,TP53,990,1
EGFR,KRAS,700,0
KRAS,BRAF,699,0
EGFR,EGFR,900,0
"""
HEADER = PAIRS[: PAIRS.index("TP53")]


def files(folder: Path, sets: str = SETS, pairs: str | bytes = PAIRS) -> KnowledgeSettings:
    (folder / "sets.gmt").write_text(sets)
    content = pairs.encode() if isinstance(pairs, str) else pairs
    (folder / "pairs.csv.gz").write_bytes(gzip.compress(content, mtime=0))
    return KnowledgeSettings(root=str(folder), sets=["sets.gmt"], interactions="pairs.csv.gz")


def test_sets_hold_each_gene_once_and_pairs_below_the_smallest_score_are_left_out(
    tmp_path: Path,
) -> None:
    found = read_knowledge(files(tmp_path))
    assert found.sets == {"REPAIR": ("TP53", "ATM"), "GROWTH": ("EGFR", "KRAS", "BRAF")}
    assert found.pairs.tolist() == [["ATM", "TP53"], ["EGFR", "KRAS"]]
    np.testing.assert_allclose(found.scores, [0.99, 0.7])
    assert found.genes == {"TP53", "ATM", "EGFR", "KRAS", "BRAF"}


def test_the_fingerprint_follows_content_and_settings_and_not_the_folder(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.mkdir()
    second.mkdir()
    before = read_knowledge(files(first)).fingerprint
    assert before == read_knowledge(files(second)).fingerprint
    looser = replace(files(second), smallest_score=600.0)
    assert before != read_knowledge(looser).fingerprint
    assert before != read_knowledge(files(second, sets=SETS + "X\tnote\tMYC\n")).fingerprint


@pytest.mark.parametrize(
    ("sets", "sentence"),
    [
        ("", "'sets.gmt' holds no gene set, expected one on each line"),
        ("REPAIR\tnote\n", "'sets.gmt', line 1: found 2 cells, expected a set's name, a note"),
        (SETS + "\nREPAIR\tnote\tMYC\n", "line 4: set 'REPAIR' is there already"),
    ],
)
def test_a_file_of_sets_that_is_none_is_refused(tmp_path: Path, sets: str, sentence: str) -> None:
    with pytest.raises(IntakeError, match=sentence):
        read_knowledge(files(tmp_path, sets=sets))


@pytest.mark.parametrize(
    ("pairs", "sentence"),
    [
        ("", "not a table of cells separated by commas"),
        (PAIRS.replace("gene_b", "partner"), "no column 'gene_b': did you mean 'gene_a'"),
        (PAIRS.replace("699", "high"), "line 5: combined_score is 'high', expected 0 to 1000"),
        (PAIRS.replace("699", "1001"), "line 5: combined_score is '1001', expected 0 to 1000"),
        (HEADER, "no pair of genes with a score of at least 700 among 0"),
        (b"\xff\xfe", "not UTF-8 text"),
    ],
)
def test_a_file_of_interactions_that_is_none_is_refused(
    tmp_path: Path, pairs: str | bytes, sentence: str
) -> None:
    with pytest.raises(IntakeError, match=sentence):
        read_knowledge(files(tmp_path, pairs=pairs))


def test_a_file_that_is_absent_cut_off_or_named_twice_is_refused(tmp_path: Path) -> None:
    settings = files(tmp_path)
    with pytest.raises(IntakeError, match="'other.gmt' .* is not in"):
        read_knowledge(replace(settings, sets=["other.gmt"]))
    with pytest.raises(IntakeError, match="gene set 'REPAIR' .* is also in another file"):
        read_knowledge(replace(settings, sets=["sets.gmt", "sets.gmt"]))
    whole = (tmp_path / "pairs.csv.gz").read_bytes()
    (tmp_path / "pairs.csv.gz").write_bytes(whole[:-12])
    with pytest.raises(IntakeError, match="not a complete gzip file"):
        read_knowledge(settings)


def test_the_first_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    settings = files(tmp_path)
    assert missing_file(settings) is None
    (tmp_path / "sets.gmt").unlink()
    assert missing_file(settings) == tmp_path / "sets.gmt"
