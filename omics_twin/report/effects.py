"""What raises or lowers the benefit of each arm, over a whole cohort, as the model reasons."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from omics_twin.answers.beliefs import Belief, beliefs_of
from omics_twin.answers.patients import patients_in
from omics_twin.cohort.cohort import Cohort
from omics_twin.report.drivers import shown_to
from omics_twin.report.words import name_in_words
from omics_twin.settings import TwinSettings
from omics_twin.tensors.design import Feature
from omics_twin.tracking import TrainedModel
from omics_twin.twin.attribution import Attributions, Shown, attributed
from omics_twin.twin.draws import select

# The line from the average to a patient is followed at fewer places than for one patient's page,
# and every member answers with as few draws.
_NODES, _DRAWS_PER_MEMBER, _ROWS = 4, 1, 128


@dataclass
class _Sums:
    """Running sums of one member, by channel: (arm, feature)."""

    patients: Tensor
    product: dict[str, Tensor] = field(default_factory=dict)
    square: dict[str, Tensor] = field(default_factory=dict)
    size: dict[str, Tensor] = field(default_factory=dict)
    whole: dict[str, Tensor] = field(default_factory=dict)

    def add(self, kind: str, channel: str, values: Tensor) -> None:
        """Add to the sums of a kind."""
        sums = getattr(self, kind)
        sums[channel] = sums[channel] + values if channel in sums else values


def effect_summary(
    model: TrainedModel,
    cohort: Cohort,
    settings: TwinSettings | None = None,
    *,
    most_patients: int = 300,
    seed: int = 0,
) -> dict[str, Any]:
    """Return which measurements raise or lower the benefit of each arm against the others open.

    The benefit of an arm is the expected endpoint under it less the mean of that under the other
    arms open to the patient, turned so that positive is better. It is divided among the patient's
    baseline values (:mod:`omics_twin.twin.attribution`) by every member that never saw the
    patient, and then over patients: ``slope`` is what one standard deviation more of a value adds
    (least squares through the average patient), ``size`` the mean of what its absolute share is.

    These are the model's reasons, not causes: of two measurements that rise together, either may
    be given the credit.

    Parameters
    ----------
    cohort
        Any cohort of the design; training patients are answered by members that never saw them.
    most_patients
        As many are drawn at random where there are more.

    Returns
    -------
    dict
        Plain numbers and lists: ``endpoint``, ``against``, ``patients`` and ``arms``, each arm
        with ``arm``, ``label``, ``patients``, ``features`` and ``modalities``, the largest first;
        each number with its ``_spread`` (standard deviation over members, widened as draws are).
    """
    asked = settings or TwinSettings()
    chosen = patients_in(model, _some(cohort, most_patients, seed))
    few = replace(asked, draws=_DRAWS_PER_MEMBER * model.twin.network.members)
    opened, _, _ = model.support.judge(model.catalogue, chosen.keys)
    members = model.twin.network.members
    compared = (against_others(opened).abs().sum(dim=2) > 0).sum(dim=0)
    sums = [_Sums(torch.zeros(len(model.catalogue.arms))) for _ in range(members)]
    matrices, received = chosen.matrices, chosen.received
    for belief in beliefs_of(model, matrices, received, few, strata=chosen.keys):
        shown = shown_to(model, chosen, belief)
        for member, rows in _unseen(model, belief):
            _add(model, sums[member], belief, shown, opened[belief.rows], member, rows)
    answered = [each for each in sums if bool((each.patients > 0).any())]
    spread = model.twin.membership.spread_new * model.calibration.spread
    return {
        "endpoint": model.endpoint.name,
        "title": model.title,
        "unit": "endpoint per standard deviation; positive is better",
        "against": "mean of the other arms open to the patient",
        "patients": len(chosen.patient_ids),
        "arms": [
            {"patients": int(compared[arm]), **_arm(model, answered, arm, spread)}
            for arm in range(len(model.catalogue.arms))
            if any(float(each.patients[arm]) > 0 for each in answered)
        ],
    }


def _some(cohort: Cohort, most: int, seed: int) -> Cohort:
    if len(cohort.patient_ids) <= most:
        return cohort
    drawn = np.random.default_rng([seed, 17]).permutation(len(cohort.patient_ids))[:most]
    return cohort.select([cohort.patient_ids[place] for place in sorted(drawn)])


def _unseen(model: TrainedModel, belief: Belief) -> Iterator[tuple[int, Int[Tensor, " patient"]]]:
    """Yield each member with the rows of the patients it never saw, some at a time."""
    unseen = model.twin.membership.unseen(belief.state.patient_ids)
    for member in range(unseen.shape[1]):
        for rows in torch.nonzero(unseen[:, member])[:, 0].split(_ROWS):
            if len(rows):
                yield member, rows


def _add(
    model: TrainedModel,
    sums: _Sums,
    belief: Belief,
    shown: Shown,
    opened: Bool[Tensor, "patient arm"],
    member: int,
    rows: Int[Tensor, " chosen"],
) -> None:
    values = {name: each[rows] for name, each in shown.values.items()}
    found = attributed(
        model.twin.proposal,
        select(belief.state, rows),
        Shown({n: v for n, v in values.items() if bool((~torch.isnan(v)).any())},
              shown.agents[rows]),
        model.catalogue.interventions(),
        model.endpoint,
        members=torch.tensor([member]),
        nodes=_NODES,
    )  # fmt: skip
    sign = 1.0 if model.endpoint.higher_is_better else -1.0
    contrast = sign * against_others(opened[rows])
    sums.patients += (contrast.abs().sum(dim=2) > 0).float().sum(dim=0)
    _accumulate(sums, found, contrast)


def against_others(
    opened: Bool[Tensor, "patient arm"],
) -> Float[Tensor, "patient arm other"]:
    """Return the weights that turn answers under each arm into benefits against the others open.

    Examples
    --------
    >>> against_others(torch.tensor([[True, True, True, False]]))[0, 0].tolist()
    [1.0, -0.5, -0.5, 0.0]
    """
    arms = opened.shape[1]
    own = torch.eye(arms)
    both = (opened[:, :, None] & opened[:, None, :]).float() * (1.0 - own)
    others = both.sum(dim=2, keepdim=True)
    return torch.where(others > 0, own - both / others.clamp(min=1.0), 0.0)


def _accumulate(
    sums: _Sums, found: Attributions, contrast: Float[Tensor, "patient arm other"]
) -> None:
    asked = (contrast.abs().sum(dim=2) > 0).float()
    for channel, values in found.values.items():
        benefit = torch.einsum("pao,opf->apf", contrast, values[:, 0])
        standard = found.standard[channel][0]
        sums.add("product", channel, (benefit * standard).sum(dim=1))
        sums.add("square", channel, torch.einsum("pa,pf->af", asked, standard.square()))
        sums.add("size", channel, benefit.abs().sum(dim=1))
        sums.add("whole", channel, benefit.sum(dim=2).abs().sum(dim=1))


def _arm(model: TrainedModel, sums: list[_Sums], arm: int, spread: float) -> dict[str, Any]:
    told = [each for each in sums if float(each.patients[arm]) > 0]
    features, modalities = [], []
    for channel in model.twin.design.channels:
        here = [each for each in told if channel.name in each.product]
        if not here or channel.follow_up:
            continue
        count = torch.stack([each.patients[arm] for each in here])[:, None]
        square = torch.stack([each.square[channel.name][arm] for each in here])
        product = torch.stack([each.product[channel.name][arm] for each in here])
        slope = torch.where(square > 0, product / square.clamp(min=1e-9), 0.0)
        size = torch.stack([each.size[channel.name][arm] for each in here]) / count
        whole = torch.stack([each.whole[channel.name][arm : arm + 1] for each in here]) / count
        features += [
            {
                "channel": channel.name,
                "feature": feature.name,
                "label": _label(feature),
                **_over_members("slope", slope[:, place], spread),
                **_over_members("size", size[:, place], spread),
            }
            for place, feature in enumerate(channel.features)
            if bool((size[:, place] > 0).any())
        ]
        total = _over_members("size", whole[:, 0], spread)
        modalities.append({"channel": channel.name, **total})
    return {
        "arm": model.catalogue.arms[arm],
        "label": model.catalogue.labels[arm],
        "members": len(told),
        "features": sorted(features, key=lambda each: -float(each["size"])),
        "modalities": sorted(modalities, key=lambda each: -float(each["size"])),
    }


def _label(feature: Feature) -> str:
    level = "" if feature.level is None else f": {name_in_words(feature.level)}"
    return name_in_words(feature.column) + level


def _over_members(name: str, values: Float[Tensor, " member"], spread: float) -> dict[str, float]:
    deviation = float(values.std()) if len(values) > 1 else 0.0
    return {name: float(values.mean()), f"{name}_spread": spread * deviation}
