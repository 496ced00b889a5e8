"""A session for each request, and the rows of a path."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID

from fastapi import Depends, HTTPException, Request
from sqlalchemy.ext.asyncio import AsyncSession

from diwa_schema.models import Context, Memory


async def _session(request: Request) -> AsyncIterator[AsyncSession]:
    async with request.app.state.sessions() as session:
        yield session


Session = Annotated[AsyncSession, Depends(_session)]


async def _context(context_id: UUID, session: Session) -> Context:
    found = await session.get(Context, context_id)
    if found is None:
        raise HTTPException(404, "No such context.")
    return found


async def _memory(memory_id: UUID, session: Session) -> Memory:
    found = await session.get(Memory, memory_id)
    if found is None:
        raise HTTPException(404, "No such memory.")
    return found


NamedContext = Annotated[Context, Depends(_context)]
NamedMemory = Annotated[Memory, Depends(_memory)]
"""The memory of the path, deleted or not."""
