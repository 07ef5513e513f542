from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from omics_twin.answers.patients import patients_in
from omics_twin.answers.rankings import ranking_lines, ranking_of
from omics_twin.errors import CohortError, ModelError
from omics_twin.report.comparison import compare
from omics_twin.report.forest import ticks
from omics_twin.report.patient import write_report
from omics_twin.report.words import Scale, marker_in_words, probability, visible
from omics_twin.settings import Reading, TwinSettings
from omics_twin.tracking import TrainedModel
from omics_twin.twin.calibration import Calibration
from omics_twin.twin.likeness import fit_likeness
from omics_twin.types import Endpoint

Writer = Callable[..., str]
HOSTILE = "<script>alert('x')</script>\"'&{{ 7*7 }}\u202e"
_LOADING = {"src", "href", "xlink:href", "action", "data", "poster", "srcset", "background"}


class _Reader(HTMLParser):
    """Collects tags, attributes, ids and the text outside of the style."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, text: str) -> None:
        if "style" not in self.open:
            self.words.append(text)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).replace("\xa0", " ").split())


def _text(page: str) -> str:
    return _Reader(page).text


def _rows(page: str) -> dict[str, str]:
    """Return the therapies' lines of the table by label."""
    body = page[page.index('id="numbers"') : page.index("</section>", page.index('id="numbers"'))]
    rows = {}
    for row in re.findall(r'<tr role="row">(.*?)</tr>', body, flags=re.S):
        label = re.search(r'role="rowheader">(.*?)<', row, flags=re.S)
        if label and "<td" in row:
            plain = unescape(re.sub(r"<[^>]+>", " ", row)).replace("\xa0", " ")
            rows[unescape(label[1]).strip()] = " ".join(plain.split())
    return rows


def test_the_page_says_first_that_it_is_for_research_only(written: Writer) -> None:
    text = _text(written())
    assert text.index("Research use only. Not a medical device") < text.index("Stratum")
    assert text.index("HR negative, HER2 negative") < text.index("In short")
    assert text.index("In short") < text.index("What was measured") < text.index("Therapies open")


def test_the_lines_of_the_page_are_the_ranking(written: Writer, make: type, tmp_path: Path) -> None:
    model, cohort = make.model(), make.cohort(["P-17"])
    ranking = ranking_of(model, cohort, make.believe(model, cohort)[0], TwinSettings())
    lines = [line for line in ranking_lines(ranking, 0, excluded=True) if line["eligible"]]
    rows = _rows(written(model))
    labels = [model.catalogue.labels[model.catalogue.arms.index(x["intervention"])] for x in lines]
    assert list(rows) == labels
    for line, label in zip(lines, labels, strict=True):
        assert f"{100 * line['expected']:.0f} % ({100 * line['lower']:.0f} to" in rows[label]
        assert probability(line["probability_best"]).replace("\xa0", " ") in rows[label]
        assert rows[label].endswith(f"received it: {line['support']}")


def test_a_therapy_that_is_not_open_is_told_with_its_reason_and_not_ranked(
    written: Writer,
) -> None:
    page = written()
    assert "Paclitaxel + pertuzumab + trastuzumab" not in _rows(page)
    reason = "no patient with HR negative, HER2 negative was assigned to it"
    assert f"Paclitaxel + pertuzumab + trastuzumab : {reason}" in _text(page)


def test_overlapping_therapies_are_not_put_in_an_order(written: Writer) -> None:
    text = _text(written())
    assert "The twin cannot clearly tell the 4 open therapies apart." in text
    assert "do not read an order into these" in text
    assert "Clearly worse" not in text


def test_therapies_whose_intervals_do_not_overlap_are_told_apart(
    make: type, written: Writer
) -> None:
    model = make.separated()
    cohort = make.cohort(["P-17"])
    belief = make.believe(model, cohort)[0]
    found = compare(model, belief, ranking_of(model, cohort, belief, TwinSettings()))
    first = found.opened[0]
    assert first.label == "Paclitaxel + pembrolizumab"
    assert found.separate[-1].label == "Paclitaxel + neratinib"
    assert "One therapy stands apart from the others." in _text(written(model))
    for each in found.separate:
        assert each.upper < first.lower
        assert each.difference_upper < 0
    for each in found.tied[1:]:
        assert each.upper >= first.lower or each.difference_upper >= 0
    assert list(found.opened) == [*found.tied, *found.separate]


