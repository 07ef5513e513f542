"""Which patients each ensemble member trains on, stops on and never sees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from omics_twin.errors import TrainingError
from omics_twin.settings import SplitSettings


@dataclass(frozen=True)
class MemberPlan:
    """K folds x repeats x replicas as rows of weights.

    Attributes
    ----------
    training
        Weight of each patient in each member's loss, (member, patient); 0 = never trained on.
    stopping
        1 for the inner validation patients that decide when the member stops, else 0.
    repeat, fold
        Which repeat and fold each member leaves out, (member,).
    """

    training: Float[Tensor, "member patient"]
    stopping: Float[Tensor, "member patient"]
    repeat: Int[Tensor, " member"]
    fold: Int[Tensor, " member"]

    @property
    def seen(self) -> Tensor:
        """Whether a member has learned anything from a patient, (member, patient)."""
        return (self.training > 0) | (self.stopping > 0)

    def at(self, members: Int[Tensor, " chosen"]) -> MemberPlan:
        """Return the plan of some members; one may be chosen more than once."""
        return MemberPlan(
            training=self.training[members],
            stopping=self.stopping[members],
            repeat=self.repeat[members],
            fold=self.fold[members],
        )


def plan_members(
    held_out: np.ndarray,
    *,
    replicas: int,
    stopping_share: float,
    bayesian_bootstrap: bool,
    seed: int,
) -> MemberPlan:
    """Return the plan of an ensemble.

    Parameters
    ----------
    held_out
        Fold in which each patient is held out, (repeat, patient).
    replicas
        Members per repeat and fold, each with its own inner validation patients.
    stopping_share
        Share of the training patients used to decide when to stop.
    bayesian_bootstrap
        Weights from a flat Dirichlet (Rubin 1981, doi:10.1214/aos/1176345338) instead of equal.

    Raises
    ------
    TrainingError
        If a fold leaves too few patients to train and to stop on.
    """
    generator = np.random.default_rng([seed, 11])
    training, stopping, repeats, folds = [], [], [], []
    for repeat, fold_of in enumerate(held_out):
        for fold in range(int(fold_of.max()) + 1):
            inside = np.flatnonzero(fold_of != fold)
            size = round(stopping_share * len(inside))
            if size < 2 or len(inside) - size < 8:
                raise TrainingError(
                    f"fold {fold} leaves {len(inside)} patients to train on, "
                    "expected at least 10: use fewer folds or more patients"
                )
            order = generator.permutation(inside)
            for replica in range(replicas):
                # Replicas stop on different patients, so together they train on everyone.
                stop = np.roll(order, -replica * size)[:size]
                drawn = np.asarray(generator.exponential(size=held_out.shape[1]))
                weights = drawn if bayesian_bootstrap else np.ones(held_out.shape[1])
                mask = fold_of != fold
                mask[stop] = False
                training.append(weights * mask)
                stopping.append(np.isin(np.arange(held_out.shape[1]), stop))
                repeats.append(repeat)
                folds.append(fold)
    return MemberPlan(
        training=torch.tensor(np.array(training), dtype=torch.float32),
        stopping=torch.tensor(np.array(stopping), dtype=torch.float32),
        repeat=torch.tensor(repeats),
        fold=torch.tensor(folds),
    )


def planned(held_out: np.ndarray, split: SplitSettings) -> MemberPlan:
    """Return the plan of an ensemble as the settings ask for it."""
    return plan_members(
        held_out,
        replicas=split.replicas,
        stopping_share=split.stopping_share,
        bayesian_bootstrap=split.bayesian_bootstrap,
        seed=split.seed,
    )


def spread_of(plan: MemberPlan, split: SplitSettings, *, new: bool) -> float:
    """Return the spread of a new patient's draws, or of those of a training patient."""
    if split.bayesian_bootstrap:
        # Bootstrap members already differ as ensembles of other patients would.
        return 1.0
    answering = torch.ones_like(plan.fold, dtype=torch.bool) if new else plan.fold == 0
    return jackknife_spread(plan, answering)


def check_converged(diverged: Bool[Tensor, " member"]) -> None:
    """Refuse an ensemble with members that did not learn.

    Raises
    ------
    TrainingError
        If one diverged.
    """
    if bool(diverged.any()):
        raise TrainingError(
            f"training diverged in {int(diverged.sum())} of {len(diverged)} members: "
            "lower trainer.learning_rate"
        )


def jackknife_spread(plan: MemberPlan, members: Bool[Tensor, " member"]) -> float:
    """Return how much farther from their mean some members would lie on other patients.

    Members that each train on a random subset of the same patients differ less than ensembles
    trained on fresh patients would. The delete-d jackknife (Shao & Wu 1989,
    doi:10.1214/aos/1176347263) makes up for the overlap: with ``r`` of ``n`` patients in each
    subset, the variance between subsets is multiplied by ``r / (n - r)``.

    Examples
    --------
    >>> plan = plan_members(np.arange(60)[None] % 2, replicas=5, stopping_share=0.2,
    ...                     bayesian_bootstrap=False, seed=0)
    >>> jackknife_spread(plan, plan.fold == 0)
    2.0
    """
    inside = plan.training[members] > 0
    reached = int(inside.any(dim=0).sum())
    size = float(inside.sum(dim=1).double().mean())
    # One member, or members of the same patients, say nothing about other patients.
    return (size / (reached - size)) ** 0.5 if reached - size >= 1.0 else 1.0
