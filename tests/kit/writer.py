"""The statements that make Ecto's tables of the facts, as its two adapters would."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

Dialect = Literal["postgresql", "sqlite"]
LONGEST_NAME = 63  # bytes that PostgreSQL keeps of a name; SQLite keeps all

# A type of the facts, on PostgreSQL and on SQLite. An embedding's on PostgreSQL is the shape's affair.
TYPES = {
    "uuid": ("uuid", "TEXT"),
    "string": ("varchar(255)", "TEXT"),
    "string(64)": ("varchar(64)", "TEXT"),
    "text": ("text", "TEXT"),
    "strings": ("varchar(255)[]", "TEXT"),
    "map": ("jsonb", "TEXT"),
    "jsonb": ("jsonb", "JSONB"),
    "integer": ("integer", "INTEGER"),
    "float": ("double precision", "NUMERIC"),
    "decimal(10,6)": ("numeric(10,6)", "DECIMAL(10,6)"),
    "boolean": ("boolean", "INTEGER"),
    "binary": ("bytea", "BLOB"),
    "seconds": ("timestamp(0)", "TEXT"),
    "micros": ("timestamp", "TEXT"),
    "tsvector": ("tsvector", ""),
    "embedding": ("", "BLOB"),
}
ON_DELETE = {"cascade": " ON DELETE CASCADE", "nilify": " ON DELETE SET NULL", "": ""}


@dataclass(frozen=True)
class Column:
    """A column of the facts."""

    name: str
    type: str
    required: bool = False
    default: str | None = None
    refers: str | None = None
    on_delete: str = ""
    made: bool = False


@dataclass(frozen=True)
class Index:
    """An index of the facts."""

    kind: str
    columns: tuple[str, ...]
    name: str


@dataclass(frozen=True)
class Change:
    """What a version adds to a table, which it makes where it is not there."""

    table: str
    columns: tuple[Column, ...]
    indexes: tuple[Index, ...]


def parse(text: str) -> list[Change]:
    """Read the notation that `tests.kit.facts` explains."""
    lines = re.sub(r"\s+(?!\s*\w+: )", " ", text.strip())  # a line that is continued becomes one
    return [_change(line) for line in lines.splitlines() if line.strip()]


def _change(line: str) -> Change:
    table, _, rest = line.strip().partition(": ")
    columns, _, indexes = rest.partition("|")
    return Change(
        table,
        tuple(column for item in columns.split(", ") if item.strip() for column in _columns(item.strip())),
        tuple(_index(table, item) for item in indexes.split(",") if item.strip()),
    )


def _columns(item: str) -> Iterator[Column]:
    name, _, rest = item.partition(" ")
    if name == "times":
        yield from (
            Column(f"{which}_at", rest.rstrip("!"), rest.endswith("!")) for which in ("inserted", "updated")
        )
    elif rest == "made":
        yield Column(name, "uuid", required=True, made=True)
    elif rest.startswith("> "):
        table, _, on_delete = rest[2:].partition(" ")
        kind = "string" if table == "panels" else "uuid"
        yield Column(name, kind, table.endswith("!"), refers=table.rstrip("!"), on_delete=on_delete)
    else:
        kind, _, default = rest.partition(" = ")
        yield Column(name, kind.rstrip("!"), kind.endswith("!"), default or None)


def _index(table: str, item: str) -> Index:
    words, _, name = item.strip().partition(" as ")
    kind, *columns = words.split()
    return Index(kind, tuple(columns), name or f"{table}_{'_'.join(columns)}_index")


def statements(
    changes: list[Change], dialect: Dialect, embeddings: dict[str, str]
) -> tuple[list[str], dict[str, list[Column]]]:
    """Return the statements that make the changes, and the columns that each table has afterwards.

    Args:
        changes: In the order in which they come.
        dialect: The database that they are for.
        embeddings: The type of a table's column `embedding` on PostgreSQL.
    """
    made: list[str] = []
    tables: dict[str, list[Column]] = {}
    for change in changes:
        new = change.table not in tables
        known = tables.setdefault(change.table, [])
        columns = [one for one in change.columns if dialect == "postgresql" or one.type != "tsvector"]
        known += columns
        lines = [
            _column(change.table, one, dialect, embeddings, key=new and n == 0)
            for n, one in enumerate(columns)
        ]
        if new:
            made.append(f"CREATE TABLE {change.table} ({', '.join(lines)})")
        else:
            made += [f"ALTER TABLE {change.table} ADD COLUMN {line}" for line in lines]
        types = {one.name: one.type for one in known}
        for index in change.indexes:
            # SQLite has no GIN: an array, which is text there, gets a plain index, a document none.
            if index.kind != "gin" or dialect == "postgresql" or types.get(index.columns[0]) == "strings":
                made.append(_create_index(change.table, index, dialect))
    return made, tables


def _column(table: str, column: Column, dialect: Dialect, embeddings: dict[str, str], *, key: bool) -> str:
    """The first column of every table is its key; on SQLite such a key takes NULL."""
    lite = dialect == "sqlite"
    kind = (
        TYPES[column.type][lite] or embeddings[table]
        if column.type == "embedding"
        else TYPES[column.type][lite]
    )
    parts = [column.name, kind]
    if default := _default(column, lite=lite):
        parts.append(f"DEFAULT {default}")
    if column.required and not (key and lite):
        parts.append("NOT NULL")
    if key:
        parts.append("PRIMARY KEY" if lite else f"CONSTRAINT {table}_pkey PRIMARY KEY")
    if column.refers:
        name = f"{table}_{column.name}_fkey"
        parts.append(f"CONSTRAINT {name} REFERENCES {column.refers} (id){ON_DELETE[column.on_delete]}")
    return " ".join(parts)


def _default(column: Column, *, lite: bool) -> str | None:
    if column.made:
        return "NULL" if lite else "uuid_generate_v4()"
    if column.default == "now":
        return "CURRENT_TIMESTAMP" if lite else "now()"
    if column.default is None or column.type in ("integer", "float", "boolean"):
        return column.default
    if column.type == "strings" and not lite:
        words: list[Any] = json.loads(column.default)
        quoted = ", ".join(f"'{word}'" for word in words)
        return f"ARRAY[{quoted}]::varchar[]"
    return f"'{column.default}'"


def _create_index(table: str, index: Index, dialect: Dialect) -> str:
    unique = "UNIQUE " if index.kind == "unique" else ""
    method = " USING gin" if index.kind == "gin" and dialect == "postgresql" else ""
    name = index.name[:LONGEST_NAME] if dialect == "postgresql" else index.name
    return f"CREATE {unique}INDEX {name} ON {table}{method} ({', '.join(index.columns)})"