def test_a_difference_that_leaves_out_zero_while_the_intervals_overlap_is_called_a_hint(
    make: type, written: Writer
) -> None:
    model, cohort = make.separated(prognosis=1.0, effect=0.2), make.cohort(["P-17"])
    belief = make.believe(model, cohort)[0]
    found = compare(model, belief, ranking_of(model, cohort, belief, TwinSettings()))
    assert len(found.leaning) > 0
    assert all(each.tied and each.difference_upper < 0 for each in found.leaning)
    said = f"For {len(found.leaning)} of those not clearly different the interval of the difference"
    assert said in _text(written(model))


def test_the_difference_is_that_of_the_expected_values(make: type) -> None:
    model, cohort = make.model(), make.cohort(["P-17"])
    belief = make.believe(model, cohort)[0]
    found = compare(model, belief, ranking_of(model, cohort, belief, TwinSettings()))
    for each in found.opened:
        assert each.difference == pytest.approx(each.expected - found.opened[0].expected, abs=1e-5)
        assert each.difference_lower <= each.difference <= each.difference_upper


def test_where_lower_is_better_the_lowest_comes_first(make: type, written: Writer) -> None:
    model = make.model()
    lower = replace(model, endpoint=replace(model.endpoint, higher_is_better=False))
    upwards, downwards = list(_rows(written(model))), list(_rows(written(lower)))
    assert downwards == upwards[::-1]
    text = _text(written(lower))
    assert "Lower is better" in text
    assert "has the lowest expected chance" in text


def test_thin_support_is_flagged(written: Writer) -> None:
    page = written()
    assert "thin support" in _rows(page)["Paclitaxel + neratinib"]
    assert "thin support" not in _rows(page)["Paclitaxel (control)"]
    assert "Fewer than 10 training patients of this stratum received" in _text(page)


def test_a_ranking_with_thin_support_throughout_is_not_to_be_relied_on(
    written: Writer, make: type
) -> None:
    model = make.model()
    thin = replace(model, catalogue=replace(model.catalogue, thin_support=500))
    text = _text(written(thin))
    assert "Do not rely on this order: every open therapy has thin support." in text
    assert "No therapy is recommended:" in text
    assert "of the stratum received the first, too few." in text


def test_a_patient_unlike_the_training_patients_is_told_first(written: Writer, make: type) -> None:
    model = make.model()
    cohort = make.cohort([f"P-{number}" for number in range(200)])
    values = patients_in(model, cohort).matrices.values
    assert "is not tested" in _text(written(model))
    alike = _text(written(replace(model, likeness=fit_likeness(values))))
    assert "not more unusual than in 99 % of the training patients" in alike
    elsewhere = fit_likeness({name: each + 100.0 for name, each in values.items()})
    unlike = _text(written(replace(model, likeness=elsewhere)))
    assert "more unusual than in 99 % of the training patients (" in unlike
    assert "the answer is an extrapolation" in unlike
    assert unlike.index("more unusual") < unlike.index("Therapies open to this patient")


def test_a_doubtful_first_therapy_is_not_recommended_over_the_usual_one(
    written: Writer, make: type
) -> None:
    model = make.model()
    # The other way round, the usual therapy is the last; no support is called thin.
    model = replace(
        model,
        endpoint=replace(model.endpoint, higher_is_better=False),
        catalogue=replace(model.catalogue, thin_support=0),
    )
    text = _text(written(model, confidence=1.0))
    usual = "Paclitaxel (control)"
    assert "No therapy is recommended: the belief that the first is better than" in text
    assert f"{usual}, which most of the stratum received" in text
    assert "No therapy is recommended" not in _text(written(model, confidence=0.0))


def test_a_calibrated_model_says_how_often_its_intervals_held(written: Writer, make: type) -> None:
    model = make.model()
    after = {"expected": {"coverage": 0.91}, "benefit": {"coverage": 0.9}}
    performance = {"n": 5, "model": {}, "baselines": {}, "calibration": {"copy": {"after": after}}}
    calibrated = replace(
        model,
        calibration=Calibration(spread=1.5, fitted=True),
        provenance={**model.provenance, "performance": performance},
    )
    told = "held 91 % of expected values and 90 % of differences between two therapies"
    assert told in _text(written(calibrated))
    assert "not a guaranteed coverage" in _text(written(model))


