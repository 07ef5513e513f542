"""What a wide channel is reduced to: directions found in each member's own training patients."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy.linalg import eigh
from torch import Tensor

from omics_twin.errors import TrainingError
from omics_twin.models.graph import Neighbours
from omics_twin.settings import GeneEncoder, NetworkSettings


def reduction(
    conditioned: Tensor,
    measured: Tensor,
    scale: Tensor,
    offset: Tensor,
    inside: Tensor,
    structure: Tensor | None,
    settings: NetworkSettings,
) -> dict[str, Any]:
    """Return the fields that say what a wide channel is reduced to, from each member's patients.

    Principal directions are scaled to components of unit variance.
    """
    directions, kept = [], []
    components = settings.components
    # Conditioned values are of order one: single precision is plenty, and twice as fast.
    values = conditioned.float()
    gaps = None if bool((measured > 0).all()) else measured.float()
    for member in range(len(scale)):
        rows = inside[member] & (measured.sum(dim=1) > 0)
        if int(rows.sum()) <= components:
            raise TrainingError(
                f"a fold leaves {int(rows.sum())} training patients with a wide modality, expected "
                f"more than model.components, which is {components}: set fewer components"
            )
        standard = values[rows].mul_(scale[member].float()).add_(offset[member].float())
        if gaps is not None:
            standard.mul_(gaps[rows])
        nodes, deviation = _nodes(standard, structure)
        found = _whitening_directions(nodes, components).float()
        kept.append(nodes @ found)
        directions.append(found / deviation.unsqueeze(-1))
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
    vectors = vectors * kept
    strongest = np.abs(vectors).argmax(axis=0)
    vectors = vectors * np.sign(vectors[strongest, np.arange(vectors.shape[1])])
    deviation = np.clip(singular / rows**0.5, 1e-6, None)
    rotation = varimax(vectors * deviation)
    return torch.from_numpy(np.ascontiguousarray((vectors / deviation) @ rotation))


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
