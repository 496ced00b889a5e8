"""Contexts: making one, and looking at it."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException
from sqlalchemy import select

from diwa_schema import queries
from diwa_schema.models import Context, Organization
from memory_service.sessions import NamedContext, Session
from memory_service.shapes import NewContext, ShownContext

router = APIRouter(tags=["contexts"])


@router.post("/contexts", status_code=201)
async def create(new: NewContext, session: Session) -> ShownContext:
    """Make a context; its name is taken once in an organization, whatever its case."""
    owner = await session.scalar(select(Organization).where(Organization.slug == new.organization))
    if owner is None:
        session.add(owner := Organization(name=new.organization, slug=new.organization))
        await session.flush()
    if (await session.scalars(queries.context_named(owner.id, new.name))).first():
        raise HTTPException(409, f"The organization has a context named {new.name!r}.")
    session.add(made := Context(organization=owner, name=new.name, description=new.description))
    await session.commit()
    return ShownContext.model_validate(made)


@router.get("/contexts/{context_id}")
async def show(context: NamedContext) -> ShownContext:
    """Show a context."""
    return ShownContext.model_validate(context)
