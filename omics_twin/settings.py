"""Settings of every room as plain dataclasses; the schema of ``conf/``. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from enum import Enum
from pathlib import Path

from omics_twin.errors import ConfigError, nearest


class Device(Enum):
    """Where to compute."""

    AUTO = "auto"
    CPU = "cpu"
    GPU = "gpu"


class SplitBy(Enum):
    """What is held out together."""

    PATIENT = "patient"
    SITE = "site"
    TIME = "time"
    DECLARED = "declared"
    THERAPY = "therapy"


class CalibrationBy(Enum):
    """What makes the intervals of a belief hold."""

    SIMULATED_COPY = "simulated_copy"
    NONE = "none"


class FollowUp(Enum):
    """What reads the visits under therapy."""

    AUTO = "auto"
    NETWORK = "network"
    COURSE = "course"


class SurvivalHead(Enum):
    """How a time to event is learned."""

    HAZARD = "hazard"
    COX = "cox"


class CompanionKind(Enum):
    """What answers beside the network."""

    NONE = "none"
    TREES = "trees"


class Combine(Enum):
    """What sites that learn together send of a network: every step's gradient, or its weights."""

    STEPS = "steps"
    EPOCHS = "epochs"


class GeneEncoder(Enum):
    """What a wide modality that names genes is reduced to before anything is learned from it."""

    COMPONENTS = "components"
    GENE_GRAPH = "gene_graph"
    PATHWAYS = "pathways"
    PATIENT_GRAPH = "patient_graph"


class Reading(Enum):
    """How one number is read from a trajectory."""

    VALUE_AT_HORIZON = "value_at_horizon"
    MEAN_UP_TO_HORIZON = "mean_up_to_horizon"


def require(name: str, found: float, lowest: float, highest: float = float("inf")) -> None:
    """Refuse a number that is out of range, or not a number."""
    if not lowest <= found <= highest:
        limit = f"at least {lowest:g}" if highest == float("inf") else f"{lowest:g} to {highest:g}"
        raise ConfigError(f"'{name}' is {found:g}, expected {limit}")


def require_named(name: str, found: str | None) -> None:
    """Refuse text that names nothing: an empty answer is not the same as none."""
    if found is None:
        return
    if not found.strip():
        raise ConfigError(f"'{name}' is empty: give it a value or leave it out")
    if "\0" in found:
        raise ConfigError(f"'{name}' holds a zero byte: give it a name without one")


@dataclass
class NetworkSettings:
    """Sizes of the network; ``conf/model``.

    Attributes
    ----------
    latent, hidden, therapy_code, interaction_hidden
        Sizes of the latent code, the encoders' hidden layer, an agent's code and the layer for
        what prognosis, effect and their product leave unexplained.
    initial_precision
        Precision of an expert before training.
    dropout
        Share of hidden units dropped in training.
    intervals
        Intervals of a discrete-time hazard.
    wide_features, components
        A channel with more usable features than the first enters as this many principal
        components, fitted to each member's own training patients.
    gene_encoder
        ``COMPONENTS``: of the features themselves; ``GENE_GRAPH``: of gene sets, each with its
        neighbourhood in the graph of interactions; ``PATHWAYS``: of gene sets, in which every
        gene's weight is learned; ``PATIENT_GRAPH``: of the features, beside the mean of the
        nearest training patients.
    teleport
        Share of a gene's own value that each of ten steps over the gene graph brings back.
    neighbours
        Nearest training patients in the patient graph.
    linear_effects
        Whether effects that are linear in the measurements, of prognosis and of every agent, are
        found first, and the network learns what they leave.
    bent_effects
        Whether the effect of a number on prognosis may bend at the quartiles.
    follow_up
        ``NETWORK``: visits under therapy move the latent code; ``COURSE``: a course of what is
        measured, told apart by response, which needs a yes-or-no outcome; ``AUTO``: a course
        where there can be one and every member learns it from 100 patients.
    survival_head
        ``HAZARD``: the risk in each interval, effects may fade with time; ``COX``: proportional
        hazards by the partial likelihood of each batch, for which batches should be large.
    companion
        ``TREES``: every member has extremely randomised trees beside it, which take over as much
        of the prognosis as inner validation patients bear out; ``NONE``: the network is alone, as
        it is among sites that learn together and under a privacy budget.
    """

    latent: int = 16
    hidden: int = 32
    therapy_code: int = 8
    interaction_hidden: int = 16
    initial_precision: float = 4.0
    dropout: float = 0.1
    intervals: int = 12
    wide_features: int = 200
    components: int = 32
    gene_encoder: GeneEncoder = GeneEncoder.COMPONENTS
    teleport: float = 0.3
    neighbours: int = 10
    linear_effects: bool = True
    bent_effects: bool = True
    follow_up: FollowUp = FollowUp.AUTO
    survival_head: SurvivalHead = SurvivalHead.HAZARD
    companion: CompanionKind = CompanionKind.TREES

    def __post_init__(self) -> None:
        """Refuse sizes no network can have."""
        for name in ("latent", "hidden", "therapy_code", "interaction_hidden"):
            require(f"model.{name}", getattr(self, name), 1, 4096)
        require("model.initial_precision", self.initial_precision, 1e-3, 1e3)
        require("model.dropout", self.dropout, 0.0, 0.95)
        require("model.intervals", self.intervals, 2, 1000)
        require("model.wide_features", self.wide_features, 1)
        require("model.components", self.components, 1, self.wide_features)
        require("model.teleport", self.teleport, 0.01, 1.0)
        require("model.neighbours", self.neighbours, 1, 1000)


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


