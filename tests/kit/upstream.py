"""The shapes that Ecto left behind, as catalogs, built from the facts about the databases in the field."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import Any

from diwa_schema.database.spelling import Dialect
from diwa_schema.drift.model import Catalog, Column, ForeignKey, Index, Key, Table, Trigger
from diwa_schema.drift.scan import default

Document = dict[str, Any]
HEAD = 20260228010000


def postgresql(shared: Path, version: int = HEAD) -> Catalog:
    """The catalog that the newest upstream code leaves on PostgreSQL at a version, pgvector present."""
    document = json.loads((shared / "upstream" / "schema.json").read_text())
    return shape(document, "postgresql", version)


def sqlite(shared: Path) -> Catalog:
    """The catalog that upstream leaves on SQLite at its head."""
    return shape(json.loads((shared / "upstream" / "schema_sqlite.json").read_text()), "sqlite")


def extra(shared: Path, name: str) -> Catalog:
    """The catalog of a file of `upstream/extra`."""
    document = json.loads((shared / "upstream" / "extra" / f"{name}.json").read_text())
    return shape(document, "sqlite" if name.endswith("sqlite") else "postgresql")


def shape(document: Document, dialect: Dialect, version: int = HEAD) -> Catalog:
    """The catalog of a document of facts."""
    return Catalog(
        dialect,
        tables=_sorted(
            _table(name, table, version)
            for name, table in document["tables"].items()
            if table.get("added_by", 0) <= version
        ),
    )


def retyped(catalog: Catalog, columns: dict[str, str]) -> Catalog:
    """The catalog with other types of columns that are named `table.column`."""

    def column(table: Table, one: Column) -> Column:
        return replace(one, type=columns.get(f"{table.name}.{one.name}", one.type))

    return replace(
        catalog,
        tables=tuple(
            replace(table, columns=tuple(column(table, one) for one in table.columns))
            for table in catalog.tables
        ),
    )


def with_index(catalog: Catalog, table: str, document: Document | None) -> Catalog:
    """The catalog with one more index, if one is given."""
    if document is None:
        return catalog
    return replace(
        catalog,
        tables=tuple(
            replace(one, indexes=_sorted([*one.indexes, _index(document)])) if one.name == table else one
            for one in catalog.tables
        ),
    )


def with_tables(catalog: Catalog, other: Catalog) -> Catalog:
    """The catalog with the tables of another one, which replace those of the same name."""
    kept = [table for table in catalog.tables if other.table(table.name) is None]
    return replace(catalog, tables=_sorted([*kept, *other.tables]))


def _sorted(items: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(sorted(items, key=attrgetter("name")))


def _present(items: list[Document], version: int) -> list[Document]:
    return [item for item in items if item.get("added_by", 0) <= version]


def _table(name: str, table: Document, version: int) -> Table:
    key = table["primary_key"]
    return Table(
        name,
        columns=_sorted(_column(column, version) for column in _present(table["columns"], version)),
        primary_key=Key(key.get("name", f"{name}_pkey"), tuple(key["columns"])),
        foreign_keys=_sorted(_foreign_key(one) for one in _present(table["foreign_keys"], version)),
        indexes=_sorted(_index(one) for one in _present(table["indexes"], version)),
        triggers=_sorted(_trigger(one) for one in _present(table["triggers"], version)),
    )


def _column(column: Document, version: int) -> Column:
    types = [change["from"] for change in column.get("changed", []) if change["by"] > version]
    return Column(
        column["name"],
        types[0] if types else column["type"],
        nullable=column["nullable"],
        default=default(column["default"]),
    )


def _foreign_key(key: Document) -> ForeignKey:
    assert not key.get("deferrable")
    return ForeignKey(
        key["name"],
        tuple(key["columns"]),
        key["ref_table"],
        tuple(key["ref_columns"]),
        on_update=key.get("on_update", "NO ACTION"),
        on_delete=key["on_delete"],
        validated=key.get("validated", True),
    )


def _index(index: Document) -> Index:
    columns = index["columns"]
    if not index.get("default_opclasses", True):
        columns = [f"{column} {opclass}" for column, opclass in zip(columns, index["opclasses"], strict=True)]
    assert not any(index.get("descending", []))
    return Index(
        index["name"],
        tuple(columns),
        unique=index["unique"],
        method=index.get("method", "btree"),
        nulls_distinct=index.get("nulls_distinct", True),
        options=tuple(sorted(f"{name}='{value}'" for name, value in (index.get("with") or {}).items())),
        predicate=index.get("where"),
        valid=index.get("valid", True),
    )


def _trigger(trigger: Document) -> Trigger:
    arguments = ", ".join(f"'{argument}'" for argument in trigger["arguments"])
    assert trigger["enabled"] == "O"
    return Trigger(
        trigger["name"],
        moment=f"{trigger['timing']} {' OR '.join(trigger['events'])}",
        action=f"FOR EACH {trigger['level']} EXECUTE FUNCTION {trigger['function']}({arguments})",
    )
