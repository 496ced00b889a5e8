"""Ids, texts, numbers, flags and bytes, and defaults for both databases."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import (
    DOUBLE_PRECISION,
    TEXT,
    BigInteger,
    Boolean,
    Double,
    Integer,
    LargeBinary,
    Numeric,
    String,
    Text,
    Uuid,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateColumn
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.operators import OperatorType
from sqlalchemy.types import TypeDecorator, TypeEngine, UserDefinedType

from diwa_schema.models.engines import watch
from diwa_schema.models.types.declared import Declared
from diwa_schema.models.types.keepable import unkeepable

_LEAST, _MOST = -(2**31), 2**31 - 1  # an integer of PostgreSQL has four bytes
_HIGHEST = 10_000  # an amount has ten digits, six of them after the point


class ServerDefault(ColumnElement[Any]):
    """A column default with a different spelling for each database.

    Args:
        postgresql: The SQL expression on PostgreSQL; None if tables there have no default.
        sqlite: The same on SQLite.
    """

    inherit_cache = False

    def __init__(self, *, postgresql: str | None = None, sqlite: str | None = None) -> None:
        super().__init__()
        spellings = {"postgresql": postgresql, "sqlite": sqlite}
        self.spellings: Final = {name: words for name, words in spellings.items() if words}


@compiles(ServerDefault)
def _spell_default(element: ServerDefault, compiler: Any, **_options: Any) -> str:
    return element.spellings.get(compiler.dialect.name, "NULL")


@compiles(CreateColumn, "sqlite")
def _column_on_sqlite(element: CreateColumn, compiler: Any, **options: Any) -> Any:
    """Leave out a default that SQLite has not: ``DEFAULT NULL`` would be one to whoever compares."""
    column = element.element
    default = column.server_default
    of = getattr(default, "arg", None)
    if not isinstance(of, ServerDefault) or "sqlite" in of.spellings:
        return compiler.visit_create_column(element, **options)
    column.server_default = None
    try:
        return compiler.visit_create_column(element, **options)
    finally:
        column.server_default = default


def _is_sqlite(dialect: Dialect) -> bool:
    return dialect.name == "sqlite"


def _id(value: Any) -> Any:
    if isinstance(value, uuid.UUID | str):
        return value
    advice = ": pass its id." if hasattr(value, "id") else "."
    raise TypeError(f"An id is a uuid.UUID or its text, not {type(value).__name__}{advice}")


def read_id(value: Any) -> Any:
    """Return the UUID that a text spells; any other value is returned unchanged, and refused where it is sent."""
    try:
        return uuid.UUID(value) if isinstance(value, str) else value
    except ValueError:
        return value


class UniqueId(TypeDecorator[uuid.UUID]):
    """A UUID: uuid on PostgreSQL, on SQLite the 36 lower-case characters that Ecto writes.

    The column accepts a ``uuid.UUID`` or any spelling of one, and returns a ``uuid.UUID``.

    Raises:
        TypeError: The value is neither, such as a row instead of its id. SQLAlchemy wraps it as ``StatementError``.
    """

    impl = Uuid
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        watch(dialect)
        return dialect.type_descriptor(TEXT() if _is_sqlite(dialect) else Uuid())

    def process_bind_param(self, value: uuid.UUID | str | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        identity = value if isinstance(value, uuid.UUID) else uuid.UUID(_id(value))
        return str(identity) if _is_sqlite(dialect) else identity

    def process_result_value(self, value: Any, dialect: Dialect) -> uuid.UUID | None:
        if value is None or isinstance(value, uuid.UUID):
            return value
        # The Ecto adapter can be configured to store ids as 16 bytes.
        return uuid.UUID(bytes=value) if isinstance(value, bytes) else uuid.UUID(value)


class LooseId(TypeDecorator[str]):
    """An id as text in a column of either type: uuid on PostgreSQL at head, text in databases below head.

    Values are sent without a type, which both types of column accept.
    """

    impl = Uuid
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        watch(dialect)
        return dialect.type_descriptor(TEXT() if _is_sqlite(dialect) else _UntypedUuid())

    def process_bind_param(self, value: uuid.UUID | str | None, dialect: Dialect) -> str | None:
        return None if value is None else str(_id(value))

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else str(value)


class _UntypedUuid(UserDefinedType[Any]):
    """A uuid column whose values are sent without a type."""

    cache_ok = True

    def get_col_spec(self, **_options: Any) -> str:
        return "UUID"


def storable(text: str | None, length: int | None = None) -> str | None:
    """Return a text that PostgreSQL accepts; SQLite would accept any, and its database could not be copied.

    Raises:
        ValueError: The text has a NUL character, half of a surrogate pair, or too many characters.
        TypeError: It is no text: some drivers would write a number as its digits, and others refuse it.
    """
    if text is None:
        return None
    if not isinstance(text, str):
        raise TypeError(f"A text is a str, not {type(text).__name__}. Nothing was sent.")
    if found := unkeepable(text):
        raise ValueError(f"A text cannot have {found}. Nothing was sent.")
    if length is not None and len(text) > length:
        raise ValueError(f"The text is too long: the column takes {length} characters, not {len(text)}.")
    return text


class ShortText(TypeDecorator[str]):
    """Text of limited length: varchar on PostgreSQL, TEXT on SQLite, where the type itself keeps the limit.

    Args:
        length: The maximum number of characters.
        compared: Whether a value is only compared, which is no error at any length.

    Raises:
        ValueError: The text is longer, or has a NUL character (SQLAlchemy wraps the error as ``StatementError``).
    """

    impl = String
    cache_ok = True

    def __init__(self, length: int = 255, *, compared: bool = False) -> None:
        super().__init__(length)
        self.length = length
        self.compared = compared

    def coerce_compared_value(self, op: OperatorType | None, value: Any) -> Any:
        return type(self)(self.length, compared=True) if isinstance(value, str) else self

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return storable(value, None if self.compared else self.length)

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(TEXT() if _is_sqlite(dialect) else String(self.length))


class LongText(TypeDecorator[str]):
    """Text of any length: text on PostgreSQL, TEXT on SQLite.

    Raises:
        ValueError: The text has a NUL character (SQLAlchemy wraps the error as ``StatementError``).
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return storable(value)


