"""Kills, full disks, damaged and hostile files, in short; scripts/faults tries them at length."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from tests.conftest import SmallRun
from tests.faults import corruptions, full_disks, hostile, kills, others
from tests.faults.rows import Row

SITES = ("JSON", "model", "belief", "audit log", "audit key", "chart", "predict, p.csv")


# SQLite keeps no checksums: a bit that flips in a value is read as it stands (docs/faults.md).
UNSEALED = "chart in SQLite"


def check(*rows: Row) -> None:
    for row in rows:
        assert row.passed or (row.what == UNSEALED and not row.crashed), (row.what, row.told)


def test_nothing_acknowledged_is_lost_by_a_kill(tmp_path: Path) -> None:
    dice = Random(1)
    check(kills.of_the_audit_log(tmp_path / "audit", 8, dice))
    check(kills.of_a_belief(tmp_path, 8, dice))
    check(kills.of_the_chart(f"sqlite:///{tmp_path / 'chart.db'}", 4, dice))


@pytest.mark.parametrize(
    "damage",
    [
        lambda small, folder: corruptions.of_checkpoints(small.run, folder, 40, Random(1)),
        lambda small, folder: corruptions.of_a_model(small.model, folder, 25, Random(1)),
        lambda small, folder: [corruptions.of_the_chart(folder, 40, Random(1))],
        lambda small, folder: [corruptions.of_a_sealed_chart(folder, 20, Random(1))],
    ],
    ids=["checkpoint", "model", "chart", "sealed"],
)
def test_a_damaged_file_is_read_as_it_was_or_refused(
    damage: Callable[[SmallRun, Path], list[Row]], small_run: SmallRun, tmp_path: Path
) -> None:
    check(*damage(small_run, tmp_path))


@pytest.mark.parametrize("name", SITES)
def test_a_full_disk_leaves_what_was_there(name: str, small_run: SmallRun, tmp_path: Path) -> None:
    sites = {each.name: each for each in full_disks.sites(small_run.model, small_run.trial)}
    with full_disks.small_disk(tmp_path / "disk", 3_000) as disk:
        if disk is None:
            pytest.skip("nobody but root may mount a small disk: not filled")
        check(full_disks.of_a_site(sites[name], disk))


def test_two_at_once_lose_no_visit(tmp_path: Path) -> None:
    check(others.of_two_beliefs(tmp_path, 2))


def test_a_clock_that_jumps_changes_no_order(tmp_path: Path) -> None:
    check(others.of_the_clock(tmp_path, 100, Random(1)))


def test_no_payload_is_executed(small_run: SmallRun, tmp_path: Path) -> None:
    check(hostile.of_payloads(tmp_path, small_run.model, small_run.run, every=3))
    check(hostile.of_targets())


def test_no_path_and_no_link_leads_out_of_a_folder(small_run: SmallRun, tmp_path: Path) -> None:
    check(hostile.of_paths(tmp_path, small_run.model, small_run.run))


def test_no_absurd_size_is_believed(small_run: SmallRun, tmp_path: Path) -> None:
    check(hostile.of_sizes(tmp_path, small_run.model, small_run.run, bombs=False))
