"""How a twin is trained, alone, with privacy or by several sites; ``conf/trainer``."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from omics_twin.errors import ConfigError
from omics_twin.settings.ranges import require, require_named


class Device(Enum):
    """Where to compute."""

    AUTO = "auto"
    CPU = "cpu"
    GPU = "gpu"


class Combine(Enum):
    """What sites that learn together send of a network: every step's gradient, or its weights."""

    STEPS = "steps"
    EPOCHS = "epochs"


class PrivateModel(Enum):
    """What is learned with differential privacy."""

    LINEAR = "linear"
    NETWORK = "network"


@dataclass
class PrivacySettings:
    """Differentially private training; ``conf/trainer``, ``privacy``.

    Attributes
    ----------
    epsilon
        Budget for everything read from patients, adding or removing one; null: no such promise.
    delta
        Below one in the number of patients.
    learns
        ``LINEAR``: effects that are linear in the measurements, of prognosis and of every agent;
        ``NETWORK``: the network beside them, which on I-SPY2 was calibrated worse.
    max_grad_norm
        Largest norm of one patient's gradient; well below most patients' own, probabilities are
        too extreme.
    steps, sample_rate, learning_rate, shrinkage
        Of noisy gradient descent; at a sample rate of 1 everyone takes part in every step. What
        is learned is drawn to zero by the shrinkage.
    members
        Iterates of the second half of the steps that become the ensemble, at no further cost.
    secret_weights
        Without a budget: variance of secret weights by which patients count in training, 0: all
        count the same. Promises nothing, but answers tell less of who was learned from; see
        :mod:`omics_twin.training.secret_weights`.
    noise_seed
        Null: secret noise from the operating system, which the guarantee rests on; a number makes
        the run reproducible and voids the guarantee.
    """

    epsilon: float | None = None
    delta: float = 1e-4
    learns: PrivateModel = PrivateModel.LINEAR
    max_grad_norm: float = 4.0
    steps: int = 40
    sample_rate: float = 1.0
    learning_rate: float = 0.5
    shrinkage: float = 0.02
    members: int = 10
    secret_weights: float = 0.0
    noise_seed: int | None = None

    def __post_init__(self) -> None:
        """Refuse budgets and steps that promise or learn nothing."""
        if self.epsilon is not None:
            require("trainer.privacy.epsilon", self.epsilon, 0.01, 100.0)
        require("trainer.privacy.delta", self.delta, 1e-12, 0.1)
        require("trainer.privacy.max_grad_norm", self.max_grad_norm, 1e-6, 1e6)
        require("trainer.privacy.steps", self.steps, 2, 100_000)
        require("trainer.privacy.sample_rate", self.sample_rate, 1e-4, 1.0)
        require("trainer.privacy.learning_rate", self.learning_rate, 1e-8, 1e4)
        require("trainer.privacy.shrinkage", self.shrinkage, 0.0, 1.0)
        require("trainer.privacy.members", self.members, 1, max(1, self.steps // 2))
        require("trainer.privacy.secret_weights", self.secret_weights, 0.0, 2.0)
        if self.secret_weights and self.epsilon is not None:
            raise ConfigError(
                "'trainer.privacy.secret_weights' is given with a budget, whose noise hides "
                "patients already: leave one of them out"
            )
        if self.noise_seed is not None:
            require("trainer.privacy.noise_seed", self.noise_seed, 0, 2**31 - 1)


@dataclass
class FederationSettings:
    """How sites train one twin without sharing rows; ``conf/trainer/federated.yaml``.

    Attributes
    ----------
    sites
        Sites that the hospitals of a cohort are grouped into, each a process of its own that reads
        nothing but its own folder; 0: the patients are learned from where they are.
    combine
        ``STEPS``: the sites add up every step's gradient, which is training on the patients of
        all; ``EPOCHS``: they average their weights after every epoch (federated averaging).
    masked
        Whether sums are masked between the sites, so that the server learns no site's part.
    fewest
        A site with fewer patients in a fold's training is refused.
    wait_seconds
        How long to wait for a site before the run is given up [s].
    compare
        Whether to train on the patients of all sites pooled, and of each alone, to compare with.
    """

    sites: int = 0
    combine: Combine = Combine.STEPS
    masked: bool = True
    fewest: int = 20
    wait_seconds: float = 600.0
    compare: bool = True

    def __post_init__(self) -> None:
        """Refuse a federation of one, and of nobody."""
        if self.sites == 1:
            raise ConfigError(
                "'trainer.federation.sites' is 1, expected 0 for none or at least 2: a sum over "
                "one site hides nothing"
            )
        require("trainer.federation.sites", self.sites, 0, 100)
        require("trainer.federation.fewest", self.fewest, 10)
        require("trainer.federation.wait_seconds", self.wait_seconds, 1.0)


@dataclass
class TrainerSettings:
    """How long and how hard to train; ``conf/trainer``.

    Attributes
    ----------
    max_epochs, patience
        Upper bound, and epochs without improvement after which a member stops.
    batch_size
        Patients per step, shared by all members.
    learning_rate, weight_decay
        Of AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101).
    divergence_weight
        Weight of the divergence of the latent code from its prior.
    modality_dropout
        Probability that a measured modality is hidden from a patient in a step, so that any
        subset may be missing at the bedside.
    checkpoint_every_epochs
        Epochs between checkpoints.
    seed
        Every random number of training is a function of this seed and the step.
    device
        Where to compute; ``AUTO`` takes a GPU where there is one.
    start_from
        A run or model, trained on a larger cohort with the same folds, that training goes on
        from; null: from the start.
    federation
        How sites train together without sharing rows.
    privacy
        Differentially private training, off by default.
    """

    max_epochs: int = 150
    patience: int = 20
    batch_size: int = 256
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    divergence_weight: float = 0.01
    modality_dropout: float = 0.1
    checkpoint_every_epochs: int = 5
    seed: int = 0
    device: Device = Device.AUTO
    start_from: str | None = None
    federation: FederationSettings = field(default_factory=FederationSettings)
    privacy: PrivacySettings = field(default_factory=PrivacySettings)

    def __post_init__(self) -> None:
        """Refuse settings nothing can be trained with."""
        if self.start_from is not None and self.federation.sites:
            raise ConfigError(
                "'trainer.start_from' is given to sites that learn together, which begin from "
                "nothing: leave it out, or use trainer=standard"
            )
        require_named("trainer.start_from", self.start_from)
        for name in ("max_epochs", "patience", "batch_size", "checkpoint_every_epochs"):
            require(f"trainer.{name}", getattr(self, name), 1)
        require("trainer.learning_rate", self.learning_rate, 1e-8, 10.0)
        require("trainer.weight_decay", self.weight_decay, 0.0)
        require("trainer.divergence_weight", self.divergence_weight, 0.0)
        require("trainer.modality_dropout", self.modality_dropout, 0.0, 0.95)
        require("trainer.seed", self.seed, 0, 2**31 - 1)