@dataclass
class TwinSettings:
    """The belief about a patient; ``conf/twin``.

    Attributes
    ----------
    draws
        Draws per patient; at least one per ensemble member is taken.
    seed
        Of the draws.
    interval
        Share of the belief inside the interval that is shown.
    confidence
        A therapy other than the one usual in the stratum is recommended where the belief that it
        is better is at least this.
    calibration
        ``SIMULATED_COPY``: training is repeated on a copy of the cohort whose truth is known, and
        draws are moved apart until intervals hold there; ``NONE``: intervals are the twin's own.
    least_benefit
        Lack of benefit is told where the belief that the present therapy is better, than none or
        than another one that is open, is below this: the share of such alerts that may be false.
    benefit_margin
        Another therapy has to be better by at least this, in units of the endpoint.
    """

    draws: int = 800
    seed: int = 0
    interval: float = 0.9
    confidence: float = 0.6
    calibration: CalibrationBy = CalibrationBy.SIMULATED_COPY
    least_benefit: float = 0.2
    benefit_margin: float = 0.1

    def __post_init__(self) -> None:
        """Refuse beliefs that cannot be held."""
        require("twin.draws", self.draws, 1, 1_000_000)
        require("twin.seed", self.seed, 0, 2**31 - 1)
        require("twin.interval", self.interval, 0.01, 0.999)
        require("twin.confidence", self.confidence, 0.0, 1.0)
        require("twin.least_benefit", self.least_benefit, 0.0, 1.0)
        require("twin.benefit_margin", self.benefit_margin, 0.0)


