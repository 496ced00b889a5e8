"""The targets of a fleet: named in a file, or found on a server by a pattern."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cached_property, lru_cache
from typing import Any, Protocol

from diwa_schema.api.opening import reading
from diwa_schema.database import url as urls
from diwa_schema.database.state import VERSION
from diwa_schema.database.target import Target
from diwa_schema.errors import NAMED, OFFERS, DiwaSchemaError, InvalidDatabase, UsageError
from diwa_schema.migrations.pgvector import SHARED

_FIELDS = ("name", "url", "schema", "wave")
_SHOWN = 5
_SHARED = ("public", SHARED)

_SCHEMAS = f"""
SELECT n.nspname::text, EXISTS (SELECT FROM pg_class c
  WHERE c.relnamespace = n.oid AND c.relname = '{VERSION}' AND c.relkind IN ('r', 'p'))
FROM pg_namespace n WHERE NOT starts_with(n.nspname, 'pg_') AND n.nspname <> 'information_schema'
ORDER BY n.nspname COLLATE "C"
"""
_DATABASES = """
SELECT datname::text FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY datname COLLATE "C"
"""


@dataclass(frozen=True)
class Member:
    """One target of a fleet: a database, and a schema in it.

    Args:
        url: The database.
        schema: The schema of the tables; None for the schema in which its connections create tables.
        name: Its name in reports; by default the schema or the database.
        wave: The number of its wave; targets without a number come after all others.
        error: The error of the search, if this member stands for a server that could not be searched.
    """

    url: str = field(repr=False)  # it may contain a password
    schema: str | None = None
    name: str | None = None
    wave: int | None = None
    error: DiwaSchemaError | None = field(default=None, repr=False, compare=False)

    @cached_property
    def target(self) -> Target:
        """The validated target; no connection is opened."""
        return Target(_parsed(self.url)).in_schema(self.schema)

    @property
    def key(self) -> tuple[str, str]:
        """The address, password included, and the schema: equal for two mentions of one target by the same name."""
        return self.target.url.driver, self.schema or ""

    def joined(self, other: Member) -> Member:
        """Return this member with the name and the wave of another one for the same target, if it has none."""
        wave = other.wave if self.wave is None else self.wave
        return replace(self, name=self.name or other.name, wave=wave)

    @property
    def shown(self) -> str:
        """The database for messages, without a password, and the schema if it has one."""
        return self.target.shown

    @property
    def label(self) -> str:
        """Its name in reports."""
        return self.name or self.schema or self.target.shown

    @property
    def address(self) -> str:
        """The masked URL, without the schema."""
        return self.target.url.shown

    @property
    def named(self) -> str:
        """The command-line options that name it."""
        return self.target.url.options(self.schema)


class naming:  # noqa: N801 - a context manager, used like a function
    """Let the commands in errors of the block name one member."""

    def __init__(self, member: Member) -> None:
        self._member = member

    def __enter__(self) -> None:
        self._token = NAMED.set(lambda: self._member.named)
        # The command of a fleet names its targets otherwise than the command for one.
        self._offers = OFFERS.set(lambda _: False)

    def __exit__(self, *_: object) -> None:
        OFFERS.reset(self._offers)
        NAMED.reset(self._token)


class Source(Protocol):
    """A source of targets; it is searched again after a run for targets that were created meanwhile."""

    @property
    def url(self) -> str:
        """The database to search."""

    def find(self) -> list[Member]:
        """Return the targets in a stable order.

        Raises:
            UsageError: The search finds no target.
            DatabaseUnreachable: The database did not accept a connection.
        """


@dataclass(frozen=True)
class Schemas:
    """The schemas of one database.

    Args:
        url: The database.
        pattern: A pattern for the schemas, with ``*`` and ``?`` as in a shell; None for schemas with a version table. A
            pattern matches `public`, which is empty in most databases, and `extensions`, which is the shared place of
            pgvector, only if they have a version table or equal the pattern.
    """

    url: str = field(repr=False)
    pattern: str | None = None

    def find(self) -> list[Member]:
        """Return a member for each schema; see `Source`."""
        target = _server(self.url)
        with reading(self.url, None) as link:
            there = [(str(name), bool(ours)) for name, ours in link.rows(_SCHEMAS)]
        found = [name for name, ours in there if self._wants(name, ours=ours)]
        if not found:
            ours = [name for name, has in there if has]
            raise UsageError(
                f"No schema of {target.shown} "
                + ("has a version table" if self.pattern is None else f"matches '{self.pattern}'")
                + (f"; a version table is in {_some(ours)}." if ours else "."),
                next_step="Name them with --schemas PATTERN, in quotes, such as --schemas 'tenant_*'.",
            )
        return [Member(self.url, name) for name in found]

    def _wants(self, name: str, *, ours: bool) -> bool:
        if self.pattern is None:
            return ours
        return fnmatchcase(name, self.pattern) and (ours or name not in _SHARED or self.pattern == name)


@dataclass(frozen=True)
class Databases:
    """The databases of one server.

    Args:
        url: Any database on the server.
        pattern: A pattern for the databases, with ``*`` and ``?`` as in a shell.
        schemas: A pattern for the schemas in each database, as for `Schemas`; None for the current schema of its
            connections.
    """

    url: str = field(repr=False)
    pattern: str
    schemas: str | None = None

    def find(self) -> list[Member]:
        """Return a member for each database, or for each schema in each; see `Source`."""
        from diwa_schema.database import libpq

        target = _server(self.url)
        with reading(self.url, None) as link:
            there = [str(name) for (name,) in link.rows(_DATABASES)]
        found = [name for name in there if fnmatchcase(name, self.pattern)]
        if not found:
            raise UsageError(
                f"No database of the server of {target.shown} matches '{self.pattern}'; there are {_some(there)}.",
                next_step="Name them with --databases PATTERN, in quotes, such as --databases 'diwa_*'.",
            )
        addresses = {name: libpq.changed(target.url, dbname=name).driver for name in found}
        if self.schemas is None:
            return [Member(address, name=name) for name, address in addresses.items()]
        members: list[Member] = []
        for name, address in addresses.items():
            try:
                schemas = Schemas(address, self.schemas).find()
            except UsageError:
                continue  # the pattern must match in one of them
            except DiwaSchemaError as error:
                members.append(Member(address, name=name, error=error))
                continue
            members += [Member(address, one.schema, f"{name}.{one.schema}") for one in schemas]
        if not members:
            raise UsageError(
                f"No schema of {_some(found)} matches '{self.schemas}'.",
                next_step="Name them with --schemas PATTERN, in quotes, such as --schemas 'tenant_*'.",
            )
        return members


@dataclass(frozen=True)
class Listed:
    """Individually named targets."""

    members: tuple[Member, ...]

    @property
    def url(self) -> str:
        """The database of the first target; nothing is searched."""
        return self.members[0].url

    def find(self) -> list[Member]:
        """Return the targets; see `Source`."""
        return list(self.members)


def listed(lines: Iterable[str], where: str = "the list of targets") -> Listed:
    """Read targets, one per line: a URL; or name, URL, schema and wave as JSON array, object or comma-separated.

    A row needs only the URL: ``,postgresql://db/diwa,tenant_1,`` has neither name nor wave. Empty lines and lines that
    begin with ``#`` are ignored. A value with a comma stands in quotes.

    Args:
        lines: The lines.
        where: The source of the lines, for the error message.

    Raises:
        UsageError: A line has another format; the message gives its number, not its content.
    """
    members = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            member = _member(line.strip())
            member.target  # noqa: B018 - checks the URL
        except (UsageError, InvalidDatabase) as error:
            raise UsageError(
                f"{where}, line {number}: {error.what}",
                next_step='Write a URL, or ["name", "url", "schema", wave], or name,url,schema,wave.',
                line=number,
            ) from None
        members.append(member)
    if not members:
        raise UsageError(f"{where} contains no target.", next_step="Write one a line.")
    return Listed(tuple(members))


def _member(line: str) -> Member:
    if line.startswith(("[", "{")):
        try:
            given = json.loads(line)
        except ValueError:
            raise UsageError("the line begins like JSON and is not JSON.") from None
        return _of_row(
            dict(zip(_FIELDS, given, strict=False)) if isinstance(given, list) else given, len(given)
        )
    # As a spreadsheet writes it: a value with a comma or a quote stands in quotes.
    parts = [part.strip() for part in next(csv.reader([line], skipinitialspace=True))]
    if len(parts) == 1:
        return Member(parts[0])
    if "://" in parts[0]:
        # Commas separate several hosts of one URL.
        return Member(line)
    if len(parts) > len(_FIELDS):
        name, *middle, schema, wave = parts
        hosts = middle[0].partition("://")[2]
        if "/" in hosts and "?" not in hosts:  # the URL is complete, so the comma belongs to another value
            raise UsageError("a row has name, url, schema and wave; a value with a comma stands in quotes.")
        parts = [name, ",".join(middle), schema, wave]
    return _of_row({key: value or None for key, value in zip(_FIELDS, parts, strict=False)}, len(parts))


def _of_row(row: dict[str, Any], count: int) -> Member:
    unknown = set(row) - set(_FIELDS)
    if unknown or count > len(_FIELDS):
        raise UsageError("a row has name, url, schema and wave, and nothing else.")
    url, wave = row.get("url"), row.get("wave")
    if not isinstance(url, str) or not url:
        raise UsageError("the URL is missing.")
    texts = {key: row.get(key) for key in ("name", "schema")}
    if any(value is not None and not isinstance(value, str) for value in texts.values()):
        raise UsageError("name and schema are texts.")
    try:
        number = None if wave is None else int(wave)
    except (TypeError, ValueError):
        number = 0
    if number is not None and number < 1:
        raise UsageError("a wave is a number from 1 on.")
    return Member(url, texts["schema"] or None, texts["name"] or None, number)


# Many members are schemas of one database with the same text as URL.
_parsed = lru_cache(maxsize=1024)(urls.parse)


def _server(url: str) -> Target:
    target = Target(_parsed(url))
    if target.dialect != "postgresql":
        raise UsageError(
            f"{target.shown} is SQLite, which has neither schemas nor databases.",
            next_step="Name its files in --targets FILE, one a line.",
        )
    return target


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}" if names else "none"


def sources_of(given: Iterable[Source | Member | str]) -> Iterator[Source]:
    """Yield a source for each way of naming targets."""
    for one in given:
        if isinstance(one, str):
            yield Listed((Member(one),))
        elif isinstance(one, Member):
            yield Listed((one,))
        else:
            yield one
