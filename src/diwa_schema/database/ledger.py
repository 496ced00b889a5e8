"""The ledger: what was applied to this database, by whom, when, how long it took, and from which package."""

from __future__ import annotations

import getpass
import json
import os
import socket
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from diwa_schema.database import read_only
from diwa_schema.database.link import Link

LEDGER = "diwa_schema_ledger"

_COLUMNS = (
    "run_id",
    "revision",
    "direction",
    "kind",
    "outcome",
    "started_at",
    "finished_at",
    "duration_ms",
    "database_role",
    "os_user",
    "host",
    "pid",
    "repository",
    "repository_role",
    "bypass",
    "bypass_reason",
    "package_version",
    "checksum",
    "error_class",
    "sqlstate",
    "lock_waits",
    "forced",
)

_CREATE = {
    "postgresql": """CREATE TABLE IF NOT EXISTS diwa_schema_ledger (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id uuid NOT NULL,
    revision varchar(32),
    direction text NOT NULL,
    kind text NOT NULL,
    outcome text NOT NULL,
    started_at timestamptz NOT NULL,
    finished_at timestamptz,
    duration_ms bigint,
    database_role text NOT NULL,
    os_user text,
    host text,
    pid integer,
    repository text,
    repository_role text,
    bypass text,
    bypass_reason text,
    package_version text NOT NULL,
    checksum text,
    error_class text,
    sqlstate text,
    lock_waits integer NOT NULL DEFAULT 0,
    forced boolean NOT NULL DEFAULT false
)""",
    "sqlite": """CREATE TABLE IF NOT EXISTS diwa_schema_ledger (
    id INTEGER PRIMARY KEY,
    run_id TEXT NOT NULL,
    revision TEXT,
    direction TEXT NOT NULL,
    kind TEXT NOT NULL,
    outcome TEXT NOT NULL,
    started_at TEXT NOT NULL,
    finished_at TEXT,
    duration_ms INTEGER,
    database_role TEXT NOT NULL,
    os_user TEXT,
    host TEXT,
    pid INTEGER,
    repository TEXT,
    repository_role TEXT,
    bypass TEXT,
    bypass_reason TEXT,
    package_version TEXT NOT NULL,
    checksum TEXT,
    error_class TEXT,
    sqlstate TEXT,
    lock_waits INTEGER NOT NULL DEFAULT 0,
    forced INTEGER NOT NULL DEFAULT 0
)""",
}


# A list of pairs as rows: where they come from, the two of a pair, and their order.
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


@dataclass(frozen=True, slots=True)
class Run:
    """What all entries of one run have in common.

    Args:
        package_version: The version of this package.
        repository: The repository that asked, as the guard understood it.
        repository_role: Its role.
        bypass: Where the bypass came from; None without one.
        bypass_reason: The reason given for it.
        kind: migrate, snapshot, stamp, adopt or drop.
        direction: upgrade or downgrade.
        forced: Whether a check was overridden.
    """

    package_version: str
    kind: str = "migrate"
    direction: str = "upgrade"
    repository: str | None = None
    repository_role: str | None = None
    bypass: str | None = None
    bypass_reason: str | None = None
    forced: bool = False
    run_id: str = field(default_factory=lambda: str(uuid.uuid4()))


def create(link: Link) -> None:
    """Create the ledger where it is absent, to be written by its owner only."""
    link.execute(create_statement(link.dialect))


def create_statement(dialect: str) -> str:
    """Return the SQL that creates the ledger where it is absent, to be written by its owner only."""
    statement = _CREATE[dialect]
    return f"{statement};\n{read_only.statement(LEDGER)}" if dialect == "postgresql" else statement


def script_statement(dialect: str, revision: str, checksum: str, direction: str) -> str:
    """Return the SQL that records a revision applied by a printed script, in the name of who runs the script."""
    from diwa_schema import __version__

    moment = "CURRENT_TIMESTAMP"
    role = "current_user" if dialect == "postgresql" else "'sqlite'"
    columns = (
        "run_id, revision, direction, kind, outcome, started_at, finished_at,"
        " database_role, package_version, checksum"
    )
    return (
        f"INSERT INTO {LEDGER} ({columns}) VALUES ('{uuid.uuid4()}', '{revision}', '{direction}', 'migrate', 'applied',"
        f" {moment}, {moment}, {role}, '{__version__}', '{checksum}')"
    )


