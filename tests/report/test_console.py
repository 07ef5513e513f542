from __future__ import annotations

import io
import subprocess
import sys

import pytest

from omics_twin.report.console import Console, better_baseline, metrics_lines


def _cell(mean: float | None, sd: float | None = 0.004) -> dict[str, float | None]:
    return {"mean": mean, "sd": sd}


def _found(own: float, other: float) -> dict[str, object]:
    return {
        "endpoint": "pcr",
        "n": 987,
        "folds": 5,
        "repeats": 5,
        "model": {"auc": _cell(own), "brier": _cell(0.17)},
        "baselines": {"elastic_net": {"auc": _cell(other), "brier": _cell(0.18)}},
    }


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class _Ascii(io.StringIO):
    encoding = "ascii"


def test_quiet_silences_everything_but_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(quiet=True)
    with console.stage("training"):
        console.say("said")
        console.note("noted")
        console.progress("folds")(1, 1)
        console.metrics(_found(0.7, 0.6))
        console.warn("a patient is left out")
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == "warning: a patient is left out\n"


def test_a_stage_tells_its_title_and_its_time(capsys: pytest.CaptureFixture[str]) -> None:
    with Console().stage("training"):
        pass
    first, last = capsys.readouterr().out.splitlines()
    assert first == "training ..."
    assert last.startswith("training: ")
    assert last.endswith(" s")


def test_a_stage_that_fails_says_so_and_passes_the_error_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(ValueError, match="broken"), Console().stage("training"):
        raise ValueError("broken")
    assert "stopped by an error" in capsys.readouterr().out


def test_progress_in_a_file_is_sparse_and_ends(capsys: pytest.CaptureFixture[str]) -> None:
    step = Console().progress("patients")
    for done in range(1, 1001):
        step(done, 1000)
    lines = capsys.readouterr().out.splitlines()
    assert 5 <= len(lines) <= 7
    assert lines[-1] == "  patients: 1000 of 1000 (100 %)"


def test_progress_of_nothing_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    Console().progress("patients")(0, 0)
    assert capsys.readouterr().out == ""


def test_progress_on_a_terminal_is_one_line_that_other_lines_do_not_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    console = Console()
    step = console.progress("folds")
    step(1, 3)
    step(2, 3)
    console.say("between")
    step(3, 3)
    written = terminal.getvalue()
    assert written.count("\r") == 3
    assert "\nbetween\n" in written
    assert written.endswith("\n")


def test_the_table_is_aligned_and_marks_the_best_of_each_column() -> None:
    lines = metrics_lines(_found(0.761, 0.702))
    own = next(line for line in lines if line.startswith("omics_twin"))
    other = next(line for line in lines if line.startswith("elastic_net"))
    assert own.count("*") == 2
    assert other.count("*") == 0
    assert own.index("±") == other.index("±")
    assert not any("is better than" in line for line in lines)


def test_a_lower_brier_score_is_the_better_one() -> None:
    found = _found(0.7, 0.6)
    found["baselines"] = {"elastic_net": {"auc": _cell(0.6), "brier": _cell(0.1)}}
    other = next(line for line in metrics_lines(found) if line.startswith("elastic_net"))
    assert "0.100 ± 0.004 *" in other


def test_a_better_baseline_is_named_in_a_sentence() -> None:
    lines = metrics_lines(_found(0.70, 0.75))
    sentence = next(line for line in lines if "is better than" in line)
    assert "'elastic_net'" in sentence
    assert "0.750 against 0.700" in sentence


def test_a_difference_that_is_not_shown_names_no_winner() -> None:
    lines = metrics_lines(_found(0.70000, 0.70001))
    assert not any("is better than" in line for line in lines)
    assert sum("0.700 ± 0.004 *" in line for line in lines) == 2


def test_a_metric_that_is_not_known_is_said_to_be_unknown() -> None:
    found = _found(0.7, 0.6)
    found["baselines"] = {"mean_outcome": {"auc": _cell(None, None)}}
    assert any("not known" in line for line in metrics_lines(found))
    assert better_baseline({"m": {"auc": _cell(0.7)}, "b": {"auc": _cell(None)}}) is None


def test_truth_and_visits_are_told_where_they_are_known() -> None:
    found = _found(0.7, 0.6) | {
        "truth": {
            "model": {"captured": 0.4, "followed": 0.5},
            "baselines": {"elastic_net": {"captured": 0.3, "followed": 0.45}},
            "best_single_arm": 0.41,
            "own_best_arm": 0.62,
        },
        "by_visit": {
            "day 0": {"n": 300, "auc": _cell(0.7)},
            "day 21": {
                "n": 300,
                "auc": _cell(0.8),
                "baselines": {"logistic": {"auc": _cell(0.79)}},
            },
        },
    }
    text = "\n".join(metrics_lines(found))
    assert "captured >" in text
    assert "0.410" in text
    assert "0.620" in text
    assert "day 21 (n 300) omics_twin" in text
    assert "day 21 (n 300) logistic" in text


def test_a_cohort_of_parts_is_told_part_by_part() -> None:
    def beside(own: float, other: float) -> dict[str, object]:
        return {"model": _cell(own), "baselines": {"elastic_net": _cell(other)}}

    found = _found(0.7, 0.6) | {
        "by_part": {
            "metric": "auc",
            "parts": {
                "kidney": {"n": 300, **beside(0.61, 0.62)},
                "lung": {"n": 90, **beside(1, 0)},
            },
            "mean": beside(0.805, 0.31),
        }
    }
    lines = metrics_lines(found)
    start = lines.index("auc within each part; in the mean every part counts the same")
    header, _, own, other = lines[start + 1 : start + 5]
    assert " ".join(header.split()) == "kidney (n 300) > lung (n 90) > mean >"
    assert " ".join(own.split()) == "omics_twin 0.610 ± 0.004 1.000 ± 0.004 * 0.805 ± 0.004 *"
    assert " ".join(other.split()) == "elastic_net 0.620 ± 0.004 * 0.000 ± 0.004 0.310 ± 0.004"


def test_the_metrics_of_an_evaluation_have_no_baselines_and_no_spread(
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = {"auc": _cell(0.7, None)}
    Console().metrics({"endpoint": "pcr", "n": 3, "model": model, "baselines": {}})
    told = capsys.readouterr().out
    assert "pcr: 3 patients\n" in told
    assert "±" not in told


def test_a_terminal_without_the_sign_gets_it_spelled_out(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = _Ascii()
    monkeypatch.setattr(sys, "stdout", plain)
    Console().metrics(_found(0.7, 0.6))
    assert "0.700 +/- 0.004" in plain.getvalue()
    assert plain.getvalue().isascii()


def test_importing_the_console_loads_nothing_heavy() -> None:
    code = (
        "import sys, omics_twin.report.console; "
        "print({'torch', 'numpy', 'pandas'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "set()"
