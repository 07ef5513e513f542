"""What sites must agree on before they learn together: settings, design, enough patients."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from omics_twin.config import Config, digest
from omics_twin.errors import TrainingError, quoted
from omics_twin.files import sha256
from omics_twin.intake.declaration import OutcomeKind
from omics_twin.settings import GeneEncoder, SurvivalHead
from omics_twin.tensors.design import ChannelDesign, Design, Feature
from omics_twin.tensors.members import MemberPlan
from omics_twin.therapy.support import Support
from omics_twin.training.tasks import Task


def introduced(config: Config, fingerprint: str) -> dict[str, str]:
    """Return what a site tells the others first: a digest of its settings and of its files."""
    return {"settings": digest(config, ""), "files": fingerprint}


def one_fingerprint(told: Sequence[Mapping[str, str]], sites: Sequence[str]) -> str:
    """Return the fingerprint of the files of all sites.

    Raises
    ------
    TrainingError
        If settings differ between sites.
    """
    first = told[0]["settings"]
    other = [site for site, each in zip(sites, told, strict=True) if each["settings"] != first]
    if other:
        raise TrainingError(
            f"the settings of {quoted(other)} are not those of '{sites[0]}': give every site the "
            "same configuration"
        )
    return sha256(" ".join(each["files"] for each in told).encode())


def one_design(told: Sequence[list[dict[str, Any]]], sites: Sequence[str]) -> Design:
    """Return the design of all sites: every channel, and every level of a category.

    Raises
    ------
    TrainingError
        If a channel has other columns, units or kinds at one site than at another.
    """
    channels: dict[str, ChannelDesign] = {}
    for site, stored in zip(sites, told, strict=True):
        for channel in Design.from_json(stored).channels:
            known = channels.setdefault(channel.name, channel)
            if _plain(known) != _plain(channel):
                raise TrainingError(
                    f"modality '{channel.name}' of '{site}' has other columns or units than that "
                    "of a site before it: declare and convert it alike at every site"
                )
            features = {each.name: each for each in (*known.features, *channel.features)}
            channels[channel.name] = replace(known, features=_ordered(features.values()))
    ordered = sorted(channels.values(), key=lambda each: each.visit_day)
    return Design(tuple(ordered))


def _plain(channel: ChannelDesign) -> ChannelDesign:
    """Return a channel with categories as columns, whatever levels a site has seen."""
    levels = {each.column: None for each in channel.features if each.level is not None}
    plain = [each for each in channel.features if each.level is None]
    columns = [Feature(each, each, None, "1", True, False) for each in levels]
    return replace(channel, features=(*plain, *columns))


def _ordered(features: Any) -> tuple[Feature, ...]:
    """Return plain features as they were, then each category's levels in alphabetical order."""
    found = list(features)
    columns = list(dict.fromkeys(each.column for each in found if each.level is not None))
    levels = [each for each in found if each.level is not None]
    levels.sort(key=lambda each: (columns.index(each.column), each.level))
    return tuple([each for each in found if each.level is None] + levels)


def one_support(told: Sequence[Mapping[str, Mapping[str, int]]], columns: Sequence[str]) -> Support:
    """Return who received what at all sites."""
    counts: dict[str, Counter[str]] = {}
    for site in told:
        for stratum, arms in site.items():
            counts.setdefault(stratum, Counter()).update(arms)
    return Support(tuple(columns), {key: dict(each) for key, each in sorted(counts.items())})


def check_shareable(task: Task, plan: MemberPlan, config: Config) -> None:
    """Refuse what cannot be learned from sums, and a site whose sums would tell of its patients.

    Raises
    ------
    TrainingError
        In these cases.
    """
    survival = task.outcome.kind is OutcomeKind.TIME_TO_EVENT
    if survival and config.model.survival_head is SurvivalHead.COX:
        raise TrainingError(
            "model.survival_head is COX, whose likelihood compares each patient with all who are "
            "at risk at any site: use HAZARD where sites learn together"
        )
    if config.model.gene_encoder is GeneEncoder.PATIENT_GRAPH:
        raise TrainingError(
            "model.gene_encoder is PATIENT_GRAPH, which keeps rows of training patients: use "
            "COMPONENTS or GENE_GRAPH where sites learn together"
        )
    fewest = int((plan.training > 0).sum(dim=1).min())
    least = config.trainer.federation.fewest
    if fewest < least:
        raise TrainingError(
            f"a fold leaves {fewest} training patients at this site, expected at least "
            f"{least} (trainer.federation.fewest), so that a sum does not tell of a patient: "
            "group smaller hospitals into one site"
        )
