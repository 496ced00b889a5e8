"""The application: one engine, which is checked before the first request is taken."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError, StatementError
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

import diwa_schema
from memory_service import __version__, contexts, memories
from memory_service.searches import NotPossible

DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
    "postgresql+asyncpg": "postgresql+asyncpg",
}
LOG = logging.getLogger("uvicorn.error")

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
    place = engine_url(url or os.environ.get("DATABASE_URL") or diwa_schema.embedded_url())

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # After a restart of the server no request gets a connection from before it.
        engine = create_async_engine(place, pool_pre_ping=True)
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
    app.add_exception_handler(StatementError, _refused)
    app.add_exception_handler(OSError, _unreachable)  # asyncpg's word for a server that is not there
    return app


def engine_url(text: str) -> URL:
    """Return the URL of an asynchronous engine for a database.

    Raises:
        ValueError: It is no such URL. The message has no part of it: each part may be a password in the wrong place.
    """
    scheme, _, rest = text.strip().partition("://")
    try:
        return make_url(f"{DRIVERS[scheme]}://{rest}")
    except (KeyError, ValueError, ArgumentError):
        raise ValueError(
            "DATABASE_URL is no URL of a database: write postgresql://USER:PASSWORD@HOST/NAME, with postgresql+asyncpg://"
            " for asyncpg, or sqlite:///PATH. Percent-encode the special characters of a password."
        ) from None


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    """Describe the errors without the values: JSON has no word for half a character or NaN."""
    found = error.errors() if isinstance(error, RequestValidationError) else []
    said = [{name: each[name] for name in ("type", "loc", "msg")} for each in found]
    return JSONResponse({"detail": said}, status_code=422)


async def _refused(_: Request, error: Exception) -> JSONResponse:
    """Answer with the sentence of the models about a value that one of the databases would not keep."""
    reason = getattr(error, "orig", None)
    if isinstance(error, DBAPIError) and _is_gone(error):
        return await _unreachable(_, error)
    if isinstance(error, DBAPIError) or not isinstance(reason, ValueError | TypeError):
        raise error
    return JSONResponse(
        {"detail": [{"type": "value_error", "loc": ["body"], "msg": str(reason)}]}, status_code=422
    )


def _is_gone(error: DBAPIError) -> bool:
    """Return whether the database is gone or busy; without a statement, not even a connection was made."""
    gone = error.connection_invalidated or error.statement is None
    return gone or isinstance(error, OperationalError | InterfaceError)


async def _unreachable(request: Request, error: Exception) -> JSONResponse:
    """Answer that the database is not there; the log has one line, and no URL with its password."""
    LOG.warning(
        "%s %s: the database is not available: %s", request.method, request.url.path, type(error).__name__
    )
    return JSONResponse({"detail": "The database is not available now."}, status_code=503)


async def _not_possible(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, status_code=501)
