"""Sample rows for every table of a database, generated from its catalog to test a revision.

Each table gets one row of plain values, one of NULLs in all nullable columns, and rows with values that break careless
code: quotes and percent signs, the longest text, other scripts, empty and full arrays, all bytes, the ends of the
calendar. Every reference points to an existing row. If a word set is known, its words take turns.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from diwa_schema.database.failures import driver
from diwa_schema.database.link import Link
from diwa_schema.drift.model import Catalog, Column, Table
from diwa_schema.drift.read import at_head
from diwa_schema.errors import DiwaSchemaError
from diwa_schema.models import searched
from diwa_schema.models.filled import trigger_name
from diwa_schema.names import quoted

ROWS = 6
_BARE = 1  # the row with NULL in every nullable column

_TEXTS = ("plain", "none", 'it\'s "quoted" 100% \\ $1 :x %s', "x" * 255, "größe 漢字 🌊\u202e", " \t ")
_LISTS: tuple[list[str], ...] = (["a"], [], ['say "x"', "a, b", "{}"], ["ö"] * 50, ["NULL", ""], ["a", "a"])
_DOCUMENTS: tuple[Any, ...] = (
    {"type": "plain"}, {}, {"it's": [1, None, {"t": True}]}, {"long": "x" * 2000}, {"größe": "漢字"}, {"n": 1.5e10},
)  # fmt: skip
_TIMES = (
    "2026-01-01 00:00:00", "2026-02-03 04:05:06", "1999-12-31 23:59:59", "9999-12-31 23:59:59",
    "0001-01-01 00:00:00", "2026-03-29 02:30:00",
)  # fmt: skip
_WHOLE = (1, 0, -1, 2**31 - 1, -(2**31), 7)
_BROKEN = (1.5, 0.0, -1.25, 1e-300, 1e300, 0.1)
_AMOUNTS = ("1.5", "0", "-0.000001", "9999.999999", "-9999.999999", "0.1")
_BYTES = (b"plain", b"", bytes(range(256)), b"\x00", b"'\"\\", b"x" * 3000)


def fill(link: Link, catalog: Catalog) -> dict[str, str]:
    """Insert rows into every table of a catalog.

    A refused row is tried again with NULLs, and then left out: a rule may allow less than a type.

    Args:
        link: A connection in no transaction.
        catalog: Its catalog; the tables are empty.

    Returns:
        The tables without any row, each with the database's message.
    """
    refused = {}
    for table in in_order(catalog):
        said = [_insert(link, catalog, table, number) for number in range(ROWS)]
        if all(said):
            refused[table.name] = said[0]
    return refused


def one_more(link: Link, catalog: Catalog, table: Table) -> bool:
    """Insert another row into a table after `fill`; return False if a rule of the table allows none."""
    return any(not _insert(link, catalog, table, number) for number in range(ROWS, 2 * ROWS))


def _insert(link: Link, catalog: Catalog, table: Table, number: int) -> str:
    """Insert a row, or one with NULLs if a rule refuses it; return the database's message."""
    errors = driver(link.dialect)
    said = ""
    for bare in (number == _BARE, True):
        given = [
            one
            for one in table.columns
            if one.generated is None and one.type != "tsvector" and not is_filled(table, one)
        ]
        values = [_value(catalog, table, one, number, bare=bare) for one in given]
        names, places = ", ".join(quoted(one.name) for one in given), ", ".join(["%s"] * len(given))
        try:
            link.execute(f"INSERT INTO {quoted(table.name)} ({names}) VALUES ({places})", values)
        except (errors.IntegrityError, errors.DataError) as error:
            said = str(error).strip()
        else:
            return ""
    return said


def is_filled(table: Table, column: Column) -> bool:
    """Return whether a trigger fills a column from another row, and may refuse a different value."""
    return any(one.name == trigger_name(table.name, column.name) for one in table.triggers)


def rows(link: Link, catalog: Catalog) -> dict[str, list[dict[str, str]]]:
    """Return all rows of the tables of a catalog: each value as text, by column, in the order of the key."""
    return {table.name: list(_rows(link, table)) for table in _own(catalog)}


def _own(catalog: Catalog) -> Iterator[Table]:
    """Yield the tables with rows of their own: on SQLite, the words of memories follow from the memories."""
    return (table for table in catalog.tables if table.name not in searched.TABLES)


