"""Which kind an embedding column of a PostgreSQL database is, and sending a value in the form of that kind.

An untyped text is accepted by both kinds, and bytea silently keeps its characters, so a writer must
know which kind it has. The kind belongs to the column: one database can have both. It is asked once per
engine, on the connection that is about to write, and forgotten when a statement that relied on it
fails.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import Any, Literal, Protocol
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, event, text
from sqlalchemy.engine import Dialect

Kind = Literal["vector", "bytea"]

_KINDS = (
    "SELECT c.name, t.typname, t.oid FROM unnest(ARRAY[{columns}]) AS c(name)"
    " JOIN pg_catalog.pg_attribute a ON a.attrelid = to_regclass(split_part(c.name, '.', 1))"
    " AND a.attname = split_part(c.name, '.', 2) AND NOT a.attisdropped"
    " JOIN pg_catalog.pg_type t ON t.oid = a.atttypid"
)


class Forms(Protocol):
    """A value that can be sent as bytes or as a vector."""

    def as_bytes(self) -> bytes:
        """Return it as a bytea column keeps it."""

    def as_vector(self) -> list[float]:
        """Return its numbers.

        Raises:
            ValueError: It has none.
        """


@dataclass(frozen=True, slots=True)
class Undecided:
    """A value on its way into a column whose kind is not known yet."""

    column: str
    forms: Forms


@dataclass(frozen=True, slots=True)
class _Column:
    kind: str
    oid: int


def kind_in(connection: Connection, column: str) -> Kind:
    """Return the kind that a column is in a PostgreSQL database, or would be: bytea without pgvector."""
    found = connection.execute(text(_KINDS.format(columns=f"'{column}'"))).first()
    if found is not None:
        return "bytea" if found.typname == "bytea" else "vector"
    return "vector" if connection.scalar(text("SELECT to_regtype('vector') IS NOT NULL")) else "bytea"


def declare(column: str) -> None:
    """Name a column that the catalog is to be asked about, as ``table.column``."""
    _columns.add(column)


def watch(dialect: Dialect) -> None:
    """Decide the form of embeddings in every statement that an engine of this dialect executes."""
    with _starting:
        if dialect not in _senders:
            sender = _senders[dialect] = _Sender()
            event.listen(dialect, "do_execute", sender.execute)
            event.listen(dialect, "do_executemany", sender.executemany)


class _Sender:
    """Executes the statements of one engine that carry embeddings."""

    def __init__(self) -> None:
        self.known: dict[str, _Column] = {}

    def execute(self, cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
        """Send a statement with its embeddings in the right form; False when it carries none."""
        if not _carries(parameters):
            return False
        with _Forgetting(self):
            context.dialect.do_execute(cursor, statement, self._decide(cursor, parameters, context), context)
        return True

    def executemany(self, cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
        """Do the same for a statement with many sets of parameters."""
        if not any(map(_carries, parameters)):
            return False
        with _Forgetting(self):
            decided = [self._decide(cursor, each, context) for each in parameters]
            context.dialect.do_executemany(cursor, statement, decided, context)
        return True

    def _decide(self, cursor: Any, parameters: Mapping[str, Any], context: Any) -> dict[str, Any]:
        return {
            name: self._form(value, cursor, context) if isinstance(value, Undecided) else value
            for name, value in parameters.items()
        }

    def _form(self, value: Undecided, cursor: Any, context: Any) -> Any:
        if value.column not in self.known:
            self._learn(context.root_connection)
        column = self.known.get(value.column)
        # Where there is no such column, the statement fails as it would without this.
        if column is None or column.kind == "bytea":
            return value.forms.as_bytes()
        return _as_vector(value.forms.as_vector(), column.oid, cursor)

    def _learn(self, connection: Connection) -> None:
        """Ask the catalog in the caller's transaction; an absent column is no error there."""
        cursor = connection.connection.cursor()
        try:
            cursor.execute(_KINDS.format(columns=", ".join(f"'{name}'" for name in sorted(_columns))))
            self.known = {name: _Column(kind, oid) for name, kind, oid in cursor.fetchall()}
        finally:
            cursor.close()


class _Forgetting:
    """Forgets what is known about columns when a statement fails: one of them may have been converted."""

    def __init__(self, sender: _Sender) -> None:
        self.sender = sender

    def __enter__(self) -> None:
        """Begin to watch."""

    def __exit__(self, failed: object, *_: object) -> None:
        """Forget, if it failed."""
        if failed is not None:
            self.sender.known = {}


_senders: WeakKeyDictionary[Dialect, _Sender] = WeakKeyDictionary()
_starting = Lock()
_columns: set[str] = set()


def _carries(parameters: Any) -> bool:
    return isinstance(parameters, Mapping) and any(type(each) is Undecided for each in parameters.values())


def _as_vector(numbers: list[float], oid: int, cursor: Any) -> Any:
    """Return pgvector's value, to be sent as that type: of mere text, bytea would keep the characters."""
    from pgvector import Vector

    # SQLAlchemy puts its own cursor around that of an asynchronous driver.
    getattr(cursor, "_cursor", cursor).adapters.register_dumper(Vector, _dumper(oid))
    return Vector(numbers)


@lru_cache
def _dumper(oid: int) -> type[Any]:
    from pgvector.psycopg.vector import VectorDumper

    return type("_VectorDumper", (VectorDumper,), {"oid": oid})
