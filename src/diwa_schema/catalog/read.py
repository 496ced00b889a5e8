"""Reading the catalog of a live schema."""

from __future__ import annotations

from collections.abc import Collection

from diwa_schema.catalog.model import Catalog
from diwa_schema.database.link import Link


def read(
    link: Link,
    schema: str | None = None,
    *,
    tables: Collection[str] | None = None,
    views: Collection[str] = (),
) -> Catalog:
    """Read what a schema looks like. Nothing is written, no table is locked beyond reading the catalog.

    A connection that is in a transaction stays in it; its search path is the same afterwards.

    Args:
        link: A connection to the database.
        schema: The schema to read; by default the one in which unqualified names are created. SQLite has one.
        tables: The tables to read; by default all. Other relations of these names are read as well.
        views: The views to read; by default none.

    Returns:
        The catalog; without tables where the schema does not exist.
    """
    if link.dialect == "sqlite":
        from diwa_schema.catalog import read_sqlite

        return read_sqlite.read(link, tables, views)
    from diwa_schema.catalog import read_postgresql

    return read_postgresql.read(link, schema, tables, views)
