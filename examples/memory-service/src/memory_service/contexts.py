"""Contexts: create one, read one."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import APIRouter, HTTPException
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from diwa_schema import queries
from diwa_schema.models import Context, Organization
from memory_service.sessions import NamedContext, Session
from memory_service.shapes import NewContext, ShownContext, problems

router = APIRouter(tags=["contexts"])


@router.post("/contexts", status_code=201, summary="Create a context", responses=problems(409))
async def create(new: NewContext, session: Session) -> ShownContext:
    """Create a context, and its organization if that is new. Two names that differ only in case are the same."""
    owner = await _organization(session, new.organization)
    # Until the commit nobody else adds a context to the organization. No index refuses a second name, because older
    # rows may share one.
    touched = update(Organization).where(Organization.id == owner.id)
    await session.execute(touched.values(updated_at=datetime.now(UTC)))
    if (await session.scalars(queries.context_named(owner.id, new.name))).first():
        raise HTTPException(409, f"The organization already has a context named {new.name!r}.")
    session.add(made := Context(organization=owner, name=new.name, description=new.description))
    await session.commit()
    return ShownContext.model_validate(made)


@router.get("/contexts/{context_id}", summary="Read a context", responses=problems(404))
async def show(context: NamedContext) -> ShownContext:
    """Return one context by its id."""
    return ShownContext.model_validate(context)


async def _organization(session: AsyncSession, slug: str) -> Organization:
    """Return the organization of a slug; a new one is committed at once, so that other requests can use it."""
    named = select(Organization).where(Organization.slug == slug)
    if (found := await session.scalar(named)) is not None:
        return found
    session.add(made := Organization(name=slug, slug=slug))
    try:
        await session.commit()
    except IntegrityError:  # another request has just created it
        await session.rollback()
        return (await session.scalars(named)).one()
    return made
