"""Indexes that a database may have or not: costly to keep, so built only when somebody asks for them."""

from __future__ import annotations

from dataclasses import dataclass

from diwa_schema.drift.model import Index


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
