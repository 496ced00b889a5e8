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
from memory_service import contexts, memories
from memory_service.searches import NotPossible


def create_app(url: str | None = None) -> FastAPI:
    """Return the application.

    Args:
        url: The database, as `postgresql://…`, `postgresql+asyncpg://…` or `sqlite:///…`; by default what DATABASE_URL
            says, else the private database of this installation.
    """
    named = url or os.environ.get("DATABASE_URL") or diwa_schema.embedded_url()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        engine = create_async_engine(named.replace("sqlite://", "sqlite+aiosqlite://", 1))
        try:
            await diwa_schema.aensure_current(engine)  # raises where the schema is not what the models need
            # Without expire_on_commit=False an answer could not be made of a row that was committed.
            app.state.sessions = async_sessionmaker(engine, expire_on_commit=False)
            yield
        finally:
            await engine.dispose()

    app = FastAPI(title="Memory service", lifespan=lifespan)
    app.include_router(contexts.router)
    app.include_router(memories.router)
    app.add_exception_handler(NotPossible, _not_possible)
    app.add_exception_handler(RequestValidationError, _invalid)
    return app


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    """Say what is wrong without repeating what was sent: half a character or NaN cannot be said in JSON."""
    found = error.errors() if isinstance(error, RequestValidationError) else []
    said = [{name: each[name] for name in ("type", "loc", "msg")} for each in found]
    return JSONResponse({"detail": said}, status_code=422)


async def _not_possible(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, status_code=501)
