"""What a wide channel is reduced to: directions found in each member's own training patients."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.linalg import eigh
from torch import Tensor

from omics_twin.errors import TrainingError
from omics_twin.models.batches import BatchShift
from omics_twin.models.graph import Neighbours
from omics_twin.settings import GeneEncoder, NetworkSettings
from omics_twin.tensors.sums import Total, here

# Columns of a basis beside the components wanted, and rounds of making it better.
_BESIDE, _ROUNDS = 12, 60


def reduction(
    conditioned: Tensor,
    measured: Tensor,
    scale: Tensor,
    offset: Tensor,
    inside: Tensor,
    structure: Tensor | None,
    settings: NetworkSettings,
    total: Total = here,
    batch: BatchShift | None = None,
) -> dict[str, Any]:
    """Return the fields that say what a wide channel is reduced to, from each member's patients.

    Principal directions are scaled to components of unit variance. They are those of values from
    which the shift of a batch is taken off; the directions of its columns take it off components.
    """
    if total is not here:
        return {
            "directions": shared_directions(
                conditioned, measured, scale, offset, inside, structure, settings.components, total
            ),
            "structure": structure,
            "gated": settings.gene_encoder is GeneEncoder.PATHWAYS and structure is not None,
        }
    directions, kept = [], []
    components = settings.components
    # Conditioned values are of order one: single precision is plenty, and twice as fast.
    values = conditioned.float()
    gaps = None if bool((measured > 0).all()) else measured.float()
    for member in range(len(scale)):
        rows = inside[member] & (measured.sum(dim=1) > 0)
        _check_enough(int(rows.sum()), components)
        standard = values[rows].mul_(scale[member].float()).add_(offset[member].float())
        if gaps is not None:
            standard.mul_(gaps[rows])
        if batch is not None:
            shift = (batch.shift[member] * scale[member]).float()
            standard -= standard[:, batch.columns] @ shift
            standard[:, batch.columns] = 0.0
        nodes, deviation = _nodes(standard, structure)
        found = _whitening_directions(nodes, components).float()
        kept.append(nodes @ found)
        directions.append(found / deviation.unsqueeze(-1))
        if batch is not None:
            directions[-1][batch.columns] = -shift @ directions[-1]
    encoder = settings.gene_encoder
    alike = encoder is GeneEncoder.PATIENT_GRAPH
    return {
        "directions": torch.stack(directions),
        "structure": structure,
        "gated": encoder is GeneEncoder.PATHWAYS and structure is not None,
        "neighbours": Neighbours.of(kept, settings.neighbours) if alike else None,
    }


def _nodes(
    standard: Float[Tensor, "row feature"], structure: Float[Tensor, "feature node"] | None
) -> tuple[Float[Tensor, "row node"], Float[Tensor, " node"]]:
    """Return nodes of unit variance, and the deviations they were divided by."""
    if structure is None:
        return standard, torch.ones(standard.shape[1])
    nodes = standard @ structure
    deviation = nodes.std(dim=0)
    deviation = torch.where(deviation > 1e-6, deviation, torch.ones_like(deviation))
    return nodes / deviation, deviation


def _whitening_directions(
    standard: Float[Tensor, "row feature"], components: int
) -> Float[Tensor, "feature component"]:
    """Return principal directions divided by the deviation of their component.

    The smaller of the two Gram matrices holds the same directions as the matrix itself: with
    hundreds of patients and tens of thousands of features, only hundreds squared are decomposed.
    A direction's sign is chosen so that its largest loading is positive.
    """
    rows, features = standard.shape
    values = standard.numpy()
    few = rows < features
    gram = values @ values.T if few else values.T @ values
    last = len(gram) - 1
    squares, vectors = eigh(
        gram.astype(np.float64), subset_by_index=[max(0, last - components + 1), last]
    )
    singular = np.sqrt(np.clip(squares[::-1], 0.0, None))
    vectors = vectors[:, ::-1]
    # A component without variance is only rounding: it is not used.
    kept = singular > 1e-6 * singular[0]
    if few:
        vectors = values.T @ (vectors / np.where(kept, singular, 1.0)).astype(values.dtype)
    return _rotated(vectors * kept, singular / rows**0.5)


def _rotated(vectors: np.ndarray, deviation: np.ndarray) -> Float[Tensor, "feature component"]:
    """Return directions divided by the deviation of their component, each close to few features."""
    strongest = np.abs(vectors).argmax(axis=0)
    vectors = vectors * np.sign(vectors[strongest, np.arange(vectors.shape[1])])
    deviation = np.clip(deviation, 1e-6, None)
    rotation = varimax(vectors * deviation)
    return torch.from_numpy(np.ascontiguousarray((vectors / deviation) @ rotation))


def shared_directions(
    conditioned: Float[Tensor, "patient feature"],
    measured: Float[Tensor, "patient feature"],
    scale: Float[Tensor, "member feature"],
    offset: Float[Tensor, "member feature"],
    inside: Bool[Tensor, "member patient"],
    structure: Float[Tensor, "feature node"] | None,
    components: int,
    total: Total,
) -> Float[Tensor, "member node component"]:
    """Return each member's principal directions where only sums over patients leave a site.

    Orthogonal iteration: a site is told a basis, and answers with its patients' second moment times
    that basis, so that no matrix of features by features is ever sent, nor held.

    Raises
    ------
    TrainingError
        If too few patients are left to a member.

    References
    ----------
    Halko, Martinsson & Tropp 2011, Finding structure with randomness (doi:10.1137/090771806).
    """
    members = len(scale)
    there = inside & (measured.sum(dim=1) > 0)
    (rows,) = total("patients with a wide modality", there.double().sum(dim=1))
    _check_enough(int(rows.min()), components)

    def nodes(member: int) -> Tensor:
        own = there[member]
        standard = (conditioned[own] * scale[member] + offset[member]) * measured[own]
        return standard if structure is None else standard @ structure.double()

    size = (measured if structure is None else structure.T).shape[1]
    deviation = torch.ones(members, size, dtype=torch.float64)
    if structure is not None:
        summed = torch.stack([nodes(member).sum(dim=0) for member in range(members)])
        (mean,) = (each / rows[:, None] for each in total("mean of nodes", summed))
        squares = torch.stack([(nodes(m) - mean[m]).square().sum(dim=0) for m in range(members)])
        (squared,) = total("variance of nodes", squares)
        deviation = (squared / (rows[:, None] - 1.0)).sqrt()
        deviation = torch.where(deviation > 1e-6, deviation, torch.ones_like(deviation))
    generator = torch.Generator().manual_seed(0)
    width = min(size, components + _BESIDE)
    basis = torch.randn(members, size, width, generator=generator, dtype=torch.float64)
    before = torch.zeros(members, dtype=torch.float64)
    for _ in range(_ROUNDS):
        basis = torch.linalg.qr(basis).Q
        products = []
        for member in range(members):
            own = nodes(member) / deviation[member]
            products.append(own.T @ (own @ basis[member]))
        (moment,) = total("principal directions", torch.stack(products))
        squares, turn = torch.linalg.eigh(basis.mT @ moment)
        strength = squares[:, -components:].sum(dim=1)
        if bool((strength - before <= 1e-9 * strength).all()):
            break
        basis, before = moment, strength
    squares = squares.flip(1)[:, :components].clamp(min=0.0)
    vectors = (basis @ turn.flip(2))[..., :components]
    found = []
    for member in range(members):
        singular = squares[member].sqrt()
        kept = vectors[member] * (singular > 1e-6 * singular[0])
        directions = _rotated(kept.numpy(), (singular / rows[member].sqrt()).numpy())
        found.append((directions / deviation[member].unsqueeze(-1)).float())
    return torch.stack(found)


def _check_enough(patients: int, components: int) -> None:
    if patients <= components:
        raise TrainingError(
            f"a fold leaves {patients} training patients with a wide modality, expected "
            f"more than model.components, which is {components}: set fewer components"
        )


def varimax(loadings: np.ndarray) -> np.ndarray:
    """Return the rotation after which each feature loads on few components.

    Principal components mix the programmes that make them up; the rotated ones are close to one
    programme each, so that an effect which follows one programme is an effect of one component.

    Parameters
    ----------
    loadings
        Shape (feature, component).

    References
    ----------
    Kaiser 1958, The varimax criterion for analytic rotation in factor analysis
    (doi:10.1007/BF02289233).
    """
    rotation = np.eye(loadings.shape[1])
    before = 0.0
    for _ in range(100):
        rotated = loadings @ rotation
        slope = loadings.T @ (rotated**3 - rotated * np.square(rotated).mean(axis=0))
        left, singular, right = np.linalg.svd(slope)
        rotation = left @ right
        if singular.sum() < before * (1.0 + 1e-5):
            break
        before = float(singular.sum())
    return rotation
