"""A patient the ensemble was trained on is answered only by members that never saw the patient."""

from __future__ import annotations

import torch

from omics_twin.twin.neural import Membership
from tests.twins import TRAINED, neural_twin


def test_a_training_patient_is_answered_by_members_that_never_saw_them() -> None:
    twin = neural_twin(members=6)
    state = twin.start([*TRAINED, "new"], draws=60, seed=0)
    member = state.draws[0, :, 0].long()
    weight = torch.stack([state.log_weights.exp()[:, member == m].sum(dim=1) for m in range(6)], 1)
    for row in range(len(TRAINED)):
        unseen = ~twin.membership.seen[:, row]
        assert bool((weight[row, ~unseen] == 0).all())
        torch.testing.assert_close(weight[row, unseen].sum(), torch.tensor(1.0))
    torch.testing.assert_close(weight[-1], torch.full((6,), 1 / 6))


def test_the_patients_own_outcome_cannot_reach_the_answer() -> None:
    twin = neural_twin(members=6)
    blind = twin.membership.unseen(["trained0"])[0]
    assert blind.tolist() == [True, False, False, True, False, False]


def test_another_salt_hides_who_was_in_training() -> None:
    seen = torch.ones(2, 1, dtype=torch.bool)
    first, second = (Membership.of(["ada"], seen, salt=each) for each in ("one", "two"))
    assert not torch.equal(first.digests, second.digests)
    assert not bool(first.unseen(["ada"]).any())
    assert bool(first.unseen(["eve"]).all())
