"""How what is measured under therapy changes, in who will respond and in who will not.

Between two scheduled visits a measurement changes at a constant rate: of a tumour's volume, taken
as a logarithm, a constant net kill. Rates differ between patients who respond and those who do
not, between agents, and between patients; all of them are jointly Gaussian with the measurements
before treatment. One such course is learned by every ensemble member from its own patients.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from omics_twin.errors import TrainingError
from omics_twin.tensors.sums import Total, here

# An agent's effect on a course is drawn towards none as by so many patients without one.
_DRAWN = 10.0
_TOWARDS_DIAGONAL = 0.05
_FEWEST = 20
_ROUNDS = 30
_SETTLED = 1e-4


@dataclass(frozen=True)
class Course:
    """Of each member, what is expected at every scheduled visit and how it varies.

    A column is one feature at one visit, visits in order, the first before treatment.

    Attributes
    ----------
    modality
        What is measured.
    days
        Scheduled days (visit,) [day].
    level
        What is expected of who does not respond, before agents, (member, column).
    response
        What a response adds, (member, column).
    effects
        What each agent adds, (member, agent, column); nothing before treatment.
    covariance
        Of patients around that, (member, column, column).
    lowest
        Of each feature, 0 where nobody's was below, else minus infinity, (feature,).
    """

    modality: str
    days: Float[Tensor, " visit"]
    level: Float[Tensor, "member column"]
    response: Float[Tensor, "member column"]
    effects: Float[Tensor, "member agent column"]
    covariance: Float[Tensor, "member column column"]
    lowest: Float[Tensor, " feature"]

    @property
    def features(self) -> int:
        """How many features a visit has."""
        return self.level.shape[1] // len(self.days)

    def expected(
        self, agents: Float[Tensor, "patient agent"]
    ) -> Float[Tensor, "response member patient column"]:
        """Return what is expected of who does not respond, and of who does."""
        given = torch.einsum("pa,mac->mpc", agents.to(self.effects), self.effects)
        level = self.level.unsqueeze(1) + given
        return torch.stack([level, level + self.response.unsqueeze(1)])

    def evidence(
        self, seen: Float[Tensor, "patient column"], agents: Float[Tensor, "patient agent"]
    ) -> Float[Tensor, "response member patient"]:
        """Return how likely either response makes what was seen after the first visit.

        It is given what was seen before treatment, from which the response was proposed.

        Parameters
        ----------
        seen
            NaN: not measured.
        agents
            1 for each agent received.

        Returns
        -------
        log likelihood [nat], up to a constant of the patient.
        """
        first = seen.clone()
        first[:, self.features :] = torch.nan
        off = seen - self.expected(agents)
        return self._log_density(off) - self._log_density(
            torch.where(torch.isnan(first), torch.nan, off)
        )

    def _log_density(
        self, off: Float[Tensor, "response member patient column"]
    ) -> Float[Tensor, "response member patient"]:
        found = torch.zeros(off.shape[:-1], dtype=off.dtype)
        patterns, which = torch.unique(~torch.isnan(off[0, 0]), dim=0, return_inverse=True)
        for index, pattern in enumerate(patterns):
            if not bool(pattern.any()):
                continue
            rows = which == index
            root = torch.linalg.cholesky(self.covariance[:, pattern][:, :, pattern])
            there = off[:, :, rows][..., pattern]
            z = torch.linalg.solve_triangular(root, there.mT, upper=False)
            half = root.diagonal(dim1=-2, dim2=-1).log().sum(dim=-1)
            found[:, :, rows] = -0.5 * z.square().sum(dim=-2) - half[None, :, None]
        return found

    def drawn(
        self,
        off: Float[Tensor, "patient draw column"],
        noise: Float[Tensor, "patient draw column"],
        member: Tensor,
    ) -> Float[Tensor, "patient draw column"]:
        """Return how far each draw is from what is expected, as seen where it was seen.

        Parameters
        ----------
        off
            How far what was measured is from what each draw expects; NaN: not measured.
        noise
            Standard normal.
        member
            Whom each draw belongs to, (draw,).
        """
        found = torch.empty_like(off)
        patterns, which = torch.unique(~torch.isnan(off[:, 0]), dim=0, return_inverse=True)
        for index, pattern in enumerate(patterns):
            rows = which == index
            if bool(pattern.all()):
                found[rows] = off[rows]
                continue
            gain, root = (each[member] for each in self._given(pattern))
            there = off[rows][..., pattern]
            rest = torch.einsum("dij,pdj->pdi", gain, there)
            rest = rest + torch.einsum("dij,pdj->pdi", root, noise[rows][..., ~pattern])
            part = torch.empty_like(off[rows])
            part[..., pattern], part[..., ~pattern] = there, rest
            found[rows] = part
        return found

    def _given(
        self, seen: Bool[Tensor, " column"]
    ) -> tuple[Float[Tensor, "member rest seen"], Float[Tensor, "member rest rest"]]:
        """Return what is expected of the rest for each unit seen, and a root of what is left."""
        across = self.covariance[:, ~seen][:, :, seen]
        inner = self.covariance[:, seen][:, :, seen]
        gain = torch.linalg.solve(inner, across.mT).mT
        left = self.covariance[:, ~seen][:, :, ~seen] - gain @ across.mT
        return gain, torch.linalg.cholesky(left + 1e-9 * torch.eye(len(left[0])).to(left))

    def at(
        self, columns: Float[Tensor, "patient draw column"], days: Float[Tensor, " time"]
    ) -> Float[Tensor, "patient draw time feature"]:
        """Return the course on any days: straight between visits, level outside them."""
        visits = columns.unflatten(-1, (len(self.days), self.features))
        asked = days.to(self.days).clamp(self.days[0], self.days[-1])
        after = torch.searchsorted(self.days, asked).clamp(1, len(self.days) - 1)
        start, end = self.days[after - 1], self.days[after]
        share = ((asked - start) / (end - start)).to(columns)[:, None]
        found = (1.0 - share) * visits[:, :, after - 1] + share * visits[:, :, after]
        return torch.maximum(found, self.lowest.to(found))


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

    Penalised least squares for what is expected and the residual covariance, drawn a little
    towards independence; what was not measured is filled in by expectation-maximisation
    (Little & Rubin 2002, chapter 11, doi:10.1002/9781119013563).

    Parameters
    ----------
    values
        NaN: not measured. Patients without any value after the first visit say nothing.
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
    flat = values.double().flatten(1)
    first = values.shape[2]
    usable = torch.isfinite(responded) & ~torch.isnan(flat[:, first:]).all(dim=1)
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
    weights = seen[:, rows].double()
    location, spread = _standard(flat[rows], total)
    constant = torch.stack([torch.ones(len(rows)), responded[rows]], dim=1).double()
    design = torch.cat([constant, agents[rows].double()], dim=1)
    (below,) = total("negative values", (values < 0).flatten(0, 1).double().sum(dim=0))
    fitted = _learned((flat[rows] - location) / spread, design, weights, first, total)
    level, response, effects = fitted[0][:, 0], fitted[0][:, 1], fitted[0][:, 2:]
    return Course(
        modality=modality,
        days=days.double(),
        level=(level * spread + location).float(),
        response=(response * spread).float(),
        effects=(effects * spread).float(),
        covariance=(fitted[1] * spread * spread[:, None]).float(),
        lowest=torch.where(below > 0, -torch.inf, 0.0),
    )


def _standard(values: Tensor, total: Total) -> tuple[Tensor, Tensor]:
    count, summed = total(
        "course", (~torch.isnan(values)).double().sum(dim=0), torch.nansum(values, dim=0)
    )
    location = summed / count
    (squared,) = total("spread of the course", torch.nansum((values - location).square(), dim=0))
    spread = (squared / count).sqrt()
    return torch.nan_to_num(location), torch.nan_to_num(spread, nan=1.0).clamp(min=1e-6)


def _learned(
    values: Float[Tensor, "patient column"],
    design: Float[Tensor, "patient input"],
    weights: Float[Tensor, "member patient"],
    first: int,
    total: Total,
) -> tuple[Float[Tensor, "member input column"], Float[Tensor, "member column column"]]:
    """Return coefficients and residual covariance by expectation-maximisation."""
    members, columns = len(weights), values.shape[1]
    gaps, patients = total(
        "gaps in the course", torch.isnan(values).double().sum(), weights.sum(dim=1)
    )
    filled = torch.nan_to_num(values).expand(members, -1, -1)
    doubt = torch.zeros(members, columns, columns, dtype=values.dtype)
    before = math.inf
    for _ in range(_ROUNDS):
        fitted = _regressed(filled, design, weights, first, total)
        off = filled - design @ fitted
        (scatter,) = total(
            "scatter of the course", torch.einsum("mp,mpi,mpj->mij", weights, off, off) + doubt
        )
        covariance = scatter / patients[:, None, None]
        diagonal = torch.diag_embed(covariance.diagonal(dim1=-2, dim2=-1))
        covariance = (1 - _TOWARDS_DIAGONAL) * covariance + _TOWARDS_DIAGONAL * diagonal
        change = float(covariance.diagonal(dim1=-2, dim2=-1).log().sum())
        if not bool(gaps > 0) or abs(change - before) < _SETTLED:
            break
        before = change
        filled, doubt = _expected(values, design @ fitted, covariance, weights)
    return fitted, covariance


def _regressed(
    filled: Float[Tensor, "member patient column"],
    design: Float[Tensor, "patient input"],
    weights: Float[Tensor, "member patient"],
    first: int,
    total: Total,
) -> Float[Tensor, "member input column"]:
    """Return penalised coefficients; nothing that was given moves what was measured before."""
    penalty = torch.full((design.shape[1],), _DRAWN, dtype=design.dtype)
    penalty[:2] = 1e-6
    gram, moment = total(
        "moments of the course",
        torch.einsum("mp,pi,pj->mij", weights, design, design),
        torch.einsum("mp,pi,mpc->mic", weights, design, filled),
    )
    gram = gram + torch.diag(penalty)
    found = torch.linalg.solve(gram, moment)
    alone = torch.linalg.solve(gram[:, :2, :2], moment[:, :2, :first])
    found[:, :, :first] = 0.0
    found[:, :2, :first] = alone
    return found


def _expected(
    values: Float[Tensor, "patient column"],
    mean: Float[Tensor, "member patient column"],
    covariance: Float[Tensor, "member column column"],
    weights: Float[Tensor, "member patient"],
) -> tuple[Float[Tensor, "member patient column"], Float[Tensor, "member column column"]]:
    """Return what is expected of what was not measured, and how much doubt is left in all."""
    filled = torch.where(torch.isnan(values), mean, values)
    doubt = torch.zeros_like(covariance)
    if not len(values):
        return filled, doubt
    patterns, which = torch.unique(~torch.isnan(values), dim=0, return_inverse=True)
    for index, seen in enumerate(patterns):
        if bool(seen.all()):
            continue
        rows = torch.nonzero(which == index)[:, 0]
        across = covariance[:, ~seen][:, :, seen]
        gain = torch.linalg.solve(covariance[:, seen][:, :, seen], across.mT).mT
        off = (values[rows] - mean[:, rows])[..., seen]
        rest = torch.nonzero(~seen)[:, 0]
        filled[:, rows[:, None], rest] = mean[:, rows[:, None], rest] + off @ gain.mT
        left = covariance[:, ~seen][:, :, ~seen] - gain @ across.mT
        share = weights[:, rows].sum(dim=1)[:, None, None]
        doubt[:, rest[:, None], rest] += share * left
    return filled, doubt
