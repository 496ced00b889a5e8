"""Reading the catalog of a live schema."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from diwa_schema.database.link import Link
from diwa_schema.drift.model import Catalog


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be read.

    Args:
        tables: The tables; None for all.
        views: The views; none by default.
        functions: The functions; None for all.
        kinds: What else, by the names of queries.
    """

    tables: Collection[str] | None = None
    views: Collection[str] = ()
    functions: Collection[str] | None = None
    kinds: Collection[str] = ("functions", "sequences", "types", "views")

    @classmethod
    def like(cls, other: Catalog) -> Wanted:
        """Return what is to be read to be compared with a catalog: nothing that it has nothing of."""
        found = {
            "views": other.views,
            "functions": other.functions,
            "sequences": other.sequences,
            "types": other.enums + other.domains,
        }
        return cls(
            [table.name for table in other.tables],
            [view.name for view in other.views],
            [function.name.partition("(")[0] for function in other.functions],
            [kind for kind, objects in found.items() if objects],
        )


def read(
    link: Link,
    schema: str | None = None,
    *,
    tables: Collection[str] | None = None,
    views: Collection[str] = (),
    like: Catalog | None = None,
) -> Catalog:
    """Read what a schema looks like. Nothing is written, no table is locked beyond reading the catalog.

    A connection that is in a transaction stays in it; its search path is the same afterwards.

    Args:
        link: A connection to the database.
        schema: The schema to read; by default the one in which unqualified names are created. SQLite has one.
        tables: The tables to read; by default all. Other relations of these names are read as well.
        views: The views to read; by default none.
        like: Read what is named in this catalog, to be compared with it, instead of what the other two say.

    Returns:
        The catalog; without tables where the schema does not exist.
    """
    wanted = Wanted(tables, views) if like is None else Wanted.like(like)
    if link.dialect == "sqlite":
        from diwa_schema.drift.sqlite import read as read_sqlite

        return read_sqlite.read(link, wanted)
    from diwa_schema.drift.postgresql import read as read_postgresql

    return read_postgresql.read(link, schema, wanted)
