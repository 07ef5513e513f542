"""Who could have received which therapy, how likely, and whether that is enough to compare."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from scipy.optimize import minimize

from omics_twin.errors import CohortError

QUANTILES = (0.01, 0.05, 0.25, 0.5)
THIN, VERY_THIN = 0.05, 0.02


def open_arms(
    arms: Int[ndarray, " patient"],
    strata: Int[ndarray, " patient"],
    arm_count: int,
    fewest: int = 1,
) -> Bool[ndarray, "patient arm"]:
    """Return which arms were open to a patient: those that somebody of the stratum received.

    Eligibility is a fact of the trial's design, not of an outcome, so it is read from all
    patients and not within folds. A protocol that says otherwise goes before it.

    Parameters
    ----------
    arms, strata
        Index of the arm received and of the stratum.
    arm_count
        Number of arms.
    fewest
        Patients of the stratum needed to call an arm open. What a patient received stays open
        only if that many received it.

    Raises
    ------
    CohortError
        If an arm is not known.

    Examples
    --------
    >>> open_arms(np.array([0, 1, 0]), np.array([0, 0, 1]), 2).tolist()
    [[True, True], [True, True], [True, False]]
    """
    check_arms(arms, len(strata), arm_count)
    stratum = np.unique(strata, return_inverse=True)[1]
    counts = np.zeros((stratum.max() + 1, arm_count), dtype=np.int64)
    np.add.at(counts, (stratum, arms), 1)
    return np.asarray(counts[stratum] >= fewest)


def stratum_propensity(
    arms: Int[ndarray, " patient"],
    strata: Int[ndarray, " patient"],
    eligible: Bool[ndarray, "patient arm"],
    held_out: Int[ndarray, "#repeat patient"] | None = None,
    smoothing: float = 0.0,
) -> Float[ndarray, "repeat patient arm"]:
    """Return the share of each arm in a stratum: the propensity of a randomised trial.

    Shares counted on the same patients remove chance imbalance between strata and arms, which
    true randomisation probabilities leave in: they are the better choice even where those are
    known. With ``held_out``, a patient's own fold is not counted.

    Parameters
    ----------
    eligible
        Arms that count; the others have propensity 0.
    held_out
        Fold in which a patient is held out. Without it there is one repeat and no folds.
    smoothing
        Patients added to each stratum, spread evenly over its open arms. 0 is the plain share;
        a cross-fitted share needs more where an arm is rare (1 is enough to stay above 0).

    Raises
    ------
    CohortError
        If somebody received a closed arm, or a share of a received arm is 0.

    Examples
    --------
    >>> arms, strata = np.array([0, 1, 1, 1]), np.zeros(4, dtype=int)
    >>> stratum_propensity(arms, strata, np.ones((4, 2), dtype=bool))[0, 0].tolist()
    [0.25, 0.75]

    References
    ----------
    Estimated beat known propensities: Hirano, Imbens and Ridder 2003,
    doi:10.1111/1468-0262.00442.
    """
    check_eligible(arms, eligible)
    if len(strata) != len(arms):
        raise CohortError(f"{len(strata)} strata for {len(arms)} patients; expected one each")
    stratum = np.unique(strata, return_inverse=True)[1]
    received = np.eye(eligible.shape[1])[arms] * eligible
    prior = smoothing * eligible / eligible.sum(axis=1, keepdims=True)
    folds = np.full((1, len(arms)), -1) if held_out is None else check_folds(held_out, len(arms))
    propensity = np.empty((len(folds), *eligible.shape))
    for repeat, fold in enumerate(folds):
        for number in np.unique(fold):
            test = fold == number
            train = np.ones(len(arms), dtype=bool) if held_out is None else ~test
            counts = np.zeros((stratum.max() + 1, eligible.shape[1]))
            np.add.at(counts, stratum[train], received[train])
            found = counts[stratum[test]] * eligible[test] + prior[test]
            total = found.sum(axis=1, keepdims=True)
            propensity[repeat, test] = found / np.where(total > 0, total, 1.0)
    _check_received(propensity, arms, "raise 'smoothing'")
    return propensity


def covariate_propensity(
    arms: Int[ndarray, " patient"],
    features: Float[ndarray, "patient feature"],
    eligible: Bool[ndarray, "patient arm"],
    held_out: Int[ndarray, "#repeat patient"],
    penalty: float = 1.0,
) -> Float[ndarray, "repeat patient arm"]:
    """Return P(arm | covariates) where therapies were not randomised, fitted without own fold.

    A multinomial logistic regression among the arms open to each patient (closed arms have no
    part in the likelihood), with an L2 penalty on standardised covariates. It corrects for
    the covariates given and for nothing else.

    Parameters
    ----------
    features
        Shape (patient, feature), finite; put the strata in as indicators where they matter.
    held_out
        Fold in which a patient is held out.
    penalty
        Half the penalty per squared coefficient, on the scale of the summed log likelihood
        (scikit-learn's ``1 / C``). Intercepts are not penalised.

    Raises
    ------
    CohortError
        If covariates do not fit the patients or are not finite.

    Examples
    --------
    >>> arms, fold = np.tile([0, 1], 20), np.repeat([[0, 1]], 20, axis=1)
    >>> made = covariate_propensity(arms, np.ones((40, 1)), np.ones((40, 2), dtype=bool), fold)
    >>> np.allclose(made, 0.5, atol=1e-4)
    True

    References
    ----------
    Imbens 2000, doi:10.1093/biomet/87.3.706; choice among what is open: McFadden 1974.
    """
    check_eligible(arms, eligible)
    if len(features) != len(arms) or not np.isfinite(features).all():
        raise CohortError(
            f"covariates have shape {features.shape} for {len(arms)} patients; expected one row "
            "per patient and finite numbers, so impute on training patients first"
        )
    folds = check_folds(held_out, len(arms))
    propensity = np.empty((len(folds), *eligible.shape))
    for repeat, fold in enumerate(folds):
        for number in np.unique(fold):
            test, train = fold == number, fold != number
            centre, scale = features[train].mean(axis=0), features[train].std(axis=0)
            rows = (features - centre) / np.where(scale > 0, scale, 1.0)
            weights = _masked_logistic(rows[train], arms[train], eligible[train], penalty)
            propensity[repeat, test] = _masked_softmax(rows[test], eligible[test], weights)
    return propensity


def _masked_logistic(rows: ndarray, arms: ndarray, eligible: ndarray, penalty: float) -> ndarray:
    shape = (rows.shape[1] + 1, eligible.shape[1])
    received = np.eye(shape[1])[arms]
    wide = np.column_stack([np.ones(len(rows)), rows])
    ridge = np.full(shape, penalty)
    ridge[0] = 1e-6  # keeps the intercept of an arm that nobody here received finite

    def loss(flat: ndarray) -> tuple[float, ndarray]:
        weights = flat.reshape(shape)
        chance = _masked_softmax(rows, eligible, weights)
        own = np.maximum(chance[np.arange(len(arms)), arms], np.finfo(np.float64).tiny)
        value = -np.log(own).sum() + 0.5 * (ridge * weights**2).sum()
        return value, (wide.T @ (chance - received) + ridge * weights).ravel()

    fitted = minimize(
        loss,
        np.zeros(shape).ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 500, "gtol": 1e-3},
    )
    return np.asarray(fitted.x.reshape(shape))


def _masked_softmax(rows: ndarray, eligible: ndarray, weights: ndarray) -> ndarray:
    logits = np.where(eligible, weights[0] + rows @ weights[1:], -np.inf)
    weight = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(weight / weight.sum(axis=1, keepdims=True))


@dataclass(frozen=True)
class Overlap:
    """How likely patients were to receive what they received; averages over repeats.

    Attributes
    ----------
    smallest
        The smallest propensity of a received arm.
    quantiles
        Its quantiles at :data:`QUANTILES`.
    thin, very_thin
        Share of patients whose received arm had a propensity below 0.05 and below 0.02.
    patients, effective_patients
        Shape (arm,): patients who received each arm, and Kish's effective number of them when
        they stand for everybody to whom the arm was open.
    """

    smallest: float
    quantiles: Float[ndarray, " quantile"]
    thin: float
    very_thin: float
    patients: Int[ndarray, " arm"]
    effective_patients: Float[ndarray, " arm"]


def overlap(
    propensity: Float[ndarray, "repeat patient arm"], arms: Int[ndarray, " patient"]
) -> Overlap:
    """Return the overlap of arms: where it is thin, a policy's value hangs on few patients.

    Examples
    --------
    >>> overlap(np.full((1, 4, 2), 0.5), np.array([0, 1, 0, 1])).effective_patients.tolist()
    [2.0, 2.0]
    """
    check_arms(arms, propensity.shape[1], propensity.shape[2])
    received = propensity[:, np.arange(len(arms)), arms].mean(axis=0)
    every = range(propensity.shape[2])
    return Overlap(
        smallest=float(received.min()),
        quantiles=np.quantile(received, QUANTILES),
        thin=float((received < THIN).mean()),
        very_thin=float((received < VERY_THIN).mean()),
        patients=np.array([(arms == arm).sum() for arm in every]),
        effective_patients=np.array(
            [effective_sample_size(1.0 / received[arms == arm]) for arm in every]
        ),
    )


def effective_sample_size(weights: Float[ndarray, " patient"]) -> float:
    """Return how many equally weighted patients would say as much; 0 without any weight.

    Examples
    --------
    >>> effective_sample_size(np.array([1.0, 1.0, 0.0])), effective_sample_size(np.zeros(2))
    (2.0, 0.0)

    References
    ----------
    Kish 1965, Survey Sampling, section 11.2.
    """
    total = float((weights**2).sum())
    return float(weights.sum()) ** 2 / total if total > 0 else 0.0


def check_arms(arms: ndarray, patients: int, arm_count: int) -> None:
    """Refuse arms that do not fit the patients or are not known.

    Raises
    ------
    CohortError
        If so.
    """
    if arms.shape != (patients,) or not patients:
        raise CohortError(f"arms have shape {arms.shape}, expected one for each of {patients}")
    if arms.min() < 0 or arms.max() >= arm_count:
        raise CohortError(
            f"arms reach from {arms.min()} to {arms.max()}, expected 0 to {arm_count - 1}; leave "
            "out patients whose therapy is not known, by name, before judging"
        )


def check_eligible(arms: ndarray, eligible: ndarray) -> None:
    """Refuse patients who received an arm that was not open to them.

    Raises
    ------
    CohortError
        If so, or if arms and eligibility do not fit.
    """
    check_arms(arms, len(eligible), eligible.shape[-1])
    closed = int((~eligible[np.arange(len(arms)), arms]).sum())
    if closed:
        raise CohortError(
            f"{closed} of {len(arms)} patients received an arm that was not open to them; "
            "correct the eligibility or leave them out by name"
        )


def check_folds(held_out: ndarray, patients: int) -> Int[ndarray, "repeat patient"]:
    """Return folds as (repeat, patient), refusing patients who are never held out.

    Raises
    ------
    CohortError
        If folds do not fit, leave somebody out, or are fewer than two.
    """
    folds = np.atleast_2d(held_out)
    if folds.shape[1:] != (patients,) or folds.min() < 0 or (folds.max(axis=1) < 1).any():
        raise CohortError(
            f"folds have shape {folds.shape} and start at {folds.min()}; expected two or more "
            f"folds from 0 for each of {patients} patients, everybody held out once"
        )
    return folds


def _check_received(propensity: ndarray, arms: ndarray, cure: str) -> None:
    never = (propensity[:, np.arange(len(arms)), arms] <= 0).any(axis=0)
    if never.any():
        raise CohortError(
            f"{int(never.sum())} patients received an arm that nobody else of their stratum "
            f"did outside their fold, so its propensity is 0; {cure} or merge strata"
        )
