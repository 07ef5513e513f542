"""What the page says of pathways and genes, and where it says nothing of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
import torch

from omics_twin.answers.beliefs import Belief
from omics_twin.answers.patients import patients_in
from omics_twin.answers.rankings import ranking_of
from omics_twin.cohort.cohort import Cohort
from omics_twin.intake.settings import KnowledgeSettings
from omics_twin.report.comparison import Comparison, compare
from omics_twin.report.console import Console
from omics_twin.report.drivers import drivers_of, shown_to
from omics_twin.report.genes import Genes, genes_of, known_genes
from omics_twin.report.module import module_plot
from omics_twin.report.words import Scale
from omics_twin.settings import TwinSettings
from omics_twin.tensors.design import Design
from omics_twin.tensors.graph import GeneGraph
from omics_twin.tracking import TrainedModel
from omics_twin.twin.genes import GeneModule
from omics_twin.twin.neural import Membership, NeuralTwin
from tests.twins import channel

Writer = Callable[..., str]
SETTINGS = TwinSettings(draws=240, seed=7)
GENES = {"ESR1", "PGR", "ERBB2", "MKI67"}


def section(page: str, name: str) -> str:
    """Return a section of the page; empty if it is not there."""
    found = re.search(rf'<section aria-labelledby="{name}">(.*?)</section>', page, flags=re.S)
    return found[1] if found else ""


def words(page: str, name: str = "genes") -> str:
    """Return the words of a section of the page."""
    plain = unescape(re.sub(r"<[^>]+>", " ", section(page, name)))
    return " ".join(plain.replace("\xa0", " ").split())


def asked(
    make: type, model: TrainedModel | None = None, patient: str = "P-17"
) -> tuple[TrainedModel, Cohort, Belief, Comparison]:
    """Return a model, a patient, the belief about them and the therapies compared."""
    model, cohort = model or make.model(), make.cohort([patient])
    belief = make.believe(model, cohort)[0]
    return (
        model,
        cohort,
        belief,
        compare(model, belief, ranking_of(model, cohort, belief, SETTINGS)),
    )


def told(
    model: TrainedModel, cohort: Cohort, belief: Belief, found: Comparison, graph: GeneGraph
) -> Genes | None:
    scale = Scale.of(model.endpoint, model.outcome_kind, "1")
    return genes_of(model, patients_in(model, cohort), belief, found, scale, SETTINGS, graph)


def number(cell: str) -> float:
    """Return the number that a cell begins with."""
    return float(cell.split(" ")[0].replace("\N{MINUS SIGN}", "-"))


def with_a_single_member(model: TrainedModel, patient: str) -> TrainedModel:
    """Return the model where all members but one were trained on a patient."""
    old = model.twin
    seen = torch.ones(old.network.members, 1, dtype=torch.bool)
    seen[0] = False
    twin = NeuralTwin(
        name=old.name,
        network=old.network,
        design=old.design,
        agents=old.agents,
        membership=Membership.of([patient], seen, "salt"),
    )
    return replace(model, twin=twin)


@pytest.mark.parametrize("kind", ["binary", "time_to_event"])
def test_genes_and_gene_sets_add_up_to_what_their_modality_adds(make: type, kind: str) -> None:
    model, cohort, belief, found = asked(make, make.model(kind=kind))
    genes = told(model, cohort, belief, found, make.graph())
    assert genes is not None
    assert genes.therapy == found.opened[0].label
    assert {line.name for line in genes.genes.lines} == GENES
    shown = shown_to(model, patients_in(model, cohort), belief)
    drivers = drivers_of(model, belief, shown, found.opened[0].arm, None)
    expression = next(each for each in drivers.modalities if each.label == "expression")
    scale = Scale.of(model.endpoint, model.outcome_kind, "1")
    whole = (scale.horizon_months if scale.months else scale.factor) * expression.part.mean
    for each in (genes.genes, genes.sets):
        assert sum(number(line.cells[1]) for line in each.lines) == pytest.approx(whole, abs=0.15)


def test_the_page_says_which_pathways_and_genes_drive_the_outcome(
    make: type, written: Writer
) -> None:
    first = asked(make)[3].opened[0].label
    page = written(graph=make.graph())
    said = words(page)
    assert said.startswith("Genes and pathways")
    assert f"under {first}, against the average patient" in said
    assert "These are the model's reasons, not causes in the patient." in said
    assert "Of that, expression adds" in said
    assert "90 % interval over the 6 members that answer; pale: they disagree" in said
    assert "HALLMARK HORMONE 2 genes" in said.replace("Measured genes in it: ", "")
    assert "ERBB2 Interacts with: ESR1 Adds:" in said
    assert "These 3 genes are connected by known interactions" in said
    assert page.index('id="why"') < page.index('id="genes"') < page.index('id="rests"')


def test_what_members_disagree_on_is_pale_hollow_and_said(make: type, written: Writer) -> None:
    model, cohort, belief, found = asked(make)
    genes = told(model, cohort, belief, found, make.graph())
    assert genes is not None
    assert genes.module is not None
    for part in (genes.sets, genes.genes):
        for row, line in zip(part.plot.rows, part.lines, strict=True):
            assert row.clear == line.cells[3].startswith("speaks for")
            assert row.clear != line.cells[3].endswith("members disagree")
    direction = {line.name: line.cells[3] for line in genes.module.lines}
    for dot in genes.module.plot.dots:
        assert dot.clear == direction[dot.gene].startswith("speaks for")
        assert dot.favours == ("better" in direction[dot.gene])
    assert any(not row.clear for row in genes.genes.plot.rows)
    pale = section(written(graph=make.graph()), "genes").count(' unclear">')
    drawn = (*genes.sets.plot.rows, *genes.genes.plot.rows, *genes.module.plot.dots)
    # Each of the two legends has one more.
    assert pale == 2 + sum(not each.clear for each in drawn)


def test_where_lower_is_better_the_parts_turn(make: type) -> None:
    model, cohort, belief, found = asked(make)
    lower = replace(model, endpoint=replace(model.endpoint, higher_is_better=False))
    ahead = told(model, cohort, belief, found, make.graph())
    turned = told(lower, cohort, belief, found, make.graph())
    assert ahead is not None
    assert turned is not None
    for each, other in zip(ahead.genes.lines, turned.genes.lines, strict=True):
        assert each.name == other.name
        assert number(each.cells[1]) == pytest.approx(-number(other.cells[1]))


def test_with_a_single_member_no_interval_is_made_up(make: type) -> None:
    model, cohort, belief, found = asked(make, with_a_single_member(make.model(), "P-17"))
    genes = told(model, cohort, belief, found, make.graph())
    assert genes is not None
    assert not genes.several
    assert "whether others would agree is not known" in genes.sentences[-1]
    for line in (*genes.sets.lines, *genes.genes.lines):
        assert line.cells[2] == ""
        assert line.cells[3].startswith("leans to")


def test_a_cohort_with_one_therapy_has_the_section_too(make: type, written: Writer) -> None:
    model = make.model()
    key = next(iter(model.support.counts))
    alone = replace(model, support=replace(model.support, counts={key: {"Ctr": 50}}))
    page = written(alone, graph=make.graph())
    assert words(page, "why") == ""
    assert "under Paclitaxel (control), against the average patient" in words(page)


def test_nothing_is_said_of_genes_that_are_not_known_or_not_measured(
    make: type, written: Writer
) -> None:
    assert words(written()) == ""
    assert words(written(cohort={"without": ("expression",)}, graph=make.graph())) == ""


def test_without_an_interaction_there_is_no_picture(make: type, written: Writer) -> None:
    graph = make.graph()
    own = graph.edge_index[0] == graph.edge_index[1]
    apart = replace(graph, edge_index=graph.edge_index[:, own], edge_weight=graph.edge_weight[own])
    page = written(graph=apart)
    assert "Genes that add most" in words(page)
    assert "gene-module" not in page


def test_a_module_is_drawn_inside_its_frame_with_a_line_for_each_interaction() -> None:
    edges = (("A", "B"), ("B", "C"), ("B", "D"))
    mean = torch.tensor([0.4, -0.1, 0.1, 0.0])
    module = GeneModule(("A", "B", "C", "D"), mean, edges)
    plot = module_plot(module, {"A", "B"})
    assert [(first.gene, second.gene) for first, second in plot.lines] == list(edges)
    size = {dot.gene: dot for dot in plot.dots}
    assert size["A"].radius == pytest.approx(2.0 * size["B"].radius)
    assert [dot.clear for dot in plot.dots] == [True, True, False, False]
    for dot in plot.dots:
        assert 0.0 < dot.across < 100.0
        assert 14.0 <= dot.text_y < dot.down
        assert dot.down + dot.radius <= plot.height


@pytest.mark.parametrize(
    ("size", "said"),
    [(0.2, "+20.0 points"), (0.002, "+0.20 points"), (1e-9, "+0.0000 points"), (0.0, "0.0 points")],
)
def test_small_parts_are_told_with_more_decimals(make: type, size: float, said: str) -> None:
    scale = Scale.of(make.model().endpoint, "binary", "1").finer(size)
    assert scale.contribution(size).lstrip("+") == said.lstrip("+")


def files(folder: Path) -> KnowledgeSettings:
    """Write what is known of genes."""
    (folder / "sets.gmt").write_text("HORMONE\tnote\tESR1\tPGR\n")
    (folder / "pairs.csv").write_text("gene_a,gene_b,combined_score\nESR1,PGR,900\n")
    return KnowledgeSettings(
        root=str(folder), sets=["sets.gmt"], interactions="pairs.csv", smallest_set=2
    )


def test_the_graph_is_read_where_its_files_are_there(make: type, tmp_path: Path) -> None:
    graph = known_genes(make.model().twin.design, files(tmp_path), Console(quiet=True))
    assert graph is not None
    assert graph.channels == ("expression",)
    assert graph.pathways == ("HORMONE",)


def test_a_file_that_is_not_there_is_named_on_the_console(
    make: type, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = files(tmp_path)
    (tmp_path / "pairs.csv").unlink()
    assert known_genes(make.model().twin.design, settings, Console()) is None
    said = "".join(capsys.readouterr())
    assert "the page says nothing of genes and pathways" in said
    assert str(tmp_path / "pairs.csv") in said


def test_a_model_that_names_no_genes_has_no_graph(tmp_path: Path) -> None:
    design = Design((channel("clinical", "clinical", 0.0, ["age", "stage"]),))
    assert known_genes(design, files(tmp_path), Console(quiet=True)) is None
