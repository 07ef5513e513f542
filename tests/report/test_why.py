from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from html import unescape

import pytest
import torch

from omics_twin.answers.beliefs import Belief
from omics_twin.answers.patients import patients_in
from omics_twin.answers.rankings import ranking_of
from omics_twin.cohort.cohort import Cohort
from omics_twin.evaluate.effect_plot import effect_figure
from omics_twin.report.bars import bars, curves
from omics_twin.report.comparison import compare
from omics_twin.report.drivers import Part, answer_of, drivers_of, part_of, shown_to
from omics_twin.report.effects import effect_summary
from omics_twin.report.history import history_of
from omics_twin.settings import TwinSettings
from omics_twin.therapy.catalogue import Catalogue
from omics_twin.tracking import TrainedModel

Writer = Callable[..., str]
SETTINGS = TwinSettings(draws=240, seed=7)


def section(page: str, name: str) -> str:
    """Return the words of a section of the page; empty if it is not there."""
    found = re.search(rf'<section aria-labelledby="{name}">(.*?)</section>', page, flags=re.S)
    plain = unescape(re.sub(r"<[^>]+>", " ", found[1])) if found else ""
    return " ".join(plain.replace("\xa0", " ").split())


def asked(make: type, *, as_of_days: float = 0.0) -> tuple[TrainedModel, Cohort, Belief]:
    """Return a model, a patient and the belief about them."""
    model, cohort = make.model(), make.cohort(["P-17"])
    return model, cohort, make.believe(model, cohort, as_of_days=as_of_days)[0]


@pytest.mark.parametrize("kind", ["binary", "time_to_event"])
def test_the_drivers_add_up_to_the_difference_on_the_page(make: type, kind: str) -> None:
    model, cohort = make.model(kind=kind), make.cohort(["P-17"])
    belief = make.believe(model, cohort)[0]
    shown = shown_to(model, patients_in(model, cohort), belief)
    found = drivers_of(model, belief, shown, "Pembro", "Ctr")
    added = sum(each.part.mean for each in found.drivers)
    assert found.total.mean == pytest.approx(added, abs=1e-5)
    assert sum(each.part.mean for each in found.modalities) == pytest.approx(added, abs=1e-5)
    assert found.end == pytest.approx(answer_of(model, belief, "Pembro", "Ctr"), abs=2e-5)


def test_every_measured_column_has_its_part_and_no_other(make: type) -> None:
    model = make.model()
    cohort = make.cohort(["P-17"], without=("expression",))
    belief = make.believe(model, cohort)[0]
    found = drivers_of(
        model, belief, shown_to(model, patients_in(model, cohort), belief), "Pembro", "Ctr"
    )
    assert {each.label for each in found.drivers} == {"age years", "tumour grade", "ki67"}
    assert [each.label for each in found.modalities] == ["clinical"]


def test_turning_the_question_around_turns_the_reasons_around(make: type) -> None:
    model, cohort, belief = asked(make)
    shown = shown_to(model, patients_in(model, cohort), belief)
    ahead = drivers_of(model, belief, shown, "Pembro", "Ctr")
    back = drivers_of(model, belief, shown, "Ctr", "Pembro")
    lower = replace(model, endpoint=replace(model.endpoint, higher_is_better=False))
    turned = drivers_of(lower, belief, shown, "Pembro", "Ctr")
    for each, other, third in zip(ahead.drivers, back.drivers, turned.drivers, strict=True):
        assert each.part.mean == pytest.approx(-other.part.mean, abs=1e-6)
        assert each.part.mean == pytest.approx(-third.part.mean, abs=1e-6)


def test_the_spread_of_a_part_is_widened_as_draws_are() -> None:
    members = torch.tensor([0.1, 0.2, 0.3, 0.4])
    narrow, wide = part_of(members, 1.0, 0.9), part_of(members, 3.0, 0.9)
    assert wide.mean == pytest.approx(narrow.mean)
    assert wide.upper - wide.lower == pytest.approx(3.0 * (narrow.upper - narrow.lower))
    assert narrow.clear
    assert not wide.clear


def test_the_page_says_what_speaks_for_the_first_over_the_second(
    make: type, written: Writer
) -> None:
    model, cohort, belief = asked(make)
    first, second = compare(model, belief, ranking_of(model, cohort, belief, SETTINGS)).opened[:2]
    words = section(written(model), "why")
    assert words.startswith(f"What speaks for {first.label} over {second.label}")
    assert "The model's reasons, not causes." in words
    assert "this is why the twin leans to one of them, not a reason to choose it" in words
    assert "members disagree" in words
    found = drivers_of(
        model, belief, shown_to(model, patients_in(model, cohort), belief), first.arm, second.arm
    )
    for each in found.drivers[:3]:
        assert f"{each.label} ({each.modality})" in words


def test_with_one_therapy_open_there_is_nothing_to_explain(make: type, written: Writer) -> None:
    model = make.model()
    key = next(iter(model.support.counts))
    alone = replace(model, support=replace(model.support, counts={key: {"Ctr": 50}}))
    page = written(alone)
    assert section(page, "why") == ""
    assert "Only one therapy is open" in page
    assert "Expected chance of pathological complete response under Paclitaxel (control)" in page
    assert "robability of being best" not in page
    assert "Difference to the first" not in page


