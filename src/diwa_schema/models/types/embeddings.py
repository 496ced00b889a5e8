"""The type of embedding columns: numbers in Python for every column type in the database."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from math import isfinite
from typing import Any, ClassVar, Self

from sqlalchemy import ClauseElement, ColumnElement, Float, LargeBinary, literal
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import CompileError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine, UserDefinedType

from diwa_schema.models import kinds
from diwa_schema.models.engines import watch
from diwa_schema.models.types.erlang import decode_floats, encode_floats
from diwa_schema.names import amount

DIMENSIONS = 1536
_LARGEST = 3.4028234663852886e38  # of four bytes, which a vector has for each number


@dataclass(frozen=True, slots=True)
class RawEmbedding:
    """Bytes in an embedding column that are not a list of numbers in Erlang's external term format.

    Writing the value back stores the same bytes.
    """

    data: bytes

    def __repr__(self) -> str:
        """Return the size and the first bytes only: an embedding has thousands."""
        return f"RawEmbedding({amount(len(self.data), 'byte')}: {self.data[:8]!r}…)"


EmbeddingValue = list[float] | RawEmbedding


class _Distance(FunctionElement[float]):
    """The distance between two embeddings."""

    type = Float()
    inherit_cache = True

    operator: ClassVar[str]


class _Euclidean(_Distance):
    """The Euclidean distance."""

    inherit_cache = True
    operator = "<->"


class _Cosine(_Distance):
    """The cosine distance, 0 to 2."""

    inherit_cache = True
    operator = "<=>"


@compiles(_Distance)
def _far(element: _Distance, compiler: Any, **options: Any) -> str:
    column, other = (compiler.process(each, **options) for each in element.clauses)
    return f"({column} {element.operator} {other})"


@compiles(_Distance, "sqlite")
def _refuse_to_measure(*_: Any, **__: Any) -> str:
    raise CompileError(
        "SQLite has no distance between embeddings. Read them and compare them in the program, or use"
        " PostgreSQL with pgvector."
    )


class Vector(UserDefinedType[Any]):
    """The column type of pgvector.

    Args:
        dimensions: The number of dimensions; None allows any.
    """

    cache_ok = True

    def __init__(self, dimensions: int | None = None) -> None:
        self.dimensions = dimensions

    def get_col_spec(self, **_options: Any) -> str:
        return f"vector({self.dimensions})" if self.dimensions else "vector"


class Embedding(TypeDecorator[EmbeddingValue]):
    """A list of numbers: vector(1536) or bytea on PostgreSQL, BLOB on SQLite.

    The column accepts any sequence of finite numbers, including numpy arrays, or a `RawEmbedding`. It returns a list of
    floats, or a `RawEmbedding` if the bytes are not one. A vector column refuses any other number of dimensions; bytes
    accept any number.

    Args:
        column: The ``table.column`` of the type. PostgreSQL cannot be written to without it: the first write of a
            transaction asks the database for the type of the column.
        kind: The type in PostgreSQL's DDL, ``vector`` or ``bytea``.

    Raises:
        TypeError: A value is not a sequence of numbers. SQLAlchemy wraps the error as ``StatementError``.
        ValueError: A number is not finite or out of the range of a vector (wrapped as well), or bytes are written into
            a vector column.
    """

    impl = LargeBinary
    cache_ok = True

    class Comparator(TypeDecorator.Comparator[EmbeddingValue]):
        """The comparisons of a vector column; bytes have no distance, and SQLite refuses it (CompileError)."""

        def l2_distance(self, other: Any) -> ColumnElement[float]:
            """Return the Euclidean distance to another embedding."""
            return _Euclidean(self.expr, _place(other, self.type))

        def cosine_distance(self, other: Any) -> ColumnElement[float]:
            """Return the cosine distance to another embedding, 0 to 2."""
            return _Cosine(self.expr, _place(other, self.type))

    comparator_factory = Comparator

    def __init__(self, column: str | None = None, *, kind: kinds.Kind = "vector") -> None:
        super().__init__()
        self.column = column
        self.kind = kind
        if column is not None:
            kinds.declare(column)

    def stored_as(self, kind: kinds.Kind) -> Self:
        """Return the type of the same column with other DDL."""
        return type(self)(self.column, kind=kind)

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name != "postgresql":
            return dialect.type_descriptor(LargeBinary())
        watch(dialect)
        return Vector(DIMENSIONS) if self.kind == "vector" else dialect.type_descriptor(LargeBinary())

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        if value is None:
            return None
        forms = _Raw(value.data) if isinstance(value, RawEmbedding) else _Numbers(_in_range(_numbers(value)))
        if dialect.name != "postgresql":
            return forms.as_bytes()
        if self.column is None:
            raise TypeError("Embedding() without 'table.column' describes a column; it writes nothing.")
        return kinds.Undecided(self.column, forms)

    def process_result_value(self, value: Any, dialect: Dialect) -> EmbeddingValue | None:
        if value is None:
            return None
        if isinstance(value, bytes | memoryview):
            return _read_bytes(bytes(value))
        if not isinstance(value, str):
            return _numbers(value)
        # PostgreSQL returns a vector as text; text in a BLOB column of SQLite is not a vector.
        return _read_vector(value) if dialect.name == "postgresql" else RawEmbedding(value.encode())

    def compare_values(self, x: Any, y: Any) -> bool:
        return bool(_comparable(x) == _comparable(y))


@dataclass(frozen=True, slots=True)
class _Numbers:
    numbers: list[float]

    def as_bytes(self) -> bytes:
        return encode_floats(self.numbers)

    def as_vector(self) -> list[float]:
        return self.numbers

    def __repr__(self) -> str:
        return f"<{amount(len(self.numbers), 'number')}>"


@dataclass(frozen=True, slots=True)
class _Raw:
    data: bytes

    def as_bytes(self) -> bytes:
        return self.data

    def as_vector(self) -> list[float]:
        raise ValueError("A RawEmbedding holds bytes, and this column is a vector. Nothing was written.")


def _place(value: Any, column: TypeEngine[Any]) -> Any:
    """Return the other side of a distance: an expression unchanged, numbers as a parameter of the column's type."""
    if value is None:
        raise TypeError("A distance to None is no number: pass an embedding.")
    return (
        value
        if hasattr(value, "__clause_element__") or isinstance(value, ClauseElement)
        else literal(value, column)
    )


