"""Say what a chart holds: nothing in it is ever changed or removed, what was wrong is amended."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Date,
    DateTime,
    Double,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    func,
)

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _written() -> tuple[Column[str], Column[datetime]]:
    """Return who wrote a row and when, by the clock of the database."""
    when = Column("written_at", DateTime(timezone=True), server_default=func.now(), nullable=False)
    return Column("written_by", String(200), nullable=False), when


def _patient() -> Column[str]:
    key = ForeignKey("patients.patient_id")
    return Column("patient_id", String(200), key, nullable=False, index=True)


PATIENTS = Table(
    "patients",
    METADATA,
    Column("patient_id", String(200), primary_key=True),
    Column("stratum", JSON, nullable=False),  # column -> value
    *_written(),
)

CONSENTS = Table(
    "consents",
    METADATA,
    Column("id", Integer, primary_key=True),
    _patient(),
    Column("purpose", String(20), nullable=False),
    Column("decision", String(20), nullable=False),
    Column("recorded_on", Date, nullable=False),
    Column("modality", String(200), nullable=False, server_default="all"),
    Column("valid_from", Date),
    Column("valid_until", Date),
    *_written(),
)

# A visit as it was told, in its own units: any model can be shown it, one trained later too.
VISITS = Table(
    "visits",
    METADATA,
    Column("id", Integer, primary_key=True),
    _patient(),
    Column("key", String(64), nullable=False),  # the writer's own: a visit sent twice counts once
    Column("day", Double, nullable=False),  # [days since the index date]
    Column("under", String(200)),  # arm given since the visit before
    Column("values", JSON, nullable=False),  # modality -> column -> value
    Column("amends", ForeignKey("visits.id"), unique=True),
    Column("reason", Text, nullable=False, server_default=""),  # why it amends
    *_written(),
    UniqueConstraint("patient_id", "key"),
)

# What makes a patient's stratum where it was amended: the last one holds.
STRATA = Table(
    "strata",
    METADATA,
    Column("id", Integer, primary_key=True),
    _patient(),
    Column("stratum", JSON, nullable=False),  # column -> value
    Column("reason", Text, nullable=False),
    Column("ranking_id", ForeignKey("rankings.id")),  # the last that was given before
    *_written(),
)

# A drug as it was given, or is planned, on a schedule; an amount of 0: it was not given.
DOSES = Table(
    "doses",
    METADATA,
    Column("id", Integer, primary_key=True),
    _patient(),
    Column("key", String(64), nullable=False),  # the writer's own, as of a visit
    Column("planned", Boolean, nullable=False),
    Column("drug", String(200), nullable=False),
    Column("amount", Double, nullable=False),  # of one administration
    Column("unit", String(40), nullable=False),
    Column("start_days", Double, nullable=False),  # [days since the index date]
    Column("duration_days", Double, nullable=False),  # of one administration [day]
    Column("interval_days", Double, nullable=False),  # between administrations [day]
    Column("repeat", Integer, nullable=False),  # how many administrations
    Column("amends", ForeignKey("doses.id"), unique=True),
    Column("reason", Text, nullable=False, server_default=""),
    *_written(),
    UniqueConstraint("patient_id", "key"),
)

# A belief by what made it: its draws follow from the model, the seed and the visits.
BELIEFS = Table(
    "beliefs",
    METADATA,
    Column("id", Integer, primary_key=True),
    _patient(),
    Column("model", String(64), nullable=False),
    Column("draws", Integer, nullable=False),
    Column("seed", Integer, nullable=False),
    Column("stratum", JSON, nullable=False),
    Column("withheld", JSON, nullable=False, server_default="[]"),  # modalities not to be used
    *_written(),
)

BELIEF_VISITS = Table(
    "belief_visits",
    METADATA,
    Column("belief_id", ForeignKey("beliefs.id"), primary_key=True),
    Column("place", Integer, primary_key=True, autoincrement=False),
    Column("visit_id", ForeignKey("visits.id"), nullable=False, index=True),
)

BELIEF_DOSES = Table(
    "belief_doses",
    METADATA,
    Column("belief_id", ForeignKey("beliefs.id"), primary_key=True),
    Column("place", Integer, primary_key=True, autoincrement=False),
    Column("dose_id", ForeignKey("doses.id"), nullable=False),
)

RANKINGS = Table(
    "rankings",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("belief_id", ForeignKey("beliefs.id"), nullable=False, index=True),
    Column("interval", Double, nullable=False),
    Column("confidence", Double, nullable=False),
    Column("lines", JSON, nullable=False),
    *_written(),
)

# What was done with a ranking: the therapy chosen, and why where it is not the first.
DECISIONS = Table(
    "decisions",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("ranking_id", ForeignKey("rankings.id"), nullable=False, index=True),
    Column("intervention", String(200), nullable=False),
    Column("reason", Text, nullable=False),
    *_written(),
)

ALERTS = Table(
    "alerts",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("visit_id", ForeignKey("visits.id"), nullable=False, index=True),
    Column("kind", String(40), nullable=False),
    Column("sentence", Text, nullable=False),
    *_written(),
)

# An alert that somebody has dealt with, and what was done about it.
CLOSINGS = Table(
    "closings",
    METADATA,
    Column("alert_id", ForeignKey("alerts.id"), primary_key=True, autoincrement=False),
    Column("note", Text, nullable=False),
    *_written(),
)

# Who may sign in: of the rows of a name the last one holds.
ACCOUNTS = Table(
    "accounts",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("name", String(80), nullable=False, index=True),
    Column("role", String(20)),  # null: the account is closed
    Column("password_hash", String(400), nullable=False),
    *_written(),
)

# A card of CDS Hooks that was sent, and the ranking it told of where the chart holds it.
CARDS = Table(
    "cards",
    METADATA,
    Column("card", String(36), primary_key=True),
    Column("ranking_id", ForeignKey("rankings.id")),
    *_written(),
)

FEEDBACK = Table(
    "feedback",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("card", ForeignKey("cards.card"), nullable=False, index=True),
    Column("outcome", String(20), nullable=False),
    Column("reason", String(40), nullable=False),
    Column("comment", Text, nullable=False),
    *_written(),
)
