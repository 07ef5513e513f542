"""Who may sign in to the page of a chart, and as what."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import cache

from sqlalchemy import insert, select
from werkzeug.security import check_password_hash, generate_password_hash

from omics_twin.chart.database import transaction
from omics_twin.chart.store import Chart
from omics_twin.chart.tables import ACCOUNTS
from omics_twin.errors import ChartError, nearest

_SHORTEST, _LONGEST = 12, 200
_LONGEST_NAME = 80


class Role(Enum):
    """What somebody may see and do."""

    CLINICIAN = "clinician"
    SCIENTIST = "scientist"
    AUDITOR = "auditor"


@dataclass(frozen=True)
class Account:
    """Somebody who may sign in."""

    name: str
    role: Role


def set_account(chart: Chart, name: str, role: str | None, password: str, *, by: str) -> None:
    """Let somebody sign in, change the role or the password, or close the account.

    Parameters
    ----------
    role
        ``clinician``, ``scientist`` or ``auditor``; None: the account is closed.
    password
        12 to 200 characters; kept as a salted hash alone. Not read where the account is closed.

    Raises
    ------
    ChartError
        If the name, the role or the password is none.
    """
    if not 0 < len(name) <= _LONGEST_NAME or not name.isprintable() or name != name.strip():
        raise ChartError(
            f"the name of the account has {len(name)} characters, expected 1 to {_LONGEST_NAME} "
            "that can be printed, without spaces at its ends"
        )
    known = [each.value for each in Role]
    if role is not None and role not in known:
        raise ChartError(f"unknown role '{role}'{nearest(role, known)}")
    if role is not None and not _SHORTEST <= len(password) <= _LONGEST:
        raise ChartError(
            f"the password has {len(password)} characters, expected {_SHORTEST} to {_LONGEST}"
        )
    kept = "" if role is None else generate_password_hash(password)
    row = {"name": name, "role": role, "password_hash": kept, "written_by": by}
    with transaction(chart.engine) as connection:
        connection.execute(insert(ACCOUNTS).values(row))


def account(chart: Chart, name: str) -> Account | None:
    """Return an account as it stands now; None where there is none or it was closed."""
    found = _last(chart, name)
    return None if found is None else found[0]


def signed_in(chart: Chart, name: str, password: str) -> Account | None:
    """Return whose name and password these are, or None; neither answer comes sooner."""
    found = _last(chart, name)
    kept = _nobody() if found is None else found[1]
    right = check_password_hash(kept, password[: _LONGEST + 1])
    return found[0] if found is not None and right else None


def _last(chart: Chart, name: str) -> tuple[Account, str] | None:
    asked = select(ACCOUNTS.c.role, ACCOUNTS.c.password_hash).where(ACCOUNTS.c.name == name)
    with transaction(chart.engine, reads=True) as connection:
        row = connection.execute(asked.order_by(ACCOUNTS.c.id.desc()).limit(1)).first()
    return None if row is None or row[0] is None else (Account(name, Role(row[0])), row[1])


@cache
def _nobody() -> str:
    """Return what is compared where nobody has the name, so that it takes as long."""
    return generate_password_hash("nobody has this name")
