"""The notes of release starts on a database: writing and reading them.

A connection states its release while it is open. A stopped application, or one with an empty pool, has no connection;
`ensure_current` therefore writes a note at each start.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from diwa_schema.database.state import RELEASES
from diwa_schema.names import code, literal, on_one_line, qualified, quoted
from diwa_schema.release import NOTES_KEPT, order

if TYPE_CHECKING:
    from diwa_schema.database.link import Link

# One of the words below in this variable disables the notes.
SETTING = "DIWA_NOTE_RELEASE"
_OFF = ("false", "0", "no", "off")

_AGAIN = 60  # seconds without a second note: all workers of a server start at once
_LOCK_TIMEOUT = "50ms"

_COLUMNS = "release, database_role, host, seen_at"
_TYPES = {"postgresql": ("text", "timestamptz"), "sqlite": ("TEXT", "TEXT")}

# One statement for every driver and pooler. Its block is a savepoint, so a missing table or right, a replica or a
# held lock leaves no trace. The commit waits for no disk and no replica. The schema's name is already quoted.
_NOTE = """
DECLARE
  notes text := {schema} || {table};
BEGIN
  PERFORM set_config('lock_timeout', '{lock_timeout}', true), set_config('synchronous_commit', 'off', true);
  EXECUTE 'INSERT INTO ' || notes || ' ({columns}) SELECT $1, current_user, $2, clock_timestamp()'
    || ' WHERE NOT EXISTS (SELECT FROM ' || notes || ' WHERE release = $1 AND database_role = current_user'
    || ' AND host = $2 AND seen_at > clock_timestamp() - $3)'
    || ' ON CONFLICT (release, database_role, host) DO UPDATE SET seen_at = excluded.seen_at'
    USING {release}, {host}, interval '{again} seconds';
  EXECUTE 'DELETE FROM ' || notes || ' WHERE seen_at < clock_timestamp() - $1' USING interval '{kept} days';
EXCEPTION WHEN OTHERS THEN
  NULL;
END
"""


UNREAD = f"This role may not read {RELEASES}, so the check for releases that started lately was left out."


class Seen(NamedTuple):
    """The last recorded start of a release by one role on one host.

    Args:
        release: The release, such as "0.4.1".
        user: The database role; on SQLite the user of the operating system.
        host: The host's own name.
        seen_at: The time of the start in UTC, such as "2026-03-05T12:00:00Z".
    """

    release: str
    user: str
    host: str
    seen_at: str

    def __str__(self) -> str:
        return f"user {self.user}, host {self.host}, at {self.seen_at}"

    @property
    def told(self) -> str:
        """The fact, as part of a sentence."""
        return f"{self.release} has started lately: {self}"

    def as_dict(self) -> dict[str, Any]:
        """Return the start as a document for ``--json``."""
        return self._asdict()


def create_statement(dialect: str, table: str) -> str:
    """Return the SQL that creates the table of notes under a name that is SQL.

    Applications write it, so it gets the same rights as the schema's own tables.
    """
    text, moment = _TYPES[dialect]
    return (
        f"CREATE TABLE {table} (release {text} NOT NULL, database_role {text} NOT NULL, host {text} NOT NULL,"
        f" seen_at {moment} NOT NULL, PRIMARY KEY (release, database_role, host))"
    )


def wanted(asked: bool | None) -> bool:
    """Return whether to write a note: the caller decides, else the environment, which may disable notes."""
    return os.environ.get(SETTING, "").strip().lower() not in _OFF if asked is None else asked


def note(connection: Any, dialect: str, schema: str | None, *, commit: bool) -> None:
    """Note that this release has started, if that is possible at once; it waits for nothing, and never fails.

    Args:
        connection: The driver's connection, without an open transaction.
        dialect: postgresql or sqlite.
        schema: The schema of the tables; None if the search path decides.
        commit: Whether the note needs a commit.
    """
    with suppress(Exception):  # the application starts, whatever error the driver raises
        cursor = connection.cursor()
        with closing(cursor), _impatient(cursor, dialect):
            try:
                _note_in_file(cursor) if dialect == "sqlite" else cursor.execute(_block(schema))
                if commit:
                    connection.commit()
            except Exception:
                if commit:
                    connection.rollback()
                raise


def seen(link: Link, schema: str, within: timedelta = NOTES_KEPT) -> tuple[Seen, ...] | None:
    """Return the releases that started within a time, the latest first; none without the table.

    Args:
        link: A connection to the database; its open transaction is not changed.
        schema: The schema of the tables ("main" on SQLite).
        within: The greatest age of a start.

    Returns:
        None if the role may not read the notes.
    """
    table = qualified(schema, RELEASES)
    if link.dialect == "postgresql":
        may = link.value("SELECT has_table_privilege(to_regclass(%s), 'SELECT')", (table,))
        if not may:
            return () if may is None else None
        rows = link.rows(
            f"SELECT {_COLUMNS} FROM {table} WHERE seen_at >= now() - %s::interval ORDER BY seen_at DESC, 1, 2, 3",
            (f"{within.total_seconds()} seconds",),
        )
    else:
        if not link.value(
            "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = %s", (RELEASES,)
        ):
            return ()
        since = _written(datetime.now(UTC) - within)
        rows = link.rows(
            f"SELECT {_COLUMNS} FROM {table} WHERE seen_at >= %s ORDER BY seen_at DESC, 1, 2, 3", (since,)
        )
    # Every application may write there, and a terminal obeys control characters.
    return tuple(
        Seen(release, on_one_line(user), on_one_line(host), _written(at))
        for release, user, host, at in rows
        if order(release) is not None
    )


def unwritable(link: Link, schema: str) -> bool:
    """Return whether the role of a PostgreSQL connection writes the schema's rows but may not write the notes."""
    right = "has_table_privilege(to_regclass(%s), {})"
    both = " AND ".join(right.format(literal(one)) for one in ("SELECT", "INSERT", "UPDATE", "DELETE"))
    table = qualified(schema, RELEASES)
    rows = right.format("'INSERT'")
    return (
        link.value(f"SELECT {rows} AND NOT ({both})", (qualified(schema, "memories"), *(table,) * 4)) is True
    )


