"""What plans are ranked by when one number is not enough: benefit less its price, as stated."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from omics_twin.errors import TwinError
from omics_twin.types import Endpoint, Trajectory


@dataclass(frozen=True)
class Utility(Endpoint):
    """A weighted sum of readings of one trajectory, higher is better.

    Attributes
    ----------
    terms
        Weight and endpoint, read at the endpoint's own horizon.

    Examples
    --------
    >>> free = Endpoint("free", "progression_free", 182.0)
    >>> toxic = Endpoint("toxic", "grade_4", 182.0)
    >>> Utility.of("net benefit", (1.0, free), (-0.5, toxic)).days().tolist()
    [182.0]
    """

    terms: tuple[tuple[float, Endpoint], ...] = ()

    @staticmethod
    def of(name: str, *terms: tuple[float, Endpoint]) -> Utility:
        """Return the utility of some terms."""
        horizon = max(endpoint.horizon_days for _, endpoint in terms)
        quantity = " + ".join(f"{weight:g} {endpoint.name}" for weight, endpoint in terms)
        return Utility(name, quantity, horizon, terms=terms)

    def later(self, days: float) -> Utility:
        """Return the same question asked some days later."""
        terms = tuple((weight, endpoint.later(days)) for weight, endpoint in self.terms)
        return replace(self, horizon_days=self.horizon_days + days, terms=terms)

    def days(self, points: int = 25) -> Float[Tensor, " time"]:
        """Return the days at which a trajectory must be simulated to be read [day]."""
        return torch.cat([endpoint.days(points) for _, endpoint in self.terms]).unique()

    def read(self, trajectory: Trajectory) -> Float[Tensor, "patient draw"]:
        """Return the utility of every draw.

        Raises
        ------
        TwinError
            If the trajectory does not hold a quantity.
        """
        total = torch.zeros_like(trajectory.values[:, :, 0, 0])
        for weight, endpoint in self.terms:
            if endpoint.quantity not in trajectory.names:
                raise TwinError(
                    f"endpoint '{endpoint.name}' reads quantity '{endpoint.quantity}', but this "
                    f"twin simulates: {', '.join(trajectory.names)}"
                )
            wanted = endpoint.days()
            at = torch.searchsorted(trajectory.days, wanted)
            column = trajectory.names.index(endpoint.quantity)
            values = trajectory.values[:, :, at, column]
            if len(wanted) == 1:
                total = total + weight * values[..., 0]
            else:
                area = torch.trapezoid(values, wanted.to(values), dim=-1)
                total = total + weight * area / endpoint.horizon_days
        return total