@dataclass
class SplitSettings:
    """Who is held out, and how many members learn from the rest; ``conf/split``.

    Attributes
    ----------
    folds, repeats
        Every patient is held out once per repeat.
    by
        Whether patients, whole sites or later patients are held out, or the cohort's declared
        folds, once; or whole arms in turn, for twins that know doses.
    only
        Of arms held out in turn, only these; the twin of everybody then learns from the others
        alone. Empty: each.
    replicas
        Ensemble members per repeat and fold.
    stopping_share
        Share of a member's patients that decide when it stops.
    bayesian_bootstrap
        Whether members weigh their patients at random.
    seed
        Of the division.
    """

    folds: int = 5
    repeats: int = 5
    by: SplitBy = SplitBy.PATIENT
    only: list[str] = field(default_factory=list)
    replicas: int = 4
    stopping_share: float = 0.15
    bayesian_bootstrap: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse divisions that hold out nobody or everybody."""
        require("split.folds", self.folds, 2, 1000)
        require("split.repeats", self.repeats, 1, 1000)
        require("split.replicas", self.replicas, 1, 1000)
        require("split.stopping_share", self.stopping_share, 0.01, 0.9)
        require("split.seed", self.seed, 0, 2**31 - 1)


@dataclass
class EndpointSettings:
    """The question asked; ``conf/endpoint``.

    Attributes
    ----------
    name, outcome
        The endpoint and the cohort's outcome it is learned from.
    title
        What a person calls the number.
    horizon_days
        Day at which, or up to which, it is read [day].
    higher_is_better
        Direction of merit.
    reading
        ``VALUE_AT_HORIZON`` or ``MEAN_UP_TO_HORIZON``.
    """

    name: str = ""
    outcome: str = ""
    title: str = ""
    horizon_days: float = 180.0
    higher_is_better: bool = True
    reading: Reading = Reading.VALUE_AT_HORIZON

    def __post_init__(self) -> None:
        """Refuse a horizon in the past."""
        require("endpoint.horizon_days", self.horizon_days, 0.5)


@dataclass
class AgentDeclaration:
    """One agent that is in an arm; checked by :mod:`omics_twin.therapy.agents`.

    Attributes
    ----------
    label
        What a person calls it; the agent's own name where empty.
    drug_class
        Agents of one class are written alike, such as ``taxane``: they share strength.
    mechanism
        What it does, in a few plain words.
    targets
        Symbols approved by HGNC; empty where it binds no protein, and the mechanism says so.
    atc
        Code of the WHO's Anatomical Therapeutic Chemical classification; empty: none, or not sure.
    source
        ``doi:…`` or ``https://…``.
    """

    label: str = ""
    drug_class: str = ""
    mechanism: str = ""
    targets: list[str] = field(default_factory=list)
    atc: str = ""
    source: str = ""


@dataclass
class EligibilityDeclaration:
    """Whom an arm is open to: only where each column has one of the values.

    Attributes
    ----------
    where
        Stratum column of the cohort -> values to which the arm is open, as text: ``["1"]``.
    reason
        What those are told for whom it is closed: a clause, such as ``tested in HER2-negative
        disease only``.
    source
        ``doi:…`` or ``https://…``.
    """

    where: dict[str, list[str]] = field(default_factory=dict)
    reason: str = ""
    source: str = ""


@dataclass
class AdditionDeclaration:
    """Agents that some patients of an arm also received.

    Attributes
    ----------
    agents
        Names under the catalogue's ``agents``.
    where
        Stratum column of the cohort -> values with which they were given, as text; empty: to
        everyone.
    reason
        Why they were given, as a clause.
    source
        ``doi:…`` or ``https://…``.
    """

    agents: list[str] = field(default_factory=list)
    where: dict[str, list[str]] = field(default_factory=dict)
    reason: str = ""
    source: str = ""


@dataclass
class ArmDeclaration:
    """One arm of a trial.

    Attributes
    ----------
    label
        What a person calls it; the arm's own name where empty.
    agents
        International non-proprietary names, lower case: what a twin learns the arm by.
    also
        What was given besides to some, or to all; told to people, not given to a twin.
    then
        Agents given after these, the same for everyone in the arm.
    eligible
        The arm is open where all of these hold.
    note, source
        What else a reader should know; where all this is from.
    """

    label: str = ""
    agents: list[str] = field(default_factory=list)
    also: list[AdditionDeclaration] = field(default_factory=list)
    then: list[str] = field(default_factory=list)
    eligible: list[EligibilityDeclaration] = field(default_factory=list)
    note: str = ""
    source: str = ""


@dataclass
class CatalogueDeclaration:
    """The arms of a trial; ``conf/therapy``.

    Attributes
    ----------
    arms
        By the name used in the therapy table.
    thin_support
        Fewer training patients of the same stratum than this and the ranking says so.
    agents
        Everything given in the arms, by the name used there.
    """

    name: str = ""
    arms: dict[str, ArmDeclaration] = field(default_factory=dict)
    thin_support: int = 10
    agents: dict[str, AgentDeclaration] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a number of patients below zero."""
        require("therapy.thin_support", self.thin_support, 0)


