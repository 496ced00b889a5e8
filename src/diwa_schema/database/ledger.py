"""The ledger: each applied change with its author, time, duration and package version."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from diwa_schema.database.link import Link
from diwa_schema.names import literal

# Each column with its definition on PostgreSQL.
_COLUMNS = {
    "run_id": "uuid NOT NULL",
    "revision": "varchar(32)",
    "direction": "text NOT NULL",
    "kind": "text NOT NULL",
    "outcome": "text NOT NULL",
    "started_at": "timestamptz NOT NULL",
    "finished_at": "timestamptz",
    "duration_ms": "bigint",
    "database_role": "text NOT NULL",
    "os_user": "text",
    "host": "text",
    "pid": "integer",
    "repository": "text",
    "repository_role": "text",
    "bypass": "text",
    "bypass_reason": "text",
    "package_version": "text NOT NULL",
    "checksum": "text",
    "error_class": "text",
    "sqlstate": "text",
    "lock_waits": "integer NOT NULL DEFAULT 0",
    "forced": "boolean NOT NULL DEFAULT false",
}
# A sequence gives concurrent writers distinct numbers. Citus distributes a tenant with an identity column, but never
# turns it back into a plain schema. Databases of development versions have one, so no INSERT names the id.
_KEY = {"postgresql": "bigserial PRIMARY KEY", "sqlite": "INTEGER PRIMARY KEY"}
# These kinds are independent of the history: they do not show where a run through it stopped.
_BESIDE = ("roles", "protect", "unprotect")
_NUMBERS = ("bigint", "integer", "boolean")

# A list of pairs as rows: their source, the two parts of a pair, and their order.
_PAIRS = {
    "postgresql": (
        "json_array_elements(%s::json) WITH ORDINALITY AS r(pair, n)",
        "r.pair ->> 0",
        "r.pair ->> 1",
        "r.n",
    ),
    "sqlite": (
        "json_each(%s) AS r",
        "json_extract(r.value, '$[0]')",
        "json_extract(r.value, '$[1]')",
        "r.key",
    ),
}


# A revision and its checksum.
Entry = tuple[str | None, str | None]


class Run(NamedTuple):
    """The common facts of all entries of one run.

    Args:
        run_id: Its id.
        package_version: The version of this package.
        repository: The calling repository, as recognised by the guard.
        repository_role: Its role.
        bypass: The source of the bypass; None without one.
        bypass_reason: The reason for it.
        kind: migrate, snapshot, stamp, adopt, drop, convert (embeddings), index, validate, roles, protect or unprotect.
        direction: upgrade or downgrade.
        forced: Whether a check was overridden.
    """

    run_id: str
    package_version: str
    kind: str = "migrate"
    direction: str = "upgrade"
    repository: str | None = None
    repository_role: str | None = None
    bypass: str | None = None
    bypass_reason: str | None = None
    forced: bool = False


class Ledger(NamedTuple):
    """The ledger of one schema, on one connection.

    Args:
        link: The connection.
        table: The ledger's name, as SQL.
    """

    link: Link
    table: str

    def started(self, run: Run, revision: str | None, checksum: str | None) -> int:
        """Record the start of a revision, and return the entry's id.

        Commit it separately, so that it survives a rollback of the revision.
        """
        values = self._values(run, revision, checksum, "started", now(), None, None)
        return int(self.link.value(f"{self._insert} VALUES ({self._marks}) RETURNING id", values))

    def applied(self, entry: int, duration_ms: int, lock_waits: int) -> None:
        """Record, inside the revision's own transaction, that it was applied."""
        self.link.execute(
            f"UPDATE {self.table} SET outcome = 'applied', finished_at = %s, duration_ms = %s, lock_waits = %s"
            " WHERE id = %s",
            (now(), duration_ms, lock_waits, entry),
        )

    def failed(
        self, entry: int, outcome: str, error_class: str, sqlstate: str | None, lock_waits: int
    ) -> None:
        """Record the end of an unfinished revision, after its rollback.

        Args:
            entry: The entry of its start.
            outcome: failed, or interrupted if somebody ended the run.
            error_class: The class of the error.
            sqlstate: The server's code for it.
            lock_waits: The number of further attempts for a table lock.
        """
        self.link.execute(
            f"UPDATE {self.table} SET outcome = %s, finished_at = %s, error_class = %s, sqlstate = %s,"
            " lock_waits = %s WHERE id = %s AND outcome = 'started'",
            (outcome, now(), error_class, sqlstate, lock_waits, entry),
        )

    def unfinished(self) -> list[dict[str, Any]]:
        """Return the entries without an end: kind, revision, start, user and host.

        While no run holds the migration lock, each of them belongs to a killed run.
        """
        names = ("kind", "revision", "started_at", "os_user", "host")
        rows = self.link.rows(
            f"SELECT {', '.join(names)} FROM {self.table} WHERE outcome = 'started' ORDER BY id"
        )
        return [{name: _plain(value) for name, value in zip(names, row, strict=True)} for row in rows]

    def close_unfinished(self) -> None:
        """Mark every entry without an end as interrupted. Only the holder of the lock can know this."""
        self.link.execute(f"UPDATE {self.table} SET outcome = 'interrupted' WHERE outcome = 'started'")

    def latest(self, kinds: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return the last entry of each kind: its revision, direction, outcome, and start as text to the second."""
        # The server writes the time: a driver cannot read every spelling that a session may ask for.
        since = (
            "to_char(started_at, 'YYYY-MM-DD HH24:MI:SS')"
            if self.link.dialect == "postgresql"
            else "substr(started_at, 1, 19)"
        )
        rows = self.link.rows(
            f"SELECT kind, revision, direction, outcome, {since} FROM {self.table} WHERE id IN"
            f" (SELECT max(id) FROM {self.table} WHERE kind IN ({', '.join(['%s'] * len(kinds))}) GROUP BY kind)",
            kinds,
        )
        names = ("kind", "revision", "direction", "outcome", "since")
        return {row[0]: dict(zip(names, row, strict=True)) for row in rows}

    def ended(self) -> dict[str, Any] | None:
        """Return the end of the last run if it recorded itself as unfinished; otherwise None.

        A run without such a record is `unfinished`, until the next run closes it.
        """
        names = (
            *("run_id", "revision", "direction", "kind", "outcome", "started_at", "finished_at"),
            *("os_user", "host", "error_class", "sqlstate"),
        )
        rows = self.link.rows(
            f"SELECT {', '.join(names)} FROM {self.table} WHERE kind NOT IN ({', '.join(['%s'] * len(_BESIDE))})"
            " ORDER BY id DESC LIMIT 1",
            _BESIDE,
        )
        last = [{name: _plain(value) for name, value in zip(names, row, strict=True)} for row in rows]
        return last[0] if last and last[0]["outcome"] in ("failed", "interrupted") else None

    def record(self, run: Run, entries: Sequence[Entry], began: str, ms: int) -> None:
        """Record the parts of one change, one entry each.

        Args:
            run: The common facts of the entries.
            entries: Each revision with its checksum; both None for a change without a revision.
            began: The start of the run.
            ms: The whole duration, in milliseconds.
        """
        # The second statement copies all but two columns from the first row: otherwise a history of thousands of
        # revisions would have so many parameters that the drivers refuse it or become slow.
        first = self._values(run, *entries[0], "applied", began, now(), ms)
        entry = self.link.value(f"{self._insert} VALUES ({self._marks}) RETURNING id", first)
        if len(entries) == 1:
            return
        import json

        columns = {name: f"e.{name}" for name in _COLUMNS}
        source, columns["revision"], columns["checksum"], order = _PAIRS[self.link.dialect]
        self.link.execute(
            f"{self._insert} SELECT {', '.join(columns.values())} FROM {self.table} e, {source}"
            f" WHERE e.id = %s ORDER BY {order}",
            (json.dumps(entries[1:]), entry),
        )

    def entries(self) -> list[dict[str, Any]]:
        """Return all entries, oldest first."""
        names = ("id", *_COLUMNS)
        rows = self.link.rows(f"SELECT {', '.join(names)} FROM {self.table} ORDER BY id")
        return [{name: _plain(value) for name, value in zip(names, row, strict=True)} for row in rows]

    def checksums(self) -> dict[str, str]:
        """Return the checksum of each revision at its last application."""
        rows = self.link.rows(
            f"SELECT revision, checksum FROM {self.table} WHERE outcome = %s AND direction = %s"
            " AND checksum IS NOT NULL AND revision IS NOT NULL ORDER BY id",
            ("applied", "upgrade"),
        )
        return {row[0]: row[1] for row in rows}

    @property
    def _insert(self) -> str:
        return f"INSERT INTO {self.table} ({', '.join(_COLUMNS)})"

    @property
    def _marks(self) -> str:
        marks = ["%s"] * len(_COLUMNS)
        if self.link.dialect == "postgresql":
            marks[list(_COLUMNS).index("database_role")] = "current_user"
        return ", ".join(marks)

    def _values(
        self,
        run: Run,
        revision: str | None,
        checksum: str | None,
        outcome: str,
        began: str,
        finished: str | None,
        ms: int | None,
    ) -> list[Any]:
        import socket

        # PostgreSQL names the role itself; SQLite has none.
        role = [] if self.link.dialect == "postgresql" else [os_user()]
        return [
            run.run_id,
            revision,
            run.direction,
            run.kind,
            outcome,
            began,
            finished,
            ms,
            *role,
            os_user(),
            socket.gethostname(),
            os.getpid(),
            run.repository,
            run.repository_role,
            run.bypass,
            run.bypass_reason,
            run.package_version,
            checksum,
            None,
            None,
            0,
            run.forced,
        ]


def create_statement(dialect: str, table: str) -> str:
    """Return the SQL that creates the ledger; its name is SQL."""
    columns = {"id": _KEY[dialect]} | {
        name: kind if dialect == "postgresql" else _on_sqlite(kind) for name, kind in _COLUMNS.items()
    }
    listed = ",\n".join(f"    {name} {kind}" for name, kind in columns.items())
    return f"CREATE TABLE {table} (\n{listed}\n)"


def _on_sqlite(kind: str) -> str:
    name, _, rest = kind.partition(" ")
    return f"{'INTEGER' if name in _NUMBERS else 'TEXT'} {rest.replace('false', '0')}".rstrip()


def script_statement(dialect: str, table: str, revision: str, checksum: str, direction: str) -> str:
    """Return the SQL that records a revision of a printed script, in the name of the user who runs the script."""
    import uuid

    from diwa_schema import __version__

    moment = "CURRENT_TIMESTAMP"
    role = "current_user" if dialect == "postgresql" else "'sqlite'"
    columns = (
        "run_id, revision, direction, kind, outcome, started_at, finished_at,"
        " database_role, package_version, checksum"
    )
    return (
        f"INSERT INTO {table} ({columns}) VALUES ({literal(str(uuid.uuid4()))}, {literal(revision)},"
        f" {literal(direction)}, 'migrate', 'applied',"
        f" {moment}, {moment}, {role}, {literal(__version__)}, {literal(checksum)})"
    )


def how(ended: Mapping[str, Any]) -> str:
    """Return the end of an unsuccessful entry as text, with its error if known."""
    error = " ".join(str(ended[name]) for name in ("error_class", "sqlstate") if ended[name])
    said = "was interrupted" if ended["outcome"] == "interrupted" else "failed"
    return f"{said} ({error})" if error else said


def now() -> str:
    """Return the present time in UTC, in the format of the ledger."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def os_user() -> str:
    """Return the name of the operating system's user, or the number of a user without a name, as in containers."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # ImportError on Windows, where no variable names the user
        return str(os.getuid()) if hasattr(os, "getuid") else "unknown"


def _plain(value: Any) -> Any:
    return value if isinstance(value, int | str | None) else str(value)