def test_without_an_open_therapy_the_page_abstains_and_says_why(written: Writer) -> None:
    page = written(cohort={"strata": ("1", pd.NA)})
    text = _text(page)
    assert "No ranking" in text
    assert "Reason: no training patient with HR positive, HER2 not measured." in text
    assert "The stratum itself is incomplete" in text
    assert 'id="numbers"' not in page


def test_what_is_missing_is_told(written: Writer) -> None:
    text = _text(written(cohort={"without": ("expression",)}))
    assert "Not measured at baseline: expression." in text
    assert "Not measured in this patient: expression." in text
    assert "0 of 4 (0 %)" in text


def test_a_visit_that_was_not_shown_to_the_twin_is_marked(written: Writer) -> None:
    assert "measured, not shown to the twin" in _text(written())
    later = _text(written(as_of_days=30.0))
    assert "measured, not shown to the twin" not in later
    assert "visits up to day 21, while on Paclitaxel (control)" in later


def test_a_patient_of_the_training_cohort_is_told_to_be_one(written: Writer) -> None:
    assert "this patient is new to the twin" in _text(written())
    assert "seen by every member: the numbers are optimistic" in _text(
        written(patient="TRAINING-3")
    )


def test_survival_is_told_in_months_and_percent(written: Writer, make: type) -> None:
    page = written(make.model(kind="time_to_event"))
    for row in _rows(page).values():
        months, share = re.search(r"Expected: ([\d.]+) months .*? (\d+) % \(", row).groups()
        assert float(months) == pytest.approx(24.0 * int(share) / 100, abs=0.18)
    assert "surrogate" not in _text(page)


def test_the_held_out_performance_names_a_better_baseline(written: Writer, make: type) -> None:
    text = _text(written())
    assert "0.761 ± 0.004" in text
    assert "elastic net, predicts better than this twin on AUC: 0.772 against 0.761" in text
    model = make.model()
    bare = {k: v for k, v in model.provenance.items() if k != "performance"}
    assert "not recorded with this model" in _text(written(replace(model, provenance=bare)))


@pytest.mark.parametrize(
    ("title", "said"),
    [
        ("An adaptively randomised trial", "causal only as far as"),
        ("A non-randomised series", "not described as randomised"),
        ("A series of patients", "not described as randomised"),
    ],
)
def test_confounding_is_judged_by_the_cohorts_description(
    written: Writer, make: type, title: str, said: str
) -> None:
    model = make.model()
    page = written(replace(model, provenance={**model.provenance, "cohort_title": title}))
    assert said in _text(page)


def test_provenance_is_on_the_page(written: Writer) -> None:
    text = _text(written())
    for each in (
        "small_twin",
        "abc123def456",
        "0123456789abcdef",
        "2026-01-15",
        "seed 7, 240 draws",
    ):
        assert each in text


def test_a_hostile_identifier_is_text(written: Writer) -> None:
    page = written(patient=HOSTILE)
    reader = _Reader(page)
    assert "script" not in reader.tags
    assert "<script>alert('x')</script>\"'&{{ 7*7 }}\\u202e" in reader.text
    assert "\u202e" not in page


def test_a_hostile_model_is_text(written: Writer, make: type) -> None:
    model = make.model()
    hostile = "<img src=x onerror=alert(1)>"
    page = written(
        replace(
            model,
            title=hostile,
            catalogue=replace(model.catalogue, labels=(hostile,) * 5),
            provenance={**model.provenance, "cohort_title": hostile, "commit": hostile},
        )
    )
    assert "img" not in _Reader(page).tags


def test_a_hostile_gene_set_is_text(written: Writer, make: type) -> None:
    page = written(graph=make.graph(HOSTILE, "<img src=x onerror=alert(1)>"))
    reader = _Reader(page)
    assert not {"script", "img"} & set(reader.tags)
    assert "\u202e" not in page
    assert "<img src=x onerror=alert(1)>" in reader.text


def test_the_page_is_self_contained(written: Writer, make: type) -> None:
    page = written(graph=make.graph())
    reader = _Reader(page)
    assert not {"script", "link", "img", "iframe", "object", "embed"} & set(reader.tags)
    assert not [name for name, _ in reader.attributes if name in _LOADING or name.startswith("on")]
    assert "http:" not in page
    assert "https:" not in page
    assert "url(" not in page
    assert "@import" not in page
    assert reader.open == []


