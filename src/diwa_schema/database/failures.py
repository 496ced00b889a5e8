"""The translation of a driver's errors into errors of this package."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from diwa_schema.database.spelling import mask
from diwa_schema.errors import (
    NOTHING_CHANGED,
    RESUMES,
    DatabaseReadOnly,
    DatabaseRefused,
    DatabaseUnreachable,
    DiwaSchemaError,
    LockNotObtained,
    MigrationFailed,
    MigrationLockLost,
    PermissionMissing,
    TableLockBusy,
    UsageError,
    command,
)

if TYPE_CHECKING:
    from types import ModuleType

LOCK_TIMEOUT = "55P03"
DEADLOCK = "40P01"
STATEMENT_TIMEOUT = "57014"
PERMISSION = "42501"
READ_ONLY = "25006"


def driver(dialect: str) -> ModuleType:
    """Import and return the driver's module.

    Raises:
        DiwaSchemaError: The driver cannot be loaded.
    """
    if dialect == "sqlite":
        import sqlite3

        return sqlite3
    try:
        import psycopg
    except ImportError as error:
        raise UsageError(
            "PostgreSQL cannot be reached: psycopg finds no libpq on this machine.",
            next_step="Run: pip install 'diwa-schema[binary]'",
        ) from error
    return psycopg


def cause(error: BaseException) -> BaseException:
    """Return the driver's error behind one that SQLAlchemy wrapped."""
    original = getattr(error, "orig", None)
    return original if isinstance(original, BaseException) else error


def sqlstate(error: BaseException) -> str | None:
    """Return the SQLSTATE of an error, or SQLite's error name, or None."""
    error = cause(error)
    return getattr(error, "sqlstate", None) or getattr(error, "sqlite_errorname", None)


def is_driver_error(error: BaseException) -> bool:
    """Whether an error comes from a database driver, directly or through SQLAlchemy."""
    # By name, because the check should not load an unused driver.
    return type(cause(error)).__module__.startswith(("psycopg", "sqlite3"))


def connection_lost(error: BaseException) -> bool:
    """Whether an error means that the server is gone or has ended this connection."""
    error = cause(error)
    state = sqlstate(error) or ""
    if state.startswith("08") or state in ("57P01", "57P02", "57P03", "25P03", "57P05"):
        return True
    return type(error).__name__ == "OperationalError" and not state and type(error).__module__ != "sqlite3"


def brief(error: BaseException) -> str:
    """Return the text of an error without passwords: its first line, and the server's detail and hint."""
    error = cause(error)
    lines = str(error).strip().splitlines() or [type(error).__name__]
    said = getattr(error, "diag", None)
    added = [getattr(said, name, None) for name in ("message_detail", "message_hint")]
    return mask(" ".join([lines[0], *(" ".join(text.split()) for text in added if text)]))


def unreachable(shown: str, error: BaseException) -> DatabaseUnreachable:
    """Describe a connection that could not be made."""
    return DatabaseUnreachable(
        f"The database {shown} cannot be reached: {brief(error)}",
        next_step="Check that the server runs and that host, port, name, user and password are right."
        " Then run the command again.",
        database=shown,
    )


def own_the_tables() -> str:
    """Return the next step of a role that must own the tables and does not."""
    return (
        "Connect as a member of the role that owns the tables. To give them to the owner role of the schema instead,"
        f" run as a superuser: {command('roles --take-ownership --apply')}."
    )


def explain(  # noqa: PLR0911 - one per meaning
    error: BaseException, shown: str, doing: str, untouched: str = NOTHING_CHANGED
) -> DiwaSchemaError:
    """Describe a driver's error that stopped something.

    Args:
        error: The driver's error, or SQLAlchemy's wrapper of it.
        shown: The database's masked URL.
        doing: The stopped work, such as "revision 20251224044223".
        untouched: The parts that the failed operation did not change.
    """
    state = sqlstate(error)
    doing = f"{doing[0].upper()}{doing[1:]}"
    stopped = f"{doing} stopped: {brief(error)}"
    facts: dict[str, Any] = {"untouched": untouched, "database": shown, "sqlstate": state}
    if state == PERMISSION and _by_row_security(error):
        return PermissionMissing(
            f"Row security hides rows of {shown} from this role, and a change needs every row. {stopped}",
            next_step="As a superuser, run: ALTER ROLE NAME BYPASSRLS; or as the table's owner, until the change has"
            " ended: ALTER TABLE NAME NO FORCE ROW LEVEL SECURITY; Then run the command again.",
            **facts,
        )
    if state in (PERMISSION, "SQLITE_PERM", "SQLITE_AUTH"):
        return PermissionMissing(
            f"The database role lacks a right on {shown}. {stopped}",
            next_step=f"{own_the_tables()} To see the expected roles, run: {command('roles')}",
            **facts,
        )
    if state == READ_ONLY or (state or "").startswith("SQLITE_READONLY"):
        return DatabaseReadOnly(
            f"{shown} can only be read. {stopped}",
            next_step="Make the file and its directory writable."
            if state != READ_ONLY
            else "Name the primary server. If this is the primary, its role or database is set to read only:"
            " as the role that owns the schema, run SHOW default_transaction_read_only;",
            **facts,
        )
    if state in (LOCK_TIMEOUT, DEADLOCK):
        return TableLockBusy(
            f"A table of {shown} stayed in use. {stopped}",
            next_step="Run the command again when the application is less busy,"
            " or allow more with --lock-budget SECONDS.",
            **facts,
        )
    if (state or "").startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return LockNotObtained(
            f"{shown} is locked by another process. {stopped}",
            next_step="End the transaction of the other process, then run the command again.",
            **facts,
        )
    if state == "SQLITE_NOTADB":
        return DatabaseRefused(
            f"{shown} is not an SQLite database. {stopped}",
            next_step="Name another file.",
            **facts,
        )
    if (state or "").startswith("SQLITE_CORRUPT"):
        return DatabaseRefused(
            f"{shown} is damaged. {stopped}",
            next_step="Restore a backup, or save the readable rows: sqlite3 FILE .recover",
            **facts,
        )
    return MigrationFailed(
        f"{doing} on {shown} failed: {brief(error)}",
        next_step="Fix the cause and run the command again; it resumes where this run stopped.",
        **facts,
    )


def _by_row_security(error: BaseException) -> bool:
    # The server's messages are translated, the names of its functions are not.
    return getattr(getattr(cause(error), "diag", None), "source_function", None) == "check_enable_rls"


def lost(shown: str) -> MigrationLockLost:
    """Describe a lost lock."""
    return MigrationLockLost(
        f"The migration lock of {shown} was lost: its connection ended, or another run took it.",
        untouched="The run stopped before the next change and rolled back the step it had not finished.",
        next_step=RESUMES,
        pid=os.getpid(),
    )
