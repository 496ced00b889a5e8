"""The fingerprint of what a schema looks like: equal for two targets that have the same tables in every detail."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, is_dataclass
from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from diwa_schema.database.failures import is_driver_error
from diwa_schema.database.target import Target
from diwa_schema.drift.read import at_head, read
from diwa_schema.errors import DiwaSchemaError

if TYPE_CHECKING:
    from diwa_schema.database.link import Link
    from diwa_schema.fleet.census import Found, Identity
    from diwa_schema.fleet.schedule import Schedule

_DIGITS = 16
_CHUNK = 50  # schemas that are looked at on one connection


def fingerprint(link: Link, schema: str | None = None) -> str:
    """Return 16 characters that change with any column, key, index, trigger or constraint of the schema's tables.

    Neither the schema's name nor its owner is part of it, nor the order of columns, which tells how a database came to
    its shape. Whether embeddings are vectors or bytes is.

    Args:
        link: A connection to the database.
        schema: The schema; by default the one that the connection is in.
    """
    catalog = read(link, schema or link.schema, like=at_head(link.dialect))
    return sha256(repr(_compared(catalog)).encode()).hexdigest()[:_DIGITS]


def together(found: Iterable[Found], schedule: Schedule) -> dict[Identity, str]:
    """Return the fingerprints of the schemas of PostgreSQL that can be read many at once.

    Whoever is missing is read alone: what hardly any schema has is asked of one at a time, and so is what has failed.

    Args:
        found: Where the targets stand.
        schedule: How many connections there may be at once.
    """
    databases: dict[Identity, list[Found]] = defaultdict(list)
    for one in found:
        if one.place is not None and one.state is not None and one.member.schema is not None:
            databases[one.place.identity].append(one)
    parts = [group[at : at + _CHUNK] for group in databases.values() for at in range(0, len(group), _CHUNK)]
    seen: dict[str, str] = {}
    most = min(schedule.processes, schedule.per_host or schedule.processes)
    with ThreadPoolExecutor(most) as threads:
        return dict(one for part in threads.map(lambda part: _read(part, seen), parts) for one in part)


def _read(found: Sequence[Found], seen: dict[str, str]) -> list[tuple[Identity, str]]:
    target = found[0].member.target
    try:
        with Target(target.url).connect(create=False, filtered=True) as link, link.settled():
            by_schema = dict(_fingerprints(link, [one.identity[-1] for one in found], seen))
    except Exception as error:
        if not isinstance(error, DiwaSchemaError) and not is_driver_error(error):
            raise
        return []
    return [(one.identity, by_schema[one.identity[-1]]) for one in found if one.identity[-1] in by_schema]


def _fingerprints(link: Link, schemas: Sequence[str], seen: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield schemas and their fingerprints.

    Args:
        link: A connection to their database, in a transaction.
        schemas: The schemas.
        seen: The fingerprint of each mark that is known already, of any database; it is added to.
    """
    from diwa_schema.drift.postgresql.shapes import marks

    tables = [table.name for table in at_head("postgresql").tables]
    for schema, mark in marks(link, schemas, tables).items():
        if mark not in seen:
            read_ = fingerprint(link, schema)
            # A run may have changed it in between: then it tells for nobody.
            if marks(link, [schema], tables).get(schema) != mark:
                continue
            seen[mark] = read_
        yield schema, seen[mark]


def _compared(value: Any) -> Any:
    """Return as tuples what of a catalog is compared."""
    if isinstance(value, tuple):
        return tuple(map(_compared, value))
    kind: Any = type(value)
    names = _names(kind)
    return tuple(_compared(getattr(value, name)) for name in names) if names else value


@cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(spec.name for spec in fields(kind) if spec.compare) if is_dataclass(kind) else ()
