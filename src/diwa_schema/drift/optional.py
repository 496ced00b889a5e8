"""Optional parts of a database.

These are indexes that are built only on request, a column of Ecto's code, and the check on embeddings that are bytes
after they have been vectors.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from diwa_schema.drift.model import Catalog, Index, Other, Table
from diwa_schema.migrations import characters

if TYPE_CHECKING:
    from diwa_schema.database.link import Link


@dataclass(frozen=True, slots=True)
class OptionalIndex:
    """An index that may be present or absent.

    Args:
        table: Its table.
        index: Its definition.
        extension: The extension of its operator class.
        serves: Its purpose and its cost.
    """

    table: str
    index: Index
    extension: str
    serves: str


OPTIONAL = (
    OptionalIndex(
        "memories",
        Index(
            "memories_embedding_idx",
            ("embedding vector_cosine_ops",),
            method="hnsw",
            options=("ef_construction='64'", "m='16'"),
        ),
        extension="vector",
        serves="Search for similar memories across all contexts; inserting one takes 20 times as long.",
    ),
    OptionalIndex(
        "memories",
        Index(
            "memories_content_trgm_idx",
            ("content gin_trgm_ops",),
            method="gin",
            predicate="deleted_at IS NULL",
        ),
        extension="pg_trgm",
        serves="Search for any part of a word; takes 590 MB for a million memories.",
    ),
)


def is_optional(table: str, index: str) -> bool:
    """Return whether the index of that name on that table is an optional one."""
    return any((one.table, one.index.name) == (table, index) for one in OPTIONAL)


_THERE = (
    "SELECT i.relname::text, x.indisvalid AND x.indisready FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid"
    " WHERE i.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = %s) AND i.relname = ANY(%s::name[])"
)


def states(link: Link, schema: str) -> dict[str, str]:
    """Return the state of each optional index of a schema: there, not valid or absent. SQLite has none of them."""
    found = {}
    if link.dialect == "postgresql":
        found = dict(link.rows(_THERE, (schema, [one.index.name for one in OPTIONAL])))
    words = {True: "there", False: "not valid", None: "absent"}
    return {one.index.name: words[found.get(one.index.name)] for one in OPTIONAL}


def refuses_characters(table: str, found: object) -> bool:
    """Return whether an object on a table is the optional check of its embeddings, which a vector cannot have."""
    return isinstance(found, Other) and characters.is_check(table, found.name, found.definition)


# The newest Ecto code cannot read memories without this column, which no migration of Ecto creates. Users of that
# code have added it by hand, with or without a key and an index.
OF_ECTOS_CODE = {"memories": "organization_id"}


def with_ectos_columns(expected: Catalog, live: Catalog) -> Catalog:
    """Return the expected catalog of a database, with its columns of Ecto's code and the objects on them."""
    return replace(expected, tables=tuple(_with_column(table, live) for table in expected.tables))


def added_columns(wanted: Catalog, expected: Catalog) -> Iterator[tuple[str, str]]:
    """Yield table and name of each column that `with_ectos_columns` has added."""
    for table, name in OF_ECTOS_CODE.items():
        one, other = wanted.table(table), expected.table(table)
        if one and other and one.column(name) and not other.column(name):
            yield table, name


def _with_column(table: Table, live: Catalog) -> Table:
    name, found = OF_ECTOS_CODE.get(table.name), live.table(table.name)
    if name is None or found is None or found.column(name) is None:
        return table
    known = {one.name for one in table.foreign_keys}
    keys = tuple(
        one
        for one in found.foreign_keys
        if one.columns == (name,) and one.references == "organizations" and one.name not in known
    )
    if table.column(name) is not None:
        # From the revision with this column on, the key of its original author stays.
        return replace(table, foreign_keys=(*table.foreign_keys, *keys))
    # A text refers to no organization, and a default is the right organization only by chance; both are reported
    # before the first revision. The ids of SQLite are texts.
    lite = live.dialect == "sqlite"
    there = (one for one in found.columns if one.name == name)
    return replace(
        table,
        columns=(
            *table.columns,
            *(one if lite else replace(one, type="uuid", default=None) for one in there),
        ),
        foreign_keys=(*table.foreign_keys, *keys),
        indexes=(*table.indexes, *(one for one in found.indexes if one.columns == (name,))),
    )
