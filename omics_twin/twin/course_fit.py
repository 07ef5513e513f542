"""What a course is learned from: sums over patients who were followed under therapy.

Changes from visit to visit are modelled, on a scale on which they are alike in large and small:
what nobody measured together is then held to change alone, from where it was.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from omics_twin.errors import TrainingError
from omics_twin.tensors.sums import Total, here
from omics_twin.twin.course import Course, log_density, logged, patterns

# What a response and what an agent adds is drawn towards none as by so many patients without it,
# and changes towards independence as by so many in whom they are.
_DRAWN = 10.0
_ALONE = 30.0
_FEWEST = 20
_ROUNDS = 30
_SETTLED = 1e-4
# Offsets that are compared, as shares of a feature's mean, and degrees of freedom, up to none.
_OFFSETS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
_TAILS = (*(8.0 * 2.0 ** (step / 4) for step in range(17)), 1e4)


def fit_course(
    modality: str,
    days: Float[Tensor, " visit"],
    values: Float[Tensor, "patient visit feature"],
    responded: Float[Tensor, " patient"],
    agents: Float[Tensor, "patient agent"],
    seen: Bool[Tensor, "member patient"],
    total: Total = here,
) -> Course:
    """Return the course each member learns from the patients it sees.

    Penalised least squares for what is expected, and the residual covariance of changes, drawn a
    little towards independence, of a multivariate t; what was not measured and how large a
    patient's changes are come from expectation-maximisation (Lange, Little & Taylor 1989,
    doi:10.1080/01621459.1989.10478852; Little & Rubin 2002, chapter 11,
    doi:10.1002/9781119013563).

    Parameters
    ----------
    values
        In the features' units, NaN: not measured. Patients without any value after the first visit
        say nothing.
    responded
        1 or 0; NaN: not known, and not learned from.
    seen
        Which patients each member may learn from.
    total
        Completes sums over these patients where others are learned from elsewhere.

    Raises
    ------
    TrainingError
        If a member sees fewer than 20 such patients, or only patients of one kind.
    """
    later = ~torch.isnan(values[:, 1:]).flatten(1).all(dim=1)
    usable = torch.isfinite(responded) & later
    inside = (usable & seen).double()
    counted, answered = total(
        "followed patients", inside.sum(dim=1), inside @ torch.nan_to_num(responded).double()
    )
    for known, yes in zip(counted.tolist(), answered.tolist(), strict=True):
        if known < _FEWEST or not 0 < yes < known:
            raise TrainingError(
                f"{known:.0f} patients with '{modality}' under therapy, "
                f"{yes:.0f} of whom responded, expected at least {_FEWEST} and "
                "some of either kind: use model.follow_up=NETWORK"
            )
    rows = torch.nonzero(usable)[:, 0]
    weights, followed = seen[:, rows].double(), values[rows].double()
    kinds = torch.stack([1.0 - responded[rows], responded[rows]], dim=1).double()
    (below,) = total("negative values", (values < 0).flatten(0, 1).double().sum(dim=0))
    offset = _offsets(followed, kinds, weights, below > 0, total)
    scaled = logged(followed, offset[:, None, None])
    location, unit = _standard(scaled, weights, total)
    standard = ((scaled - location[:, None]) / unit[:, None, None]).flatten(2)
    constant = torch.stack([torch.ones(len(rows)), responded[rows]], dim=1).double()
    design = torch.cat([constant, agents[rows].double()], dim=1)
    fitted, covariance, tails = _learned(standard, design, weights, values.shape[2], total)
    spread = unit.repeat(1, len(days))
    fitted = fitted * spread[:, None]
    return Course(
        modality=modality,
        days=days.double(),
        offset=offset.float(),
        level=(fitted[:, 0] + location.flatten(1)).float(),
        response=fitted[:, 1].float(),
        effects=fitted[:, 2:].float(),
        covariance=(covariance * spread[:, None] * spread[:, :, None]).float(),
        tails=tails.float(),
        lowest=torch.where(below > 0, -torch.inf, 0.0),
    )


def _offsets(
    values: Float[Tensor, "patient visit feature"],
    kinds: Float[Tensor, "patient response"],
    weights: Float[Tensor, "member patient"],
    below: Bool[Tensor, " feature"],
    total: Total,
) -> Float[Tensor, "member feature"]:
    """Return under which offset the changes of each feature are likeliest.

    As if a feature walked from visit to visit, at a rate of who responds and one of who does not
    (the profile likelihood of Box & Cox 1964, doi:10.1111/j.2517-6161.1964.tb00553.x, of changes).
    """
    there = (~torch.isnan(values)).double()
    count, summed = total(
        "course",
        torch.einsum("mp,pvf->mf", weights, there),
        torch.einsum("mp,pvf->mf", weights, torch.nan_to_num(values)),
    )
    mean = summed / count.clamp(min=1.0)
    mean = torch.where(below | (mean <= 0), torch.inf, mean)
    tried = torch.stack([*(share * mean for share in _OFFSETS), torch.full_like(mean, torch.inf)])
    likely = torch.stack([_walked(values, kinds, weights, each, total) for each in tried])
    best = likely.argmax(dim=0, keepdim=True)
    return tried.gather(0, best)[0]


def _walked(
    values: Float[Tensor, "patient visit feature"],
    kinds: Float[Tensor, "patient response"],
    weights: Float[Tensor, "member patient"],
    offset: Float[Tensor, "member feature"],
    total: Total,
) -> Float[Tensor, "member feature"]:
    scaled = logged(values, offset[:, None, None])
    change = torch.cat([scaled[:, :, :1], scaled.diff(dim=2)], dim=2)
    there = (~torch.isnan(change)).double()
    change = torch.nan_to_num(change)
    # Zero is no density: all that is too small to be measured comes as zero.
    dense = there * (values > 0) * torch.isfinite(offset)[:, None, None]
    slope = torch.nan_to_num(scaled) * dense
    by_kind = [
        torch.einsum("mp,pk,mpvf->mkvf", weights, kinds, each)
        for each in (there, change, change.square())
    ]
    *by_kind, sloped = total("walks", *by_kind, torch.einsum("mp,mpvf->mf", weights, slope))
    count, summed, squared = by_kind
    left = (squared - summed.square() / count.clamp(min=1.0)).sum(dim=1)
    patients = count.sum(dim=1)
    variance = (left / patients.clamp(min=1.0)).clamp(min=1e-12)
    return -0.5 * (patients * variance.log()).sum(dim=1) - sloped


def _standard(
    scaled: Float[Tensor, "member patient visit feature"],
    weights: Float[Tensor, "member patient"],
    total: Total,
) -> tuple[Float[Tensor, "member visit feature"], Float[Tensor, "member feature"]]:
    """Return the mean at each visit, and the spread around it over all of them."""
    there = (~torch.isnan(scaled)).double()
    count, summed = total(
        "level of the course",
        torch.einsum("mp,mpvf->mvf", weights, there),
        torch.einsum("mp,mpvf->mvf", weights, torch.nan_to_num(scaled)),
    )
    location = summed / count.clamp(min=1.0)
    off = torch.nan_to_num(scaled - location[:, None])
    (squared,) = total("spread of the course", torch.einsum("mp,mpvf->mf", weights, off.square()))
    return location, (squared / count.sum(dim=1).clamp(min=1.0)).sqrt().clamp(min=1e-6)


def _learned(
    values: Float[Tensor, "member patient column"],
    design: Float[Tensor, "patient input"],
    weights: Float[Tensor, "member patient"],
    first: int,
    total: Total,
) -> tuple[
    Float[Tensor, "member input column"],
    Float[Tensor, "member column column"],
    Float[Tensor, " member"],
]:
    """Return coefficients, covariance and degrees of freedom by expectation-maximisation."""
    members, columns = len(weights), values.shape[2]
    (patients,) = total("patients of the course", weights.sum(dim=1))
    filled, counts = torch.nan_to_num(values), weights
    doubt = torch.zeros(members, columns, columns, dtype=values.dtype)
    tails = torch.full((members,), _TAILS[4], dtype=values.dtype)
    before = torch.full((members,), torch.inf, dtype=values.dtype)
    for _ in range(_ROUNDS):
        fitted, used = _regressed(filled, design, counts, first, total)
        off = filled - design @ fitted
        (scatter,) = total(
            "scatter of the course", torch.einsum("mp,mpi,mpj->mij", counts, off, off) + doubt
        )
        share = (_ALONE / (patients + _ALONE))[:, None, None]
        covariance = _drawn_alone(scatter / patients[:, None, None], share, first)
        now = covariance.diagonal(dim1=-2, dim2=-1).log().mean(dim=1)
        if bool(((now - before).abs() < _SETTLED).all()):
            break
        before = now
        filled, doubt, counts, tails = _expected(
            values, design @ fitted, covariance, weights, tails, total
        )
    # What is expected was fitted to these patients: others are further from it.
    return fitted, covariance * (patients / (patients - used))[:, None, None], tails


def _drawn_alone(
    covariance: Float[Tensor, "member column column"],
    share: Float[Tensor, "member 1 1"],
    first: int,
) -> Float[Tensor, "member column column"]:
    """Return a covariance whose changes from visit to visit are a little more independent."""
    columns = covariance.shape[1]
    after = torch.ones(columns // first, columns // first, dtype=covariance.dtype).tril()
    summed = torch.kron(after, torch.eye(first, dtype=covariance.dtype))
    change = torch.linalg.inv(summed)
    changes = change @ covariance @ change.T
    alone = torch.diag_embed(changes.diagonal(dim1=-2, dim2=-1))
    changes = (1 - share) * changes + share * alone
    # What never changes still has a density.
    changes = changes + 1e-3 * torch.eye(columns, dtype=covariance.dtype)
    return summed @ changes @ summed.T


def _regressed(
    filled: Float[Tensor, "member patient column"],
    design: Float[Tensor, "patient input"],
    counts: Float[Tensor, "member patient"],
    first: int,
    total: Total,
) -> tuple[Float[Tensor, "member input column"], Float[Tensor, " member"]]:
    """Return penalised coefficients, and how many numbers they are worth.

    Nothing that was given moves what was measured before: agents add to what changes from there.
    """
    penalty = torch.full((design.shape[1],), _DRAWN, dtype=design.dtype)
    penalty[0] = 1e-6
    gram, moment = total(
        "moments of the course",
        torch.einsum("mp,pi,pj->mij", counts, design, design),
        torch.einsum("mp,pi,mpc->mic", counts, design, filled),
    )
    drawn = gram + torch.diag(penalty)
    used = torch.linalg.solve(drawn, gram).diagonal(dim1=-2, dim2=-1).sum(dim=-1)
    found = torch.linalg.solve(drawn, moment)
    alone = torch.zeros_like(found[:, :, :first])
    alone[:, :2] = torch.linalg.solve(drawn[:, :2, :2], moment[:, :2, :first])
    shift = alone - found[:, :, :first]
    return found + shift.repeat(1, 1, found.shape[2] // first), used


def _expected(
    values: Float[Tensor, "member patient column"],
    mean: Float[Tensor, "member patient column"],
    covariance: Float[Tensor, "member column column"],
    weights: Float[Tensor, "member patient"],
    tails: Float[Tensor, " member"],
    total: Total,
) -> tuple[
    Float[Tensor, "member patient column"],
    Float[Tensor, "member column column"],
    Float[Tensor, "member patient"],
    Float[Tensor, " member"],
]:
    """Return what is expected of what was not measured, and how much doubt is left in all.

    Then how much each patient counts, less whose changes are large, and degrees of freedom.
    """
    filled, counts = torch.where(torch.isnan(values), mean, values), weights.clone()
    doubt = torch.zeros_like(covariance)
    tried = torch.tensor(_TAILS, dtype=values.dtype)[:, None, None]
    likely = torch.zeros(len(_TAILS), len(weights), dtype=values.dtype)
    for rows, seen in patterns(values[0]):
        inner = covariance[:, seen][:, :, seen]
        root = torch.linalg.cholesky(inner)
        off = (values[:, rows] - mean[:, rows])[..., seen]
        z = torch.linalg.solve_triangular(root, off.mT, upper=False)
        far, columns = z.square().sum(dim=1), int(seen.sum())
        half = root.diagonal(dim1=-2, dim2=-1).log().sum(dim=-1)[:, None]
        likely += (weights[:, rows] * log_density(far, half, columns, tried)).sum(dim=-1)
        counts[:, rows] *= (tails[:, None] + columns) / (tails[:, None] + far)
        across = covariance[:, ~seen][:, :, seen]
        gain = torch.linalg.solve(inner, across.mT).mT
        rest = torch.nonzero(~seen)[:, 0]
        filled[:, rows[:, None], rest] = mean[:, rows[:, None], rest] + off @ gain.mT
        left = covariance[:, ~seen][:, :, ~seen] - gain @ across.mT
        share = weights[:, rows].sum(dim=1)[:, None, None]
        doubt[:, rest[:, None], rest] += share * left
    (likely,) = total("tails of the course", likely)
    return filled, doubt, counts, tried[likely.argmax(dim=0), 0, 0]
