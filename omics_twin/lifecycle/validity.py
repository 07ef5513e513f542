"""Is a patient inside the domain of validity, and what follows where not? A warning or a refusal.

How unusual a patient is comes from :mod:`omics_twin.twin.likeness`. Which policy holds is set by
``trust.unlike``: in training, where it travels with the model, or where the model is asked; the
stricter of the two holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor

from omics_twin.errors import TwinError
from omics_twin.settings import Unlike
from omics_twin.tracking import AnyModel, TrainedModel
from omics_twin.twin.checks import scheduled
from omics_twin.types import Ranking, Visit
from omics_twin.visits.living import LivingModel

# Share of the training patients who are as unusual, below which a patient is unlike them.
UNLIKE = 0.01
REFUSED = "not answered: the patient is unlike the training patients, and such are refused"
_Model = TypeVar("_Model", bound=AnyModel)


def policy_of(model: AnyModel) -> Unlike:
    """Return what becomes of a patient outside the domain."""
    config = model.provenance.get("config") or {}
    return Unlike[(config.get("trust") or {}).get("unlike", Unlike.WARN.name)]


def governed_by(model: _Model, asked: Unlike) -> _Model:
    """Return the model under the stricter of its own policy and the one asked for."""
    if asked is not Unlike.REFUSE or policy_of(model) is Unlike.REFUSE:
        return model
    return under(model, asked)


def under(model: _Model, policy: Unlike) -> _Model:
    """Return the model under a policy: what it told once is told again under that of then."""
    config = dict(model.provenance.get("config") or {})
    config["trust"] = {**(config.get("trust") or {}), "unlike": policy.name}
    return replace(model, provenance={**model.provenance, "config": config})


def shares_of(model: AnyModel, values: Mapping[str, Tensor]) -> tuple[float | None, ...]:
    """Return the share of the training patients who are at least as unusual as each patient.

    Parameters
    ----------
    values
        Channel -> (patient, feature), NaN: not measured.

    Returns
    -------
    tuple
        None where nothing was measured before treatment, or the model does not tell.
    """
    patients = len(next(iter(values.values())))
    if model.likeness is None:
        return (None,) * patients
    unusual = model.likeness.unusual(values)
    shares = model.likeness.shares(unusual).tolist()
    known = torch.isfinite(unusual).tolist()
    return tuple(share if told else None for share, told in zip(shares, known, strict=True))


def shares_of_visits(
    model: AnyModel, visits: Sequence[Visit], patients: int = 1
) -> tuple[float | None, ...]:
    """Return the same for the patients of some visits, the same patients at each.

    A twin that learns from visit to visit compares the first visit of one patient alone.

    Parameters
    ----------
    patients
        How many they are, who may have no visit.
    """
    if isinstance(model, LivingModel):
        return shares_of(model, model.first_of(visits))
    channels = model.twin.design.channels
    values = {
        channel.name: torch.full((patients, len(channel.features)), torch.nan)
        for channel in channels
    }
    for visit in visits:
        for modality, told in visit.observation.values.items():
            own = [channel for channel in channels if channel.modality == modality]
            for place, rows in scheduled(own, visit.observation.days, told).items():
                # As in a cohort: 32 bits, so that both ways lead to the same share.
                values[own[place].name][rows] = told[rows].float()
    return shares_of(model, values)


def unlike_them(share: float | None) -> bool:
    """Whether a patient is outside the domain; one of whom nothing is known is not said to be."""
    return share is not None and share <= UNLIKE


def refused(model: AnyModel, visits: Sequence[Visit]) -> bool:
    """Whether the only patient of some visits gets no answer."""
    (share,) = shares_of_visits(model, visits)
    return unlike_them(share) and policy_of(model) is Unlike.REFUSE


def check_like(model: LivingModel, visits: Sequence[Visit]) -> None:
    """Refuse a patient outside the domain, where the policy says so.

    Raises
    ------
    TwinError
        In this case.
    """
    if refused(model, visits):
        raise TwinError(f"{REFUSED}: check what the first visit measured, its unit and its day")


def unlike_lines(share: float | None) -> list[str]:
    """Return what is told of a patient outside the domain; nothing of others."""
    if not unlike_them(share):
        return []
    return [f"  unlike the training patients: more unusual than {1.0 - UNLIKE:.0%} of them"]


def governed(model: TrainedModel, ranking: Ranking, shares: Sequence[float | None]) -> Ranking:
    """Return the ranking with how alike each patient is; who is to be refused gets no answer."""
    barred = [unlike_them(each) and policy_of(model) is Unlike.REFUSE for each in shares]
    found = replace(ranking, likeness=tuple(shares))
    if not any(barred):
        return found
    rows = torch.tensor(barred)
    return replace(
        found,
        eligible=ranking.eligible & ~rows[:, None],
        expected=torch.where(rows[:, None], torch.nan, ranking.expected),
        lower=torch.where(rows[:, None], torch.nan, ranking.lower),
        upper=torch.where(rows[:, None], torch.nan, ranking.upper),
        probability_best=torch.where(rows[:, None], torch.nan, ranking.probability_best),
        reasons=tuple(
            (REFUSED,) * len(ranking.interventions) if refuse else told
            for refuse, told in zip(barred, ranking.reasons, strict=True)
        ),
        abstained=ranking.abstained | rows,
        abstention=tuple(
            REFUSED if refuse else told
            for refuse, told in zip(barred, ranking.abstention, strict=True)
        ),
    )
