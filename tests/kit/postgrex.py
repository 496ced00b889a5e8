"""A stand-in for Ecto's client: it sends what Postgrex sends, and keeps prepared statements as long as Postgrex does.

A statement is prepared by name at its first use, on each connection of the pool, and stays there for ever. The server
fixed its parameters' types then, and the client encodes by them: an insert that was prepared while a column was text
goes on binding text. Only two errors make the client prepare anew: 0A000 (the result's type changed) and 26000 (the
name is not there). Every other error comes back at every call, because a pool closes no connection on its own.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count
from queue import Queue
from typing import Any, Self

from psycopg import adapters, pq
from psycopg.types.numeric import DecimalBinaryDumper

UUID, JSON, JSONB = 2950, 114, 3802
TEXTS = (25, 1043, 1042, 19)
ARRAYS = {1009: 25, 1015: 1043}  # text[] and varchar[], with the type of their elements
EPOCH = datetime.fromisoformat("2000-01-01")
PREPARE_ANEW = ("0A000", "26000")
ADVISORY_KEY = 129653361  # any number will do: Ecto derives one from the repository's name


class ServerError(Exception):
    """The server refused a statement: `code` is its SQLSTATE."""

    def __init__(self, result: pq.abc.PGresult) -> None:
        self.code = (result.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode()
        super().__init__(f"{self.code} {result.error_message.decode(errors='replace')}")


class ClientError(Exception):
    """The client cannot encode a value, or knows no codec for a type; nothing was executed."""


class Connection:
    """One connection of a pool. `statements` is the pool's cache of queries: the name of each."""

    def __init__(self, url: str, statements: dict[str, str], names: Iterator[int], *, vectors: bool) -> None:
        self._link = pq.PGconn.connect(url.encode())
        if self._link.status != pq.ConnStatus.OK:
            raise ConnectionError(self._link.get_error_message())
        self._statements, self._names, self._vectors = statements, names, vectors
        self._prepared: dict[str, tuple[list[int], list[int]]] = {}  # types of parameters and results
        self._vector: int | None = None

    def query(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Run a statement with `$1` for parameters, and return its rows; uuids are 16 bytes both ways."""
        name = self._statements.setdefault(statement, f"ecto_{next(self._names)}")
        try:
            return self._execute(name, statement, parameters)
        except ServerError as error:
            if error.code in PREPARE_ANEW:
                self._statements.pop(statement, None)
            raise

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Run what is inside in a transaction; an error rolls it back."""
        self._simple("begin")
        try:
            yield self
        except BaseException:
            self._simple("rollback")
            raise
        self._simple("commit")

    def close(self) -> None:
        """Close the connection."""
        self._link.finish()

    def _simple(self, statement: str) -> pq.abc.PGresult:
        return _checked(self._link.exec_(statement.encode()))

    def _execute(self, name: str, statement: str, parameters: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        if name not in self._prepared:
            _checked(self._link.prepare(name.encode(), statement.encode()))
            found = _checked(self._link.describe_prepared(name.encode()))
            wanted = [found.param_type(number) for number in range(found.nparams)]
            given = [found.ftype(number) for number in range(found.nfields)]
            for oid in (*wanted, *given):
                self._know(oid)
            self._prepared[name] = (wanted, given)
        wanted, given = self._prepared[name]
        values: list[Any] = [self._encode(oid, value) for oid, value in zip(wanted, parameters, strict=True)]
        result = _checked(self._link.exec_prepared(name.encode(), values, [1] * len(values), 1))
        return [
            tuple(self._decode(oid, result.get_value(row, column)) for column, oid in enumerate(given))
            for row in range(result.ntuples)
        ]

    def _know(self, oid: int) -> None:
        """Refuse a type without a codec, as Postgrex does when it prepares."""
        if oid in ARRAYS or oid == self._vector or adapters.get_loader(oid, pq.Format.BINARY):
            return
        row = self._simple(f"SELECT typname FROM pg_type WHERE oid = {oid}")
        name = (row.get_value(0, 0) or b"").decode()
        if name != "vector" or not self._vectors:
            raise ClientError(f"type `{name}` can not be handled by the types module")
        self._vector = oid

    def _encode(self, oid: int, value: Any) -> bytes | None:
        if value is None:
            return None
        if oid == self._vector:
            return struct.pack(f">HH{len(value)}f", len(value), 0, *value)
        if oid in ARRAYS:
            return _array(ARRAYS[oid], value)
        if oid in TEXTS:
            return value.encode() if isinstance(value, str) else bytes(value)
        try:
            return ENCODERS[oid](value)
        except (KeyError, TypeError, ValueError, AttributeError, struct.error) as error:
            raise ClientError(f"{value!r} does not fit the type with the number {oid}") from error

    def _decode(self, oid: int, value: bytes | None) -> Any:
        if value is None or oid == UUID:
            return value
        if oid == self._vector:
            length = struct.unpack_from(">H", value)[0]
            return list(struct.unpack_from(f">{length}f", value, 4))
        loader = adapters.get_loader(oid, pq.Format.BINARY)
        assert loader is not None
        return loader(oid, None).load(value)


class Repo:
    """A pool of connections that are opened at once and kept until `close`, with one cache of queries.

    Args:
        url: A URL as libpq takes it.
        size: The number of connections; `query` takes one after the other.
        vectors: Whether the application has pgvector's types; without them it reads no row that has a vector.
    """

    def __init__(self, url: str, size: int = 2, *, vectors: bool = False) -> None:
        self._statements: dict[str, str] = {}
        names = count(1)
        self._all = [Connection(url, self._statements, names, vectors=vectors) for _ in range(size)]
        self._free: Queue[Connection] = Queue()
        for connection in self._all:
            self._free.put(connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._all:
            connection.close()

    @contextmanager
    def checkout(self) -> Iterator[Connection]:
        """Lend a connection."""
        connection = self._free.get()
        try:
            yield connection
        finally:
            self._free.put(connection)  # behind the others: every connection gets its share of the work

    def query(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Run a statement on a connection of the pool, outside a transaction."""
        with self.checkout() as connection:
            return connection.query(statement, *parameters)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Lend a connection that is in a transaction."""
        with self.checkout() as connection, connection.transaction():
            yield connection


class Migrator:
    """What `mix ecto.migrate` and `mix ecto.rollback` do around a migration; it needs two connections.

    Args:
        repo: The pool that it runs on.
        advisory: Whether the repository sets `migration_lock: :pg_advisory_lock` instead of locking the table.
    """

    def __init__(self, repo: Repo, *, advisory: bool = False) -> None:
        self.repo = repo
        self._advisory = advisory

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the lock that keeps other migrators of Ecto out."""
        self.repo.query(
            'CREATE TABLE IF NOT EXISTS "schema_migrations"'
            ' ("version" bigint, "inserted_at" timestamp(0), PRIMARY KEY ("version"))'
        )
        if self._advisory:
            with self.repo.checkout() as holder:
                if holder.query(f"SELECT pg_try_advisory_lock({ADVISORY_KEY})") != [(True,)]:
                    raise ClientError("another migrator holds the lock")
                try:
                    yield
                finally:
                    holder.query(f"SELECT pg_advisory_unlock({ADVISORY_KEY})")
        else:
            with self.repo.transaction() as holder:
                holder.query('LOCK TABLE "schema_migrations" IN SHARE UPDATE EXCLUSIVE MODE')
                yield

    def versions(self) -> list[int]:
        """Return the versions on record."""
        return [
            row[0] for row in self.repo.query('SELECT s0."version"::bigint FROM "schema_migrations" AS s0')
        ]

    def up(self, version: int, work: Callable[[Connection], Any]) -> None:
        """Run a migration and record it, in one transaction beside the lock's."""
        with self.lock(), self.repo.transaction() as connection:
            work(connection)
            connection.query(
                'INSERT INTO "schema_migrations" ("version","inserted_at") VALUES ($1,$2)',
                version,
                datetime.fromisoformat("2026-03-26T09:00:00"),
            )

    def down(self, version: int, work: Callable[[Connection], Any]) -> None:
        """Roll a migration back and take its version off the record."""
        with self.lock(), self.repo.transaction() as connection:
            work(connection)
            connection.query(
                'DELETE FROM "schema_migrations" AS s0 WHERE (s0."version" = $1::bigint)', version
            )


def _checked(result: pq.abc.PGresult) -> pq.abc.PGresult:
    if result.status == pq.ExecStatus.FATAL_ERROR:
        raise ServerError(result)
    return result


def _array(element: int, values: list[str]) -> bytes:
    if not values:
        return struct.pack(">iii", 0, 0, element)
    words = [value.encode() for value in values]
    return struct.pack(">iiiii", 1, 0, element, len(words), 1) + b"".join(
        struct.pack(">i", len(word)) + word for word in words
    )


def _uuid(value: Any) -> bytes:
    if isinstance(value, bytes) and len(value) == 16:
        return value
    raise ValueError("expected a binary of 16 bytes")


def _bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    raise TypeError("expected a binary")


ENCODERS: dict[int, Callable[[Any], bytes]] = {
    16: lambda value: b"\x01" if value else b"\x00",
    17: _bytes,
    20: lambda value: struct.pack(">q", value),
    21: lambda value: struct.pack(">h", value),
    23: lambda value: struct.pack(">i", value),
    700: lambda value: struct.pack(">f", value),
    701: lambda value: struct.pack(">d", value),
    1114: lambda value: struct.pack(">q", (value - EPOCH) // timedelta(microseconds=1)),
    1700: lambda value: bytes(DecimalBinaryDumper(Decimal).dump(value) or b""),
    JSON: lambda value: json.dumps(value).encode(),
    JSONB: lambda value: b"\x01" + json.dumps(value).encode(),
    UUID: _uuid,
}
