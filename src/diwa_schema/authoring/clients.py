"""Clients that stay connected while a revision runs, and send the same statements before and after it.

Each client has prepared its statements, as the applications' drivers do. psycopg uses autocommit, where it keeps its
prepared statements; the two others use a transaction for each statement, which is committed, or rolled back on request.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from datetime import datetime
from decimal import Decimal
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from uuid import UUID

from diwa_schema.authoring.statements import Statement

if TYPE_CHECKING:
    import psycopg

Send = Callable[[Statement], None]
_PLACE = re.compile(r"\$(\d+)")
_SHOWN = 90
# At 100 prepared statements the drivers forget the oldest; here they must keep all.
_MOST = 100_000


@contextmanager
def connected(
    url: str, statements: Sequence[Statement], *, undone: bool = False
) -> Iterator[Callable[[], list[str]]]:
    """Send statements on connections of each client; yield a function that sends them again and returns the failures.

    A statement that a client could not send the first time is ignored later.

    Args:
        url: A PostgreSQL database.
        statements: The statements, in this order.
        undone: Whether each is rolled back, so that none depends on those before it.
    """
    with ExitStack() as stack:
        known = {"psycopg": _psycopg, "SQLAlchemy over psycopg": _alchemy}
        if find_spec("asyncpg") is not None:
            known["asyncpg"] = _asyncpg
        sends = {name: stack.enter_context(client(url, undone)) for name, client in known.items()}
        good = {name: [one for one in statements if not _said(send, one)] for name, send in sends.items()}
        yield lambda: [
            f"{name}: {said}: {' '.join(one.sql.split())[:_SHOWN]}"
            for name, send in sends.items()
            for one in good[name]
            if (said := _said(send, one))
        ]


def _said(send: Send, statement: Statement) -> str:
    """Send a statement, and return the error of the server; an empty text if it succeeded."""
    try:
        send(statement)
    except Exception as error:  # noqa: BLE001 - each driver has its own
        return str(getattr(error, "orig", None) or error).splitlines()[0]
    return ""


@contextmanager
def _psycopg(url: str, undone: bool) -> Iterator[Send]:
    import psycopg

    with psycopg.connect(url, autocommit=True, prepare_threshold=0) as connection:
        connection.prepared_max = _MOST

        def send(one: Statement) -> None:
            with _undone(connection) if undone else nullcontext():
                # The server's own placeholders. A text goes without a type, as the casts of the models need
                # it.
                psycopg.RawCursor(connection).execute(one.sql, one.values or None)

        yield send


@contextmanager
def _undone(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Roll back the work of the block without the driver, which would otherwise forget its prepared statements."""
    connection.pgconn.exec_(b"BEGIN")
    try:
        yield
    finally:
        connection.pgconn.exec_(b"ROLLBACK")


@contextmanager
def _alchemy(url: str, undone: bool) -> Iterator[Send]:
    import sqlalchemy as sa

    made = sa.make_url(url).set(drivername="postgresql+psycopg")
    engine = sa.create_engine(made, connect_args={"prepare_threshold": 0})
    try:
        with engine.connect() as connection:
            driver: Any = connection.connection.dbapi_connection
            driver.prepared_max = _MOST

            def send(one: Statement) -> None:
                places = [int(place) - 1 for place in _PLACE.findall(one.sql)]
                text = _PLACE.sub("%s", one.sql.replace("%", "%%"))
                with connection.begin(), _undone(driver) if undone else nullcontext():
                    connection.exec_driver_sql(text, tuple(one.values[place] for place in places))

            yield send
    finally:
        engine.dispose()


@contextmanager
def _asyncpg(url: str, undone: bool) -> Iterator[Send]:
    asyncpg: Any = import_module("asyncpg")
    loop = asyncio.new_event_loop()
    connection = loop.run_until_complete(
        asyncpg.connect(url, statement_cache_size=_MOST, max_cached_statement_lifetime=0)
    )
    kinds: dict[str, tuple[str, ...]] = {}

    async def fetch(one: Statement) -> None:
        if one.sql not in kinds:
            prepared = await connection.prepare(one.sql)
            kinds[one.sql] = tuple(kind.name for kind in prepared.get_parameters())
        values = map(_as, kinds[one.sql], one.values)
        transaction = connection.transaction()
        await transaction.start()
        try:
            await connection.fetch(one.sql, *values)
        except BaseException:
            await transaction.rollback()
            raise
        await (transaction.rollback() if undone else transaction.commit())

    try:
        yield lambda one: loop.run_until_complete(fetch(one))
        loop.run_until_complete(connection.close())
    finally:
        loop.close()


_KINDS: dict[str, Callable[[Any], Any]] = {
    "uuid": UUID,
    "timestamp": datetime.fromisoformat,
    "timestamptz": datetime.fromisoformat,
    "numeric": Decimal,
    "bytea": lambda text: bytes.fromhex(text.removeprefix("\\x")),
}


def _as(kind: str, value: Any) -> Any:
    """Return a value in the form that asyncpg takes for a type; asyncpg never guesses."""
    made = _KINDS.get(kind)
    return value if value is None or made is None else made(value)
