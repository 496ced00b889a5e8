"""Memories: add, find, change and delete them. Each change leaves a version in the same transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, HTTPException, Query
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import defer

from diwa_schema import queries
from diwa_schema.models import Memory, MemoryVersion
from diwa_schema.models.values import MemoryOperation
from memory_service.searches import nearest
from memory_service.sessions import NamedContext, NamedMemory, Session
from memory_service.shapes import (
    Change,
    Line,
    NewMemory,
    Page,
    Place,
    ShownMemory,
    ShownVersion,
    Text,
    problems,
)

router = APIRouter(tags=["memories"])
Limit = Annotated[int, Query(ge=1, le=100, description="The most memories of the answer.")]
Words = Annotated[str, Query(description="The words; all of them have to occur.", examples=["low tide"])]
Tags = Annotated[
    list[Line] | None,
    Query(description="Only memories with this tag; repeat it for more tags.", examples=[["tide"]]),
]
Before = Annotated[UUID | None, Query(description="The `before` of the previous page; its memories follow.")]
Actor = Annotated[Line | None, Query(description="The person or program that makes the change.")]
# No answer shows an embedding, which is larger than everything else of a memory.
WITHOUT_EMBEDDING = defer(Memory.embedding)
Reason = Annotated[Text | None, Query(description="The reason of the change.")]


@router.post(
    "/contexts/{context_id}/memories", status_code=201, summary="Add a memory", responses=problems(404)
)
async def add(context: NamedContext, new: NewMemory, session: Session) -> ShownMemory:
    """Add a memory to a context. Its history begins with this version."""
    memory = Memory(
        context_id=context.id,
        content=new.content,
        tags=new.tags,
        metadata_=new.metadata,
        actor=new.actor,
        embedding=new.embedding,
    )
    session.add(memory)
    await session.flush()
    return await _saved(session, memory, "create", new.actor)


@router.get("/contexts/{context_id}/memories", summary="List the newest memories", responses=problems(404))
async def newest(
    context: NamedContext,
    session: Session,
    tag: Tags = None,
    limit: Limit = 20,
    before: Before = None,
) -> Page:
    """Return the newest memories of a context, or the newest with all of the tags, a page at a time."""
    last = None if before is None else await session.get(Memory, before)
    if before is not None and (last is None or last.context_id != context.id):
        raise HTTPException(404, "The memory of `before` does not belong to this context.")
    if tag:
        query = queries.memories_tagged(context.id, *tag, limit=limit, before=last)
    else:
        query = queries.newest_memories(context.id, limit=limit, before=last)
    found = (await session.scalars(query.options(WITHOUT_EMBEDDING))).all()
    return Page(memories=_shown(found), before=found[-1].id if len(found) == limit else None)


@router.get("/contexts/{context_id}/memories/search", summary="Search for words", responses=problems(404))
async def search(
    context: NamedContext, session: Session, words: Words, limit: Limit = 20
) -> list[ShownMemory]:
    """Return the memories of a context that contain all of the words."""
    query = queries.memories_saying(context.id, words, limit=limit)
    return _shown((await session.scalars(query.options(WITHOUT_EMBEDDING))).all())


@router.post(
    "/contexts/{context_id}/memories/nearest",
    summary="Find the nearest memories",
    responses=problems(404, 501),
)
async def neighbours(context: NamedContext, place: Place, session: Session) -> list[ShownMemory]:
    """Return the memories of a context that are nearest to an embedding; PostgreSQL with pgvector only."""
    query = queries.nearest_memories(place.embedding, context.id, limit=place.limit)
    return _shown(await nearest(session, query.options(WITHOUT_EMBEDDING)))


@router.get("/memories/{memory_id}", summary="Read a memory", responses=problems(404))
async def show(memory: NamedMemory) -> ShownMemory:
    """Return one memory by its id; a deleted one has the time of its deletion."""
    return ShownMemory.model_validate(memory)


@router.patch("/memories/{memory_id}", summary="Change a memory", responses=problems(404, 410))
async def change(memory: NamedMemory, given: Change, session: Session) -> ShownMemory:
    """Change the given fields of a memory, and add a version to its history."""
    await _lock(session, memory)
    for name, value in given.values.items():
        setattr(memory, {"metadata": "metadata_"}.get(name, name), value)
    return await _saved(session, memory, "update", given.actor, given.reason)


@router.delete("/memories/{memory_id}", summary="Delete a memory", responses=problems(404, 410))
async def delete(
    memory: NamedMemory, session: Session, actor: Actor = None, reason: Reason = None
) -> ShownMemory:
    """Delete a memory. Its row and its history stay, and no list shows it any more."""
    await _lock(session, memory)
    memory.deleted_at = datetime.now(UTC)
    return await _saved(session, memory, "delete", actor, reason)


@router.get("/memories/{memory_id}/history", summary="Read the history of a memory", responses=problems(404))
async def history(memory: NamedMemory, session: Session) -> list[ShownVersion]:
    """Return the versions of a memory, the latest first."""
    versions = (await session.scalars(queries.versions_of(memory.id))).all()
    return [ShownVersion.model_validate(version) for version in versions]


async def _lock(session: AsyncSession, memory: Memory) -> None:
    """Wait until nobody else changes the memory, and read its state then."""
    await session.refresh(memory, with_for_update=True)
    if memory.deleted_at is not None:
        raise HTTPException(410, "The memory was deleted.")


async def _saved(
    session: AsyncSession,
    memory: Memory,
    operation: MemoryOperation,
    actor: str | None,
    reason: str | None = None,
) -> ShownMemory:
    """Commit a change of a memory, with its version."""
    so_far = select(func.coalesce(func.max(MemoryVersion.version_number), 0) + 1)
    version = MemoryVersion(
        memory_id=memory.id,
        content=memory.content,
        tags=memory.tags,
        metadata_=memory.metadata_,
        operation=operation,
        actor=actor,
        reason=reason,
        version_number=so_far.where(MemoryVersion.memory_id == memory.id).scalar_subquery(),
    )
    session.add(version)
    await session.commit()
    return ShownMemory.model_validate(memory)


def _shown(found: Sequence[Memory]) -> list[ShownMemory]:
    return [ShownMemory.model_validate(memory) for memory in found]
