"""An idle connection from the pool of an Engine, borrowed for reading.

Opening a connection costs as much as a check. A pooled connection is used only if its settings are those of a new one:
a setting that an application has left on it could redirect the check. An empty pool is left empty, because processes
that are forked later would share a new connection in it. Only if another thread takes the idle connection at the same
moment can the pool open one, or let the caller wait for its own timeout.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from diwa_schema.database.failures import is_driver_error

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.pool import PoolProxiedConnection

# The settings that the session has changed since its start; its name changes during work and does not count.
_STATE = (
    "SELECT current_user::text, session_user::text, ARRAY(SELECT name || '=' || setting FROM pg_settings"
    " WHERE source = 'session' AND setting IS DISTINCT FROM reset_val AND name <> 'application_name' ORDER BY name)"
)

# The initial settings of connections, for an Engine that sets some on each; read when the first such Engine is met.
_BORN: WeakKeyDictionary[Engine, tuple[Any, ...]] = WeakKeyDictionary()


@contextmanager
def lent(engine: Engine) -> Iterator[Any]:
    """Yield the driver's connection of an idle one without a transaction; None if there is none."""
    proxied = _idle(engine)
    if proxied is None:
        yield None
        return
    try:
        yield proxied.driver_connection
    finally:
        proxied.close()


def as_born(engine: Engine, raw: Any) -> bool:
    """Return whether a borrowed connection has the settings of a new one; a dead one does not."""
    try:
        state = _state(raw)
    except Exception as error:
        if not is_driver_error(error):
            raise
        return False
    user, session, settings = state
    return (user == session and not settings) or state == _BORN.get(engine)


def note_born(engine: Engine, raw: Any) -> None:
    """Remember the settings of a connection that the Engine has just opened."""
    _BORN[engine] = _state(raw)


def _state(raw: Any) -> tuple[Any, ...]:
    from psycopg.rows import tuple_row

    with raw.cursor(row_factory=tuple_row) as cursor:
        state: tuple[Any, ...] = cursor.execute(_STATE).fetchone()
    if not raw.autocommit:
        raw.rollback()
    return state


def _idle(engine: Engine) -> PoolProxiedConnection | None:
    from sqlalchemy.exc import TimeoutError as PoolTimeoutError
    from sqlalchemy.pool import QueuePool

    if not isinstance(engine.pool, QueuePool) or not engine.pool.checkedin():
        return None
    try:
        proxied = engine.raw_connection()
    except Exception as error:
        # Another thread was faster, or the server is unreachable, which a new connection will report.
        if not is_driver_error(error) and not isinstance(error, PoolTimeoutError):
            raise
        return None
    raw: Any = proxied.driver_connection
    if raw.closed or raw.info.transaction_status:  # IDLE is 0
        proxied.close()
        return None
    return proxied
