"""Which pathways and genes drive what the twin expects of a patient, as the model reasons."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor

from omics_twin.answers.beliefs import Belief
from omics_twin.answers.patients import Patients
from omics_twin.intake.knowledge import missing_file, read_knowledge
from omics_twin.intake.settings import KnowledgeSettings
from omics_twin.report.bars import Bars, bars
from omics_twin.report.comparison import Comparison, shortened
from omics_twin.report.console import Console
from omics_twin.report.drivers import Part, part_of, shown_to, standing_of
from omics_twin.report.module import ModulePlot, module_plot
from omics_twin.report.why import Line
from omics_twin.report.words import Scale, counted, day_in_words, listed, name_in_words, visible
from omics_twin.settings import TwinSettings
from omics_twin.tensors.design import ChannelDesign, Design
from omics_twin.tensors.graph import GeneGraph, gene_channels, gene_graph
from omics_twin.tracking import TrainedModel
from omics_twin.twin.attribution import Attributions, Shown, answering, attributed
from omics_twin.twin.genes import NO_SET, NamedParts, gene_parts, pathway_parts, top_module

_SETS, _GENES = 8, 10
# Names of gene sets are often in capitals, which are wide.
_LONGEST_LABEL = 32


def known_genes(design: Design, asked: KnowledgeSettings, console: Console) -> GeneGraph | None:
    """Return the graph of the genes a model's modalities name; None where there is none.

    Parameters
    ----------
    console
        Where it is said that a file of what is known of genes is not there.
    """
    missing = missing_file(asked)
    if missing is not None:
        console.note(f"the page says nothing of genes and pathways: no file '{missing}'")
        return None
    knowledge = read_knowledge(asked)
    if not gene_channels(design, knowledge):
        return None
    return gene_graph(
        design, knowledge, smallest_set=asked.smallest_set, most_alike=asked.most_alike
    )


@dataclass(frozen=True)
class Strongest:
    """The names that move the answer most, as bars and in numbers."""

    plot: Bars
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Module:
    """Connected genes, as a picture and in numbers; ``said`` is what they add together."""

    said: str
    plot: ModulePlot
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Genes:
    """What drives one patient's expected outcome, as the page says it.

    Attributes
    ----------
    therapy
        Under which the outcome is expected.
    members, several
        How many answer, and whether they can disagree.
    sentences
        What the genes add, and what is not known of that.
    sets, genes
        The strongest of them.
    module
        None where no two of the genes that move the answer interact.
    """

    therapy: str
    members: str
    several: bool
    sentences: tuple[str, ...]
    sets: Strongest
    genes: Strongest
    module: Module | None


@dataclass(frozen=True)
class _Told:
    """How parts are put into words: on a scale, for the members that answer."""

    scale: Scale
    several: bool
    spread: float
    interval: float

    def part(self, members: Float[Tensor, " member"]) -> Part:
        """Return mean and interval of what the members say."""
        return part_of(members, self.spread, self.interval)

    def fitted(self, parts: Sequence[Part]) -> _Told:
        """Return the same with as many decimals as the largest of some parts needs."""
        return replace(self, scale=self.scale.finer(max(abs(each.mean) for each in parts)))

    def numbers(self, part: Part) -> tuple[str, str, str]:
        """Return a part, its interval (empty of one member) and its direction."""
        side = "better" if part.mean > 0 else "worse"
        amount = self.scale.contribution(part.mean)
        if not self.several:
            return amount, "", f"leans to a {side} outcome"
        ends = self.scale.contribution_interval(part.lower, part.upper)
        if part.clear:
            return amount, ends, f"speaks for a {side} outcome"
        return amount, ends, f"leans to a {side} outcome; members disagree"


def genes_of(
    model: TrainedModel,
    patients: Patients,
    belief: Belief,
    comparison: Comparison,
    scale: Scale,
    settings: TwinSettings,
    graph: GeneGraph | None,
) -> Genes | None:
    """Return what drives the outcome expected under the first therapy, against the average.

    None where no therapy is open, or no modality that names genes was shown.
    """
    if graph is None or not comparison.opened or not set(graph.channels) & set(belief.shown[0]):
        return None
    first = comparison.opened[0]
    therapy = model.catalogue.intervention(first.arm)
    shown, members = shown_to(model, patients, belief), answering(belief.state, 0)
    found = attributed(
        model.twin.proposal, belief.state, shown, [therapy], model.endpoint, members=members
    )
    several = len(members) > 1
    told = _Told(scale, several, float(model.twin.spread_of(belief.state)[0]), settings.interval)
    sign = 1.0 if model.endpoint.higher_is_better else -1.0
    raw = gene_parts(found, model.twin.design, graph, intervention=0, patient=0)
    genes = NamedParts(raw.names, sign * raw.values)
    sets = pathway_parts(genes, graph)
    total = told.part(sign * (found.end - found.start)[0, :, 0])
    named = set(graph.channels) & set(belief.shown[0])
    channels = [channel for channel in model.twin.design.channels if channel.name in named]
    return Genes(
        therapy=first.label,
        members=counted(len(members), "member"),
        several=several,
        sentences=tuple(_sentences(genes, sets, total, channels, told)),
        sets=_strongest_sets(sets, graph, told),
        genes=_strongest_genes(genes, channels, shown, found, told),
        module=_module(genes, graph, told),
    )


def _sentences(
    genes: NamedParts,
    sets: NamedParts,
    total: Part,
    channels: Sequence[ChannelDesign],
    told: _Told,
) -> list[str]:
    whole = told.part(genes.values.sum(dim=1))
    outside = float(sets.mean[sets.names.index(NO_SET)])
    amount, ends, direction = told.numbers(whole)
    modalities = list(dict.fromkeys(_modality(channel) for channel in channels))
    add = "together add" if len(modalities) > 1 else "adds"
    said = [
        f"What was measured in this patient adds {told.scale.contribution(total.mean)} to what the "
        f"twin expects of the average patient with the same things measured. Of that, "
        f"{listed(modalities)} {add} {amount}"
        + (f" ({ends}): this {direction}." if told.several else ".")
    ]
    if told.scale.contribution(outside) != told.scale.contribution(0.0):
        said.append(f"Genes that are in no gene set add {told.scale.contribution(outside)} of it.")
    said.append(
        f"The strongest of {len(genes.names):,} genes are shown: some would stand out by chance "
        "alone, and their intervals do not allow for that."
    )
    if not told.several:
        said.append(
            "A single member answers for this patient: whether others would agree is not known."
        )
    return said


def _strongest(
    parts: NamedParts,
    names: Sequence[str],
    lines: Sequence[str],
    told: _Told,
) -> Strongest:
    """Return bars and lines of names, each line with its cell in front of the numbers."""
    place = {name: index for index, name in enumerate(parts.names)}
    found = [told.part(parts.values[:, place[name]]) for name in names]
    fitted = told.fitted(found)
    scale = fitted.scale
    labels = [visible(name_in_words(name)) for name in names]
    drawn = [
        (shortened(label, _LONGEST_LABEL), scale.bare_contribution(part.mean), part)
        for label, part in zip(labels, found, strict=True)
    ]
    factor = scale.horizon_months if scale.months else scale.factor
    return Strongest(
        plot=bars(drawn, factor),
        lines=tuple(
            Line(label, (cell, *fitted.numbers(part)))
            for label, cell, part in zip(labels, lines, found, strict=True)
        ),
    )


def _strongest_sets(sets: NamedParts, graph: GeneGraph, told: _Told) -> Strongest:
    order = [name for name, _, _ in sets.strongest(_SETS + 1) if name != NO_SET][:_SETS]
    held = dict.fromkeys(graph.pathways, 0)
    for pathway in graph.incidence[1].tolist():
        held[graph.pathways[pathway]] += 1
    return _strongest(sets, order, [counted(held[name], "gene") for name in order], told)


def _strongest_genes(
    genes: NamedParts,
    channels: Sequence[ChannelDesign],
    shown: Shown,
    found: Attributions,
    told: _Told,
) -> Strongest:
    names = [name for name, _, _ in genes.strongest(_GENES)]
    measured = ["; ".join(_measured(name, channels, shown, found)) for name in names]
    return _strongest(genes, names, measured, told)


def _measured(
    gene: str, channels: Sequence[ChannelDesign], shown: Shown, found: Attributions
) -> list[str]:
    """Return how a gene was found, in each modality that names it."""
    said = []
    for channel in channels:
        for place, feature in enumerate(channel.features):
            value = float(shown.values[channel.name][0, place])
            if feature.column != gene or math.isnan(value):
                continue
            how = standing_of(float(found.standard[channel.name][:, 0, place].mean()))
            if feature.binary:
                how = "yes" if value > 0.5 else "no"
            when = f", {day_in_words(channel.visit_day)}," if channel.visit_day else ""
            said.append(f"{_modality(channel)}{when} {how}")
    return said


def _modality(channel: ChannelDesign) -> str:
    return visible(name_in_words(channel.modality))


def _module(genes: NamedParts, graph: GeneGraph, told: _Told) -> Module | None:
    """Return the strongest connected genes; None where fewer than two are connected."""
    known = set(graph.genes)
    if not any(name in known and mean for name, mean in zip(genes.names, genes.mean, strict=True)):
        return None
    module = top_module(genes, graph)
    if len(module.genes) < 2:
        return None
    rows = [genes.names.index(gene) for gene in module.genes]
    found = [told.part(genes.values[:, row]) for row in rows]
    fitted = told.fitted(found)
    agreed = [gene for gene, part in zip(module.genes, found, strict=True) if part.clear]
    beside = {gene: [b for pair in module.edges for b in pair if gene in pair and b != gene]
              for gene in module.genes}  # fmt: skip
    whole = told.part(genes.values[:, rows].sum(dim=1))
    amount, ends, _ = told.numbers(whole)
    return Module(
        said=amount + (f" ({ends})" if told.several else ""),
        plot=module_plot(module, agreed),
        lines=tuple(
            Line(visible(gene), (", ".join(map(visible, beside[gene])), *fitted.numbers(part)))
            for gene, part in zip(module.genes, found, strict=True)
        ),
    )
