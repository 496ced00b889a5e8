"""The fingerprint of a schema's shape: equal for two targets whose tables are the same in every detail."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, is_dataclass
from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from diwa_schema.api.opening import reading
from diwa_schema.database.failures import is_driver_error
from diwa_schema.database.target import Target
from diwa_schema.drift.read import at_head, read
from diwa_schema.errors import DiwaSchemaError

if TYPE_CHECKING:
    from diwa_schema.database.link import Link
    from diwa_schema.fleet.census import Found, Identity
    from diwa_schema.fleet.schedule import Schedule

_DIGITS = 16
_CHUNK = 50  # schemas that are read on one connection


def fingerprint(link: Link, schema: str | None = None) -> str:
    """Return 16 characters that change with any column, key, index, trigger or constraint of the schema's tables.

    The fingerprint does not depend on the schema's name, its owner or the order of columns, which depends on the
    database's past. It does depend on the type of embeddings, vectors or bytes.

    Args:
        link: A connection to the database.
        schema: The schema; by default the connection's current one.
    """
    catalog = read(link, schema or link.schema, like=at_head(link.dialect))
    return sha256(repr(_compared(catalog)).encode()).hexdigest()[:_DIGITS]


def together(found: Iterable[Found], schedule: Schedule) -> dict[Identity, str]:
    """Return the fingerprints of the PostgreSQL schemas that can be read together.

    Missing schemas are read separately: those with rare objects, and those whose read failed.

    Args:
        found: The census of the targets.
        schedule: The limit of simultaneous connections.
    """
    databases: dict[Identity, list[Found]] = defaultdict(list)
    for one in found:
        state = one.state
        if one.place is not None and state and not state.nowhere and one.member.schema is not None:
            databases[one.place.identity].append(one)
    parts = [group[at : at + _CHUNK] for group in databases.values() for at in range(0, len(group), _CHUNK)]
    seen: dict[str, str] = {}
    with _threads(schedule) as threads:
        return dict(one for part in threads.map(lambda part: _read(part, seen), parts) for one in part)


def every(found: Collection[Found], schedule: Schedule) -> dict[Identity, str | DiwaSchemaError]:
    """Return the fingerprint of each target, or the error of its reading.

    Args:
        found: The census of the targets.
        schedule: The limit of simultaneous connections.
    """
    read: dict[Identity, str | DiwaSchemaError] = dict(together(found, schedule))
    others = [one for one in found if one.identity not in read]
    with _threads(schedule) as threads:
        read |= zip((one.identity for one in others), threads.map(_alone, others), strict=True)
    return read


def _threads(schedule: Schedule) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(min(schedule.processes, schedule.per_host or schedule.processes))


def _alone(found: Found) -> str | DiwaSchemaError:
    try:
        with reading(found.member.url, None, found.member.schema) as link:
            return fingerprint(link)
    except DiwaSchemaError as error:
        return error


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
        seen: The known fingerprints by mark, from any database; new ones are added.
    """
    from diwa_schema.drift.postgresql.shapes import marks

    tables = [table.name for table in at_head("postgresql").tables]
    for schema, mark in marks(link, schemas, tables).items():
        if mark not in seen:
            read_ = fingerprint(link, schema)
            # A run may have changed the schema meanwhile: its fingerprint is then not used for others.
            if marks(link, [schema], tables).get(schema) != mark:
                continue
            seen[mark] = read_
        yield schema, seen[mark]


def _compared(value: Any) -> Any:
    """Return the compared parts of a catalog as tuples."""
    if isinstance(value, tuple):
        return tuple(map(_compared, value))
    kind: Any = type(value)
    names = _names(kind)
    return tuple(_compared(getattr(value, name)) for name in names) if names else value


@cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(spec.name for spec in fields(kind) if spec.compare) if is_dataclass(kind) else ()
