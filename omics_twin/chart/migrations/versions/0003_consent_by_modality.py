"""Consent to one modality and for a period; a belief without what was withheld."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the columns."""
    modality = sa.Column("modality", sa.String(200), nullable=False, server_default="all")
    op.add_column("consents", modality)
    op.add_column("consents", sa.Column("valid_from", sa.Date(), nullable=True))
    op.add_column("consents", sa.Column("valid_until", sa.Date(), nullable=True))
    withheld = sa.Column("withheld", sa.JSON(), nullable=False, server_default="[]")
    op.add_column("beliefs", withheld)