def test_where_only_one_therapy_is_known_the_page_compares_nothing(
    make: type, written: Writer
) -> None:
    model = make.model()
    catalogue = Catalogue("none", ("Ctr",), ("Treated as seen fit",), (("paclitaxel",),), 10)
    page = written(replace(model, catalogue=catalogue))
    assert "<h1>What the twin expects for patient" in page
    assert "Therapies compared" not in page
    assert "No therapy is recommended: only one therapy is known" in page
    assert "Only one therapy is open" not in page
    assert section(page, "ranked").startswith("Expected outcome")


def test_how_the_ranking_moved_is_told_where_there_was_a_visit(written: Writer) -> None:
    assert section(written(), "moved") == ""
    assert section(written(cohort={"without": ("mri@21",)}, as_of_days=30.0), "moved") == ""
    words = section(written(as_of_days=30.0), "moved")
    assert "all of them while on Paclitaxel (control)" in words
    assert "baseline" in words
    assert "day 21 Expected under Paclitaxel (control):" in words
    assert "volume" in words


def test_what_a_visit_changed_is_the_difference_between_the_answers(make: type) -> None:
    model, cohort, belief = asked(make, as_of_days=30.0)
    history = history_of(model, patients_in(model, cohort), belief, SETTINGS, ("Pembro", "VC"))
    assert history is not None
    before, after = history.steps
    assert (before.day, after.day) == (0.0, 21.0)
    assert before.under_received is None
    change, label = after.under_received, history.received
    assert change.total == pytest.approx(after.expected[label] - before.expected[label], abs=1e-5)
    assert change.total == pytest.approx(change.by_values + change.by_visit)
    assert change.by_values == pytest.approx(sum(x.part.mean for x in change.drivers), abs=1e-5)
    assert {each.visit for each in change.drivers} == {"day 21"}
    between = [step.expected[history.pair[0]] - step.expected[history.pair[1]]
               for step in history.steps]  # fmt: skip
    assert after.between.total == pytest.approx(between[1] - between[0], abs=1e-5)
    assert set(history.drawn) <= set(after.expected)


def test_a_visit_after_the_day_asked_about_is_not_looked_at(make: type) -> None:
    model, cohort, belief = asked(make, as_of_days=5.0)
    assert history_of(model, patients_in(model, cohort), belief, SETTINGS, ("Pembro", "VC")) is None


def test_the_summary_over_a_cohort_is_plain_and_leaves_out_what_is_never_open(make: type) -> None:
    model, cohort = make.model(), make.cohort([f"P-{number}" for number in range(40)])
    found = effect_summary(model, cohort, SETTINGS, most_patients=25)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["patients"] == 25
    assert [each["arm"] for each in found["arms"]] == ["Ctr", "N", "Pembro", "VC"]
    for arm in found["arms"]:
        assert arm["patients"] == 25
        sizes = [each["size"] for each in arm["features"]]
        assert sizes == sorted(sizes, reverse=True)
        assert {each["channel"] for each in arm["features"]} == {"clinical", "expression"}
        assert all(each["slope_spread"] > 0 for each in arm["features"])
    # Each arm is compared with the mean of the others, so the benefits of all arms sum to zero.
    slopes = [
        sum(each["slope"] for arm in found["arms"] for each in arm["features"]
            if each["feature"] == "ESR1")
    ]  # fmt: skip
    assert slopes[0] == pytest.approx(0.0, abs=1e-5)


def test_where_lower_is_better_the_slopes_of_the_summary_turn(make: type) -> None:
    model, cohort = make.model(), make.cohort([f"P-{number}" for number in range(20)])
    lower = replace(model, endpoint=replace(model.endpoint, higher_is_better=False))
    one, other = (effect_summary(each, cohort, SETTINGS) for each in (model, lower))
    for arm, turned in zip(one["arms"], other["arms"], strict=True):
        for each, back in zip(arm["features"], turned["features"], strict=True):
            assert each["slope"] == pytest.approx(-back["slope"], abs=1e-7)


def test_the_summary_is_drawn_with_a_row_for_each_measurement(make: type) -> None:
    model, cohort = make.model(), make.cohort([f"P-{number}" for number in range(20)])
    figure = effect_figure(effect_summary(model, cohort, SETTINGS), features=5)
    assert len(figure.axes[0].get_yticklabels()) == 5
    assert len(figure.axes[0].get_xticklabels()) == 4


def test_bars_lie_on_their_side_of_the_middle_line() -> None:
    drawn = bars([("a", "+1", Part(1.0, -1.0, 3.0)), ("b", "-2", Part(-2.0, -4.0, -1.0))], 1.0)
    right, left = drawn.rows
    assert right.start == drawn.zero
    assert left.start + left.width == pytest.approx(drawn.zero, abs=1e-2)
    assert (right.favours, right.clear) == (True, False)
    assert (left.favours, left.clear) == (False, True)
    for row in drawn.rows:
        assert 0.0 <= row.lower <= row.start + row.width
        assert row.upper <= 100.0


def test_curves_stay_inside_the_frame_also_where_nothing_moves() -> None:
    drawn = curves(["baseline"], [("A", [(0.5, 0.5, 0.5)])])
    assert all(0.0 <= place <= 100.0 for point in drawn.curves[0].points for place in point)
