"""What a batch adds is learned from each member's own patients and taken off everybody."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from omics_twin.errors import TrainingError
from omics_twin.models.build import ChannelTensors, input_statistics
from omics_twin.models.encoders import InputStatistics
from omics_twin.models.layers import ProjectedInputLinear
from omics_twin.settings import GeneEncoder, NetworkSettings

PATIENTS, GENES, BATCHES = 180, 120, 3
SETTINGS = NetworkSettings(wide_features=40, components=8)
COLUMNS = tuple(range(GENES, GENES + BATCHES))


def cohort(*, shift: float = 2.0) -> tuple[torch.Tensor, np.ndarray, np.ndarray]:
    """Genes of one programme, shifted by batch, with the batch beside them; programme and batch."""
    rng = np.random.default_rng(2)
    programme, batch = rng.normal(size=PATIENTS), np.arange(PATIENTS) % BATCHES
    genes = programme[:, None] * rng.normal(size=GENES) + rng.normal(size=(PATIENTS, GENES))
    genes += shift * rng.normal(size=(BATCHES, GENES))[batch]
    values = np.hstack([genes, np.eye(BATCHES)[batch]])
    return torch.tensor(values, dtype=torch.float32), programme, batch


def training() -> torch.Tensor:
    """Two members: the first never sees the last third of the patients, the second the first."""
    weights = torch.ones(2, PATIENTS)
    weights[0, 120:] = 0.0
    weights[1, :60] = 0.0
    return weights


def statistics(
    values: torch.Tensor, batch: tuple[int, ...] = COLUMNS, settings: NetworkSettings = SETTINGS
) -> InputStatistics:
    binary = torch.arange(values.shape[1]) >= GENES
    channel = ChannelTensors(values, binary, 0.0, follow_up=False, batch=batch)
    return input_statistics(channel, training(), settings)


def components(found: InputStatistics, values: torch.Tensor) -> np.ndarray:
    """Return the components of patients, (member, patient, component), as an encoder makes them."""
    layer = found.first_layer(4, torch.Generator().manual_seed(0))
    assert isinstance(layer, ProjectedInputLinear)
    measured = (~torch.isnan(values)).float()
    filled = torch.nan_to_num((values - found.location) / found.spread)
    return layer.components(filled, measured).numpy()


def explained(scores: np.ndarray, batch: np.ndarray) -> float:
    """Return the share of the variance of scores that lies between batches."""
    means = np.stack([scores[batch == each].mean(axis=0) for each in range(BATCHES)])[batch]
    return float(means.var(axis=0).sum() / scores.var(axis=0).sum())


def test_batches_explain_components_no_more_also_of_patients_held_out() -> None:
    values, programme, batch = cohort()
    plain = components(statistics(values[:, :GENES], ()), values[:, :GENES])[0]
    corrected = components(statistics(values), values)[0]
    out = slice(120, None)
    assert explained(plain[out], batch[out]) > 0.2
    assert explained(corrected[out], batch[out]) < 0.1
    found = np.abs([np.corrcoef(each, programme[out])[0, 1] for each in corrected[out].T]).max()
    assert found > 0.8


def test_what_is_taken_off_is_the_mean_of_a_members_own_patients() -> None:
    values, _, batch = cohort(shift=5.0)
    other = values.clone()
    other[120:, :GENES] += 7.0
    # The first member has not seen whom we changed; conditioning by everybody cancels.
    scores = [components(statistics(each), values)[0] for each in (values, other)]
    np.testing.assert_allclose(np.abs(scores[0]), np.abs(scores[1]), atol=2e-3)
    trained = scores[0][:120]
    for each in range(BATCHES):
        assert np.abs(trained[batch[:120] == each].mean(axis=0)).max() < 0.05


def test_a_patient_of_a_new_batch_keeps_the_average_of_all() -> None:
    values, _, _ = cohort()
    found = statistics(values)
    unknown = values.clone()
    unknown[:, GENES:] = torch.nan
    none = values.clone()
    none[:, GENES:] = 0.0
    np.testing.assert_allclose(components(found, unknown), components(found, none), atol=1e-4)
    assert np.abs(components(found, unknown) - components(found, values)).max() > 0.1


def test_without_an_effect_of_the_batch_next_to_nothing_is_taken_off() -> None:
    values, _, _ = cohort(shift=0.0)
    found = statistics(values)
    none = values.clone()
    none[:, GENES:] = 0.0
    moved = components(found, values) - components(found, none)
    assert np.abs(moved).mean() < 0.1


@pytest.mark.parametrize(
    ("gaps", "settings"),
    [
        (True, SETTINGS),
        (False, NetworkSettings(wide_features=400)),
    ],
)
def test_batches_that_cannot_be_taken_off_are_refused(
    gaps: bool, settings: NetworkSettings
) -> None:
    values, _, _ = cohort()
    if gaps:
        values[3, 5] = torch.nan
    with pytest.raises(TrainingError, match="leave 'batch_column' out"):
        statistics(values, settings=settings)
    assert settings.gene_encoder is GeneEncoder.COMPONENTS
