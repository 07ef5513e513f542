"""Cards that a hospital system was sent, and what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import insert, select

from omics_twin.chart.database import transaction
from omics_twin.chart.store import Chart
from omics_twin.chart.tables import CARDS, FEEDBACK
from omics_twin.errors import ChartError


@dataclass(frozen=True)
class Feedback:
    """What became of a card: ``accepted`` or ``overridden``, and why."""

    card: str
    outcome: str
    reason: str
    comment: str


def add_card(chart: Chart, card: str, ranking: int | None, *, by: str) -> None:
    """Keep that a card was sent; ``ranking`` is the one it told of, where the chart holds it."""
    with transaction(chart.engine) as connection:
        row = {"card": card, "ranking_id": ranking, "written_by": by}
        connection.execute(insert(CARDS).values(row))


def add_feedback(chart: Chart, told: Sequence[Feedback], *, by: str) -> None:
    """Keep what became of cards, all or nothing.

    Raises
    ------
    ChartError
        If one of the cards was never sent.
    """
    with transaction(chart.engine) as connection:
        for each in told:
            known = select(CARDS.c.card).where(CARDS.c.card == each.card)
            if connection.execute(known).first() is None:
                raise ChartError("feedback on a card that was never sent: name one of ours")
            row = {
                "card": each.card,
                "outcome": each.outcome,
                "reason": each.reason,
                "comment": each.comment,
                "written_by": by,
            }
            connection.execute(insert(FEEDBACK).values(row))


def feedback_on(chart: Chart, card: str) -> list[Feedback]:
    """Return what became of a card, in the order told."""
    told = FEEDBACK.c
    asked = select(told.card, told.outcome, told.reason, told.comment).where(told.card == card)
    with transaction(chart.engine, reads=True) as connection:
        return [Feedback(*row) for row in connection.execute(asked.order_by(told.id))]
