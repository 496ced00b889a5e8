"""The objects of a catalog as SQLite creates them."""

from __future__ import annotations

from collections.abc import Iterator

from diwa_schema.drift.model import Column, ForeignKey, Index, Table, Trigger
from diwa_schema.drift.postgresql.write import column_list
from diwa_schema.names import quoted


def table(one: Table) -> str:
    """Return CREATE TABLE, without indexes and triggers."""
    parts = [column(held) for held in sorted(one.columns, key=lambda held: held.position or len(one.columns))]
    keys = [one.primary_key] if one.primary_key else []
    parts += [f"CONSTRAINT {quoted(key.name)} PRIMARY KEY {column_list(key.columns)}" for key in keys]
    parts += [f"CONSTRAINT {quoted(key.name)} UNIQUE {column_list(key.columns)}" for key in one.uniques]
    parts += [f"CONSTRAINT {quoted(rule.name)} CHECK ({rule.expression})" for rule in one.checks]
    parts += [f"CONSTRAINT {quoted(key.name)} {foreign_key(key)}" for key in one.foreign_keys]
    options = f" {', '.join(one.options)}" if one.options else ""
    return f"CREATE TABLE {quoted(one.name)} (\n  " + ",\n  ".join(parts) + f"\n){options}"


def column(one: Column) -> str:
    """Return what declares a column."""
    parts = [quoted(one.name), one.type]
    parts += [f"COLLATE {one.collation}"] if one.collation else []
    parts += [f"DEFAULT ({one.default})"] if one.default is not None else []
    parts += [] if one.nullable else ["NOT NULL"]
    if one.generated is not None:
        parts.append(f"GENERATED ALWAYS AS ({one.generated}) {'VIRTUAL' if one.virtual else 'STORED'}")
    return " ".join(parts)


def foreign_key(one: ForeignKey) -> str:
    """Return what declares a foreign key, without its name."""
    parts = [f"FOREIGN KEY {column_list(one.columns)} REFERENCES {quoted(one.references)}"]
    parts += [column_list(one.ref_columns)]
    parts += [] if one.on_update == "NO ACTION" else [f"ON UPDATE {one.on_update}"]
    parts += [] if one.on_delete == "NO ACTION" else [f"ON DELETE {one.on_delete}"]
    return " ".join([*parts, *([one.deferrable] if one.deferrable else [])])


def index(on: str, one: Index, *, kept: bool = False) -> str:
    """Return CREATE INDEX; `kept` leaves one of that name as it is."""
    words = f"CREATE {'UNIQUE ' * one.unique}INDEX {'IF NOT EXISTS ' * kept}{quoted(one.name)}"
    predicate = f" WHERE {one.predicate}" if one.predicate else ""
    return f"{words} ON {quoted(on)} {column_list(one.columns)}{predicate}"


def trigger(on: str, one: Trigger, *, kept: bool = False) -> str:
    """Return CREATE TRIGGER; `kept` leaves one of that name as it is."""
    words = f"CREATE TRIGGER {'IF NOT EXISTS ' * kept}{quoted(one.name)}"
    return f"{words} {one.moment} ON {quoted(on)} {one.action}"


def belongings(one: Table, *, kept: bool = False) -> Iterator[str]:
    """Yield what creates the indexes and triggers of a table."""
    yield from (index(one.name, held, kept=kept) for held in one.indexes)
    yield from (trigger(one.name, held, kept=kept) for held in one.triggers)
