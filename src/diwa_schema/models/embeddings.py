"""The type of embedding columns: numbers in Python, whatever the column is in the database."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import LargeBinary
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine, UserDefinedType

from diwa_schema.models.erlang import decode_floats, encode_floats

DIMENSIONS = 1536

Storage = Literal["vector", "bytea"]


@dataclass(frozen=True, slots=True)
class RawEmbedding:
    """Bytes in an embedding column that are no list of numbers in Erlang's external term format.

    Written back, it leaves the same bytes.
    """

    data: bytes

    def __repr__(self) -> str:
        """Show the size and the first bytes only: an embedding has thousands."""
        return f"RawEmbedding({len(self.data)} bytes, {self.data[:8].hex(' ')}…)"


EmbeddingValue = list[float] | RawEmbedding


class Vector(UserDefinedType[Any]):
    """The column type of pgvector."""

    cache_ok = True

    def __init__(self, dimensions: int = DIMENSIONS) -> None:
        self.dimensions = dimensions

    def get_col_spec(self, **_options: Any) -> str:
        return f"vector({self.dimensions})"


class Embedding(TypeDecorator[EmbeddingValue]):
    """A list of numbers: vector(1536) or bytea on PostgreSQL, BLOB on SQLite.

    Args:
        column: ``table.column`` that the type belongs to. Only with it can values be written on PostgreSQL,
            because the kind of the column is asked from the database once per engine.
        storage: What DDL on PostgreSQL says, ``vector`` or ``bytea``. Left out: ``vector``.
    """

    impl = LargeBinary
    cache_ok = True

    def __init__(self, column: str | None = None, *, storage: Storage | None = None) -> None:
        super().__init__()
        self.column = column
        self.storage = storage

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql" and self.storage != "bytea":
            return dialect.type_descriptor(Vector())
        return dialect.type_descriptor(LargeBinary())

    def process_bind_param(self, value: Iterable[float] | RawEmbedding | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        if isinstance(value, RawEmbedding):
            return value.data
        return encode_floats([float(number) for number in value])

    def process_result_value(self, value: Any, dialect: Dialect) -> EmbeddingValue | None:
        if value is None:
            return None
        if isinstance(value, str):
            return [float(number) for number in value.strip("[]").split(",")]
        numbers = decode_floats(bytes(value))
        return RawEmbedding(bytes(value)) if numbers is None else numbers
