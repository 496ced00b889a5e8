"""Database URLs: which database one means, in the form its driver takes, and how it is shown to people."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from diwa_schema.errors import InvalidDatabase, NoDatabase

Dialect = Literal["postgresql", "sqlite"]

MIGRATION_VARIABLE = "DIWA_MIGRATION_DATABASE_URL"
VARIABLE = "DATABASE_URL"

# Options of Ecto's own URLs that libpq does not know; `ssl` is translated.
_ECTO_OPTIONS = frozenset(
    {"pool_size", "pool_count", "timeout", "queue_target", "queue_interval", "prepare", "socket_dir"}
)


@dataclass(frozen=True, slots=True)
class DatabaseURL:
    """A database URL that has been understood.

    Args:
        dialect: The kind of database.
        driver: What the driver is given: a libpq URI, or a file path (":memory:" for none).
        shown: The URL with its password masked.
        uri: Whether SQLite is to read the path as a ``file:`` URI.
    """

    dialect: Dialect
    driver: str
    shown: str
    uri: bool = False

    @property
    def in_memory(self) -> bool:
        """Whether this is SQLite in memory, which nobody else can see."""
        return self.dialect == "sqlite" and (self.driver in ("", ":memory:") or "mode=memory" in self.driver)


def mask(text: str) -> str:
    """Return a URL or connection string with every password replaced by ``***``."""
    text = re.sub(r"(?i)(password\s*=\s*)('[^']*'|[^\s&]*)", r"\1***", text)
    return re.sub(r"(//[^:/@\s]*|^(?![\w+]+://)[^:/@\s]*):[^\s]*@", r"\1:***@", text)


def parse(text: str) -> DatabaseURL:
    """Understand a database URL.

    Args:
        text: ``postgresql://``, ``postgres://``, ``ecto://`` or ``postgresql+psycopg://`` for psycopg 3,
            ``sqlite:///relative`` or ``sqlite:////absolute`` for SQLite.

    Raises:
        InvalidDatabase: The text is not such a URL.
    """
    scheme, separator, rest = text.partition("://")
    family = scheme.split("+")[0].lower()
    if separator and family in ("postgres", "postgresql", "ecto"):
        return _postgresql(rest, mask(text))
    if separator and family == "sqlite":
        return _sqlite(rest, text)
    raise InvalidDatabase(
        f"'{mask(text)}' is not a database URL.",
        next_step="Write postgresql://USER@HOST/NAME or sqlite:///PATH.",
    )


def from_environment() -> str:
    """Return the URL that the environment names.

    Raises:
        NoDatabase: Neither variable is set.
    """
    url = os.environ.get(MIGRATION_VARIABLE) or os.environ.get(VARIABLE)
    if not url:
        raise NoDatabase(
            "No database was named.",
            next_step=(
                "Name one: as the argument or --url URL, in the variable DATABASE_URL, or with "
                "--embedded [PATH] for the private SQLite database of this installation."
            ),
        )
    return url


def default_embedded_path() -> Path:
    """Return the documented place of the embedded database: ``$XDG_DATA_HOME/diwa/diwa.db``."""
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "diwa" / "diwa.db"


def sqlite_url(path: Path) -> str:
    """Return the URL of a SQLite file."""
    return f"sqlite:///{path}"


def _postgresql(rest: str, shown: str) -> DatabaseURL:
    parts = urlsplit(f"postgresql://{rest}")
    if parts.netloc.count("@") > 1 or not _port_is_number(parts.netloc):
        raise InvalidDatabase(
            f"'{shown}' is not a PostgreSQL URL: its user, password, host and port cannot be told apart.",
            next_step="Write special characters of the password percent-encoded, such as %40 for @ and %2F for /.",
        )
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if options.pop("ssl", "").lower() == "true":
        options.setdefault("sslmode", "require")
    kept = {name: value for name, value in options.items() if name not in _ECTO_OPTIONS}
    return DatabaseURL("postgresql", _libpq_uri(parts.netloc, parts.path, kept), shown)


def _libpq_uri(netloc: str, path: str, options: dict[str, str]) -> str:
    # libpq decodes %20 but not the + that urlencode writes for a blank.
    query = urlencode(options).replace("+", "%20")
    # Put together by hand: geturl() leaves the // out where no host is named, as with a socket.
    return f"postgresql://{netloc}{path}{'?' if query else ''}{query}"


def _port_is_number(netloc: str) -> bool:
    hosts = netloc.rpartition("@")[2].split(",")
    ports = (
        re.sub(r"^\[.*\]", "", host).rpartition(":")[2]
        for host in hosts
        if ":" in re.sub(r"^\[.*\]", "", host)
    )
    return all(port.isdigit() or port == "" for port in ports)


def _sqlite(rest: str, text: str) -> DatabaseURL:
    if rest and not rest.startswith("/"):
        raise InvalidDatabase(
            f"'{text}' names a host, and SQLite has none.",
            next_step="Write sqlite:///relative/path or sqlite:////absolute/path.",
        )
    path, _, query = rest[1:].partition("?")
    if path.startswith("file:"):
        kept = urlencode([item for item in parse_qsl(query) if item[0] != "uri"])
        return DatabaseURL("sqlite", f"{path}?{kept}" if kept else path, text, uri=True)
    return DatabaseURL("sqlite", unquote(path) or ":memory:", text)
