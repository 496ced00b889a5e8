"""The type of an embedding column in a PostgreSQL database, and values in the form of that type.

Both types accept an untyped text, and bytea silently stores its characters, so a writer must know the type of the
column. The type belongs to the column of one table in one schema: a database can have both, and tenants can differ. The
statement (`schema_translate_map`) or the search path decides the target schema, and the path belongs to the connection:
a pool may set it at each checkout. The writing connection is therefore asked once in each transaction, and the answer
expires with the transaction: the next one may belong to another tenant or follow a conversion.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, Protocol
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, text

Kind = Literal["vector", "bytea"]

# A table is named by the search path or with a schema; both are literals of one list.
_KINDS = (
    "SELECT c.name, t.typname, t.oid FROM (VALUES {columns}) AS c(name, relation, attribute)"
    " JOIN pg_catalog.pg_attribute a ON a.attrelid = to_regclass(c.relation)"
    " AND a.attname = c.attribute AND NOT a.attisdropped"
    " JOIN pg_catalog.pg_type t ON t.oid = a.atttypid"
)

# The statements that can change the search path within a transaction, or revert earlier parts of it.
_MOVES = re.compile(
    r"search_path|set_config|\bset\b.*\bschema\b|\breset\b|\bdiscard\b|\brollback\b|\balter\b", re.IGNORECASE
)


class Forms(Protocol):
    """A value that can be sent as bytes or as a vector."""

    def as_bytes(self) -> bytes:
        """Return the value in the form of a bytea column."""

    def as_vector(self) -> list[float]:
        """Return its numbers.

        Raises:
            ValueError: The value has no numbers.
        """


@dataclass(frozen=True, slots=True)
class Undecided:
    """A value for a column whose type is not known yet."""

    column: str
    forms: Forms


@dataclass(frozen=True, slots=True)
class _Column:
    kind: str
    oid: int


_columns: set[str] = set()


def declare(column: str) -> None:
    """Register a column for the question to the catalog, as ``table.column``."""
    _columns.add(column)


def kind_in(connection: Connection, column: str) -> Kind:
    """Return the type that a column has in a PostgreSQL database, or would have: bytea without pgvector."""
    found = connection.execute(text(_question([column], schema=None))).first()
    if found is not None:
        return "bytea" if found.typname == "bytea" else "vector"
    return "vector" if connection.scalar(text("SELECT to_regtype('vector') IS NOT NULL")) else "bytea"


def _question(columns: Sequence[str], schema: str | None) -> str:
    from diwa_schema.names import literal, qualified, quoted

    listed = []
    for column in columns:
        table, _, attribute = column.partition(".")
        relation = quoted(table) if schema is None else qualified(schema, table)
        listed.append(f"({literal(column)}, {literal(relation)}, {literal(attribute)})")
    return _KINDS.format(columns=", ".join(listed))


class Kinds:
    """The column types that the open transactions of one engine have learned."""

    def __init__(self) -> None:
        self._known: WeakKeyDictionary[Any, dict[str | None, dict[str, _Column]]] = WeakKeyDictionary()

    def forget(self, context: Any) -> None:
        """Forget the column types of a statement's transaction."""
        self._known.pop(context.root_connection.get_transaction(), None)

    def notice(self, statement: str, context: Any) -> None:
        """Forget the column types if a statement may have moved the transaction to another schema."""
        if self._known and _MOVES.search(statement):
            self.forget(context)

    def decided(self, parameters: Any, context: Any) -> Any:
        """Return the parameters of one row with each embedding in the form of its column."""
        if isinstance(parameters, Mapping):
            if not any(type(each) is Undecided for each in parameters.values()):
                return parameters
            return {name: self._form(value, context) for name, value in parameters.items()}
        if not any(type(each) is Undecided for each in parameters):
            return parameters
        return tuple(self._form(value, context) for value in parameters)

    def _form(self, value: Any, context: Any) -> Any:
        if type(value) is not Undecided:
            return value
        column = self._columns(context).get(value.column)
        # If the column is absent, the statement fails in the usual way.
        if column is None or column.kind == "bytea":
            return value.forms.as_bytes()
        return _vector(value.forms.as_vector(), column.oid, context)

    def _columns(self, context: Any) -> dict[str, _Column]:
        """Return the known types, or ask the catalog in the caller's transaction; an absent column is no error."""
        by_schema = self._known.setdefault(context.root_connection.get_transaction(), {})
        schema = _schema(context)
        if schema not in by_schema:
            cursor = context.root_connection.connection.cursor()
            try:
                cursor.execute(_question(sorted(_columns), schema))
                by_schema[schema] = {name: _Column(kind, oid) for name, kind, oid in cursor.fetchall()}
            finally:
                cursor.close()
        return by_schema[schema]


def _schema(context: Any) -> str | None:
    """Return the schema that a statement names for its table; None means the search path."""
    table = getattr(getattr(context.compiled, "statement", None), "table", None)
    named = getattr(table, "schema", None)
    translated = (context.execution_options.get("schema_translate_map") or {}).get(named, named)
    return None if translated is None else str(translated)


def _vector(numbers: list[float], oid: int, context: Any) -> Any:
    """Return a vector in the form that the driver accepts.

    asyncpg asks the server for the type of a parameter, so a text can only become a vector. psycopg states the type
    itself and must do so: a bytea column would store the characters of an untyped text.
    """
    if context.dialect.driver == "asyncpg":
        return _text_of_vector()(vector_text(numbers))
    from pgvector import Vector

    # SQLAlchemy wraps its own cursor around that of an asynchronous driver.
    accept_vectors(getattr(context.cursor, "_cursor", context.cursor).adapters, oid)
    return Vector(numbers)


def vector_text(numbers: list[float]) -> str:
    """Return the text form of a vector, with all digits of its numbers."""
    return f"[{','.join(map(repr, numbers))}]"


def accept_vectors(adapters: Any, oid: int) -> None:
    """Let psycopg send a `pgvector.Vector` as the type with an oid.

    The binary form comes last, which makes it the preferred one: as text, the numbers take fifty times as long. Cursors
    that put values into the text of a statement need the other.

    Args:
        adapters: The `AdaptersMap` of a cursor or a connection.
        oid: The oid of pgvector's type, which depends on the database.
    """
    from pgvector import Vector

    for dumper in _dumpers(oid):
        adapters.register_dumper(Vector, dumper)


@lru_cache
def _dumpers(oid: int) -> tuple[type[Any], ...]:
    from pgvector.psycopg.vector import VectorBinaryDumper, VectorDumper

    return tuple(
        type(f"_{each.__name__}", (each,), {"oid": oid}) for each in (VectorDumper, VectorBinaryDumper)
    )


@lru_cache
def _text_of_vector() -> type[str]:
    """Return a subclass of str that pgvector's codec for asyncpg also accepts, if an application has registered it."""
    from pgvector import Vector

    class Text(str, Vector):  # noqa: SLOT000 - Vector has a dictionary
        def __init__(self, text: str) -> None:
            """Keep the numbers in the text."""

        def to_binary(self) -> bytes:
            return Vector([float(number) for number in self[1:-1].split(",")]).to_binary()

    return Text
