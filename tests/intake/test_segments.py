"""A gene has the mean of the segments over it, weighted by how much of it each covers."""

from __future__ import annotations

import numpy as np
import pytest

from omics_twin.errors import IntakeError
from omics_twin.intake.segments import Stretches, gene_copy_numbers


def stretches(*rows: tuple[str, float, float]) -> Stretches:
    chromosome, start, end = zip(*rows, strict=True)
    return Stretches(chromosome, np.array(start, dtype=float), np.array(end, dtype=float))


def test_genes_have_what_counting_every_base_gives() -> None:
    generator = np.random.default_rng(0)
    rows, samples, ratios = [], [], []
    for sample in ("a", "b", "c"):
        for chromosome in ("1", "X"):
            borders = np.sort(generator.choice(np.arange(1, 500), 12, replace=False))
            for start, end in zip(borders[::2], borders[1::2], strict=True):
                rows.append((chromosome, start, end))
                samples.append(sample)
                ratios.append(generator.normal())
    starts = generator.integers(1, 480, size=40)
    positions = [(["1", "X"][g % 2], s, s + 3 + g) for g, s in enumerate(starts)]
    bases = {(s, c): np.full(700, np.nan) for s in "abc" for c in ("1", "X")}
    for sample, (chromosome, start, end), ratio in zip(samples, rows, ratios, strict=True):
        bases[sample, chromosome][start : end + 1] = ratio
    shuffled = generator.permutation(len(rows))
    names, found = gene_copy_numbers(
        [samples[i] for i in shuffled],
        stretches(*(rows[i] for i in shuffled)),
        np.array(ratios)[shuffled],
        stretches(*positions),
    )
    for name, values in zip(names, found, strict=True):
        for value, (chromosome, start, end) in zip(values, positions, strict=True):
            covered = bases[name, chromosome][start : end + 1]
            covered = covered[~np.isnan(covered)]
            expected = covered.mean() if len(covered) else np.nan
            np.testing.assert_allclose(value, expected, atol=1e-9)


def test_chromosomes_are_known_by_any_of_their_names() -> None:
    segments = stretches(("chrX", 1, 10), ("chr7", 1, 10), ("GL000192.1", 1, 10))
    genes = stretches(("23", 2, 3), ("7", 2, 3), ("GL000192.1", 2, 3))
    _, found = gene_copy_numbers(["a"] * 3, segments, np.array([1.0, 2.0, 3.0]), genes)
    np.testing.assert_allclose(found, [[1.0, 2.0, np.nan]])


def test_far_along_the_genome_nothing_is_lost() -> None:
    segments = stretches(("1", 1, 248_000_000), ("22", 50_000_000, 50_001_000))
    _, found = gene_copy_numbers(
        ["a", "a"], segments, np.array([7.3, -0.123456]), stretches(("22", 50_000_100, 50_000_200))
    )
    assert found[0, 0] == pytest.approx(-0.123456, abs=1e-6)


def test_a_segment_without_a_value_covers_nothing() -> None:
    segments = stretches(("1", 1, 10))
    names, found = gene_copy_numbers(["a"], segments, np.array([np.nan]), segments)
    assert names == ["a"]
    assert np.isnan(found).all()


def test_segments_that_overlap_or_end_before_they_start_are_refused() -> None:
    genes = stretches(("1", 1, 5))
    twice = stretches(("1", 1, 10), ("1", 10, 20))
    with pytest.raises(IntakeError, match="segments of sample 'a' overlap"):
        gene_copy_numbers(["a", "a"], twice, np.zeros(2), genes)
    with pytest.raises(IntakeError, match="segments, row 1: from 9 to 2"):
        gene_copy_numbers(["a"], stretches(("1", 9, 2)), np.zeros(1), genes)