@dataclass
class SearchSettings:
    """Which settings are tried, and how they are judged; ``conf/search``.

    Attributes
    ----------
    trials, batch
        Settings tried for each choice to be made, and how many of them train as one batch.
    outer_folds, inner_folds
        Patients of an outer fold judge the choice that inner folds of all others led to.
    replicas
        Ensemble members per inner fold.
    timeout_minutes
        After this no further batch is started; null: no limit [minute].
    seed
        Of the proposals.
    space
        ``model`` or ``trainer`` -> setting -> values to try, in Hydra's grammar of sweeps:
        ``interval(0.1, 1)``, ``tag(log, interval(1e-3, 1))``, ``choice(8, 16)``, ``range(1, 5)``.
    """

    trials: int = 40
    batch: int = 8
    outer_folds: int = 5
    inner_folds: int = 3
    replicas: int = 2
    timeout_minutes: float | None = None
    seed: int = 0
    space: dict[str, dict[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a search that tries nothing or holds out nobody."""
        for name in ("trials", "batch", "replicas"):
            require(f"search.{name}", getattr(self, name), 1, 100_000)
        for name in ("outer_folds", "inner_folds"):
            require(f"search.{name}", getattr(self, name), 2, 1000)
        if self.timeout_minutes is not None:
            require("search.timeout_minutes", self.timeout_minutes, 0.0)
        require("search.seed", self.seed, 0, 2**31 - 1)


@dataclass
class PolicySettings:
    """How the value of following the ranking is judged.

    Attributes
    ----------
    horizon_days
        Times to event are judged by their mean up to this day; null: the endpoint's [day].
    control
        The arm that others are compared with; null: the one that most patients received.
    """

    horizon_days: float | None = None
    control: str | None = None

    def __post_init__(self) -> None:
        """Refuse a horizon in the past and a control without a name."""
        if self.horizon_days is not None:
            require("policy.horizon_days", self.horizon_days, 0.5)
        require_named("policy.control", self.control)


@dataclass
class FairnessSettings:
    """How groups of patients are compared.

    Attributes
    ----------
    least_shown
        Patients of a group whose numbers are shown; of a smaller one nothing is said.
    least_tested
        Patients of a group that is tested against all others.
    age_edges
        Lower edges of the bands of age, rising; empty: age makes no groups [year].
    """

    least_shown: int = 10
    least_tested: int = 50
    age_edges: list[float] = field(default_factory=lambda: [40.0, 50.0, 65.0, 75.0])

    def __post_init__(self) -> None:
        """Refuse groups of nobody and edges that do not rise."""
        require("fairness.least_shown", self.least_shown, 2)
        require("fairness.least_tested", self.least_tested, self.least_shown)
        if any(low >= high for low, high in zip(self.age_edges, self.age_edges[1:], strict=False)):
            raise ConfigError(
                f"fairness.age_edges is {self.age_edges}, expected rising ages such as [50, 65]"
            )


@dataclass
class AttackSettings:
    """How training patients are told from others, to see whether they can be.

    Attributes
    ----------
    folds, repeats
        Whole ensembles that are trained and attacked: in every repeat each leaves out one fold.
    """

    folds: int = 5
    repeats: int = 3

    def __post_init__(self) -> None:
        """Refuse attacks without patients or twins to compare with."""
        require("attack.folds", self.folds, 2, 1000)
        require("attack.repeats", self.repeats, 2, 1000)


@dataclass
class TrackingSettings:
    """Where runs are recorded; ``conf/tracking``.

    Attributes
    ----------
    enabled
        A run without tracking is the same run.
    uri
        Of the MLflow tracking server; null: SQLite below ``mlruns/``.
    register
        Whether the model is registered.
    """

    enabled: bool = True
    uri: str | None = None
    register: bool = True


@dataclass
class ServeSettings:
    """How a model is asked over HTTP; ``conf/serve``.

    Attributes
    ----------
    host, port
        Where it listens; port 0: any that is free.
    most_bytes, most_patients
        A larger request is refused [byte].
    timeout_seconds
        For a request to arrive, and for the model to answer it [s].
    at_once
        Requests that the model answers at the same time; others wait.
    https
        Whether a proxy before it speaks HTTPS: the page's cookie never travels without.
    address
        Where others reach it, without a slash at its end; null: ``http://host:port``.
    hospital_keys, hospital_issuer
        JWKS file of the hospital system whose CDS Hooks are answered, and the issuer of its tokens;
        null: none is.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    most_bytes: int = 4_000_000
    most_patients: int = 256
    timeout_seconds: float = 30.0
    at_once: int = 4
    https: bool = False
    address: str | None = None
    hospital_keys: str | None = None
    hospital_issuer: str | None = None

    def __post_init__(self) -> None:
        """Refuse limits under which nothing is answered."""
        require_named("serve.host", self.host)
        require("serve.port", self.port, 0, 65_535)
        require("serve.most_bytes", self.most_bytes, 1_000, 1_000_000_000)
        require("serve.most_patients", self.most_patients, 1, 1_000_000)
        require("serve.timeout_seconds", self.timeout_seconds, 0.1, 3_600.0)
        require("serve.at_once", self.at_once, 1, 1_000)


class Engine(Enum):
    """By whom many patients are scored."""

    HERE = "this process"
    RAY = "workers of a Ray cluster, or of this machine"


@dataclass
class ScoreSettings:
    """How more patients than one request holds are scored; ``conf/score``.

    Attributes
    ----------
    engine, workers
        By whom, and by how many of them at once.
    block
        Patients that are answered together, and written to one file.
    """

    engine: Engine = Engine.HERE
    workers: int = 1
    block: int = 512

    def __post_init__(self) -> None:
        """Refuse nobody, and blocks of nobody."""
        require("score.workers", self.workers, 1, 100_000)
        require("score.block", self.block, 1, 100_000)


@dataclass
class MonitorSettings:
    """When later patients raise an alarm.

    Attributes
    ----------
    level
        Share of the rounds in which an alarm is raised though nothing has changed, at most.
    least_stability
        Smaller shifts of a feature (population stability index) raise none, however sure.
    least_missing
        Nor do smaller changes of the share of patients in whom something is measured,
    least_bias
        nor smaller changes of the mean residual, in its standard deviations.
    fewest
        Fewer patients, or outcomes, are not judged.
    since
        Of a chart: only patients who were admitted on this day (UTC) or later; null: all.
    """

    level: float = 0.05
    least_stability: float = 0.1
    least_missing: float = 0.05
    least_bias: float = 0.1
    fewest: int = 20
    since: str | None = None

    def __post_init__(self) -> None:
        """Refuse levels that always or never raise an alarm, and a day that is none."""
        require("monitor.level", self.level, 1e-6, 0.5)
        for name in ("least_stability", "least_missing", "least_bias"):
            require(f"monitor.{name}", getattr(self, name), 0.0, 10.0)
        require("monitor.fewest", self.fewest, 10, 1_000_000)
        _ = self.since_day

    @property
    def since_day(self) -> date | None:
        """The day of ``since``."""
        try:
            return None if self.since is None else date.fromisoformat(self.since)
        except ValueError as error:
            raise ConfigError(
                f"'monitor.since' is '{self.since}', expected a date such as 2027-01-31"
            ) from error


_PARTS_OF_ITEMS = {3: 3, 5: 2, 6: 3, 8: 3, 9: 3, 12: 7, 18: 6, 20: 3, 23: 2, 27: 3}
TRIPOD_ITEMS = tuple(
    f"{item}{part}"
    for item in range(1, 28)
    for part in ("abcdefg"[: _PARTS_OF_ITEMS[item]] if item in _PARTS_OF_ITEMS else ("",))
)
"""Numbers of the items of TRIPOD+AI, in order; see :mod:`omics_twin.report.tripod`."""


@dataclass
class CardSettings:
    """What a person says of a model in its card, beside what the run knows.

    Attributes
    ----------
    intended_use, not_for
        For what and whom the model is meant, and for what and whom it is not.
    statements
        Item of TRIPOD+AI, such as ``5b`` -> what is said of it.
    """

    intended_use: str = ""
    not_for: str = ""
    statements: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a statement on no item, which the card would not show."""
        for number in self.statements:
            if number not in TRIPOD_ITEMS:
                raise ConfigError(
                    f"unknown card.statements '{number}'{nearest(number, TRIPOD_ITEMS)}"
                )


class Unlike(Enum):
    """What becomes of a patient who is unlike the training patients."""

    WARN = "an answer with a warning"
    REFUSE = "no answer"


@dataclass
class TrustSettings:
    """May we; ``conf/trust``.

    Attributes
    ----------
    ledger
        CSV of consent, or the address of a chart that holds it, such as ``sqlite:///chart.db``;
        null: granted by the study's protocol.
    pseudonyms
        Whether patients are called by pseudonyms where the site has a key (OMICS_TWIN_SITE_KEY).
    date_window_days
        By up to so many days dates are then moved, the same in one patient [day].
    unlike
        Whether a patient outside the domain of validity is answered with a warning or not at all;
        the stricter of what was set in training and where the model is asked.
    """

    ledger: str | None = None
    pseudonyms: bool = True
    date_window_days: int = 30
    unlike: Unlike = Unlike.WARN

    def __post_init__(self) -> None:
        """Refuse an empty ledger: it must not pass for the study's own grant."""
        require_named("trust.ledger", self.ledger)
        require("trust.date_window_days", self.date_window_days, 0, 3650)


def config_folder() -> Path:
    """Return the folder of the shipped configuration, in a checkout or an installation."""
    package = Path(__file__).resolve().parent
    return next(each for each in (package / "conf", package.parent / "conf") if each.is_dir())


# Folders whose files are named by their path, and choose nothing of a run.
_NAMED_BY_PATH = frozenset({"fhir"})


def options(group: str) -> list[str]:
    """Return the choices of a config group."""
    return sorted(each.stem for each in (config_folder() / group).glob("*.yaml"))


def groups() -> list[str]:
    """Return the names of the config groups."""
    folders = (each.name for each in config_folder().iterdir() if each.is_dir())
    return sorted(each for each in folders if each not in _NAMED_BY_PATH)
