"""Whether a twin's answer tells if a patient was among those it was trained on.

Who attacks holds a patient's whole record, the outcome too, asks the twin about it as about
somebody new, and has twins of the same kind that did and did not see the patient. The answer is
read as the log-odds of what happened, and set beside what twins with and without the patient say.

References
----------
Carlini et al. 2022, Membership inference attacks from first principles (arXiv:2112.03570); Yeom et
al. 2018, Privacy risk in machine learning (arXiv:1709.01604), for the advantage and for the attack
by the loss alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from scipy.special import logit
from sklearn.metrics import roc_auc_score

_SPLITS, _PERMUTATIONS = 100, 40
_FEW = 0.01


@dataclass(frozen=True)
class Answered:
    """What twins say of patients some of whom each of them was trained on.

    Attributes
    ----------
    signal
        Larger where the answer fits what happened better, (twin, patient).
    inside
        Whether the twin was trained on the patient, (twin, patient).
    group
        Twins of a group leave out one patient each time, (twin,); a twin is attacked with the twins
        of other groups, in which every patient is inside equally often.
    """

    signal: Float[ndarray, "twin patient"]
    inside: Bool[ndarray, "twin patient"]
    group: Int[ndarray, " twin"]


@dataclass(frozen=True)
class Attack:
    """How well one attack tells members from others.

    Attributes
    ----------
    auc
        Of its score.
    advantage, advantage_lower, advantage_upper
        True less false positive rate at a threshold chosen on half of the patients, on the other
        half; mean and 95 % interval over halves drawn and resampled anew.
    advantage_apparent
        The same with the threshold chosen on the patients it is counted on: too large.
    true_positive_rate
        At a false positive rate of 1 %.
    """

    auc: float
    advantage: float
    advantage_lower: float
    advantage_upper: float
    advantage_apparent: float
    true_positive_rate: float


def fit_of_response(
    probability: Float[ndarray, "*twin patient"], outcome: Float[ndarray, " patient"]
) -> Float[ndarray, "*twin patient"]:
    """Return the log-odds that was given to what happened.

    Examples
    --------
    >>> fit_of_response(np.array([0.5, 0.2]), np.array([1.0, 0.0])).round(2).tolist()
    [0.0, 1.39]
    """
    found = logit(np.clip(probability, 1e-7, 1.0 - 1e-7))
    return np.where(outcome > 0.5, found, -found)


def attacked(answered: Answered, *, seed: int) -> dict[str, Any]:
    """Return how far attacks get, and how far they get where there is nothing to find.

    ``loss`` reads the answer alone; ``likelihood_ratio`` compares it with each patient's own mean
    inside and outside, ``common_shift`` with the patient's mean and what members differ by on
    average, which needs fewer twins. The last two need two groups. ``floor`` is the same with
    members drawn at random: what is below its upper end is noise.
    """
    rng = np.random.default_rng([seed, 77])
    found = {name: asdict(each) for name, each in _judged(answered, rng).items()}
    floor = []
    for _ in range(_PERMUTATIONS):
        shuffled = Answered(answered.signal, _shuffled(answered, rng), answered.group)
        scores = _scores(shuffled)
        floor.append(max(_halves(s, shuffled.inside, rng, 2).mean() for s in scores.values()))
    strongest = max(found, key=lambda name: found[name]["advantage"])
    return {
        "twins": len(answered.signal),
        "patients": answered.signal.shape[1],
        "strongest": strongest,
        **found[strongest],
        "floor": {"mean": float(np.mean(floor)), "upper": float(np.quantile(floor, 0.95))},
        "attacks": found,
    }


def _judged(answered: Answered, rng: np.random.Generator) -> dict[str, Attack]:
    found = {}
    for name, score in _scores(answered).items():
        halves = _halves(score, answered.inside, rng, _SPLITS, resampled=True)
        means = _halves(score, answered.inside, rng, _SPLITS)
        lower, upper = np.quantile(halves, [0.025, 0.975])
        labels, values = answered.inside.ravel(), score.ravel()
        false, true, _ = _curve(labels, values)
        found[name] = Attack(
            auc=float(roc_auc_score(labels, values)),
            advantage=float(means.mean()),
            advantage_lower=float(lower),
            advantage_upper=float(upper),
            advantage_apparent=float((true - false).max()),
            true_positive_rate=float(np.interp(_FEW, false, true)),
        )
    return found


def _scores(answered: Answered) -> dict[str, Float[ndarray, "twin patient"]]:
    """Return each attack's score: larger where it takes the patient for a member."""
    signal, inside, group = answered.signal, answered.inside, answered.group
    found = {"loss": signal}
    if len(np.unique(group)) < 2:
        return found
    ratio, shift = np.empty_like(signal), np.empty_like(signal)
    for each in np.unique(group):
        own, others = group == each, group != each
        within, without = _means(signal[others], inside[others])
        spread = [
            _pooled(signal[others], mask, mean)
            for mask, mean in ((inside[others], within), (~inside[others], without))
        ]
        ratio[own] = (signal[own] - without) ** 2 / spread[1] - (
            signal[own] - within
        ) ** 2 / spread[0]
        # A difference that is the same for everyone, with its sign: towards what happened.
        shift[own] = (signal[own] - signal[others].mean(axis=0)) * np.sign(
            np.mean(within - without)
        )
    return {**found, "likelihood_ratio": ratio, "common_shift": shift}


