"""Sessions for asyncio without a pytest plugin: the connection is opened in the test's own event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from diwa_schema.models.base import enforce_foreign_keys
from diwa_schema.testing.sessions import explicit_begin

_DRIVERS = {"postgresql": "postgresql+psycopg", "sqlite": "sqlite+aiosqlite"}


@contextmanager
def async_session(url: str, *, undone: bool) -> Iterator[AsyncSession]:
    """Yield a session that connects on first use.

    Args:
        url: The database.
        undone: Whether its commits are undone at the end.
    """
    parsed = sa.make_url(url)
    engine = create_async_engine(
        parsed.set(drivername=_DRIVERS[parsed.get_backend_name()]), poolclass=NullPool
    )
    enforce_foreign_keys(engine.sync_engine)
    if undone:
        explicit_begin(engine.sync_engine)
    session = AsyncSession(
        engine,
        sync_session_class=_Connected,
        join_transaction_mode="create_savepoint" if undone else "conditional_savepoint",
    )
    yield session
    connected: Any = session.sync_session
    connected.end()


class _Connected(Session):
    """A session with its own connection, which can be closed without the event loop that opened it."""

    _own: sa.Connection | None = None
    _driver: Any = None

    def get_bind(self, *_: Any, **__: Any) -> sa.Connection:
        """Return the connection; the first call opens it and begins a transaction."""
        if self._own is None:
            engine: Any = self.bind
            self._own = engine.connect()
            self._driver = self._own.connection.driver_connection
            # Detached from the pool, which would await the connection's close.
            self._own.detach()
            if self.join_transaction_mode == "create_savepoint":
                self._own.begin()
        return self._own

    def end(self) -> None:
        """Close the driver's connection, whose event loop may be gone."""
        if self._driver is None:
            return
        thread = threading.Thread(target=lambda: asyncio.run(self._driver.close()))
        thread.start()
        thread.join()