def _block(schema: str | None) -> str:
    from diwa_schema import __version__

    text = _NOTE.format(
        schema="quote_ident(current_schema())" if schema is None else literal(quoted(schema)),
        table=literal(f".{RELEASES}"),
        columns=_COLUMNS,
        lock_timeout=_LOCK_TIMEOUT,
        again=_AGAIN,
        kept=NOTES_KEPT.days,
        release=f"{literal(__version__)}::text",
        host=f"{literal(_host())}::text",
    )
    return f"DO {code(text)}"


def _note_in_file(cursor: Any) -> None:
    from diwa_schema import __version__
    from diwa_schema.database.ledger import os_user

    now, who = datetime.now(UTC), (__version__, os_user(), _host())
    known = f"SELECT count(*) FROM {RELEASES} WHERE release = ? AND database_role = ? AND host = ? AND seen_at > ?"
    cursor.execute(known, (*who, _written(now - timedelta(seconds=_AGAIN))))
    if cursor.fetchone()[0]:
        return
    cursor.execute(
        f"INSERT INTO {RELEASES} ({_COLUMNS}) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (release, database_role, host) DO UPDATE SET seen_at = excluded.seen_at",
        (*who, _written(now)),
    )
    cursor.execute(f"DELETE FROM {RELEASES} WHERE seen_at < ?", (_written(now - NOTES_KEPT),))


@contextmanager
def _impatient(cursor: Any, dialect: str) -> Iterator[None]:
    """Let the statements of the block fail if another connection writes the file, instead of waiting for it."""
    if dialect != "sqlite":
        yield
        return
    cursor.execute("PRAGMA busy_timeout")
    waits = int(cursor.fetchone()[0])
    cursor.execute("PRAGMA busy_timeout = 0")
    try:
        yield
    finally:
        cursor.execute(f"PRAGMA busy_timeout = {waits}")


def _host() -> str:
    import socket

    return socket.gethostname()


def _written(moment: datetime | str) -> str:
    if isinstance(moment, str):
        return on_one_line(moment)
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
