"""Who may sign in, alerts that were dealt with, cards of CDS Hooks and their feedback."""

from datetime import datetime

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def _written() -> tuple[sa.Column[str], sa.Column[datetime]]:
    now = sa.func.now()
    when = sa.Column("written_at", sa.DateTime(timezone=True), server_default=now, nullable=False)
    return sa.Column("written_by", sa.String(200), nullable=False), when


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "accounts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=True),
        sa.Column("password_hash", sa.String(length=400), nullable=False),
        *_written(),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
    )
    op.create_index(op.f("ix_accounts_name"), "accounts", ["name"])
    op.create_table(
        "closings",
        sa.Column("alert_id", sa.Integer(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        *_written(),
        sa.ForeignKeyConstraint(["alert_id"], ["alerts.id"], name=op.f("fk_closings_alert_id")),
        sa.PrimaryKeyConstraint("alert_id", name=op.f("pk_closings")),
    )
    op.create_index(op.f("ix_belief_visits_visit_id"), "belief_visits", ["visit_id"])
    op.create_table(
        "cards",
        sa.Column("card", sa.String(length=36), nullable=False),
        sa.Column("ranking_id", sa.Integer(), nullable=True),
        *_written(),
        sa.ForeignKeyConstraint(["ranking_id"], ["rankings.id"], name=op.f("fk_cards_ranking_id")),
        sa.PrimaryKeyConstraint("card", name=op.f("pk_cards")),
    )
    op.create_table(
        "feedback",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("card", sa.String(length=36), nullable=False),
        sa.Column("outcome", sa.String(length=20), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        *_written(),
        sa.ForeignKeyConstraint(["card"], ["cards.card"], name=op.f("fk_feedback_card")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_feedback")),
    )
    op.create_index(op.f("ix_feedback_card"), "feedback", ["card"])
