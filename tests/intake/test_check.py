"""Files are checked before they are used: every finding, one exit status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from omics_twin.cli import main
from omics_twin.errors import ConfigError
from omics_twin.intake.check import check
from omics_twin.intake.declaration import CohortDeclaration
from omics_twin.intake.findings import CheckReport, error, listed, warning
from omics_twin.intake.settings import Format, IntakeSettings


def test_errors_refuse_and_warnings_do_not() -> None:
    report = CheckReport("a", {}, (error("a", 1, "bad"), warning("a", None, "odd")))
    assert [each.sentence for each in report.errors] == ["bad"]
    assert [str(each) for each in report.warnings] == ["warning: a: odd"]


def test_a_long_list_says_how_much_it_leaves_out() -> None:
    found = [error("a", line, "bad") for line in range(5)]
    assert listed(found, most=2) == [
        "error: a:0: bad",
        "error: a:1: bad",
        "and 3 more: add output=FILE.json for all",
    ]


def test_tables_as_declared_are_as_they_should_be(study: CohortDeclaration) -> None:
    report = check(IntakeSettings(format=Format.TABLES), study)
    assert report.findings == ()
    assert report.counted == {"patients": 4, "channels": 5}


def test_a_table_that_is_not_as_declared_is_refused(study: CohortDeclaration) -> None:
    table = Path(study.root) / "expression.csv"
    table.write_text(table.read_text().replace("P2", "P9"))
    [found] = check(IntakeSettings(format=Format.TABLES), study).errors
    assert "patients 'P9' who are not in the roster" in found.sentence


def test_the_report_is_a_file_and_the_exit_status_says_whether_it_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "report.json"
    asked = ["check", "intake=tables", "cohort=oak", f"data_root={tmp_path}", f"output={output}"]
    assert main(asked) == 1
    told = capsys.readouterr()
    assert "is refused for 1 reason, listed above" in told.err
    [finding] = json.loads(output.read_text())["findings"]
    assert finding["sentence"] in told.out


def test_what_cannot_be_checked_is_said() -> None:
    with pytest.raises(ConfigError, match="intake=synthetic is not read from files"):
        check(IntakeSettings(), CohortDeclaration())
