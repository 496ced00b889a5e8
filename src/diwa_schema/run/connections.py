"""The effect of a change on open connections: reported before and after it, and fixed on request.

A prepared statement fails after the type of its result changes (SQLSTATE 0A000), and may fail after the type of a
parameter changes. A driver discards its prepared statements after a rollback, or never. Connections that work outside
transactions therefore fail until they are reopened, long after the change, and nothing in the database shows the
reason. Only the run knows which types it has changed, and it can see which applications were connected.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Self

from diwa_schema.database.failures import PERMISSION, is_driver_error, sqlstate
from diwa_schema.database.target import APPLICATION_NAME
from diwa_schema.errors import UsageError, command, option
from diwa_schema.migrations.manifest import load
from diwa_schema.names import amount, literal

if TYPE_CHECKING:
    from diwa_schema.database.link import Link
    from diwa_schema.migrations.manifest import Revision
    from diwa_schema.run.plan import Plan
    from diwa_schema.run.session import Look
    from diwa_schema.run.settings import Progress, Report

_TYPES = """
SELECT c.relname || '.' || a.attname, a.atttypid::bigint, a.atttypmod, format_type(a.atttypid, a.atttypmod)
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = ANY(%s) AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
"""
# A role without the right to see another role's sessions still sees their existence, their role and their application;
# their state and kind are NULL then.
_OTHERS = f"""
FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND usename IS NOT NULL
AND coalesce(backend_type, 'client backend') = 'client backend'
AND NOT starts_with(coalesce(application_name, ''), {literal(APPLICATION_NAME)})
"""
_CLIENTS = f"""
SELECT coalesce(application_name, ''), usename::text, count(*) {_OTHERS}
AND coalesce(backend_start, '-infinity') <= %s::timestamptz GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2
"""
# A login that was granted the role is the usual case, because `roles` creates roles without login. pg_has_role would
# include every superuser.
_MEMBERS = """(
  WITH RECURSIVE member(id) AS (
    SELECT oid FROM pg_roles WHERE rolname = %s
    UNION SELECT m.member FROM pg_auth_members m JOIN member g ON m.roleid = g.id)
  SELECT id FROM member)"""
_OF_ROLE = f"""
SELECT pid, usename::text, state {_OTHERS} AND usesysid IN {_MEMBERS}
AND coalesce(backend_start, '-infinity') <= %s::timestamptz
"""
# Checking and ending are one statement: with two, a request that began in between would be cut off.
_END = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE pid = %s AND usename = %s AND state = 'idle'"

_FAILING = "Open connections outside transactions fail on their prepared statements until they reconnect."


@dataclass(frozen=True, slots=True)
class Retype:
    """A column whose values have another type after the change.

    Args:
        revision: The revision that changes it; None if no revision does.
        column: The column, as table.column.
        before: Its type before.
        after: Its type after the change.
    """

    revision: str | None
    column: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Client:
    """Sessions of one application and one role.

    Args:
        application: Its application_name; empty if it sets none.
        user: The role.
        count: The number of sessions.
    """

    application: str
    user: str
    count: int

    def __str__(self) -> str:
        name = f"'{self.application}'" if self.application else "an unnamed application"
        return f"{self.count} of {name} (user {self.user})"


@dataclass(frozen=True, slots=True)
class Renewal:
    """The result of ending a role's idle sessions.

    Args:
        role: The role.
        ended: The number of ended idle sessions.
        busy: The number of remaining sessions, because they were active or in a transaction.
        refused: The number of sessions that this role may not see or end.
    """

    role: str
    ended: int
    busy: int
    refused: int

    @property
    def lines(self) -> tuple[str, ...]:
        """Return the result as text for people."""
        said = [f"Renewed {self.role}: {amount(self.ended, 'idle session')} ended."]
        if self.busy:
            said.append(
                f"{amount(self.busy, 'session')} of {self.role} active or in a transaction: unchanged."
            )
        if self.refused:
            said.append(
                f"{amount(self.refused, 'session')} of {self.role} unchanged: this role may not see or end"
                f" them. It needs membership in {self.role}, or in pg_read_all_stats and pg_signal_backend."
            )
        return tuple(said)


@dataclass(frozen=True, slots=True)
class Connections:
    """The results with a changed type, and the connected applications.

    Args:
        retypes: The columns whose type changes, or has changed.
        clients: The connected applications, without this package's own connections.
        renewal: The ended sessions; None without a request.
    """

    retypes: tuple[Retype, ...] = ()
    clients: tuple[Client, ...] = ()
    renewal: Renewal | None = None

    def lines(self, after: str | None, *, planned: bool = False) -> tuple[str, ...]:
        """Return sentences for people; none if nobody is affected.

        Args:
            after: The revision of the database; None for base.
            planned: Whether the change has not happened yet.
        """
        renewed = self.renewal.lines if self.renewal else ()
        if not (self.retypes and self.clients):
            return renewed
        verb = "changes" if planned else "changed"
        told = [
            f"{f'Revision {one.revision} {verb} the type' if one.revision else 'The type'} of {one.column}"
            f"{'' if one.revision else f' {verb}'}: {one.before} -> {one.after}."
            for one in self.retypes
        ]
        users = {client.user for client in self.clients}
        renew = option("--renew", users.pop() if len(users) == 1 else "ROLE")
        # The same revision again: finished work is not repeated, and the sessions are renewed.
        again = f"upgrade {after} {renew}" if after else f"downgrade base {renew}"
        way = (
            f"Restart them afterwards, or add {renew}, which ends the idle ones."
            if planned
            else f"Restart them. To end the idle ones, run: {command(again)}"
        )
        return (*told, _FAILING, f"Open connections: {', '.join(map(str, self.clients))}.", way, *renewed)


def planned(link: Link, plan: Plan) -> Connections:
    """Return the results whose type a plan would change on this database, and the connected applications."""
    if plan.snapshot:
        return Connections()
    from diwa_schema.migrations.steps.dependents import retyped

    changing = retyped(link, plan.revisions, back=plan.direction == "downgrade")
    found = tuple(Retype(one.revision, one.column, one.before, one.after) for one in changing)
    return Connections(found, _clients(link, _moment(link))) if found else Connections()


class TypeWatch:
    """A comparison of column types before and after a change; after an error, it reports the changes so far.

    Args:
        look: The state under the lock.
        progress: The receiver of progress reports.
        back: Whether revisions are reversed.
        idle: Whether the change is known to keep all types, so that nothing is compared.
    """

    def __init__(self, look: Look, progress: Progress, *, back: bool, idle: bool = False) -> None:
        self._look = look
        self._progress = progress
        self._back = back
        self._idle = idle

    def __enter__(self) -> Self:
        self._before = self._types()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not isinstance(error, Exception):
            return
        try:
            revision = self._look.link.value(f"SELECT version_num FROM {self._look.books.version}")
            for line in self.seen(revision).lines(revision):
                self._progress.say(line)
        except Exception as second:
            # The connection may be gone: the first error is the one to report.
            if not isinstance(second, OSError) and not is_driver_error(second):
                raise

    def seen(self, after: str | None) -> Connections:
        """Return the changes so far, and the connected applications.

        Args:
            after: The present revision of the database.
        """
        now = self._types()
        before = self._look.state.revision
        history = load()
        steps = history.between(*((after, before) if self._back else (before, after)))
        found = tuple(
            Retype(self._by(steps, column), column, kind[-1], now[column][-1])
            for column, kind in self._before.items()
            if column in now and now[column][:2] != kind[:2]
        )
        return (
            Connections(found, _clients(self._look.link, _moment(self._look.link)))
            if found
            else Connections()
        )

    def _by(self, steps: Iterable[Revision], column: str) -> str | None:
        return next(
            (one.revision for one in steps if column in (one.retypes_back if self._back else one.retypes)),
            None,
        )

    def _types(self) -> dict[str, tuple[int, int, str]]:
        link = self._look.link
        if self._idle or link.dialect == "sqlite":
            return {}
        rows = link.rows(_TYPES, (self._look.state.schema, list(load().tables)))
        return {name: (oid, modifier, shown.rpartition(".")[2]) for name, oid, modifier, shown in rows}


def refuse_role(link: Link, role: str) -> None:
    """Refuse to renew the sessions of a role that cannot have any.

    Raises:
        UsageError: The server has no such role, or the database is SQLite.
    """
    if link.dialect == "sqlite":
        raise UsageError(
            f"{link.shown} is SQLite, which has no sessions to renew.", next_step="Leave --renew out."
        )
    if not link.value("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = %s)", (role,)):
        raise UsageError(
            f"There is no role '{role}' on the server of {link.shown}.",
            next_step="Name the role of the application.",
        )


def told(report: Report, link: Link, role: str | None, seen: Connections | None = None) -> Report:
    """Return the report of a run with the clients that have to reconnect, after ending the idle sessions of a role.

    Args:
        report: The report of the change.
        link: A connection to the database, without an open transaction.
        role: The role of the idle sessions to end; None for none.
        seen: The changed types and the connected applications; by default none.
    """
    seen = seen or Connections()
    if role is not None:
        since = _moment(link)
        renewal = _renew(link, role, since)
        clients = _clients(link, since) if seen.retypes else ()
        return report._replace(connections=replace(seen, clients=clients, renewal=renewal))
    return report._replace(connections=seen) if seen.clients else report


def _renew(link: Link, role: str, since: str) -> Renewal:
    ended = busy = refused = 0
    for pid, login, state in link.rows(_OF_ROLE, (role, since)):
        if state != "idle":
            busy, refused = busy + (state is not None), refused + (state is None)
            continue
        try:
            gone = link.value(_END, (pid, login))
        except Exception as error:
            if not is_driver_error(error) or sqlstate(error) != PERMISSION:
                raise
            refused += 1
            continue
        # It was idle a moment ago; a session that is active by now continues.
        ended, busy = ended + bool(gone), busy + (not gone)
    return Renewal(role, ended, busy, refused)


def _clients(link: Link, since: str) -> tuple[Client, ...]:
    return tuple(Client(*row) for row in link.rows(_CLIENTS, (since,)))


def _moment(link: Link) -> str:
    """Return the server's time: later connections have no prepared statements that could fail."""
    return str(link.value("SELECT clock_timestamp()::text"))
