"""The fingerprint of what a schema looks like: equal for two targets that have the same tables in every detail."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from diwa_schema.drift.read import at_head, read

if TYPE_CHECKING:
    from diwa_schema.database.link import Link

_DIGITS = 16


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
