"""Core tier: memories and contexts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, select

from diwa_schema.models import Context, ContextBinding, Memory, MemoryVersion
from diwa_schema.models.served import (
    ARRIVAL,
    EMBEDDED,
    EXPIRING,
    LIVE,
    RULE,
    is_named,
    of_type,
    searched_in,
)
from diwa_schema.queries import given
from diwa_schema.queries.pages import at_most, rows_before
from diwa_schema.queries.words import hits

_NEWEST_FIRST = tuple(key.desc() for key in ARRIVAL)


class _All(Enum):
    CONTEXTS = "all contexts"

    def __repr__(self) -> str:
        return self.value


_ALL_CONTEXTS: Final = _All.CONTEXTS
_Contexts = UUID | Literal[_All.CONTEXTS]


def newest_memories(
    context: _Contexts = _ALL_CONTEXTS, *, limit: int = 100, before: Memory | None = None
) -> Select[Memory]:
    """Return the live memories of a context, or of all contexts, newest first.

    Args:
        context: The context; all contexts by default.
        limit: The maximum number of rows.
        before: The last row of the page before; by default the first page is returned.

    Raises:
        TypeError: The context is None.
    """
    return _page(_within(context, select(Memory).where(LIVE)), limit, before)


def count_memories(context: UUID) -> Select[int]:
    """Return the number of live memories of a context."""
    return select(func.count()).select_from(Memory).where(_in(context), LIVE)


def memories_of_type(
    context: UUID, of: str, *, limit: int = 50, before: Memory | None = None
) -> Select[Memory]:
    """Return the live memories of a context whose metadata name a type, newest first.

    SQLite reads the memories of the context; metadata that is not JSON names no type.

    Args:
        context: The context.
        of: The type, as in the metadata.
        limit: The maximum number of rows.
        before: The last row of the page before.
    """
    named = of_type(given.text(of, "type"))
    return _page(select(Memory).where(_in(context), LIVE, named), limit, before)


def memories_tagged(
    context: UUID, *tags: str, limit: int = 50, before: Memory | None = None
) -> Select[Memory]:
    """Return the live memories of a context that have all of the tags, newest first.

    SQLite reads the memories of the context.

    Args:
        context: The context.
        tags: The tags; without any, every memory is returned.
        limit: The maximum number of rows.
        before: The last row of the page before.

    Raises:
        TypeError: A tag is no text.
    """
    if not all(isinstance(tag, str) for tag in tags):
        raise TypeError(
            "Each tag is an argument of its own, and a text. For a list, write a star before it: *tags"
        )
    if not tags:
        return newest_memories(context, limit=limit, before=before)
    tagged = select(Memory).where(
        searched_in(given.identity(context, "context")), LIVE, Memory.tags.contains(list(tags))
    )
    return _page(tagged, limit, before)


def memories_containing(
    context: UUID, metadata: Mapping[str, Any], *, limit: int = 50, before: Memory | None = None
) -> Select[Memory]:
    """Return the live memories of a context whose metadata contains a document, at every depth, newest first.

    PostgreSQL only; it reads the memories of the context.

    Args:
        context: The context.
        metadata: The document.
        limit: The maximum number of rows.
        before: The last row of the page before.

    Raises:
        CompileError: The statement is compiled for SQLite; nothing is sent.
    """
    if not isinstance(metadata, Mapping):
        raise TypeError(f"The metadata is a dict, not {type(metadata).__name__}.")
    holding = Memory.metadata_.contains(dict(metadata))
    return _page(select(Memory).where(_in(context), LIVE, holding), limit, before)


def memories_alike(context: UUID, content: str) -> Select[Memory]:
    """Return the live memories of a context with exactly this content; SQLite reads the memories of the context."""
    return select(Memory).where(_in(context), LIVE, Memory.content == given.text(content, "content"))


def rules_of(context: UUID) -> Select[Memory]:
    """Return the rules of a context: its live memories of the classes user_rule and system_instruction."""
    return select(Memory).where(_in(context), RULE)


def expired_memories(moment: datetime | None = None, *, limit: int = 500) -> Select[Memory]:
    """Return the expired live memories, in the order of their expiry.

    A sweep deletes the returned memories and asks again.

    Args:
        moment: The time to compare with, with a time zone; now by default.
        limit: The maximum number of rows.
    """
    past = Memory.expires_at < (datetime.now(UTC) if moment is None else moment)
    return select(Memory).where(EXPIRING, past).order_by(Memory.expires_at).limit(at_most(limit))


def memories_saying(context: UUID, words: str, *, limit: int = 50) -> Select[Memory]:
    """Return the live memories of a context that contain all of the words, best match first.

    Both databases find a word in its English forms. PostgreSQL ignores words such as "the", and interprets quotes, `or`
    and a minus as a search engine does; SQLite requires each word. A build of SQLite without FTS5 searches the contents
    of the context for each word exactly as written, and returns the newest memories first.

    Args:
        context: The context.
        words: The words. No input is an error, and an empty input finds nothing.
        limit: The maximum number of rows.
    """
    given.identity(context, "context")
    found = hits(context, given.text(words, "input"))
    said = select(Memory).join(found, found.c.id == Memory.id).where(searched_in(context), LIVE)
    return said.order_by(found.c.fit.desc(), *_NEWEST_FIRST).limit(at_most(limit))


def nearest_memories(
    embedding: Sequence[float], context: _Contexts = _ALL_CONTEXTS, *, limit: int = 10
) -> Select[Memory]:
    """Return the live memories nearest to an embedding by cosine distance, nearest first.

    PostgreSQL with pgvector only; the server refuses the operator if embeddings are bytes. Within a context the query
    compares the memories one by one, which is exact. Over all contexts it is fast only with an HNSW index, which
    `diwa_schema.enable_index` creates.

    Args:
        embedding: The embedding to compare with, 1536 numbers.
        context: The context; all contexts by default.
        limit: The maximum number of rows.

    Raises:
        TypeError: The context is None.
        CompileError: The statement is compiled for SQLite; nothing is sent.
    """
    near = _within(context, select(Memory).where(EMBEDDED))
    comparable: Any = Memory.embedding
    return near.order_by(comparable.cosine_distance(embedding)).limit(at_most(limit))


def versions_of(memory: UUID) -> Select[MemoryVersion]:
    """Return the history of a memory: the state after each change, latest first.

    Args:
        memory: The memory, deleted or not.
    """
    # Without a limit: with one, PostgreSQL may scan the index of all versions by time instead.
    last_first = (
        MemoryVersion.inserted_at.desc(),
        func.coalesce(MemoryVersion.version_number, 0).desc(),
        MemoryVersion.id.desc(),
    )
    return (
        select(MemoryVersion)
        .where(MemoryVersion.memory_id == given.identity(memory, "memory"))
        .order_by(*last_first)
    )


def bound_context(kind: str, value: str) -> Select[Context]:
    """Return the context that a path, a git remote or a variable is bound to; the newest binding counts.

    Args:
        kind: ``path``, ``git_remote`` or ``env_var``.
        value: The path, the address or the value.
    """
    bound = select(ContextBinding.context_id)
    bound = bound.where(
        ContextBinding.binding_type == given.text(kind, "kind"),
        ContextBinding.value == given.text(value, "value"),
    )
    newest = bound.order_by(ContextBinding.inserted_at.desc(), ContextBinding.id.desc()).limit(1)
    return select(Context).where(Context.id == newest.scalar_subquery())


def context_named(organization: UUID, name: str) -> Select[Context]:
    """Return the contexts of an organization with a name, regardless of case; there may be several."""
    within = Context.organization_id == given.identity(organization, "organization")
    return select(Context).where(within, is_named(given.text(name, "name")))


def _in(context: UUID) -> ColumnElement[bool]:
    return Memory.context_id == given.identity(context, "context")


def _within(context: _Contexts, found: Select[Memory]) -> Select[Memory]:
    # Only without the argument: None, the id of a context that was never flushed, reads no other tenant's memories.
    return found if context is _ALL_CONTEXTS else found.where(_in(context))


def _page(found: Select[Memory], limit: int, before: Memory | None) -> Select[Memory]:
    if before is not None:
        found = found.where(rows_before(ARRIVAL, before))
    return found.order_by(*_NEWEST_FIRST).limit(at_most(limit))