def test_the_page_can_be_read_aloud(written: Writer, make: type) -> None:
    page = written(graph=make.graph())
    reader = _Reader(page)
    ids = [value for name, value in reader.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    named = {
        each
        for name, value in reader.attributes
        if name in ("aria-labelledby", "aria-describedby")
        for each in value.split()
    }
    assert named <= set(ids)
    assert '<html lang="en-GB">' in page
    assert reader.tags.count("h1") == 1
    assert page.count("<th ") == page.count("scope=")
    assert "<desc" in page


def test_no_other_patient_is_on_the_page(written: Writer) -> None:
    assert "TRAINING-" not in written()


def test_a_page_is_about_one_patient(make: type, tmp_path: Path) -> None:
    model, cohort = make.model(), make.cohort(["P-1", "P-2"])
    belief = iter(make.believe(model, cohort))
    with pytest.raises(CohortError, match="holds 2"):
        write_report(model, cohort, belief, tmp_path / "page.html")


def test_a_belief_about_another_patient_is_refused(make: type, tmp_path: Path) -> None:
    model = make.model()
    other = iter(make.believe(model, make.cohort(["P-2"])))
    with pytest.raises(CohortError, match="not about the patient"):
        write_report(model, make.cohort(["P-1"]), other, tmp_path / "page.html")
    with pytest.raises(CohortError, match="not about the patient"):
        write_report(model, make.cohort(["P-1"]), iter([]), tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_an_answer_that_is_not_a_number_is_refused(make: type, tmp_path: Path) -> None:
    model: TrainedModel = make.model()
    model.twin.network.outcome.regimen.codes.data.fill_(float("nan"))
    cohort = make.cohort(["P-1"])
    with pytest.raises(ModelError, match="no finite answer"):
        write_report(model, cohort, iter(make.believe(model, cohort)), tmp_path / "page.html")


@pytest.mark.parametrize(
    ("lowest", "highest"),
    [
        (0.0, 100.0),
        (33.2, 33.9),
        (50.0, 50.0),
        (0.0, 0.0),
        (-3.0, 4.0),
        (0.001, 0.0013),
        (17.0, 24.0),
    ],
)
def test_the_axis_encloses_what_is_drawn(lowest: float, highest: float) -> None:
    marks = ticks(lowest, highest)
    assert marks[0] <= lowest + 1e-9
    assert marks[-1] >= highest - 1e-9
    assert 2 <= len(marks) <= 7
    assert marks == sorted(set(marks))


def test_markers_are_told_as_a_clinician_would() -> None:
    assert marker_in_words("her2_positive", "1") == "HER2 positive"
    assert marker_in_words("her2_positive", "0") == "HER2 negative"
    assert marker_in_words("her2_positive", "not measured") == "HER2 not measured"
    assert marker_in_words("mammaprint_ultra_high", "0") == "not MammaPrint ultra high"
    assert visible("a\x00b") == "a\\u0000b"


def test_a_continuous_endpoint_keeps_its_unit() -> None:
    endpoint = Endpoint("volume", "volume", 21.0, False, Reading.VALUE_AT_HORIZON)
    scale = Scale.of(endpoint, "continuous", "cm3")
    assert scale.value(3.14159) == "3.14 cm3"
    assert scale.difference(-0.001) == "0.00 cm3"
    assert scale.difference(-1.0) == "\N{MINUS SIGN}1.00 cm3"


def test_a_browser_reads_the_page_and_runs_nothing(
    written: Writer, make: type, tmp_path: Path
) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no chromium is installed: the page was not opened in a browser")
    page = tmp_path / "hostile.html"
    page.write_text(written(patient=HOSTILE, graph=make.graph()), encoding="utf-8")
    command = [
        chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        "--disable-background-networking", f"--user-data-dir={tmp_path / 'profile'}",
        "--enable-logging=stderr", "--dump-dom", page.as_uri(),
    ]  # fmt: skip
    answer = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "Content Security Policy" not in answer.stderr
    dom = _Reader(answer.stdout)
    assert "script" not in dom.tags
    assert "Paclitaxel (control)" in dom.text
    assert HOSTILE[:-1] in dom.text
