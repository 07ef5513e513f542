"""Which patients are held out together? The same seed gives the same answer in any order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    StratifiedGroupKFold,
    StratifiedKFold,
)

from omics_twin.errors import CohortError, about, nearest, quoted

NEVER_HELD_OUT = -1


def repeated_folds(
    patient_ids: Sequence[str],
    labels: Sequence[object] | np.ndarray | None,
    groups: Sequence[object] | None,
    *,
    folds: int,
    repeats: int,
    seed: int,
) -> np.ndarray:
    """Return, for each repeat, the fold in which each patient is held out.

    Parameters
    ----------
    patient_ids
        Patients, each once. Their order does not change who shares a fold.
    labels
        What folds are balanced on, for example from ``joint_labels``; ``None``: nothing.
    groups
        For example the site: whole groups are held out. ``None``: patients are.
    folds, repeats
        Number of folds, and of independent divisions into folds.
    seed
        The only source of randomness.

    Returns
    -------
    np.ndarray
        Integers from 0 to ``folds - 1``, shape (repeat, patient).

    Raises
    ------
    CohortError
        If there are fewer patients, groups or members of a class than folds.

    Examples
    --------
    >>> held_out = repeated_folds(list("abcd"), [0, 0, 1, 1], None, folds=2, repeats=1, seed=0)
    >>> sorted(held_out[0].tolist())
    [0, 0, 1, 1]
    """
    _check_folds(patient_ids, folds, repeats)
    by_label = None if labels is None else _texts("label", labels, patient_ids)
    by_group = None if groups is None else _texts("group", groups, patient_ids)
    _check_members(by_label, by_group, folds)
    order = np.argsort(np.asarray(patient_ids, dtype=str), kind="stable")
    rows = np.zeros((len(order), 1))
    held_out = np.full((repeats, len(order)), NEVER_HELD_OUT)
    for repeat in range(repeats):
        state = int(np.random.SeedSequence([seed, repeat]).generate_state(1)[0])
        splitter = _splitter(by_label is not None, by_group is not None, folds, state)
        parts = splitter.split(
            rows,
            None if by_label is None else by_label[order],
            None if by_group is None else by_group[order],
        )
        for fold, (_, test) in enumerate(parts):
            held_out[repeat, order[test]] = fold
    return held_out


def _splitter(
    labelled: bool, grouped: bool, folds: int, state: int
) -> KFold | StratifiedKFold | GroupKFold | StratifiedGroupKFold:
    if grouped:
        kind = StratifiedGroupKFold if labelled else GroupKFold
    else:
        kind = StratifiedKFold if labelled else KFold
    return kind(n_splits=folds, shuffle=True, random_state=state)


def joint_labels(labels: Iterable[object], arms: Iterable[object], *, folds: int) -> np.ndarray:
    """Return labels joined with arms, rare combinations pooled so that each fills every fold.

    Parameters
    ----------
    labels, arms
        Outcome and arm of each patient, shape (patient,).
    folds
        A combination with fewer members is pooled with others of the same label.

    Returns
    -------
    np.ndarray
        Text, shape (patient,).

    Examples
    --------
    >>> joint_labels([0, 0, 1, 1, 1], ["a", "a", "a", "a", "b"], folds=2).tolist()
    ['0 | a', '0 | a', '1 | pooled', '1 | pooled', '1 | pooled']
    """
    joined = [f"{label} | {arm}" for label, arm in zip(labels, arms, strict=True)]
    size = Counter(joined)
    pooled = {name for name in size if size[name] < folds}
    for label in dict.fromkeys(labels):
        own = [name for name in size if name.startswith(f"{label} | ")]
        in_pool = sum(size[name] for name in own if name in pooled)
        if 0 < in_pool < folds and len(own) > sum(name in pooled for name in own):
            pooled.add(min((name for name in own if name not in pooled), key=size.__getitem__))
    return np.array(
        [
            f"{label} | pooled" if name in pooled else name
            for label, name in zip(labels, joined, strict=True)
        ],
        dtype=object,
    )


def arms_held_out(
    patient_ids: Sequence[str], arms: Sequence[str | None], only: Sequence[str] = ()
) -> np.ndarray:
    """Hold out whole arms in turn.

    Parameters
    ----------
    arms
        What each patient received; who has none is never held out.
    only
        The arms to hold out; empty: each of them.

    Returns
    -------
    np.ndarray
        Position of the arm among those held out in the order of their names, -1 for never held
        out, shape (1, patient).

    Raises
    ------
    CohortError
        If nobody received an arm that is asked for, or nobody would be left to train.

    Examples
    --------
    >>> arms_held_out(list("abc"), ["low", "high", None]).tolist()
    [[1, 0, -1]]
    """
    known = {arm for arm in arms if arm is not None}
    for arm in only:
        if arm not in known:
            raise CohortError(f"nobody to hold out received '{arm}'{nearest(arm, known)}")
    chosen = sorted(only or known)
    if len(known) < 2:
        raise CohortError(
            f"{len(patient_ids)} patients received {len(known)} arm, expected two or more to hold "
            "one out: use split.by=PATIENT"
        )
    place = {arm: position for position, arm in enumerate(chosen)}
    return np.array([[NEVER_HELD_OUT if a is None else place.get(a, NEVER_HELD_OUT) for a in arms]])


def last_held_out(
    patient_ids: Sequence[str], enrolled: Sequence[float] | np.ndarray, *, share: float
) -> np.ndarray:
    """Hold out the patients enrolled last.

    Parameters
    ----------
    patient_ids
        Patients, each once.
    enrolled
        A number that orders them in time, shape (patient,).
    share
        At least this share is held out; patients enrolled at the same time stay together.

    Returns
    -------
    np.ndarray
        0 for held out, -1 for never held out, shape (1, patient).

    Raises
    ------
    CohortError
        If a time is missing, the share is not between 0 and 1, or nobody would be left to train.
    """
    times = _times(patient_ids, enrolled)
    if not 0.0 < share < 1.0:
        raise CohortError(f"the share held out is {share:g}, expected between 0 and 1")
    first_held_out = np.sort(times)[-max(1, round(share * len(times)))]
    held_out = np.where(times >= first_held_out, 0, NEVER_HELD_OUT)
    if (held_out == 0).all():
        raise CohortError(
            f"holding out the last {share:g} leaves nobody to train on, since patients enrolled "
            "at the same time stay together: hold out less or give finer times"
        )
    return held_out[None, :]


def declared_folds(patient_ids: Sequence[str], folds: Sequence[str | None]) -> np.ndarray:
    """Return published folds as held-out folds.

    Parameters
    ----------
    patient_ids
        Patients, each once.
    folds
        Whole numbers from 0 as text; ``None``: never held out.

    Returns
    -------
    np.ndarray
        -1 for never held out, shape (1, patient).

    Raises
    ------
    CohortError
        If a fold is no whole number from 0, one in between is empty, or there is only one.

    Examples
    --------
    >>> declared_folds(list("abc"), ["0", "1.0", None]).tolist()
    [[0, 1, -1]]
    """
    held_out = np.full(len(folds), NEVER_HELD_OUT)
    for place, (patient, fold) in enumerate(zip(patient_ids, folds, strict=True)):
        if fold is None:
            continue
        number = float(fold) if fold.replace(".", "", 1).isdigit() else -1.0
        if number < 0 or number != int(number):
            told = f"patient '{patient}' has fold '{fold}', expected a whole number from 0"
            raise CohortError(about(f"{told}: correct it", patient, f"'{fold}'"))
        held_out[place] = int(number)
    used = set(held_out.tolist()) - {NEVER_HELD_OUT}
    if used != set(range(max(used, default=0) + 1)) or len(used) < 2:
        raise CohortError(
            f"the declared folds in use are {quoted(sorted(used)) or 'none'}, expected all from 0 "
            "to the last, at least two: correct the table"
        )
    return held_out[None, :]


def _check_folds(patient_ids: Sequence[str], folds: int, repeats: int) -> None:
    repeated = [patient for patient, number in Counter(patient_ids).items() if number > 1]
    if repeated:
        told = f"patients {quoted(repeated)} are listed twice, so they could be on both sides of a "
        raise CohortError(about(f"{told}split: list each once", *repeated))
    if folds < 2 or repeats < 1:
        raise CohortError(
            f"found folds={folds} and repeats={repeats}, expected at least 2 folds and 1 repeat"
        )
    if len(patient_ids) < folds:
        raise CohortError(f"{len(patient_ids)} patients cannot fill {folds} folds: use fewer folds")


def _check_members(labels: np.ndarray | None, groups: np.ndarray | None, folds: int) -> None:
    if groups is not None and len(set(groups)) < folds:
        raise CohortError(
            f"{len(set(groups))} groups ({quoted(sorted(set(groups)))}) cannot fill {folds} "
            "folds, since whole groups are held out: use fewer folds"
        )
    if labels is None:
        return
    for label, number in sorted(Counter(labels).items()):
        if number < folds:
            raise CohortError(
                f"class '{label}' has {number} patients, fewer than the {folds} folds: use fewer "
                "folds or pool the class"
            )


def _texts(
    what: str, values: Sequence[object] | np.ndarray, patient_ids: Sequence[str]
) -> np.ndarray:
    """Return labels or groups as text; a missing one is refused by patient."""
    if len(values) != len(patient_ids):
        raise CohortError(
            f"found {len(values)} {what}s for {len(patient_ids)} patients, expected one each"
        )
    texts = []
    for patient, value in zip(patient_ids, values, strict=True):
        # NaN, NA and None: the first two are not equal to themselves, or unknown.
        if value is None or value is not value or str(value) in ("nan", "<NA>"):
            told = (
                f"patient '{patient}' has no {what} to split by: leave the patient out or give one"
            )
            raise CohortError(about(told, patient))
        texts.append(str(value))
    return np.array(texts, dtype=object)


def _times(patient_ids: Sequence[str], enrolled: Sequence[float] | np.ndarray) -> np.ndarray:
    times = np.asarray(enrolled, dtype=np.float64)
    if times.shape != (len(patient_ids),):
        raise CohortError(
            f"found {len(times)} enrolment times for {len(patient_ids)} patients, expected one each"
        )
    missing = np.flatnonzero(~np.isfinite(times))
    if len(missing):
        told = f"patient '{patient_ids[missing[0]]}' has no enrolment time to split by: leave the "
        raise CohortError(about(f"{told}patient out or give one", patient_ids[missing[0]]))
    return times
