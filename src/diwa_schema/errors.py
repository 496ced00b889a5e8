"""Every exception of diwa-schema, with its exit code on the command line.

DiwaSchemaError
├── CheckFailed              1   a check found something
│   ├── SchemaOutOfDate          the database is behind the installed package
│   │   └── SchemaEmpty          the database contains no part of the schema yet
│   └── DriftFound               a live schema differs from the expected one
├── UsageError               2   wrong usage or configuration
│   ├── NoDatabase               no database was named
│   ├── InvalidDatabase          this package does not support the given database
│   ├── UnknownRevision          the history has no such revision
│   └── ConnectionInUse          a caller's connection is already in a transaction
├── Blocked                  3   the guard refused
├── DatabaseUnreachable      4   no connection
├── LockNotObtained          5   a lock was not obtained in time
│   ├── MigrationLockBusy        another runner holds the migration lock
│   ├── TableLockBusy            the application holds a table
│   └── ApplicationStalled       a change kept the application waiting and was stopped
├── MigrationFailed          6   a revision failed and was rolled back
│   ├── MigrationLockLost        the migration lock was lost during the run
│   └── NotPersisted             the database does not hold what the run wrote
└── DatabaseRefused          7   the database is not in a state that allows the operation
    ├── SchemaTampered           an applied revision is no longer the one that was applied
    ├── SchemaForeign            tables of another tool, or an unknown revision
    ├── SchemaTooNew             the installed package is older than the database allows
    ├── NotAdopted               made by Ecto and not taken over yet
    ├── DatabaseProtected        marked with `diwa-schema protect`
    ├── DatabaseReadOnly         nothing can be written
    ├── ReleaseConnected         a release that a change would break is connected
    ├── PermissionMissing        the role lacks a right
    └── TransactionPooler        the connection changes its server process between transactions
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable

NOTHING_CHANGED = "Nothing was changed."
ROLLED_BACK = "The run rolled back the step it had not finished."
RESUMES = "Run the command again; it resumes where this run stopped."

# The arguments that named the database on the command line, with passwords masked. A suggested next command must not
# silently go to the database that the environment names.
NAMED: ContextVar[Callable[[], str]] = ContextVar("diwa_schema_named", default=str)
# The command as it was typed, with passwords masked and without the name of the repository. It is empty outside of the
# command line.
TYPED: ContextVar[Callable[[], str]] = ContextVar("diwa_schema_typed", default=str)

# Whether the typed command has an option; None outside of the command line. A message offers no option that the
# command would refuse.
OFFERS: ContextVar[Callable[[str], bool] | None] = ContextVar("diwa_schema_offers", default=None)


def offered(words: str, argument: str = "") -> str:
    """Return an option such as ``--schema NAME`` if the command has it, and an argument of a function in Python."""
    offers = OFFERS.get()
    if offers is None:
        return argument
    return words if offers(words.partition(" ")[0].removeprefix("--").replace("-", "_")) else ""


def command(words: str) -> str:
    """Return a command of this package to run next, on the same database as the command that failed."""
    return " ".join(part for part in ("diwa-schema", words, NAMED.get()()) if part)


def module_command(words: str) -> str:
    """Return the same command for a checkout whose environment may not have the program on its path."""
    return command(words).replace("diwa-schema", "python -m diwa_schema", 1)


def option(flag: str, value: str | None = None) -> str:
    """Return an option as a shell takes it; a value that begins with a dash would be read as another option."""
    import shlex

    if value is None:
        return flag
    return shlex.quote(f"{flag}={value}") if value.startswith("-") else f"{flag} {shlex.quote(value)}"


_HINT = "In the command, write the password instead of ***, or leave :*** out and set PGPASSWORD."


def with_hint(text: str) -> str:
    """Return a text that says once what is missing from its commands: the password of their URLs."""
    if "***" not in text or _HINT in text:
        return text
    import re

    if not re.search(r"--\w+ '?[\w+]+://\S*\*\*\*", text):
        return text
    return f"{text} {_HINT}" if text.endswith(".") else f"{text}\n{_HINT}"


class DiwaSchemaError(Exception):
    """The base of all errors: it states the problem, the untouched state and the next step.

    Args:
        what: What happened, in one or more sentences.
        next_step: What to do next, usually a command to run.
        untouched: The parts that the failed operation did not change.
        facts: Further facts for machines, printed with ``--json``.
    """

    exit_code: ClassVar[int] = 6

    def __init__(
        self,
        what: str,
        *,
        next_step: str = "",
        untouched: str = NOTHING_CHANGED,
        **facts: Any,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.next_step = next_step
        self.untouched = untouched
        self.facts = facts

    def __str__(self) -> str:
        return with_hint("\n".join(part for part in (self.what, self.untouched, self.next_step) if part))

    def as_dict(self) -> dict[str, Any]:
        """Return the error as a document for ``--json``."""
        return {
            "error": type(self).__name__,
            "exit_code": self.exit_code,
            "what": self.what,
            "untouched": self.untouched,
            "next_step": with_hint(self.next_step),
            **self.facts,
        }


class CheckFailed(DiwaSchemaError):
    """A check found something to do."""

    exit_code = 1


class SchemaOutOfDate(CheckFailed):
    """The database is behind the installed package."""


class SchemaEmpty(SchemaOutOfDate):
    """The database contains no part of the schema yet."""


class DriftFound(CheckFailed):
    """A live schema differs from the expected one at its revision."""


class UsageError(DiwaSchemaError):
    """Wrong usage or configuration."""

    exit_code = 2


class NoDatabase(UsageError):
    """No database was named."""


class InvalidDatabase(UsageError):
    """This package does not support the given database."""


class UnknownRevision(UsageError):
    """The installed history has no such revision."""


class ConnectionInUse(UsageError):
    """A caller's connection is already in a transaction."""


