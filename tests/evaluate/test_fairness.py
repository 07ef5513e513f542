"""Groups are compared, with intervals; small ones are not shown; chance is not called a gap."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from omics_twin.errors import CohortError
from omics_twin.evaluate.fairness import (
    Measure,
    coverage_by_group,
    shown_gaps,
    subgroup_rows,
)
from omics_twin.evaluate.fairness_plot import subgroup_figure
from omics_twin.evaluate.influence import Estimate, auc_of, mean_of

LEAST = {"least_shown": 10, "least_tested": 50}


def _measure(values: np.ndarray, name: str = "gain") -> Measure:
    return Measure(name, np.isfinite(values), lambda rows: mean_of(values[rows]))


def _group(*sizes: int) -> list[str | None]:
    return [f"g{index}" for index, size in enumerate(sizes) for _ in range(size)]


def test_a_planted_gap_is_the_first_that_is_shown() -> None:
    rng = np.random.default_rng(0)
    labels = _group(100, 100, 100, 100)
    score = rng.uniform(size=400)
    told = score.copy()
    told[:100] = rng.uniform(size=100)
    outcome = (rng.uniform(size=400) < score).astype(float)
    measure = Measure("auc", np.ones(400, dtype=bool), lambda r: auc_of(told[r], outcome[r]))
    rows = subgroup_rows({"place": labels}, [measure], **LEAST)
    # The others differ from a rest that holds the planted group, but by less.
    first, *rest = shown_gaps(rows)
    assert first["group"] == "g0"
    assert first["upper"] < 0.0
    assert all(each["difference"] > 0.0 for each in rest)
    cell = rows[1]["measures"]["auc"]
    assert cell["lower"] < 0.5 < cell["upper"]


def test_without_a_gap_none_is_called_but_by_chance() -> None:
    rng = np.random.default_rng(1)
    called = 0
    for _ in range(80):
        labels = {str(each): rng.permutation(_group(60, 60, 80)).tolist() for each in range(3)}
        rows = subgroup_rows(labels, [_measure(rng.normal(size=200))], **LEAST)
        called += bool(shown_gaps(rows))
    # Where no gap is true, the share of false ones is the chance of any: 5 %, to about 2.5 %.
    assert called / 80 < 0.12


def test_of_a_small_group_nothing_is_told_not_even_its_size() -> None:
    values = np.arange(109.0)
    rows = subgroup_rows({"race": _group(100, 9)}, [_measure(values)], **LEAST)
    small = rows[-1]
    assert small["suppressed"]
    assert small["patients"] is None
    assert not small["measures"]
    assert not small["gaps"]
    assert "9" not in str({key: small[key] for key in small if key != "group"})


def test_a_group_of_few_is_shown_with_its_interval_and_not_tested() -> None:
    rows = subgroup_rows({"race": _group(100, 20)}, [_measure(np.arange(120.0))], **LEAST)
    few = rows[-1]
    assert few["patients"] == 20
    assert few["measures"]["gain"]["lower"] < few["measures"]["gain"]["value"]
    assert few["gaps"] == {}
    # The larger group has too few others.
    assert rows[1]["gaps"] == {}


def test_a_gap_is_the_group_less_the_others_with_the_p_value_of_welch() -> None:
    from scipy.stats import ttest_ind

    rng = np.random.default_rng(2)
    values = np.concatenate([rng.normal(0.3, 2.0, 80), rng.normal(size=120)])
    gap = subgroup_rows({"sex": _group(80, 120)}, [_measure(values)], **LEAST)[1]["gaps"]["gain"]
    welch = ttest_ind(values[:80], values[80:], equal_var=False)
    assert gap["difference"] == pytest.approx(values[:80].mean() - values[80:].mean())
    assert gap["p"] == pytest.approx(welch.pvalue)
    assert gap["lower"] == pytest.approx(welch.confidence_interval(0.95).low)
    assert gap["adjusted_p"] >= gap["p"]


def test_within_a_cluster_group_and_others_are_compared_with_each_other() -> None:
    from scipy.stats import ttest_rel

    rng = np.random.default_rng(5)
    clusters = np.tile(np.arange(5), 40)
    values = 0.7 * rng.normal(size=5)[clusters] + 0.1 * rng.normal(size=200)
    measure = Measure(
        "held",
        np.ones(200, dtype=bool),
        lambda rows: replace(mean_of(values[rows]), clusters=clusters[rows]),
    )
    rows = subgroup_rows({"sex": _group(100, 100)}, [measure], **LEAST)
    gap = rows[1]["gaps"]["held"]
    means = values.reshape(2, 20, 5).mean(axis=1)
    # Clusters of equal size: the difference of means, cluster by cluster.
    assert gap["p"] == pytest.approx(ttest_rel(means[0], means[1]).pvalue)
    assert gap["upper"] - gap["lower"] < 0.2
    assert rows[1]["measures"]["held"]["upper"] - rows[1]["measures"]["held"]["lower"] > 0.4


def test_unknown_is_a_group_of_its_own_and_comes_last() -> None:
    labels: list[str | None] = [None] * 20 + ["z"] * 60
    rows = subgroup_rows({"race": labels, "same": ["a"] * 80}, [_measure(np.ones(80))], **LEAST)
    assert [(row["attribute"], row["group"]) for row in rows] == [
        ("everyone", "all"),
        ("race", "z"),
        ("race", "not known"),
    ]


def test_what_cannot_be_judged_says_why() -> None:
    def none(rows: np.ndarray) -> Estimate:
        raise CohortError("all outcomes are the same")

    known = np.arange(100) < 65
    rows = subgroup_rows(
        {"sex": _group(60, 40)},
        [
            Measure("auc", np.ones(100, dtype=bool), none),
            Measure("few", known, lambda r: mean_of(r * 1.0)),
        ],
        **LEAST,
    )
    assert rows[1]["not_judged"] == {"auc": "all outcomes are the same"}
    assert rows[2]["not_judged"]["few"] == "fewer than 10 patients"


def test_coverage_names_the_groups_that_are_more_than_three_points_away() -> None:
    inside = np.concatenate([np.tile([1.0] * 9 + [0.0], 10), np.tile([1.0, 1.0, 1.0, 0.0], 25)])
    measure = Measure("held", np.ones(200, dtype=bool), lambda r: mean_of(inside[r], share=True))
    rows = subgroup_rows({"site": _group(100, 100)}, [measure], **LEAST)
    told = coverage_by_group(rows, {"held": 0.9, "absent": 0.9}, 50)["held"]
    assert told["groups"] == 3
    assert told["furthest_group"] == "site: g1"
    assert told["furthest"] == pytest.approx(-0.15)
    assert set(told["beyond"]) == {"everyone: all", "site: g1"}
    assert told["beyond"]["site: g1"]["beyond_chance"]


def test_every_group_that_is_shown_has_a_line_in_the_figure() -> None:
    values = np.random.default_rng(3).normal(size=129)
    measures = [_measure(values), _measure(values + 1.0, "policy_value")]
    rows = subgroup_rows({"race": _group(60, 60, 9)}, measures, **LEAST)
    figure = subgroup_figure(rows, {"coverage": {}})
    labels = [each.get_text() for each in figure.axes[0].get_yticklabels()]
    assert labels == ["everyone (129)", "race: g0 (60)", "race: g1 (60)"]
    assert len(figure.axes) == 2
