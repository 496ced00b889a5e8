"""The application: one engine, which is checked before the first request is taken."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

import diwa_schema
from memory_service import __version__, contexts, memories
from memory_service.searches import NotPossible

DESCRIPTION = """
Contexts and their memories, on the shared schema of diwa-agent and diwa-cloud.

* Each change of a memory leaves a version in its history.
* A deleted memory stays readable by its id; no list shows it.
* The search for neighbours needs PostgreSQL with pgvector.
"""
TAGS = [
    {"name": "contexts", "description": "A context groups the memories of one subject."},
    {
        "name": "memories",
        "description": "A memory is a text with tags, metadata and, optionally, an embedding.",
    },
]


def create_app(url: str | None = None) -> FastAPI:
    """Return the application.

    Args:
        url: The database, as `postgresql://…`, `postgresql+asyncpg://…` or `sqlite:///…`; by default the value of
            DATABASE_URL, else the private database of this installation.
    """
    named = url or os.environ.get("DATABASE_URL") or diwa_schema.embedded_url()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        engine = create_async_engine(named.replace("sqlite://", "sqlite+aiosqlite://", 1))
        try:
            await diwa_schema.aensure_current(engine)  # raises if the schema does not fit the models
            # With expire_on_commit=True an answer could not use the row after the commit.
            app.state.sessions = async_sessionmaker(engine, expire_on_commit=False)
            yield
        finally:
            await engine.dispose()

    app = FastAPI(
        title="Memory service",
        version=__version__,
        summary="Stores what a team wants to remember, and finds it again.",
        description=DESCRIPTION,
        openapi_tags=TAGS,
        lifespan=lifespan,
    )
    app.include_router(contexts.router)
    app.include_router(memories.router)
    app.add_exception_handler(NotPossible, _not_possible)
    app.add_exception_handler(RequestValidationError, _invalid)
    return app


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    """Describe the errors without the values: JSON has no word for half a character or NaN."""
    found = error.errors() if isinstance(error, RequestValidationError) else []
    said = [{name: each[name] for name in ("type", "loc", "msg")} for each in found]
    return JSONResponse({"detail": said}, status_code=422)


async def _not_possible(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, status_code=501)
