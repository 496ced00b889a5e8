"""SQLAlchemy over a driver connection that is already open; loaded only when revisions are replayed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from diwa_schema.database.link import Link

_NAMES = {"postgresql": "postgresql+psycopg://", "sqlite": "sqlite://"}


@contextmanager
def connection_over(link: Link) -> Iterator[sa.Connection]:
    """Give SQLAlchemy's view of a link.

    It is in autocommit mode: transactions belong to the link alone, so nothing in between can commit or lose one.
    """
    engine = sa.create_engine(
        _NAMES[link.dialect], creator=lambda: link.raw, poolclass=StaticPool, isolation_level="AUTOCOMMIT"
    )
    try:
        # The connection is never closed here: closing would roll back or close what belongs to the link.
        connection = engine.connect()
        yield connection
        connection.detach()
    finally:
        engine.dispose(close=False)
