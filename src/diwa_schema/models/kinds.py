"""Which kind an embedding column of a PostgreSQL database is, and sending a value in the form of that kind.

An untyped text is accepted by both kinds, and bytea silently keeps its characters, so a writer must
know which kind it has. The kind belongs to the column of one table in one schema: a database can have both,
and tenants can differ. Where the row goes is decided by the statement (`schema_translate_map`) or by the
search path, and the path is the connection's own affair: a pool may set it at each checkout. So the kind is
asked on the connection that is about to write, once in a transaction, and what was learned ends with the
transaction: the next one may be another tenant's, or come after a conversion.
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

# A table is named as the search path finds it, or in a schema; both are literals of one list.
_KINDS = (
    "SELECT c.name, t.typname, t.oid FROM (VALUES {columns}) AS c(name, relation, attribute)"
    " JOIN pg_catalog.pg_attribute a ON a.attrelid = to_regclass(c.relation)"
    " AND a.attname = c.attribute AND NOT a.attisdropped"
    " JOIN pg_catalog.pg_type t ON t.oid = a.atttypid"
)

# What can move the search path within a transaction, or put back what a transaction did before.
_MOVES = re.compile(
    r"search_path|set_config|\bset\b.*\bschema\b|\breset\b|\bdiscard\b|\brollback\b|\balter\b", re.IGNORECASE
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


_columns: set[str] = set()


def declare(column: str) -> None:
    """Name a column that the catalog is to be asked about, as ``table.column``."""
    _columns.add(column)


def kind_in(connection: Connection, column: str) -> Kind:
    """Return the kind that a column is in a PostgreSQL database, or would be: bytea without pgvector."""
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
    """What the open transactions of one engine know about the columns that they write to."""

    def __init__(self) -> None:
        self._known: WeakKeyDictionary[Any, dict[str | None, dict[str, _Column]]] = WeakKeyDictionary()

    def forget(self, context: Any) -> None:
        """Forget what the transaction of a statement knew."""
        self._known.pop(context.root_connection.get_transaction(), None)

    def notice(self, statement: str, context: Any) -> None:
        """Forget it where a statement may have led the transaction into another schema."""
        if self._known and _MOVES.search(statement):
            self.forget(context)

    def decided(self, parameters: Any, context: Any) -> Any:
        """Return the parameters of one row with each embedding in the form that its column takes."""
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
        # Where there is no such column, the statement fails as it would without this.
        if column is None or column.kind == "bytea":
            return value.forms.as_bytes()
        return _vector(value.forms.as_vector(), column.oid, context)

    def _columns(self, context: Any) -> dict[str, _Column]:
        """Return what is known, or ask the catalog in the caller's transaction; an absent column is no error there."""
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
    """Return the schema that a statement names for its table; None leaves it to the search path."""
    table = getattr(getattr(context.compiled, "statement", None), "table", None)
    named = getattr(table, "schema", None)
    translated = (context.execution_options.get("schema_translate_map") or {}).get(named, named)
    return None if translated is None else str(translated)


def _vector(numbers: list[float], oid: int, context: Any) -> Any:
    """Return a vector as the driver takes it.

    asyncpg asks the server what a parameter is, so text can only become a vector there. psycopg says itself what it
    sends, and must say the type: of mere text, bytea would keep the characters.
    """
    if context.dialect.driver == "asyncpg":
        return _text_of_vector()(f"[{','.join(map(repr, numbers))}]")
    from pgvector import Vector

    # SQLAlchemy puts its own cursor around that of an asynchronous driver.
    cursor = getattr(context.cursor, "_cursor", context.cursor)
    cursor.adapters.register_dumper(Vector, _dumper(oid))
    return Vector(numbers)


@lru_cache
def _dumper(oid: int) -> type[Any]:
    from pgvector.psycopg.vector import VectorDumper

    return type("_VectorDumper", (VectorDumper,), {"oid": oid})


@lru_cache
def _text_of_vector() -> type[str]:
    """Return a kind of text that pgvector's codec for asyncpg takes as well, where an application has registered it."""
    from pgvector import Vector

    class Text(str, Vector):  # noqa: SLOT000 - Vector has a dictionary
        def __init__(self, text: str) -> None:
            """Leave the numbers in the text."""

        def to_binary(self) -> bytes:
            return Vector([float(number) for number in self[1:-1].split(",")]).to_binary()

    return Text
