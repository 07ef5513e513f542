"""The chart as it was first."""

from datetime import datetime

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def _written() -> tuple[sa.Column[str], sa.Column[datetime]]:
    now = sa.func.now()
    when = sa.Column("written_at", sa.DateTime(timezone=True), server_default=now, nullable=False)
    return sa.Column("written_by", sa.String(200), nullable=False), when


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "patients",
        sa.Column("patient_id", sa.String(length=200), nullable=False),
        sa.Column("stratum", sa.JSON(), nullable=False),
        *_written(),
        sa.PrimaryKeyConstraint("patient_id", name=op.f("pk_patients")),
    )
    op.create_table(
        "beliefs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("patient_id", sa.String(length=200), nullable=False),
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("draws", sa.Integer(), nullable=False),
        sa.Column("seed", sa.Integer(), nullable=False),
        sa.Column("stratum", sa.JSON(), nullable=False),
        *_written(),
        sa.ForeignKeyConstraint(
            ["patient_id"], ["patients.patient_id"], name=op.f("fk_beliefs_patient_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_beliefs")),
    )
    op.create_index(op.f("ix_beliefs_patient_id"), "beliefs", ["patient_id"])

    op.create_table(
        "consents",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("patient_id", sa.String(length=200), nullable=False),
        sa.Column("purpose", sa.String(length=20), nullable=False),
        sa.Column("decision", sa.String(length=20), nullable=False),
        sa.Column("recorded_on", sa.Date(), nullable=False),
        *_written(),
        sa.ForeignKeyConstraint(
            ["patient_id"], ["patients.patient_id"], name=op.f("fk_consents_patient_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_consents")),
    )
    op.create_index(op.f("ix_consents_patient_id"), "consents", ["patient_id"])

    op.create_table(
        "visits",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("patient_id", sa.String(length=200), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("day", sa.Double(), nullable=False),
        sa.Column("under", sa.String(length=200), nullable=True),
        sa.Column("values", sa.JSON(), nullable=False),
        sa.Column("amends", sa.Integer(), nullable=True),
        *_written(),
        sa.ForeignKeyConstraint(["amends"], ["visits.id"], name=op.f("fk_visits_amends")),
        sa.ForeignKeyConstraint(
            ["patient_id"], ["patients.patient_id"], name=op.f("fk_visits_patient_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_visits")),
        sa.UniqueConstraint("amends", name=op.f("uq_visits_amends")),
        sa.UniqueConstraint("patient_id", "key", name=op.f("uq_visits_patient_id_key")),
    )
    op.create_index(op.f("ix_visits_patient_id"), "visits", ["patient_id"])

    op.create_table(
        "alerts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("visit_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("sentence", sa.Text(), nullable=False),
        *_written(),
        sa.ForeignKeyConstraint(["visit_id"], ["visits.id"], name=op.f("fk_alerts_visit_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alerts")),
    )
    op.create_index(op.f("ix_alerts_visit_id"), "alerts", ["visit_id"])

    op.create_table(
        "belief_visits",
        sa.Column("belief_id", sa.Integer(), nullable=False),
        sa.Column("place", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("visit_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["belief_id"], ["beliefs.id"], name=op.f("fk_belief_visits_belief_id")
        ),
        sa.ForeignKeyConstraint(
            ["visit_id"], ["visits.id"], name=op.f("fk_belief_visits_visit_id")
        ),
        sa.PrimaryKeyConstraint("belief_id", "place", name=op.f("pk_belief_visits")),
    )
    op.create_table(
        "rankings",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("belief_id", sa.Integer(), nullable=False),
        sa.Column("interval", sa.Double(), nullable=False),
        sa.Column("confidence", sa.Double(), nullable=False),
        sa.Column("lines", sa.JSON(), nullable=False),
        *_written(),
        sa.ForeignKeyConstraint(["belief_id"], ["beliefs.id"], name=op.f("fk_rankings_belief_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rankings")),
    )
    op.create_index(op.f("ix_rankings_belief_id"), "rankings", ["belief_id"])

    op.create_table(
        "decisions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("ranking_id", sa.Integer(), nullable=False),
        sa.Column("intervention", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        *_written(),
        sa.ForeignKeyConstraint(
            ["ranking_id"], ["rankings.id"], name=op.f("fk_decisions_ranking_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_decisions")),
    )
    op.create_index(op.f("ix_decisions_ranking_id"), "decisions", ["ranking_id"])
