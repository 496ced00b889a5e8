"""A connection that lies idle in the pool of an Engine, lent for reading.

To open one costs as much as a check. One of the pool is used where it is as the Engine opens them; what an
application has set on it and not taken back would lead the look elsewhere. Nobody is waited for, and the pool is left
as it was: processes that are forked later would share a connection that was put there.
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

# What the session has set otherwise than it began; its name changes with what it does, and decides nothing.
_STATE = (
    "SELECT current_user::text, session_user::text, ARRAY(SELECT name || '=' || setting FROM pg_settings"
    " WHERE source = 'session' AND setting IS DISTINCT FROM reset_val AND name <> 'application_name' ORDER BY name)"
)

# How the connections of an Engine are born that sets something on each; asked for when one was met.
_BORN: WeakKeyDictionary[Engine, tuple[Any, ...]] = WeakKeyDictionary()


@contextmanager
def lent(engine: Engine) -> Iterator[Any]:
    """Give the driver's connection of one that is idle, in no transaction; None where there is none to be had."""
    proxied = _idle(engine)
    if proxied is None:
        yield None
        return
    try:
        yield proxied.driver_connection
    finally:
        proxied.close()


def as_born(engine: Engine, raw: Any) -> bool:
    """Tell whether a connection that was lent is as the Engine opens them; a dead one is not."""
    try:
        state = _state(raw)
    except Exception as error:
        if not is_driver_error(error):
            raise
        return False
    user, session, settings = state
    return (user == session and not settings) or state == _BORN.get(engine)


def note_born(engine: Engine, raw: Any) -> None:
    """Remember how a connection is that the Engine has just opened."""
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
        # Another thread was faster, or the server is gone, which a new connection tells in its own words.
        if not is_driver_error(error) and not isinstance(error, PoolTimeoutError):
            raise
        return None
    raw: Any = proxied.driver_connection
    if raw.closed or raw.info.transaction_status:  # IDLE is 0
        proxied.close()
        return None
    return proxied
