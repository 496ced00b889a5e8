"""Database URLs: the database they name, the parameters of its driver, and the form for display.

A URL is parsed once, part by part, into the parameters of the driver. All other forms are written from these
parameters: the spelling that distinguishes databases, and the spelling for display, which never contains a password. A
URL that cannot be parsed is displayed as its scheme alone, because the place of its password is unknown.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from diwa_schema.database.spelling import BLANKS, FORM, DatabaseURL, shown_unread, spelled
from diwa_schema.errors import InvalidDatabase, NoDatabase, offered

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

MIGRATION_VARIABLE = "DIWA_MIGRATION_DATABASE_URL"
VARIABLE = "DATABASE_URL"


def parse(text: str) -> DatabaseURL:
    """Parse a database URL.

    Args:
        text: ``postgresql://``, ``postgres://``, ``ecto://`` or ``postgresql+psycopg://`` as libpq reads it,
            ``sqlite:///relative`` or ``sqlite:////absolute`` as SQLAlchemy reads it.

    Raises:
        InvalidDatabase: The text is not such a URL.
    """
    scheme, separator, rest = text.lstrip(BLANKS).partition("://")
    family = _family(scheme) if separator else None
    if family == "postgresql":
        from diwa_schema.database import libpq

        return libpq.read(scheme, rest.rstrip(BLANKS))
    if family == "sqlite":
        from diwa_schema.database import sqlite_file

        return sqlite_file.read(scheme, rest)
    if not text.strip(BLANKS):
        raise InvalidDatabase("The database URL is empty.", next_step=FORM)
    if separator:
        raise InvalidDatabase(f"'{shown_unread(text)}' is not a URL of PostgreSQL or SQLite.", next_step=FORM)
    # A password stands before an @ or after an equals sign, and a text without either may be shown.
    shown = text if re.fullmatch(r"[^\s@=:]{1,100}", text) and text.isprintable() else "..."
    raise InvalidDatabase(
        f"'{shown}' is not a database URL: it has no '://'.",
        next_step=f"For a file of SQLite, write {sqlite_url(Path(shown))}" if _is_file(shown) else FORM,
    )


def given(text: str) -> DatabaseURL:
    """Parse a URL that a caller named.

    Raises:
        InvalidDatabase: It is no database URL; the message begins with the option, if the command has it.
    """
    return _named(offered("--url"), text)


def _named(source: str, text: str) -> DatabaseURL:
    try:
        return parse(text)
    except InvalidDatabase as error:
        if source:
            error.what = f"{source}: {error.what}"
            error.args = (error.what,)
        raise


def _is_file(text: str) -> bool:
    return text != "..." and ("/" in text or text.endswith((".db", ".sqlite", ".sqlite3")))


def of_parts(url: URL) -> DatabaseURL:
    """Parse a URL object of SQLAlchemy by its parts, which are already decoded.

    Raises:
        InvalidDatabase: The URL does not name a database of PostgreSQL or SQLite.
    """
    query = [
        (name, value)
        for name, given in url.query.items()
        for value in ((given,) if isinstance(given, str) else given)
    ]
    family = _family(url.drivername)
    if family == "postgresql":
        from diwa_schema.database import libpq

        parts = url.translate_connect_args(username="user", database="dbname")
        return libpq.understood(
            url.drivername, {name: str(value) for name, value in parts.items() if value is not None}, query
        )
    if family == "sqlite" and not (url.host or url.username or url.password or url.port):
        from diwa_schema.database import sqlite_file

        return sqlite_file.understood(url.drivername, url.database or "", query)
    raise InvalidDatabase(
        f"A URL of '{url.drivername}' does not name a database of this package.", next_step=FORM
    )


def from_environment() -> str:
    """Return the URL from the environment.

    Raises:
        NoDatabase: Neither variable is set.
        InvalidDatabase: The variable does not contain a database URL.
    """
    given = {name: os.environ.get(name) for name in (MIGRATION_VARIABLE, VARIABLE)}
    for name, url in given.items():
        if url:
            _named(name, url)
            return url
    ways = [
        offered("--url URL", "as the argument"),
        f"in the variable {VARIABLE}",
        offered("--embedded [PATH]", "with embedded=True"),
    ]
    ways[2] += " for the private SQLite database of this installation" if ways[2] else ""
    named = [f"with {way}" if way.startswith("--") else way for way in ways if way]
    raise NoDatabase(
        "No database was named.",
        next_step=f"Name one {', '.join(named[:-1])}{' or ' if named[1:] else ''}{named[-1]}.",
    )


def embedded_url(place: bool | str | os.PathLike[str] = True) -> str:
    """Return the URL of the private SQLite database of this installation, for `sqlalchemy.create_engine`.

    Nothing is opened or created. An asynchronous engine accepts the same URL with ``sqlite+aiosqlite`` in front.

    Args:
        place: Its path; True for the default path, ``$XDG_DATA_HOME/diwa/diwa.db``.

    Raises:
        InvalidDatabase: The path names no file, or the user has no home directory.
    """
    return sqlite_url(default_embedded_path() if isinstance(place, bool) else absolute(place))


def default_embedded_path() -> Path:
    """Return the default path of the embedded database: ``$XDG_DATA_HOME/diwa/diwa.db``.

    Raises:
        InvalidDatabase: The user has no home directory.
    """
    base = os.environ.get("XDG_DATA_HOME", "")
    # The XDG specification says to ignore a relative path.
    return absolute(Path(base if Path(base).is_absolute() else "~/.local/share") / "diwa" / "diwa.db")


def absolute(path: str | os.PathLike[str]) -> Path:
    """Return the absolute form of a path, with ``~`` as the home directory.

    Raises:
        InvalidDatabase: The home directory does not exist, or the path has no file name.
    """
    if not os.fspath(path):
        raise InvalidDatabase("The path of the database is empty.", next_step="Name a file.")
    try:
        return Path(path).expanduser().absolute()
    except (RuntimeError, ValueError) as error:  # no such user exists, or none can exist
        raise InvalidDatabase(
            f"{os.fspath(path)!r} cannot be resolved, because this user has no home directory.",
            next_step="Name the absolute path.",
        ) from error


def sqlite_url(path: Path) -> str:
    """Return the URL of an SQLite file; characters with a meaning in URLs are percent-encoded."""
    return f"sqlite:///{spelled(str(path), '%?#')}"


def _family(scheme: str) -> str | None:
    family = scheme.split("+", maxsplit=1)[0].lower()
    return (
        "postgresql"
        if family in ("postgres", "postgresql", "ecto")
        else family
        if family == "sqlite"
        else None
    )
