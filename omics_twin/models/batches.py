"""What a batch adds to every gene of it, found in each member's own training patients.

Patients were measured in batches (plates, centres, platforms), and a batch shifts genes. A wide
channel may hold the batch as columns of 0 and 1 beside its genes: the shift is taken off the genes
before principal directions are found, and the columns get the directions that take it off anybody's
components afterwards. Whose batch is not known, or new, keeps the average of all: nothing is known
of its shift.

References
----------
Johnson, Li & Rabinovic 2007, Adjusting batch effects in microarray expression data using empirical
Bayes methods (doi:10.1093/biostatistics/kxj037): the shift of location, without that of scale.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class BatchShift:
    """How far the batches of a channel lie from the mean of all.

    Attributes
    ----------
    columns
        Indices of the features that say the batch, (level,).
    patients
        Each member's training patients of each batch, (member, level).
    summed
        Sum of their values, (member, level, feature).
    shift
        (member, level, feature), in the unit of the values; 0 for the columns themselves.
    """

    columns: Int[Tensor, " level"]
    patients: Float[Tensor, "member level"]
    summed: Float[Tensor, "member level feature"]
    shift: Float[Tensor, "member level feature"]

    def taken_off(
        self, first: Float[Tensor, "member feature"], second: Float[Tensor, "member feature"]
    ) -> tuple[Float[Tensor, "member feature"], Float[Tensor, "member feature"]]:
        """Return the sums of values and of squares once the shift is taken off."""
        weight = self.patients.unsqueeze(-1) * self.shift
        squares = weight * self.shift - 2.0 * self.shift * self.summed
        return first - weight.sum(dim=1), second + squares.sum(dim=1)


def batch_shift(
    values: Float[Tensor, "patient feature"],
    levels: Float[Tensor, "patient level"],
    columns: Int[Tensor, " level"],
    inside: Float[Tensor, "member patient"],
    shifted: Float[Tensor, " feature"],
) -> BatchShift:
    """Return each batch's shift in each member's patients, shrunk as far as chance alone asks.

    Parameters
    ----------
    values
        In any unit of each feature: what is shrunk is in units of its spread within batches.
    levels
        1 where a patient is of the batch.
    inside
        1 for the training patients of a member who were measured.
    shifted
        1 for the features that a batch can shift.
    """
    members = len(inside)
    of_batch = (inside.unsqueeze(-1) * levels).mT
    patients = of_batch.sum(dim=-1)
    summed = (of_batch.flatten(0, 1) @ values).view(members, len(columns), -1)
    overall = (inside @ values) / inside.sum(dim=1, keepdim=True).clamp(min=1.0)
    count = patients.clamp(min=1.0).unsqueeze(-1)
    squares = ((of_batch @ values.square()) - summed.square() / count).sum(dim=1, keepdim=True)
    free = (patients.sum(dim=1) - (patients > 0).sum(dim=1)).clamp(min=1.0)
    within = (squares.clamp(min=0.0) / free.view(-1, 1, 1)).sqrt().clamp(min=1e-9)
    found = (summed / count - overall.unsqueeze(1)) / within * shifted
    genes = shifted.sum().clamp(min=1.0)
    centre = found.sum(dim=-1, keepdim=True) / genes
    spread = ((found - centre).square() * shifted).sum(dim=-1, keepdim=True) / genes
    # What the genes of a batch differ by beyond chance, whose variance is 1 / patients.
    beyond = (spread - 1.0 / count).clamp(min=0.0)
    shrunk = (count * beyond * found + centre) / (count * beyond + 1.0)
    there = (patients > 0).unsqueeze(-1)
    return BatchShift(columns, patients, summed, shrunk * within * shifted * there)
