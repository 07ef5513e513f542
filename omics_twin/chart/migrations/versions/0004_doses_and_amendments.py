"""Doses given and planned, a stratum that was amended, why a visit was amended."""

from datetime import datetime

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def _written() -> tuple[sa.Column[str], sa.Column[datetime]]:
    now = sa.func.now()
    when = sa.Column("written_at", sa.DateTime(timezone=True), server_default=now, nullable=False)
    return sa.Column("written_by", sa.String(200), nullable=False), when


def upgrade() -> None:
    """Make the tables and add the column."""
    reason = sa.Column("reason", sa.Text(), nullable=False, server_default="")
    op.add_column("visits", reason)
    op.create_table(
        "strata",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("patient_id", sa.String(length=200), nullable=False),
        sa.Column("stratum", sa.JSON(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("ranking_id", sa.Integer(), nullable=True),
        *_written(),
        sa.ForeignKeyConstraint(
            ["patient_id"], ["patients.patient_id"], name=op.f("fk_strata_patient_id")
        ),
        sa.ForeignKeyConstraint(["ranking_id"], ["rankings.id"], name=op.f("fk_strata_ranking_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_strata")),
    )
    op.create_index(op.f("ix_strata_patient_id"), "strata", ["patient_id"])
    op.create_table(
        "doses",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("patient_id", sa.String(length=200), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("planned", sa.Boolean(), nullable=False),
        sa.Column("drug", sa.String(length=200), nullable=False),
        sa.Column("amount", sa.Double(), nullable=False),
        sa.Column("unit", sa.String(length=40), nullable=False),
        sa.Column("start_days", sa.Double(), nullable=False),
        sa.Column("duration_days", sa.Double(), nullable=False),
        sa.Column("interval_days", sa.Double(), nullable=False),
        sa.Column("repeat", sa.Integer(), nullable=False),
        sa.Column("amends", sa.Integer(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False, server_default=""),
        *_written(),
        sa.ForeignKeyConstraint(["amends"], ["doses.id"], name=op.f("fk_doses_amends")),
        sa.ForeignKeyConstraint(
            ["patient_id"], ["patients.patient_id"], name=op.f("fk_doses_patient_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_doses")),
        sa.UniqueConstraint("amends", name=op.f("uq_doses_amends")),
        sa.UniqueConstraint("patient_id", "key", name=op.f("uq_doses_patient_id_key")),
    )
    op.create_index(op.f("ix_doses_patient_id"), "doses", ["patient_id"])
    op.create_table(
        "belief_doses",
        sa.Column("belief_id", sa.Integer(), nullable=False),
        sa.Column("place", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("dose_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["belief_id"], ["beliefs.id"], name=op.f("fk_belief_doses_belief_id")
        ),
        sa.ForeignKeyConstraint(["dose_id"], ["doses.id"], name=op.f("fk_belief_doses_dose_id")),
        sa.PrimaryKeyConstraint("belief_id", "place", name=op.f("pk_belief_doses")),
    )
