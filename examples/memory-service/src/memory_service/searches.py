"""Searches that only some databases support."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Select
from sqlalchemy.exc import CompileError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncSession

from diwa_schema.models import Memory


class NotPossible(Exception):  # noqa: N818 - an answer, not an error of this service
    """The database does not support the search."""


async def nearest(session: AsyncSession, query: Select[Memory]) -> Sequence[Memory]:
    """Return the rows of a search by distance.

    Raises:
        NotPossible: The database is SQLite, or keeps embeddings as bytes.
    """
    try:
        return (await session.scalars(query)).all()
    except CompileError as error:
        raise NotPossible(str(error)) from error
    except ProgrammingError as error:
        raise NotPossible("This database keeps embeddings as bytes, and bytes have no distance.") from error