def _means(signal: ndarray, inside: ndarray) -> tuple[ndarray, ndarray]:
    """Return each patient's mean over twins with and without the patient."""
    return tuple(
        (signal * mask).sum(axis=0) / np.maximum(mask.sum(axis=0), 1) for mask in (inside, ~inside)
    )


def _pooled(signal: ndarray, mask: ndarray, mean: ndarray) -> float:
    """Return the variance about each patient's own mean, one for all patients."""
    freedom = np.maximum(mask.sum(axis=0) - 1, 0).sum()
    return float((((signal - mean) * mask) ** 2).sum() / max(freedom, 1)) + 1e-12


def _halves(
    score: ndarray,
    inside: ndarray,
    rng: np.random.Generator,
    splits: int,
    *,
    resampled: bool = False,
) -> Float[ndarray, " split"]:
    """Return the advantage on half of the patients at the best threshold of the other half."""
    patients, found = score.shape[1], []
    for _ in range(splits):
        order = rng.permutation(patients)
        halves = [order[: patients // 2], order[patients // 2 :]]
        if resampled:
            halves = [rng.choice(half, len(half)) for half in halves]
        for chosen, judged in (halves, halves[::-1]):
            false, true, thresholds = _curve(inside[:, chosen].ravel(), score[:, chosen].ravel())
            positive = score[:, judged] >= thresholds[np.argmax(true - false)]
            told = inside[:, judged]
            found.append(positive[told].mean() - positive[~told].mean())
    return np.array(found)


def _curve(inside: ndarray, score: ndarray) -> tuple[ndarray, ndarray, ndarray]:
    """Return false and true positive rates at each score, falling; scores have no ties."""
    order = np.argsort(-score, kind="stable")
    told = inside[order]
    false, true = np.cumsum(~told) / max((~told).sum(), 1), np.cumsum(told) / max(told.sum(), 1)
    return false, true, score[order]


def _shuffled(answered: Answered, rng: np.random.Generator) -> Bool[ndarray, "twin patient"]:
    """Return members drawn at random; in a group, a patient is outside as often as before."""
    inside = answered.inside.copy()
    for each in np.unique(answered.group):
        own = np.flatnonzero(answered.group == each)
        order = rng.random((len(own), inside.shape[1])).argsort(axis=0)
        inside[own] = np.take_along_axis(inside[own], order, axis=0)
    return inside


def numbers_of(found: Mapping[str, Any]) -> dict[str, float]:
    """Return what a tracker takes of a guarantee and an attack."""
    numbers = {f"privacy.{k}": found[k] for k in ("epsilon", "delta") if found.get(k) is not None}
    attack = found["attack"]
    for name in ("auc", "advantage", "advantage_lower", "advantage_upper", "true_positive_rate"):
        if name in attack:
            numbers[f"privacy.attack.{name}"] = attack[name]
    if "floor" in attack:
        numbers["privacy.attack.floor"] = attack["floor"]["upper"]
    return numbers


def lines(attack: Mapping[str, Any]) -> list[str]:
    """Return how far an attack got, in words."""
    if "not_attacked" in attack:
        return [f"membership is not attacked: {attack['not_attacked']}"]
    low, high = attack["advantage_lower"], attack["advantage_upper"]
    return [
        f"an attack on membership ({attack['strongest'].replace('_', ' ')}, {attack['twins']} "
        f"twins): advantage {attack['advantage']:.3f} ({low:.3f} to {high:.3f}), of which up to "
        f"{attack['floor']['upper']:.3f} can be noise; AUC {attack['auc']:.3f}; finds "
        f"{attack['true_positive_rate']:.1%} of the training patients where 1 % of others are "
        "taken for one"
    ]
