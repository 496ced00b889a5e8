"""The connection parameters of an SQLAlchemy Engine, as a database of this package.

An Engine with psycopg or sqlite3 opens the connection itself, so all its settings apply. An Engine with an asynchronous
driver cannot be used here, because this package uses synchronous connections. Its parameters are read instead:
SQLAlchemy's event `do_connect` receives them after all other listeners and before anything is sent. libpq or sqlite3
then gets the same parameters under its own names; a parameter without such a name is refused, never omitted.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from diwa_schema.database import libpq, sqlite_file
from diwa_schema.database.spelling import DatabaseURL
from diwa_schema.database.url import of_parts
from diwa_schema.errors import InvalidDatabase

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

_SYNCHRONOUS = {"postgresql": "psycopg", "sqlite": "pysqlite"}
_ASYNCHRONOUS = {"psycopg", "psycopg_async", "asyncpg", "aiosqlite"}

# Arguments of psycopg and asyncpg about statements and rows in Python.
_PYTHON = libpq.POOL - {"timeout"} | {
    *("prepare_threshold", "row_factory", "cursor_factory", "context", "autocommit"),
    *("loop", "connection_class", "record_class"),
}


class _AskedError(Exception):
    def __init__(self, positional: Any, named: Any) -> None:
        super().__init__()
        self.positional = list(positional)
        self.named = dict(named)


def of_engine(engine: Engine, connection: Connection | None = None) -> DatabaseURL:
    """Return the database of an Engine that opens its own connections.

    Args:
        engine: The Engine.
        connection: An available Connection of it.

    Raises:
        InvalidDatabase: It has another driver.
    """
    if engine.dialect.driver != _SYNCHRONOUS.get(engine.dialect.name) or engine.dialect.is_async:
        raise InvalidDatabase(
            f"An Engine of {engine.dialect.name}+{engine.dialect.driver} cannot be used.",
            next_step="Pass an Engine of postgresql+psycopg or sqlite, or the URL itself.",
        )
    url = of_parts(engine.url)
    # A caller's own connect function can open another file than the URL names. SQLite itself shows the file.
    return _really(engine, connection, url) if url.in_memory else url


def of_async_engine(engine: Engine) -> DatabaseURL:
    """Return the database of an AsyncEngine, named by its `sync_engine`, with all parameters for its driver.

    Raises:
        InvalidDatabase: It has a parameter without a counterpart, or is in memory, out of reach for other connections.
    """
    if engine.dialect.driver not in _ASYNCHRONOUS:
        raise InvalidDatabase(
            f"An AsyncEngine of {engine.dialect.name}+{engine.dialect.driver} cannot be used.",
            next_step="Pass the URL itself.",
        )
    asked = _asked(engine)
    if engine.dialect.name == "sqlite":
        return _of_sqlite(engine, asked)
    named = asked.named
    found = _of_asyncpg(named) if engine.dialect.driver == "asyncpg" else _of_psycopg(named)
    return libpq.of_parameters(found, engine.url.drivername)


def _really(engine: Engine, connection: Connection | None, url: DatabaseURL) -> DatabaseURL:
    proxied = engine.raw_connection() if connection is None else connection.connection
    raw: Any = proxied.driver_connection
    rows = raw.execute("PRAGMA database_list").fetchall()
    if connection is None:
        proxied.close()
    files = [file for _, name, file in rows if file and name == "main"]
    return sqlite_file.of_path(files[0]) if files else url


def _asked(engine: Engine) -> _AskedError:
    from sqlalchemy import event

    thread = threading.get_ident()

    def stop(_dialect: Any, _record: Any, positional: Any, named: Any) -> None:
        # The application may connect at this moment in another thread; its parameters are not meant.
        if threading.get_ident() == thread:
            raise _AskedError(positional, named)

    event.listen(engine, "do_connect", stop)
    try:
        engine.pool.recreate().connect().close()
    except _AskedError as asked:
        return asked
    finally:
        event.remove(engine, "do_connect", stop)
    raise InvalidDatabase(
        "The AsyncEngine connects through creator= or an event, so its database is unknown.",
        next_step="Pass the URL itself.",
    )


def _of_sqlite(engine: Engine, asked: _AskedError) -> DatabaseURL:
    path = str(asked.positional[0]) if asked.positional else str(asked.named.get("database", ""))
    query = [
        (name, str(value))
        for name, value in asked.named.items()
        if name not in ("database", "async_creator_fn", "iter_chunk_size", "loop")
    ]
    front, _, inner = path.partition("?") if asked.named.get("uri") else (path, "", "")
    found = sqlite_file.understood(engine.url.drivername, front, [*sqlite_file.pairs(inner), *query])
    if found.in_memory:
        raise InvalidDatabase(
            "The AsyncEngine's database is in memory, and no other connection can reach it.",
            next_step="Pass a synchronous Engine, or a database in a file.",
        )
    return found


def _of_psycopg(named: Mapping[str, Any]) -> dict[str, str]:
    found = {name: value for name, value in named.items() if name not in _PYTHON and value is not None}
    conninfo = found.pop("conninfo", None)
    if conninfo:
        raise _refused("conninfo")
    return {name: _text(name, value) for name, value in found.items()}


def _of_asyncpg(named: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    translate: dict[str, Callable[[Any], dict[str, str]]] = {
        "database": lambda given: {"dbname": str(given)},
        "ssl": _ssl,
        "server_settings": lambda given: {
            "options": " ".join(libpq.option(name, str(value)) for name, value in given.items())
        },
        "direct_tls": lambda given: {"sslnegotiation": "direct"} if given else {},
        "timeout": lambda given: {"connect_timeout": str(max(1, -int(-given // 1)))},
    }
    for name, value in named.items():
        if name in _PYTHON or value is None:
            continue
        made = translate[name](value) if name in translate else {name: _text(name, value)}
        found |= made
    return found


def _ssl(given: Any) -> dict[str, str]:
    if given is True:  # asyncpg then verifies with the system's certificates
        return {"sslmode": "verify-full", "sslrootcert": "system"}
    if given is False:
        return {"sslmode": "disable"}
    if str(given) in libpq.SSL_MODES:
        return {"sslmode": str(given)}
    raise _refused("ssl")


def _text(name: str, value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join("" if one is None else str(one) for one in value)
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, str | int | float):
        return str(value)
    raise _refused(name)


def _refused(name: str) -> InvalidDatabase:
    return InvalidDatabase(
        f"The AsyncEngine passes '{name}' to its driver in a form that libpq does not take.",
        next_step="Pass a URL with the matching parameters of libpq, such as sslmode= and sslrootcert=.",
    )
