"""Changes to a schema that nobody planned: each with the objects that it makes different."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from diwa_schema.drift.model import Catalog, Column, Table
from diwa_schema.models.rules import KEPT

Wrong = tuple[str, str, str]  # problem, kind, object


@dataclass(frozen=True)
class Change:
    """SQL that makes a schema drift, and what a comparison has to say about it, no more and no less."""

    sql: str
    wrong: frozenset[Wrong]


Make = Callable[[Catalog, Table], Iterator[Change]]


def change(sql: str, *wrong: Wrong) -> Change:
    return Change(sql, frozenset(wrong))


def all_changes(catalog: Catalog) -> list[Change]:
    """Every change that this module can make to a schema."""
    makers = SQLITE if catalog.dialect == "sqlite" else POSTGRESQL
    return [one for maker in makers for table in plain(catalog) for one in maker(catalog, table)]


def plain(catalog: Catalog) -> list[Table]:
    """Return the tables that a statement can change: SQLite alters no virtual one."""
    return [table for table in catalog.tables if table.kind == "table"]


def under_keys(catalog: Catalog, table: Table) -> set[tuple[str, ...]]:
    """Return the columns that foreign keys refer to: the server keeps the index that they stand on."""
    return {
        one.ref_columns
        for other in catalog.tables
        for one in other.foreign_keys
        if one.references == table.name
    }


def dropped_indexes(catalog: Catalog, table: Table) -> Iterator[Change]:
    kept = under_keys(catalog, table)
    for index in table.indexes:
        if index.columns in kept:
            continue
        yield change(f"DROP INDEX {index.name}", ("missing", index_kind(index.name), index.name))


def added_indexes(_: Catalog, table: Table) -> Iterator[Change]:
    name = f"surplus_{table.name}"
    for column in ids(table):
        yield change(f"CREATE INDEX {name} ON {table.name} ({column})", ("extra", "index", name))
        yield change(f"CREATE UNIQUE INDEX {name} ON {table.name} ({column})", ("extra", "index", name))


def added_columns(_: Catalog, table: Table) -> Iterator[Change]:
    sql = f"ALTER TABLE {table.name} ADD COLUMN surplus bigint DEFAULT 5"
    yield change(sql, ("extra", "column", "surplus"))


def dropped_columns(catalog: Catalog, table: Table) -> Iterator[Change]:
    for column in ordinary(table):
        wrong = [("missing", "column", column.name)]
        wrong += [
            ("missing", index_kind(one.name), one.name)
            for one in table.indexes
            if column.name in words(one.columns)
        ]
        wrong += [
            ("missing", "foreign key", one.name) for one in table.foreign_keys if column.name in one.columns
        ]
        sql = f'ALTER TABLE {table.name} DROP COLUMN "{column.name}"'
        if catalog.dialect == "postgresql" or len(wrong) == 1:
            yield change(sql, *wrong)


def renamed_columns(_: Catalog, table: Table) -> Iterator[Change]:
    for column in ordinary(table):
        sql = f'ALTER TABLE {table.name} RENAME COLUMN "{column.name}" TO drifted'
        yield change(sql, ("renamed", "column", column.name))


def dropped_tables(catalog: Catalog, table: Table) -> Iterator[Change]:
    keys = [
        ("missing", "foreign key", key.name)
        for other in catalog.tables
        for key in other.foreign_keys
        if key.references == table.name and other is not table
    ]
    if catalog.dialect == "postgresql":
        yield change(f"DROP TABLE {table.name} CASCADE", ("missing", "table", table.name), *keys)
    elif not keys:
        yield change(f"DROP TABLE {table.name}", ("missing", "table", table.name))


def added_triggers_sqlite(_: Catalog, table: Table) -> Iterator[Change]:
    sql = f"CREATE TRIGGER spy AFTER INSERT ON {table.name} BEGIN SELECT 1; END"
    yield change(sql, ("extra", "trigger", "spy"))


def broken_indexes(catalog: Catalog, table: Table) -> Iterator[Change]:
    kept = under_keys(catalog, table)
    for index in table.indexes:
        wrong = ("changed", "index", index.name)
        yield change(f"ALTER INDEX {index.name} RENAME TO drifted", ("renamed", "index", index.name))
        invalid = f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{index.name}'::regclass"
        yield change(invalid, wrong)
        if index.method == "btree" and index.columns not in kept:
            create = f"DROP INDEX {index.name}; CREATE INDEX {index.name} ON {table.name}"
            first = words(index.columns)[0]
            yield change(f'{create} USING hash ("{first}")', wrong)
            yield change(f'{create} ("{first}" DESC) WHERE "{first}" IS NULL', wrong)


def changed_columns(_: Catalog, table: Table) -> Iterator[Change]:
    for column in ordinary(table):
        alter = f'ALTER TABLE {table.name} ALTER COLUMN "{column.name}"'
        wrong = ("changed", "column", column.name)
        yield change(f"{alter} {'SET' if column.nullable else 'DROP'} NOT NULL", wrong)
        if column.default is not None:
            yield change(f"{alter} DROP DEFAULT", wrong)
        for new in OTHER_TYPES.get(column.type, ()):
            yield change(f"{alter} TYPE {new}", wrong)
        if column.type == "character varying(255)":
            yield change(f"{alter} SET DEFAULT 'drift'", wrong)
            yield change(f'{alter} TYPE {column.type} COLLATE "C"', wrong)


def changed_keys(_: Catalog, table: Table) -> Iterator[Change]:
    alter = f"ALTER TABLE {table.name}"
    for key in table.foreign_keys:
        wrong = ("changed", "foreign key", key.name)
        yield change(f"{alter} DROP CONSTRAINT {key.name}", ("missing", "foreign key", key.name))
        yield change(f"{alter} RENAME CONSTRAINT {key.name} TO drifted", ("renamed", "foreign key", key.name))
        yield change(f"{alter} ALTER CONSTRAINT {key.name} DEFERRABLE INITIALLY DEFERRED", wrong)
        again = (
            f"{alter} DROP CONSTRAINT {key.name}, ADD CONSTRAINT {key.name}"
            f' FOREIGN KEY ("{key.columns[0]}") REFERENCES {key.references} (id)'
        )
        yield change(f"{again} ON DELETE RESTRICT", wrong)
        yield change(f"{again} ON DELETE {key.on_delete} NOT VALID", wrong)


def dropped_primary_keys(catalog: Catalog, table: Table) -> Iterator[Change]:
    key = table.primary_key
    assert key is not None
    lost = [
        ("missing", "foreign key", one.name)
        for other in catalog.tables
        for one in other.foreign_keys
        if one.references == table.name and one.ref_columns == key.columns
    ]
    sql = f"ALTER TABLE {table.name} DROP CONSTRAINT {key.name} CASCADE"
    yield change(sql, ("missing", "primary key", key.name), *lost)


def added_constraints(_: Catalog, table: Table) -> Iterator[Change]:
    alter = f"ALTER TABLE {table.name} ADD CONSTRAINT surplus"
    for column in ids(table):
        yield change(f"{alter} CHECK ({column} IS NOT NULL)", ("extra", "check", "surplus"))
        yield change(f"{alter} UNIQUE ({column})", ("extra", "unique constraint", "surplus"))


def changed_triggers(_: Catalog, table: Table) -> Iterator[Change]:
    for trigger in table.triggers:
        name = trigger.name
        yield change(f"DROP TRIGGER {name} ON {table.name}", ("missing", "trigger", name))
        yield change(f"ALTER TABLE {table.name} DISABLE TRIGGER {name}", ("changed", "trigger", name))
        yield change(f"ALTER TRIGGER {name} ON {table.name} RENAME TO drifted", ("renamed", "trigger", name))


def changed_tables(catalog: Catalog, table: Table) -> Iterator[Change]:
    name = table.name
    referred = {key.references for other in catalog.tables for key in other.foreign_keys}
    if name not in referred:
        yield change(f"ALTER TABLE {name} SET UNLOGGED", ("changed", "persistence", name))
    yield change(f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY", ("changed", "row security", name))
    yield change(f"ALTER TABLE {name} REPLICA IDENTITY FULL", ("changed", "replica identity", name))
    yield change(f"ALTER TABLE {name} OWNER TO pg_monitor", ("changed", "owner", name))
    yield change(f"CREATE POLICY surplus ON {name} USING (true)", ("extra", "policy", "surplus"))
    trigger = f"CREATE TRIGGER surplus BEFORE UPDATE ON {name} FOR EACH ROW"
    yield change(
        f"{trigger} EXECUTE FUNCTION suppress_redundant_updates_trigger()", ("extra", "trigger", "surplus")
    )


SQLITE: tuple[Make, ...] = (
    dropped_indexes,
    added_indexes,
    added_columns,
    dropped_columns,
    renamed_columns,
    dropped_tables,
    added_triggers_sqlite,
)
POSTGRESQL: tuple[Make, ...] = (
    dropped_indexes,
    added_indexes,
    added_columns,
    dropped_columns,
    renamed_columns,
    dropped_tables,
    broken_indexes,
    changed_columns,
    changed_keys,
    dropped_primary_keys,
    added_constraints,
    changed_triggers,
    changed_tables,
)
OTHER_TYPES = {
    "character varying(255)": ("text", "varchar(100)", "varchar(300)"),
    "text": ("varchar(1000)",),
    "integer": ("bigint", "numeric(12,2)"),
    "timestamp(0) without time zone": ("timestamp", "timestamptz"),
    "timestamp without time zone": ("timestamp(3)",),
    "boolean": ("text",),
    "double precision": ("real",),
}


def index_kind(name: str) -> str:
    """What an index is called: one that keeps a rule about rows may wait."""
    return "rule" if any(rule.name == name for rule in KEPT) else "index"


def ids(table: Table) -> Iterator[str]:
    """The columns of the primary key, of which there is one."""
    if table.primary_key and len(table.primary_key.columns) == 1:
        yield table.primary_key.columns[0]


def ordinary(table: Table) -> Iterator[Column]:
    """Columns that are in no primary key and that no expression of the table names."""
    spoken = " ".join(one.predicate or "" for one in table.indexes)
    spoken += " ".join(f"{one.moment} {one.action}" for one in table.triggers)
    spoken += " ".join(one.definition for one in table.others)
    spoken += " ".join(piece for one in table.indexes for piece in one.columns if "(" in piece)
    for column in table.columns:
        if table.primary_key and column.name in table.primary_key.columns:
            continue
        if not re.search(rf"\b{column.name}\b", spoken) and not column.name.startswith("embedding"):
            yield column


def words(pieces: tuple[str, ...]) -> list[str]:
    """The names that index columns begin with."""
    return [piece.partition(" ")[0] for piece in pieces]


def said(difference: Any) -> Wrong:
    """What a difference says, in the terms of this module."""
    return difference.problem, difference.kind, difference.object
