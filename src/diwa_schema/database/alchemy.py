"""SQLAlchemy over a driver connection that is already open; loaded only when revisions are replayed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from diwa_schema.database.link import Link

_NAMES = {"postgresql": "postgresql+psycopg://", "sqlite": "sqlite://"}


@contextmanager
def connection_over(link: Link) -> Iterator[sa.Connection]:
    """Yield SQLAlchemy's view of a link.

    It is in autocommit mode: transactions belong to the link alone, so nothing in between can commit or lose one.
    """
    # The schema has no hstore; without this option SQLAlchemy would query each new connection for it.
    options: dict[str, Any] = {"use_native_hstore": False} if link.dialect == "postgresql" else {}
    engine = sa.create_engine(
        _NAMES[link.dialect],
        creator=lambda: link.raw,
        poolclass=StaticPool,
        isolation_level="AUTOCOMMIT",
        **options,
    )
    engine.dialect.diwa_schema_own = True  # type: ignore[attr-defined]  # told to the types of the models
    connection = engine.connect()
    try:
        yield connection
    finally:
        # The connection is detached, not closed: closing would roll back or close resources of the link.
        if not connection.invalidated:  # the server is gone: SQLAlchemy has already dropped it
            connection.detach()
        engine.dispose(close=False)