def _numbers(value: Any) -> list[float]:
    for name in ("tolist", "to_list"):
        value = getattr(value, name, lambda given=value: given)()
    if isinstance(value, str | bytes | bytearray | memoryview) or not isinstance(value, Iterable):
        raise TypeError(
            f"An embedding is a sequence of numbers or a RawEmbedding, not {type(value).__name__}."
        )
    numbers = [float(number) for number in value]
    if not all(map(isfinite, numbers)):
        raise ValueError("An embedding holds only finite numbers.")
    return numbers


def _in_range(numbers: list[float]) -> list[float]:
    if numbers and (max(numbers) > _LARGEST or min(numbers) < -_LARGEST):
        raise ValueError(
            f"A number of the embedding is out of range: a vector holds numbers up to {_LARGEST:.3g}."
        )
    return numbers


def _read_bytes(data: bytes) -> EmbeddingValue:
    numbers = decode_floats(data)
    return RawEmbedding(data) if numbers is None else numbers


def _read_vector(text: str) -> list[float]:
    return [float(number) for number in text[1:-1].split(",")]


def _comparable(value: Any) -> Any:
    # SQLAlchemy passes an Enum if there is no value to compare with, for example after `flag_modified`.
    known = value is None or isinstance(value, RawEmbedding | Enum)
    return value if known else _numbers(value)