class Bytes(TypeDecorator[bytes]):
    """Raw bytes: bytea on PostgreSQL, BLOB on SQLite."""

    impl = LargeBinary
    cache_ok = True


class Flag(TypeDecorator[bool]):
    """True or false: boolean on PostgreSQL, INTEGER 1 or 0 on SQLite.

    Raises:
        TypeError: The value is neither (SQLAlchemy wraps the error as ``StatementError``).
    """

    impl = Boolean
    cache_ok = True
    coerce_to_is_types = (type(None), bool)

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(Integer() if _is_sqlite(dialect) else Boolean())

    def process_bind_param(self, value: bool | None, dialect: Dialect) -> Any:
        if value is not None and value not in (True, False):
            raise TypeError(f"A flag is True or False, not {value!r}. Nothing was sent.")
        return int(value) if value is not None and _is_sqlite(dialect) else value

    def process_result_value(self, value: Any, dialect: Dialect) -> bool | None:
        return None if value is None else bool(value)


class Real(TypeDecorator[float]):
    """A floating-point number: double precision on PostgreSQL, NUMERIC on SQLite.

    Raises:
        ValueError: The value is NaN, which SQLite would store as NULL (SQLAlchemy wraps the error as
            ``StatementError``).
    """

    impl = Double
    cache_ok = True

    def process_bind_param(self, value: float | None, dialect: Dialect) -> float | None:
        if value is not None and value != value:  # noqa: PLR0124 - only NaN differs from itself
            raise ValueError("The value is no number (NaN). Nothing was sent.")
        return value

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return Numeric(asdecimal=False) if _is_sqlite(dialect) else DOUBLE_PRECISION()

    def process_result_value(self, value: Any, dialect: Dialect) -> float | None:
        return None if value is None else float(value)


class Cost(TypeDecorator[Decimal]):
    """An amount with six decimal places: numeric(10,6) on PostgreSQL, DECIMAL(10,6) on SQLite.

    SQLite stores it as a floating-point number, which preserves ten digits.

    Raises:
        ValueError: The amount is not below 10,000 (SQLAlchemy wraps the error as ``StatementError``).
    """

    impl = Numeric
    cache_ok = True

    def __init__(self) -> None:
        super().__init__(10, 6)

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if _is_sqlite(dialect):
            return Declared("DECIMAL(10,6)")
        return dialect.type_descriptor(Numeric(10, 6))

    def coerce_compared_value(self, op: OperatorType | None, value: Any) -> Any:
        return self if _affordable(value) else Numeric()

    def process_bind_param(self, value: Decimal | float | None, dialect: Dialect) -> Any:
        if not _affordable(value):
            raise ValueError(
                "The amount is too large, or no number: the column takes amounts below"
                f" {_HIGHEST:,}, not {value}. Nothing was sent."
            )
        return value if value is None or not _is_sqlite(dialect) else float(_six_places(value))

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        return None if value is None else _six_places(value)


def _affordable(amount: Any) -> bool:
    """Whether an amount has at most four digits before its point; the driver refuses another type itself."""
    if not isinstance(amount, int | float | Decimal):
        return True
    exact = Decimal(str(amount))
    return exact.is_finite() and (abs(exact) < _HIGHEST - 1 or abs(_six_places(exact)) < _HIGHEST)


def _six_places(amount: Any) -> Decimal:
    return Decimal(str(amount)).quantize(Decimal("0.000001"))


class Count(TypeDecorator[int]):
    """A whole number: integer on PostgreSQL, INTEGER on SQLite, which would also keep a larger one.

    Raises:
        ValueError: The number does not fit into four bytes, or is no whole number: PostgreSQL would round it, and
            SQLite would store it as it is (SQLAlchemy wraps the error as ``StatementError``).
    """

    impl = Integer
    cache_ok = True

    def coerce_compared_value(self, op: OperatorType | None, value: Any) -> Any:
        # A comparison with a larger number, or with a fraction, is no error.
        if _whole(value):
            return self if _fits(value) else BigInteger()
        return Numeric()

    def process_bind_param(self, value: int | None, dialect: Dialect) -> int | None:
        if not _whole(value):
            raise ValueError(f"The column takes whole numbers, not {value}. Nothing was sent.")
        if not _fits(value):
            raise ValueError(
                f"The number is too large: the column takes {_LEAST:,} to {_MOST:,}, not {value:,}. Nothing was sent."
            )
        return int(value) if isinstance(value, float | Decimal) else value


def _whole(value: Any) -> bool:
    """Whether a number has no fraction; the driver refuses another type itself."""
    return not isinstance(value, float | Decimal) or value == value // 1


def _fits(value: Any) -> bool:
    """Whether a value is in the range of an integer of PostgreSQL; the driver refuses another type itself."""
    return not isinstance(value, int | float | Decimal) or _LEAST <= value <= _MOST


class SearchVector(TypeDecorator[str]):
    """The words of a text as PostgreSQL's full-text search sees them; SQLite has no such column."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name != "postgresql":
            return dialect.type_descriptor(TEXT())
        from sqlalchemy.dialects.postgresql import TSVECTOR

        return dialect.type_descriptor(TSVECTOR())
