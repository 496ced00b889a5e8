"""Memories: adding, finding, changing and deleting them. Each change leaves a version in the same transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, HTTPException, Query
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from diwa_schema import queries
from diwa_schema.models import Memory, MemoryVersion
from diwa_schema.models.values import MemoryOperation
from memory_service.searches import nearest
from memory_service.sessions import NamedContext, NamedMemory, Session
from memory_service.shapes import Change, Line, NewMemory, Page, Place, ShownMemory, ShownVersion

router = APIRouter(tags=["memories"])
Limit = Annotated[int, Query(ge=1, le=100)]


@router.post("/contexts/{context_id}/memories", status_code=201)
async def add(context: NamedContext, new: NewMemory, session: Session) -> ShownMemory:
    """Add a memory to a context."""
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


@router.get("/contexts/{context_id}/memories")
async def newest(
    context: NamedContext,
    session: Session,
    tag: Annotated[list[Line] | None, Query()] = None,
    limit: Limit = 20,
    before: UUID | None = None,
) -> Page:
    """Show the newest memories of a context, or the newest that have all of the tags."""
    last = None if before is None else await session.get(Memory, before)
    if before is not None and (last is None or last.context_id != context.id):
        raise HTTPException(404, "The memory to go on from is none of this context.")
    if tag:
        query = queries.memories_tagged(context.id, *tag, limit=limit, before=last)
    else:
        query = queries.newest_memories(context.id, limit=limit, before=last)
    found = (await session.scalars(query)).all()
    return Page(memories=_shown(found), before=found[-1].id if len(found) == limit else None)


@router.get("/contexts/{context_id}/memories/search")
async def search(context: NamedContext, session: Session, words: str, limit: Limit = 20) -> list[ShownMemory]:
    """Show the memories of a context in which all of the words occur."""
    return _shown((await session.scalars(queries.memories_saying(context.id, words, limit=limit))).all())


@router.post("/contexts/{context_id}/memories/nearest")
async def neighbours(context: NamedContext, place: Place, session: Session) -> list[ShownMemory]:
    """Show the memories of a context that are nearest to an embedding."""
    query = queries.nearest_memories(place.embedding, context.id, limit=place.limit)
    return _shown(await nearest(session, query))


@router.get("/memories/{memory_id}")
async def show(memory: NamedMemory) -> ShownMemory:
    """Show a memory, a deleted one with the time of its deletion."""
    return ShownMemory.model_validate(memory)


@router.patch("/memories/{memory_id}")
async def change(memory: NamedMemory, given: Change, session: Session) -> ShownMemory:
    """Change a memory."""
    await _lock(session, memory)
    values = given.model_dump(exclude_unset=True, exclude={"actor", "reason"})
    for name, value in values.items():
        setattr(memory, {"metadata": "metadata_"}.get(name, name), value)
    return await _saved(session, memory, "update", given.actor, given.reason)


@router.delete("/memories/{memory_id}")
async def delete(
    memory: NamedMemory, session: Session, actor: Line | None = None, reason: str | None = None
) -> ShownMemory:
    """Delete a memory: the row stays, and no list shows it any more."""
    await _lock(session, memory)
    memory.deleted_at = datetime.now(UTC)
    return await _saved(session, memory, "delete", actor, reason)


@router.get("/memories/{memory_id}/history")
async def history(memory: NamedMemory, session: Session) -> list[ShownVersion]:
    """Show what was done to a memory, the last change first."""
    versions = (await session.scalars(queries.versions_of(memory.id))).all()
    return [ShownVersion.model_validate(version) for version in versions]


async def _lock(session: AsyncSession, memory: Memory) -> None:
    """Wait until nobody else changes the memory, and read it as it is then."""
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
