"""What is known of genes before any patient: sets that act together, and pairs that interact."""

from __future__ import annotations

import hashlib
import io
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from omics_twin.errors import IntakeError, nearest
from omics_twin.intake.content import inflated
from omics_twin.intake.settings import KnowledgeSettings

_COLUMNS = ("gene_a", "gene_b", "combined_score")
# STRING writes a probability in thousandths.
_CERTAIN = 1000.0


@dataclass(frozen=True)
class Knowledge:
    """Sets and pairs of genes, by the symbols in their files.

    Attributes
    ----------
    sets
        Name of a set -> its genes, each once.
    pairs
        Genes that interact, each pair once, (pair, 2).
    scores
        How sure each pair is, above 0 to 1, (pair,).
    fingerprint
        Of the files and of what was read from them.
    """

    sets: dict[str, tuple[str, ...]]
    pairs: np.ndarray
    scores: np.ndarray
    fingerprint: str

    @property
    def genes(self) -> frozenset[str]:
        """Every gene that is in a set or in a pair."""
        in_sets = {gene for genes in self.sets.values() for gene in genes}
        return frozenset(in_sets | set(self.pairs.ravel().tolist()))


def read_knowledge(settings: KnowledgeSettings) -> Knowledge:
    """Read gene sets (GMT) and interactions (CSV with STRING's combined score).

    Raises
    ------
    IntakeError
        If a file is absent or does not hold what its format says, a set is named twice, or no
        pair has the smallest score.

    References
    ----------
    Szklarczyk et al. 2023, The STRING database in 2023 (doi:10.1093/nar/gkac1000); Milacic et al.
    2024, The Reactome pathway knowledgebase 2024 (doi:10.1093/nar/gkad1025); Liberzon et al. 2015,
    The molecular signatures database hallmark gene set collection
    (doi:10.1016/j.cels.2015.12.004).
    """
    root = Path(settings.root)
    digest = hashlib.sha256(repr(sorted((asdict(settings) | {"root": ""}).items())).encode())
    sets: dict[str, tuple[str, ...]] = {}
    for name in settings.sets:
        found, content = read_gene_sets(root / name)
        digest.update(content)
        for title, genes in found.items():
            if title in sets:
                raise IntakeError(
                    f"gene set '{title}' of '{name}' is also in another file of knowledge.sets: "
                    "name each set once"
                )
            sets[title] = genes
    content = _content(root, settings.interactions)
    digest.update(content)
    pairs, scores = _interactions(content, settings.interactions, settings.smallest_score)
    return Knowledge(sets, pairs, scores, digest.hexdigest())


def read_gene_sets(path: Path) -> tuple[dict[str, tuple[str, ...]], bytes]:
    """Return the sets of a GMT file by name, and the bytes they were read from.

    Raises
    ------
    IntakeError
        If the file is absent or is no GMT file.
    """
    content = _content(path.parent, path.name)
    return _gene_sets(content, path.name), content


def missing_file(settings: KnowledgeSettings) -> Path | None:
    """Return the first of the files that is not there."""
    paths = [Path(settings.root) / name for name in (*settings.sets, settings.interactions)]
    return next((path for path in paths if not path.is_file()), None)


def _content(root: Path, name: str) -> bytes:
    path = root / name
    if not path.is_file():
        raise IntakeError(
            f"file '{name}' of what is known of genes is not in '{root}': add it, or set "
            "knowledge.root (a modality's 'activity') to where it is"
        )
    content = path.read_bytes()
    if not name.endswith(".gz"):
        return content
    try:
        return inflated(content)
    except (OSError, EOFError, zlib.error) as error:
        raise IntakeError(
            f"file '{name}' is not a complete gzip file ({error}): fetch it again"
        ) from error


def _gene_sets(content: bytes, name: str) -> dict[str, tuple[str, ...]]:
    """Return the sets of a GMT file: a name, a note and at least one gene, separated by tabs."""
    found: dict[str, tuple[str, ...]] = {}
    for number, line in enumerate(_text(content, name).splitlines(), start=1):
        if not line.strip():
            continue
        title, *rest = (cell.strip() for cell in line.split("\t"))
        genes = tuple(dict.fromkeys(gene for gene in rest[1:] if gene))
        if not title or not genes:
            raise IntakeError(
                f"file '{name}', line {number}: found {1 + len(rest)} cells, expected a set's "
                "name, a note and its genes, separated by tabs: correct the line"
            )
        if title in found:
            raise IntakeError(
                f"file '{name}', line {number}: set '{title}' is there already: name each set once"
            )
        found[title] = genes
    if not found:
        raise IntakeError(f"file '{name}' holds no gene set, expected one on each line")
    return found


def _interactions(content: bytes, name: str, smallest: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs with at least the smallest score, and their scores from 0 to 1."""
    try:
        table = pd.read_csv(
            io.StringIO(_text(content, name)),
            dtype=dict.fromkeys(_COLUMNS[:2], str),
            keep_default_na=False,
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise IntakeError(
            f"file '{name}' is not a table of cells separated by commas: {error}"
        ) from error
    for column in _COLUMNS:
        if column not in table.columns:
            known = [str(each) for each in table.columns]
            raise IntakeError(f"file '{name}' has no column '{column}'{nearest(column, known)}")
    scores = pd.to_numeric(table["combined_score"], errors="coerce").to_numpy(dtype=float)
    wrong = ~((scores >= 0.0) & (scores <= _CERTAIN))
    if wrong.any():
        line = int(np.flatnonzero(wrong)[0]) + 2
        raise IntakeError(
            f"file '{name}', line {line}: combined_score is "
            f"'{table['combined_score'].iloc[line - 2]}', expected 0 to {_CERTAIN:g}: correct it"
        )
    pairs = np.sort(table[list(_COLUMNS[:2])].to_numpy(dtype=str), axis=1)
    kept = (scores >= smallest) & (pairs[:, 0] != pairs[:, 1]) & (pairs[:, 0] != "")
    if not kept.any():
        raise IntakeError(
            f"file '{name}' has no pair of genes with a score of at least {smallest:g} among "
            f"{len(scores)}: lower knowledge.smallest_score"
        )
    pairs, first = np.unique(pairs[kept], axis=0, return_index=True)
    return pairs, scores[kept][first] / _CERTAIN


def _text(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise IntakeError(
            f"file '{name}' is not UTF-8 text (byte {error.start}): fetch it again"
        ) from error
