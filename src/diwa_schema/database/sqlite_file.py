"""SQLite URLs, parsed like SQLAlchemy: the file they name, or a database in memory.

The guard's verdict depends on whether a database is in memory. This is decided by the parts that SQLite itself reads,
never by a word somewhere in the text. A ``file:`` URI is parsed by SQLite's rules and rebuilt from the result, so that
SQLite opens exactly the database of the verdict.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote

from diwa_schema.database.spelling import DatabaseURL, shown_unread, spelled
from diwa_schema.errors import InvalidDatabase

MEMORY = ":memory:"

_TRUE = ("true", "yes", "on", "y", "t", "1")
_RESERVED = "%?#&"

# Options for the behaviour of connections in Python, not for the file.
POOL = frozenset({"isolation_level", "detect_types", "check_same_thread", "cached_statements", "factory"})


def read(scheme: str, rest: str) -> DatabaseURL:
    """Parse the text after ``sqlite://``.

    Raises:
        InvalidDatabase: It has a host, or a parameter without effect.
    """
    front, _, query = rest.partition("?")
    if front and not front.startswith("/"):
        raise InvalidDatabase(
            f"'{shown_unread(f'{scheme}://')}' names a host, and SQLite has none.",
            next_step="Write sqlite:///relative/path or sqlite:////absolute/path.",
        )
    return understood(scheme, _decoded(front[1:]), pairs(query))


def understood(scheme: str, database: str, query: Iterable[tuple[str, str]]) -> DatabaseURL:
    """Return the database of decoded parts.

    Args:
        scheme: The beginning of the URL.
        database: The path, or a ``file:`` URI if the parameters ask for it.
        query: The parameters.

    Raises:
        InvalidDatabase: A parameter is given twice or has no effect, or the path is invalid.
    """
    asked = list(query)
    names = [name for name, _ in asked]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise _twice(twice)
    python = {name: value for name, value in asked if name in (*POOL, "uri", "timeout")}
    kept = [(name, value) for name, value in asked if name not in python]
    timeout = python.get("timeout")
    as_uri = python.get("uri", "").lower() in _TRUE
    if database.startswith("file:") and not as_uri:
        raise InvalidDatabase(
            "SQLite reads a path that begins with 'file:' as a URI only with uri=true.",
            next_step="Add uri=true, or write the path without 'file:'.",
        )
    if as_uri and database.startswith("file:"):
        return _of_uri(scheme, database, kept, timeout)
    if kept:
        raise InvalidDatabase(
            f"The parameter '{_name(kept[0][0])}' has no meaning for an SQLite file with a plain path.",
            next_step="Leave it out, or write sqlite:///file:PATH?NAME=VALUE&uri=true.",
        )
    return of_path(database, scheme, timeout)


def of_path(path: str, scheme: str = "sqlite", timeout: str | None = None) -> DatabaseURL:
    """Return the database in a file; no path and ``:memory:`` mean no file.

    Raises:
        InvalidDatabase: The system does not allow the path.
    """
    file = None if path in ("", MEMORY) else _resolved(path)
    shown = f"{scheme}://{f'/{spelled(path, _RESERVED)}' if path else ''}"
    anywhere = f"{scheme}:///{spelled(_absolute(path), _RESERVED)}" if _is_relative(path, file) else ""
    return DatabaseURL("sqlite", path or MEMORY, shown, _options(timeout), file, anywhere=anywhere)


def _of_uri(scheme: str, database: str, query: list[tuple[str, str]], timeout: str | None) -> DatabaseURL:
    # SQLite ends a URI at its first #.
    whole, _, _ = database.removeprefix("file:").partition("#")
    front, _, inner = whole.partition("?")
    if front.startswith("//"):
        host, slash, path = front[2:].partition("/")
        if host not in ("", "localhost"):
            raise InvalidDatabase(
                "A file: URI of SQLite can name no host but localhost.",
                next_step="Write file:/absolute/path.",
            )
        front = slash + path
    path = _decoded(front)
    given = [*pairs(inner), *query]
    names = [name for name, _ in given]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise _twice(twice)
    file = None if path in ("", MEMORY) or dict(given).get("mode") == "memory" else _resolved(path)
    options = "&".join(f"{spelled(name, _RESERVED)}={spelled(value, _RESERVED)}" for name, value in given)

    def written(path: str) -> str:
        return f"file:{spelled(path, _RESERVED)}{'?' if options else ''}{options}"

    def shown(uri: str) -> str:
        return f"{scheme}:///{uri}{'&' if options else '?'}uri=true"

    return DatabaseURL(
        "sqlite",
        written(path),
        shown(written(path)),
        _options(timeout),
        file,
        uri=True,
        anywhere=shown(written(_absolute(path))) if _is_relative(path, file) else "",
    )


def _is_relative(path: str, file: str | None) -> bool:
    return file is not None and not Path(path).is_absolute()


def _absolute(path: str) -> str:
    """Return the absolute path; links stay, because they may lead to another file tomorrow."""
    return str(Path(path).absolute())


def pairs(query: str) -> list[tuple[str, str]]:
    """Return the parameters of a query, decoded."""
    return [
        (_decoded(name), _decoded(value))
        for name, _, value in (item.partition("=") for item in query.split("&") if item)
    ]


def _decoded(text: str) -> str:
    found = unquote(text, errors="surrogateescape")  # the name of a file need not be UTF-8
    if "\0" in found:
        raise InvalidDatabase("The URL of an SQLite file holds a zero byte.", next_step="Name another path.")
    return found


def _resolved(path: str) -> str:
    try:
        os.fsencode(path)
        return os.path.realpath(path)
    except (ValueError, OSError):  # a zero byte, or a character outside of the system's encoding
        raise InvalidDatabase(
            "This system does not allow the path of the SQLite database.",
            next_step="Name another path.",
        ) from None


def _options(timeout: str | None) -> tuple[tuple[str, float], ...]:
    if timeout is None:
        return ()
    if not re.fullmatch(r"\d{1,6}(\.\d{1,6})?", timeout, re.ASCII):
        raise InvalidDatabase(
            "The parameter 'timeout' of an SQLite URL is not a number of seconds.",
            next_step="Write timeout=5.",
        )
    return (("timeout", float(timeout)),)


def _twice(name: str) -> InvalidDatabase:
    return InvalidDatabase(
        f"The URL of the SQLite file has the parameter '{_name(name)}' twice.", next_step="Write it once."
    )


def _name(name: str) -> str:
    return name if re.fullmatch(r"\w{1,40}", name, re.ASCII) else "***"
