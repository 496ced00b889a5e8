"""The catalog of a live schema, and the one expected at head, which ships with the package."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import TYPE_CHECKING

from diwa_schema.drift.model import Catalog, of_document
from diwa_schema.migrations.manifest import DIRECTORY, document

if TYPE_CHECKING:
    from pathlib import Path

    from diwa_schema.database.link import Link


def read(
    link: Link,
    schema: str | None = None,
    *,
    tables: Collection[str] | None = None,
    like: Catalog | None = None,
) -> Catalog:
    """Read the catalog of a schema.

    Nothing is written, and no table is locked beyond reading the catalog. An open transaction of the connection stays
    open; the search path is restored.

    Args:
        link: A connection to the database.
        schema: The schema to read; by default the one in which unqualified names are created. SQLite has one.
        tables: The tables to read; by default all. Other relations with these names are also read.
        like: A catalog for a later comparison; only its tables are read.

    Returns:
        The catalog; without tables if the schema does not exist.
    """
    if like is not None:
        tables = [table.name for table in like.tables]
    if link.dialect == "sqlite":
        from diwa_schema.drift.sqlite import read as read_sqlite

        return read_sqlite.read(link, tables)
    from diwa_schema.drift.postgresql import read as read_postgresql

    return read_postgresql.read(link, schema, tables)


def path(dialect: str) -> Path:
    """Return the path of a dialect's catalog at head."""
    return DIRECTORY / f"catalog_{dialect}.json"


@cache
def at_head(dialect: str) -> Catalog:
    """Return the catalog expected at head."""
    return of_document(document(path(dialect)))