def _rows(link: Link, table: Table) -> Iterator[dict[str, str]]:
    names = [one.name for one in table.columns]
    key = ", ".join(map(quoted, table.primary_key.columns if table.primary_key else names))
    listed = ", ".join(map(quoted, names))
    for row in link.rows(f"SELECT {listed} FROM {quoted(table.name)} ORDER BY {key}"):
        yield {
            name: repr(bytes(value) if isinstance(value, memoryview) else value)
            if isinstance(value, bytes | memoryview | None)
            else str(value)
            for name, value in zip(names, row, strict=True)
        }


def in_order(catalog: Catalog) -> list[Table]:
    """Return the tables, each after its referents."""
    placed: list[Table] = []
    left = {table.name: table for table in _own(catalog)}
    while left:
        free = [
            table
            for table in left.values()
            if all(key.references == table.name or key.references not in left for key in table.foreign_keys)
        ]
        if not free:
            raise DiwaSchemaError(
                f"The tables {', '.join(left)} refer to each other in a cycle.",
                untouched="The command changed only a throw-away database.",
                next_step="Let one of the keys be NULL, and write the sample rows by hand.",
            )
        placed += [left.pop(table.name) for table in free]
    return placed


def _value(catalog: Catalog, table: Table, column: Column, number: int, *, bare: bool = False) -> Any:
    keys = [key for key in table.foreign_keys if column.name in key.columns]
    if bare and column.nullable and not _is_key(table, column):
        return None
    if keys:
        key = keys[0]
        other = catalog.table(key.references)
        # Two keys to one table refer to two rows. A row that refers to its own table refers to the previous row.
        same = [one for one in table.foreign_keys if one.references == key.references]
        at = number % ROWS - 1 if key.references == table.name else (number + same.index(key)) % ROWS
        if at < 0:
            return None
        there = other.column(key.ref_columns[key.columns.index(column.name)]) if other else None
        if other and there:
            return _value(catalog, other, there, at)
    return _plain(catalog.dialect, table, column, number)


def _is_key(table: Table, column: Column) -> bool:
    return table.primary_key is not None and column.name in table.primary_key.columns


def _plain(dialect: str, table: Table, column: Column, number: int) -> Any:
    kind = _types().get((table.name, column.name), column.type) if dialect == "sqlite" else column.type
    words = _words().get((table.name, column.name))
    # A later row uses the referents of one of the first rows, and so has the values of that row.
    place = (number + number // ROWS) % ROWS
    if kind == "uuid" or (_is_key(table, column) and kind.startswith(("text", "character"))):
        return str(uuid5(NAMESPACE_OID, f"{table.name}.{column.name} {number}"))
    if words:
        return words[place % len(words)]
    if kind.endswith("[]"):
        return json.dumps(_LISTS[place]) if dialect == "sqlite" else _LISTS[place]
    for begins, values in _OF_KIND.items():
        if kind.startswith(begins):
            return _spelled(dialect, kind, values[place])
    # A unique index needs distinct texts, and PostgreSQL refuses more characters than the type allows.
    size = re.search(r"\((\d+)\)", kind)
    return f"{number} {_TEXTS[place]}"[: int(size[1]) if size else None]


def _spelled(dialect: str, kind: str, value: Any) -> Any:
    """Return a value for a statement."""
    if kind.startswith("json"):
        return json.dumps(value)
    if kind.startswith("vector"):
        size = int(kind.removeprefix("vector(").removesuffix(")"))
        return value if dialect == "sqlite" else f"[{','.join(['0.25'] * (size - 1) + [str(len(value))])}]"
    return value


_OF_KIND: dict[str, tuple[Any, ...]] = {
    "json": _DOCUMENTS,
    "timestamp": _TIMES,
    "boolean": (True, False, True, False, True, False),
    "integer": _WHOLE,
    "bigint": _WHOLE,
    "double": _BROKEN,
    "numeric": _AMOUNTS,
    "bytea": _BYTES,
    "vector": _BYTES,
}


@cache
def _types() -> Mapping[tuple[str, str], str]:
    """Return the types of columns from PostgreSQL's catalog; SQLite's catalog is less exact."""
    return {
        (table.name, one.name): one.type for table in at_head("postgresql").tables for one in table.columns
    }


@cache
def _words() -> Mapping[tuple[str, str], tuple[str, ...]]:
    from diwa_schema.export.description import describe

    return {
        (table.name, column.name): column.values
        for table in describe()
        for column in table.columns
        if column.values and column.kind in ("string", "text")
    }
