"""Contexts: create one, read one."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException
from sqlalchemy import select

from diwa_schema import queries
from diwa_schema.models import Context, Organization
from memory_service.sessions import NamedContext, Session
from memory_service.shapes import NewContext, ShownContext, problems

router = APIRouter(tags=["contexts"])


@router.post("/contexts", status_code=201, summary="Create a context", responses=problems(409))
async def create(new: NewContext, session: Session) -> ShownContext:
    """Create a context, and its organization if that is new. Two names that differ only in case are the same."""
    owner = await session.scalar(select(Organization).where(Organization.slug == new.organization))
    if owner is None:
        session.add(owner := Organization(name=new.organization, slug=new.organization))
        await session.flush()
    if (await session.scalars(queries.context_named(owner.id, new.name))).first():
        raise HTTPException(409, f"The organization already has a context named {new.name!r}.")
    session.add(made := Context(organization=owner, name=new.name, description=new.description))
    await session.commit()
    return ShownContext.model_validate(made)


@router.get("/contexts/{context_id}", summary="Read a context", responses=problems(404))
async def show(context: NamedContext) -> ShownContext:
    """Return one context by its id."""
    return ShownContext.model_validate(context)