class Blocked(DiwaSchemaError):
    """The guard refused the operation."""

    exit_code = 3


class DatabaseUnreachable(DiwaSchemaError):
    """No connection to the database could be made."""

    exit_code = 4


class LockNotObtained(DiwaSchemaError):
    """A lock was not obtained in time."""

    exit_code = 5


class MigrationLockBusy(LockNotObtained):
    """Another runner holds the migration lock."""


class TableLockBusy(LockNotObtained):
    """The application holds a table that a revision has to change."""


class ApplicationStalled(LockNotObtained):
    """A change held a table for longer than the application may wait; it was stopped and rolled back."""


class MigrationFailed(DiwaSchemaError):
    """A revision failed and was rolled back."""

    exit_code = 6


class MigrationLockLost(MigrationFailed):
    """The migration lock was lost while the run was under way."""


class NotPersisted(MigrationFailed):
    """A fresh connection does not see what the run wrote."""


class DatabaseRefused(DiwaSchemaError):
    """The database is not in a state that allows the operation."""

    exit_code = 7


class SchemaTampered(DatabaseRefused):
    """An applied revision is no longer the one that was applied."""


class SchemaForeign(DatabaseRefused):
    """The database belongs to another tool, or names an unknown revision."""


class SchemaTooNew(DatabaseRefused):
    """The installed package is older than the database allows."""


class NotAdopted(DatabaseRefused):
    """The database was made by Ecto and has not been taken over yet."""


class DatabaseProtected(DatabaseRefused):
    """The database is marked as protected."""


class DatabaseReadOnly(DatabaseRefused):
    """Nothing can be written to the database."""


class ReleaseConnected(DatabaseRefused):
    """A connected application uses a release that a revision of the run would break."""


class PermissionMissing(DatabaseRefused):
    """The database role lacks a right that the operation needs."""


class TransactionPooler(DatabaseRefused):
    """The connection changes its server process between transactions."""
