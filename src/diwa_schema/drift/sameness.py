"""What counts as the same although it is written differently: every such rule of a comparison stands here.

* `uuid_generate_v4()` and `gen_random_uuid()`, in whatever schema, both yield a random uuid.
* An embedding column is `vector(1536)` where the database has pgvector and has been converted, else `bytea`.
* SQLite knows `true` and `false` as other spellings of 1 and 0.
* On SQLite the name of a constraint does nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import fields, replace
from typing import Any

from diwa_schema.drift.model import Catalog, Check, Column, ForeignKey, Key, Table

EMBEDDINGS = frozenset({("memories", "embedding"), ("embedding_cache", "embedding")})
EMBEDDING_TYPES = frozenset({"vector(1536)", "bytea"})

_RANDOM_ID = re.compile(r'(?:(?:\w+|"(?:[^"]|"")+")\.)?(?:uuid_generate_v4|gen_random_uuid)\(\)')
_TRUTHS = {"true": "1", "false": "0"}


def differing(found: Any, expected: Any, table: str | None = None, *, dialect: str) -> tuple[str, ...]:
    """Return the names of the fields in which two objects of one kind differ, apart from their names."""
    if found == expected:
        return ()
    return tuple(
        spec.name
        for spec in fields(expected)
        if spec.name != "name" and spec.compare and not _same(spec.name, found, expected, table, dialect)
    )


def within_capabilities(expected: Catalog, live: Catalog) -> Catalog:
    """Return what is expected of a database that may not have pgvector."""
    if live.dialect != "postgresql" or live.origin.vector:
        return expected
    return replace(expected, tables=tuple(map(_without_vector, expected.tables)))


def _without_vector(table: Table) -> Table:
    return replace(
        table,
        columns=tuple(
            replace(one, type="bytea") if (table.name, one.name) in EMBEDDINGS else one
            for one in table.columns
        ),
    )


def names_matter(kind: type, dialect: str) -> bool:
    """Return whether two objects that differ in their name only are different."""
    return dialect == "postgresql" or kind not in (Key, ForeignKey, Check)


def renamed(item: Any, columns: dict[str, str]) -> Any:
    """Return a key, foreign key or index after columns of its table got other names."""
    if not columns or not hasattr(item, "columns"):
        return item
    return replace(item, columns=_renamed_all(item.columns, columns))


def renamed_target(item: Any, columns: dict[str, str]) -> Any:
    """Return a foreign key after columns of the table that it refers to got other names."""
    return replace(item, ref_columns=_renamed_all(item.ref_columns, columns)) if columns else item


def _renamed_all(names: Iterable[str], columns: dict[str, str]) -> tuple[str, ...]:
    return tuple(columns.get(word, word) + rest for word, rest in map(_headed, names))


def _headed(piece: str) -> tuple[str, str]:
    word, blank, rest = piece.partition(" ")
    return word, blank + rest


def _same(field: str, found: Any, expected: Any, table: str | None, dialect: str) -> bool:
    one, other = getattr(found, field), getattr(expected, field)
    if one == other:
        return True
    if field == "default":
        return _default(one, dialect) == _default(other, dialect)
    if field == "type" and isinstance(expected, Column):
        return (table, expected.name) in EMBEDDINGS and {one, other} <= EMBEDDING_TYPES
    return False


def _default(expression: str | None, dialect: str) -> str | None:
    if expression is None:
        return None
    if dialect == "sqlite":
        return _TRUTHS.get(expression.lower(), expression)
    return "gen_random_uuid()" if _RANDOM_ID.fullmatch(expression) else expression
