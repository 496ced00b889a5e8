"""The database that test databases are copied from: built once for each state of the history and kept."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from diwa_schema.api import migrate
from diwa_schema.database.failures import driver
from diwa_schema.database.target import Target
from diwa_schema.guard import OwnDatabase
from diwa_schema.testing.fingerprint import fingerprint

if TYPE_CHECKING:
    from diwa_schema.testing.server import Server

PREFIX = "diwa_template_"
UNUSED = timedelta(days=7)  # a template is dropped after this time without use
_NOTED = timedelta(days=1)  # the precision of its last use

_HAS_VECTOR = "SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector')"
_OTHERS = """
SELECT d.datname::text FROM pg_database d
WHERE starts_with(d.datname, %s) AND d.datname <> %s AND pg_has_role(d.datdba, 'USAGE')
  AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.datid = d.oid)
"""
_ABOUT = "SELECT datistemplate, shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s"


def prepare(server: Server) -> str:
    """Return the name of the template for the installed history; build it if absent.

    Raises:
        DiwaSchemaError: The template cannot be built.
    """
    # Tables belong to the role that builds them, and embeddings are vectors if the server has pgvector.
    name = PREFIX + fingerprint(server.role, str(server.link.value(_HAS_VECTOR)))
    server.use(name)
    if not _finished(server, name):
        with server.building(name):
            if not _finished(server, name):
                _build(server, name)
    _note_use(server, name)
    _drop_unused(server, name)
    return name


def _finished(server: Server, name: str) -> bool:
    return _about(server, name)[0]


def _build(server: Server, name: str) -> None:
    server.link.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    server.link.execute(f"CREATE DATABASE {name}")
    url = server.address.database(name)
    with OwnDatabase(Target.of(url).identity):
        migrate(url)
    server.link.execute(f"ALTER DATABASE {name} WITH IS_TEMPLATE true ALLOW_CONNECTIONS false")


def _note_use(server: Server, name: str) -> None:
    if _idle(_about(server, name)[1]) < _NOTED:
        return
    with suppress(driver("postgresql").Error):  # another worker is writing the note
        server.link.execute(
            f"COMMENT ON DATABASE {name} IS 'last used {datetime.now(UTC):%Y-%m-%d %H:%M:%S}'"
        )


def _idle(comment: str | None) -> timedelta:
    with suppress(ValueError):
        moment = datetime.strptime(comment or "", "last used %Y-%m-%d %H:%M:%S")  # noqa: DTZ007 - said next
        return datetime.now(UTC) - moment.replace(tzinfo=UTC)
    return timedelta.max


def _drop_unused(server: Server, name: str) -> None:
    for (other,) in server.link.rows(_OTHERS, (PREFIX, name)):
        if not _is_old(*_about(server, other)):
            continue
        with server.unused(other) as free, suppress(driver("postgresql").Error):
            # Another run may have used or finished it since the last check.
            finished, comment = _about(server, other)
            if free and _is_old(finished, comment):
                # The server ends a session that alters the remains of an interrupted DROP DATABASE.
                if finished:
                    server.link.execute(f"ALTER DATABASE {other} WITH IS_TEMPLATE false")
                server.link.execute(f"DROP DATABASE IF EXISTS {other}")


def _is_old(finished: bool, comment: str | None) -> bool:
    return not finished or _idle(comment) >= UNUSED


def _about(server: Server, name: str) -> tuple[bool, str | None]:
    """Return whether a template is finished, and the note of its last use.

    The last statement of the build marks the database as a template: a database without the mark is incomplete.
    """
    finished, comment = server.link.row(_ABOUT, (name,)) or (False, None)
    return finished, comment