def now() -> str:
    """Return the present moment in UTC, as the ledger writes it."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def started(link: Link, run: Run, revision: str | None, checksum: str | None) -> int:
    """Record that a revision is about to run, and return the entry's id.

    It is to be committed on its own, so that the fact survives a rollback of the revision.
    """
    values = _values(link, run, revision, checksum, "started", now(), None, None)
    returned = link.value(f"{_insert()} VALUES ({_marks(link)}) RETURNING id", values)
    return int(returned)


def applied(link: Link, entry: int, duration_ms: int, lock_waits: int) -> None:
    """Record, inside the revision's own transaction, that it was applied."""
    link.execute(
        f"UPDATE {LEDGER} SET outcome = 'applied', finished_at = %s, duration_ms = %s, lock_waits = %s WHERE id = %s",
        (now(), duration_ms, lock_waits, entry),
    )


def failed(link: Link, entry: int, error_class: str, sqlstate: str | None, lock_waits: int) -> None:
    """Record that a revision failed, after it was rolled back."""
    link.execute(
        f"UPDATE {LEDGER} SET outcome = 'failed', finished_at = %s, error_class = %s, sqlstate = %s, lock_waits = %s"
        " WHERE id = %s AND outcome = 'started'",
        (now(), error_class, sqlstate, lock_waits, entry),
    )


def record(
    link: Link, run: Run, revisions: Sequence[tuple[str | None, str | None]], began: str, ms: int
) -> None:
    """Record revisions that were applied together, one entry each.

    Args:
        link: The connection of the transaction that applied them.
        run: What the entries have in common.
        revisions: Each revision with its checksum.
        began: When the run began.
        ms: How long all of them took together, in milliseconds.
    """
    if not revisions:
        return
    # The second statement takes all but two columns from the first one's row: a history of thousands of
    # revisions would else be so many parameters that the drivers refuse it, or take their time over it.
    first = _values(link, run, *revisions[0], "applied", began, now(), ms)
    entry = link.value(f"{_insert()} VALUES ({_marks(link)}) RETURNING id", first)
    columns = {name: f"e.{name}" for name in _COLUMNS}
    source, columns["revision"], columns["checksum"], order = _PAIRS[link.dialect]
    link.execute(
        f"{_insert()} SELECT {', '.join(columns.values())} FROM {LEDGER} e, {source} WHERE e.id = %s ORDER BY {order}",
        (json.dumps(revisions[1:]), entry),
    )


def entries(link: Link, schema: str) -> list[dict[str, Any]]:
    """Return all entries, oldest first."""
    names = ("id", *_COLUMNS)
    rows = link.rows(f'SELECT {", ".join(names)} FROM "{schema}".{LEDGER} ORDER BY id')
    return [{name: _plain(value) for name, value in zip(names, row, strict=True)} for row in rows]


def checksums(link: Link, schema: str) -> dict[str, str]:
    """Return the checksum that each revision had when it was last applied."""
    rows = link.rows(
        f'SELECT revision, checksum FROM "{schema}".{LEDGER} WHERE outcome = %s AND direction = %s'
        " AND checksum IS NOT NULL AND revision IS NOT NULL ORDER BY id",
        ("applied", "upgrade"),
    )
    return {row[0]: row[1] for row in rows}


def _plain(value: Any) -> Any:
    return value if isinstance(value, int | str | None) else str(value)


def _insert() -> str:
    return f"INSERT INTO {LEDGER} ({', '.join(_COLUMNS)})"


def _marks(link: Link) -> str:
    marks = ["%s"] * len(_COLUMNS)
    if link.dialect == "postgresql":
        marks[_COLUMNS.index("database_role")] = "current_user"
    return ", ".join(marks)


def _values(
    link: Link,
    run: Run,
    revision: str | None,
    checksum: str | None,
    outcome: str,
    began: str,
    finished: str | None,
    ms: int | None,
) -> list[Any]:
    return [
        run.run_id,
        revision,
        run.direction,
        run.kind,
        outcome,
        began,
        finished,
        ms,
        *_who(link),
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


def os_user() -> str:
    """Return the name of the operating system's user, or the number of one without a name, as containers have them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # ImportError on Windows, where no variable names the user
        return str(os.getuid()) if hasattr(os, "getuid") else "unknown"


def _who(link: Link) -> list[Any]:
    """Return database role (left to the server on PostgreSQL), operating-system user, host and process id."""
    user = os_user()
    role = [] if link.dialect == "postgresql" else [user]
    return [*role, user, socket.gethostname(), os.getpid()]
