"""How what is measured under therapy changes, in who will respond and in who will not.

Between two scheduled visits a measurement changes at a constant rate: of a tumour's volume, taken
as a logarithm, a constant net kill. Rates differ between patients who respond and those who do
not, between agents, and between patients; all of them are jointly distributed with the measurements
before treatment, as a multivariate t: in some patients everything changes more than in others. One
such course is learned by every ensemble member from its own patients.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

# In nobody do things change by more than twice as much as they do in most: a visit that is far
# outside of all that was seen says that it was, not that anything may follow.
_LARGEST_SIZE = 4.0


@dataclass(frozen=True)
class Course:
    """Of each member, what is expected at every scheduled visit and how it varies.

    A column is one feature at one visit, visits in order, the first before treatment. Level,
    response, effects and covariance are of log(measurement + offset).

    Attributes
    ----------
    modality
        What is measured.
    days
        Scheduled days (visit,) [day].
    offset
        What is added to a measurement before its logarithm is taken, (member, feature), in the
        feature's unit; infinite where none is taken.
    level
        What is expected of who does not respond, before agents, (member, column).
    response
        What a response adds, (member, column).
    effects
        What each agent adds, (member, agent, column); nothing before treatment.
    covariance
        Of patients around that, for the size of changes that most have, (member, column, column).
    tails
        How alike the size of changes is in all patients: degrees of freedom, (member,).
    lowest
        Of each feature, 0 where nobody's was below, else minus infinity, (feature,).
    """

    modality: str
    days: Float[Tensor, " visit"]
    offset: Float[Tensor, "member feature"]
    level: Float[Tensor, "member column"]
    response: Float[Tensor, "member column"]
    effects: Float[Tensor, "member agent column"]
    covariance: Float[Tensor, "member column column"]
    tails: Float[Tensor, " member"]
    lowest: Float[Tensor, " feature"]

    @property
    def features(self) -> int:
        """How many features a visit has."""
        return self.offset.shape[1]

    @property
    def noises(self) -> int:
        """How many standard normal numbers make a patient's course."""
        return 1 + self.level.shape[1]

    def scaled(
        self, seen: Float[Tensor, "patient column"]
    ) -> Float[Tensor, "member patient column"]:
        """Return measurements in their units as every member takes them."""
        visits = seen.unflatten(1, (len(self.days), self.features))
        return logged(visits, self.offset[:, None, None]).flatten(2)

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
            In the features' units, NaN: not measured.
        agents
            1 for each agent received.

        Returns
        -------
        log likelihood [nat], up to a constant of the patient.
        """
        scaled = self.scaled(seen)
        off = scaled - self.expected(agents)
        later = torch.arange(off.shape[-1]) >= self.features
        # The density of a measurement is that of its logarithm over measurement + offset.
        plain = torch.isinf(self.offset).repeat(1, len(self.days))[:, None]
        slope = torch.nansum(torch.where(plain, 0.0, scaled)[..., later], dim=-1)
        found = self._log_density(off) - self._log_density(torch.where(later, torch.nan, off))
        return (found - slope).to(seen)

    def _log_density(
        self, off: Float[Tensor, "response member patient column"]
    ) -> Float[Tensor, "response member patient"]:
        # In double precision: members whose tails differ are compared by it.
        found = torch.zeros(off.shape[:-1], dtype=torch.float64)
        tails = self.tails.double()[:, None]
        for rows, pattern in patterns(off[0, 0]):
            root = torch.linalg.cholesky(self.covariance[:, pattern][:, :, pattern])
            there = off[:, :, rows][..., pattern]
            z = torch.linalg.solve_triangular(root, there.mT, upper=False)
            half = root.diagonal(dim1=-2, dim2=-1).log().sum(dim=-1)[:, None].double()
            far = z.square().sum(dim=-2).double()
            found[:, :, rows] = log_density(far, half, int(pattern.sum()), tails)
        return found

    def drawn(
        self,
        off: Float[Tensor, "patient draw column"],
        noise: Float[Tensor, "patient draw noise"],
        member: Tensor,
    ) -> Float[Tensor, "patient draw column"]:
        """Return how far each draw is from what is expected, as seen where it was seen.

        Parameters
        ----------
        off
            How far what was measured is from what each draw expects; NaN: not measured.
        noise
            Standard normal, of the size of all changes first.
        member
            Whom each draw belongs to, (draw,).
        """
        found = off.clone()
        for rows, pattern in patterns(off[:, 0]):
            if bool(pattern.all()):
                continue
            gain, root, precision = (each[member] for each in self._given(pattern))
            there, own = off[rows][..., pattern], noise[rows]
            far = torch.einsum("pdi,dij,pdj->pd", there, precision, there)
            size = _size(far, int(pattern.sum()), self.tails[member], own[..., 0])
            rest = torch.einsum("dij,pdj->pdi", root, own[..., 1:][..., ~pattern])
            rest = torch.einsum("dij,pdj->pdi", gain, there) + size.unsqueeze(-1) * rest
            part = off[rows]
            part[..., ~pattern] = rest
            found[rows] = part
        return found

    def _given(
        self, seen: Bool[Tensor, " column"]
    ) -> tuple[
        Float[Tensor, "member rest seen"],
        Float[Tensor, "member rest rest"],
        Float[Tensor, "member seen seen"],
    ]:
        """Return the gain of what was seen, a root of what is left, the precision of the seen."""
        across = self.covariance[:, ~seen][:, :, seen]
        precision = torch.linalg.inv(self.covariance[:, seen][:, :, seen])
        gain = across @ precision
        left = self.covariance[:, ~seen][:, :, ~seen] - gain @ across.mT
        left = left + 1e-9 * torch.eye(left.shape[1]).to(left)
        return gain, torch.linalg.cholesky(left), precision

    def at(
        self,
        columns: Float[Tensor, "patient draw column"],
        days: Float[Tensor, " time"],
        member: Tensor,
    ) -> Float[Tensor, "patient draw time feature"]:
        """Return the course on any days, in the features' units.

        It is straight between visits, as the member takes it, and level outside them.

        Parameters
        ----------
        member
            Whom each draw belongs to, (draw,).
        """
        visits = columns.unflatten(-1, (len(self.days), self.features))
        asked = days.to(self.days).clamp(self.days[0], self.days[-1])
        after = torch.searchsorted(self.days, asked).clamp(1, len(self.days) - 1)
        start, end = self.days[after - 1], self.days[after]
        share = ((asked - start) / (end - start)).to(columns)[:, None]
        found = (1.0 - share) * visits[:, :, after - 1] + share * visits[:, :, after]
        offset = self.offset[member][:, None]
        # No measurement is beyond that, and 32 bits still hold it.
        told = torch.where(torch.isinf(offset), found, found.clamp(max=60.0).exp() - offset)
        return torch.maximum(told, self.lowest.to(told))


def logged(values: Tensor, offset: Tensor) -> Tensor:
    """Return log(value + offset), and values as they are where the offset is infinite.

    Examples
    --------
    >>> logged(torch.tensor([0.0, 2.0]), torch.tensor([1.0, torch.inf])).tolist()
    [0.0, 2.0]
    """
    # A value below all that a member was shown, if it comes, is far out and no more.
    inside = torch.maximum(values + offset, 1e-3 * offset)
    return torch.where(torch.isinf(offset), values, inside.log())


def patterns(values: Float[Tensor, "patient column"]) -> list[tuple[Tensor, Tensor]]:
    """Return who was measured alike: rows, and which columns those were."""
    if not len(values):
        return []
    kinds, which = torch.unique(~torch.isnan(values), dim=0, return_inverse=True)
    return [(torch.nonzero(which == k)[:, 0], kind) for k, kind in enumerate(kinds)]


def log_density(far: Tensor, half: Tensor, columns: int, tails: Tensor) -> Tensor:
    """Return the log density of a multivariate t, up to a constant of the number of columns.

    Parameters
    ----------
    far
        Squared Mahalanobis distance.
    half
        Half the log determinant of the covariance.
    tails
        Degrees of freedom.

    References
    ----------
    Kotz & Nadarajah 2004, equation 1.1, doi:10.1017/CBO9780511550683.
    """
    free = 0.5 * (tails + columns)
    scale = torch.lgamma(free) - torch.lgamma(0.5 * tails) - 0.5 * columns * tails.log()
    return scale - half - free * torch.log1p(far / tails)


def _size(far: Tensor, columns: int, tails: Tensor, noise: Tensor) -> Tensor:
    """Return how much larger than in most the changes of each draw are, given what was seen.

    The squared size is inverse gamma; a chi-squared number comes from a normal one after
    Wilson & Hilferty 1931, doi:10.1073/pnas.17.12.684.
    """
    free = tails + columns
    part = 2.0 / (9.0 * free)
    chi_squared = free * (1.0 - part + noise * part.sqrt()).clamp(min=0.25) ** 3
    return (((tails + far) / free).clamp(max=_LARGEST_SIZE) * free / chi_squared).sqrt()
