"""Optional parts of a database.

These are indexes that are built only on request, a column of Ecto's code, and the check on embeddings that are bytes
after they have been vectors.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from diwa_schema.drift.model import Catalog, Index, Other, Table
from diwa_schema.migrations import characters


@dataclass(frozen=True, slots=True)
class OptionalIndex:
    """An index that is neither drift when it is there nor when it is not.

    Args:
        table: The table it is on.
        index: What it is.
        extension: The extension that its operator class comes from.
        serves: What it makes fast, and what it costs.
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


def refuses_characters(table: str, found: object) -> bool:
    """Return whether something on a table is the check that its embeddings may have: a vector cannot have it."""
    return isinstance(found, Other) and characters.is_check(table, found.name, found.definition)


# The newest Ecto code reads no memory without this column, which no migration of Ecto's makes: whoever runs that code
# has added it by hand, with a key and an index or without.
OF_ECTOS_CODE = {"memories": "organization_id"}


def with_ectos_columns(expected: Catalog, live: Catalog) -> Catalog:
    """Return what is expected of a database, with the columns of Ecto's code that it has, and with what is on them."""
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
        # From the revision on that has the column itself, the key stays that whoever added it has put on it.
        return replace(table, foreign_keys=(*table.foreign_keys, *keys))
    # A text leads to no organization, and a default is that of the context by chance: both are told before the first
    # revision runs. SQLite's ids are texts.
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
