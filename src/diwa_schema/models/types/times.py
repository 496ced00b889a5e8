"""Points in time: timezone-aware in Python, without a time zone in the database."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, cast

from sqlalchemy import TEXT, BinaryExpression, Case, ClauseElement, ColumnElement, literal_column
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import functions, operators
from sqlalchemy.sql.dml import ValuesBase
from sqlalchemy.sql.elements import ClauseList, Grouping
from sqlalchemy.sql.operators import OperatorType
from sqlalchemy.sql.visitors import iterate, replacement_traverse
from sqlalchemy.types import DateTime, TypeDecorator, TypeEngine

from diwa_schema.models.engines import watch
from diwa_schema.models.types.refused import OnPostgresql

TimestampKind = Literal["utc_datetime_usec", "utc_datetime", "naive_datetime"]


class _Now(functions.FunctionElement[datetime]):
    """The server's time in the form of a column: in UTC, without a time zone."""

    inherit_cache = True

    def __init__(self, column: Timestamp) -> None:
        super().__init__(literal_column(f"'{_NOW_ON_SQLITE[column.kind]}'"))
        self.type = column


class _NowAsKept(_Now):
    """The server's time as a column keeps it: without the fraction that PostgreSQL would round into the future."""

    inherit_cache = True


@compiles(_NowAsKept)
def _cut_on_postgresql(_: _NowAsKept, *__: Any, **___: Any) -> str:
    return "date_trunc('second', CURRENT_TIMESTAMP AT TIME ZONE 'UTC')"


@compiles(_Now)
def _utc_on_postgresql(_: _Now, *__: Any, **___: Any) -> str:
    return "(CURRENT_TIMESTAMP AT TIME ZONE 'UTC')"


@compiles(_NowAsKept, "sqlite")
@compiles(_Now, "sqlite")
def _utc_on_sqlite(element: _Now, compiler: Any, **options: Any) -> str:
    return f"strftime({compiler.process(element.clauses, **options)}, 'now')"


class Timestamp(TypeDecorator[datetime]):
    """A point in time, timezone-aware and in UTC in Python; no database column has a time zone.

    Any timezone-aware value is converted to UTC. A PostgreSQL column of whole seconds would round up to half a second
    into the future, so the fraction is cut off first. SQLite stores the text in the spelling of the column's Ecto
    model, and every spelling in use is read.

    Args:
        precision: Digits of the second on PostgreSQL, 0 or 6.
        kind: The type of the field in Ecto, which decides the spelling on SQLite: ``utc_datetime_usec`` (microseconds
            and Z), ``utc_datetime`` (seconds and Z) or ``naive_datetime`` (seconds). By default ``utc_datetime_usec``
            for precision 6 and ``naive_datetime`` for precision 0.
        exact: Whether a value is only compared, so that its fraction counts.
        filled: Whether the database fills the column where a writer leaves it out. A written NULL would stay, and such
            a row would have no place in an order.

    Raises:
        ValueError: The time has no time zone, or is None where the database fills the column (SQLAlchemy wraps the
            error as ``StatementError``).
    """

    impl = DateTime
    cache_ok = True

    class Comparator(TypeDecorator.Comparator[datetime]):
        """The comparisons of a column; `func.now()` in them is the time in UTC, as in the column.

        Otherwise it would be the session's local time on PostgreSQL, and a text with another spelling on SQLite. A time
        that is computed from it is refused: SQLite cannot compute with times.
        """

        def operate(self, op: OperatorType, *other: Any, **options: Any) -> ColumnElement[Any]:
            kind = cast(Timestamp, self.type)
            converted = (_in_the_columns_terms(each, kind) for each in other)
            return _computed(op, super().operate(op, *converted, **options))

        def reverse_operate(self, op: OperatorType, other: Any, **options: Any) -> ColumnElement[Any]:
            return _computed(op, super().reverse_operate(op, other, **options))

    comparator_factory = Comparator

    def __init__(
        self,
        precision: Literal[0, 6] = 6,
        kind: TimestampKind | None = None,
        *,
        exact: bool = False,
        filled: bool = False,
    ) -> None:
        super().__init__()
        self.precision: Literal[0, 6] = precision
        self.kind: TimestampKind = kind or ("utc_datetime_usec" if precision else "naive_datetime")
        self.exact = exact
        self.filled = filled

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        watch(dialect)
        if dialect.name == "sqlite":
            return dialect.type_descriptor(TEXT())
        if dialect.name != "postgresql":
            return dialect.type_descriptor(DateTime())
        from sqlalchemy.dialects.postgresql import TIMESTAMP

        # Not adapted to the driver, whose own time type loses the precision.
        return TIMESTAMP(precision=0 if self.precision == 0 and not self.exact else None)

    def coerce_compared_value(self, op: OperatorType | None, value: Any) -> Any:
        """Compare with the exact time: cutting the fraction would omit rows of the same second."""
        if isinstance(value, timedelta):
            return self.impl_instance.coerce_compared_value(op, value)
        return Timestamp(self.precision, self.kind, exact=True)

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None:
            if self.filled:
                raise ValueError("The database fills this time: leave it out instead of writing None.")
            return None
        moment = _in_utc(value)
        if dialect.name == "sqlite":
            return spell_exactly(moment, self.kind) if self.exact else spell(moment, self.kind)
        kept = moment.replace(tzinfo=None) if self.precision or self.exact else _whole(moment)
        return _finite(kept) if dialect.driver == "asyncpg" else kept

    def as_kept(self, moment: datetime, dialect: Dialect) -> datetime:
        """Return the value that a read returns after a time was written."""
        return cast(datetime, self.process_result_value(self.process_bind_param(moment, dialect), dialect))

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        moment = datetime.fromisoformat(value) if isinstance(value, str) else cast(datetime, value)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def spell(moment: datetime, kind: TimestampKind) -> str:
    """Return a UTC time as the text that Ecto writes into SQLite for a field of that type."""
    fraction = "microseconds" if kind == "utc_datetime_usec" else "seconds"
    text = moment.replace(tzinfo=None).isoformat(timespec=fraction)
    return text if kind == "naive_datetime" else text + "Z"


def spell_exactly(moment: datetime, kind: TimestampKind) -> str:
    """Return a UTC time as a text that sorts correctly among texts of that type, even with a fraction.

    SQLite compares texts, and texts of whole seconds have no place for a fraction. The fraction therefore follows the
    whole text, including its Z: ``…:15Z.5`` sorts after ``…:15Z`` and before ``…:16Z``.
    """
    whole = spell(moment, kind)
    return f"{whole}.{moment.microsecond:06}" if moment.microsecond and kind != "utc_datetime_usec" else whole


_NOW_ON_SQLITE: dict[TimestampKind, str] = {
    "utc_datetime_usec": "%Y-%m-%dT%H:%M:%f000Z",
    "utc_datetime": "%Y-%m-%dT%H:%M:%SZ",
    "naive_datetime": "%Y-%m-%dT%H:%M:%S",
}


_COMPUTES = frozenset({operators.add, operators.sub})


def _computed(op: OperatorType, operation: ColumnElement[Any]) -> ColumnElement[Any]:
    if op not in _COMPUTES:
        return operation
    return OnPostgresql(
        operation,
        "SQLite cannot compute with times, which it keeps as texts. Compute in Python:"
        " Memory.expires_at < datetime.now(UTC) - timedelta(days=1) works on both databases.",
    )


_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_SERVER_TIMES = (functions.now, functions.current_timestamp, functions.localtimestamp)
_PASSING_ON = (functions.ReturnTypeFromArgs, Case, Grouping)
"""What returns one of its parts as it is, such as coalesce."""


def _in_the_columns_terms(other: Any, column: Timestamp, now: type[_Now] = _Now) -> Any:
    """Return the other side of a comparison with a column, or a value for it, with the server's time in UTC."""
    if isinstance(other, _SERVER_TIMES):
        return now(column)
    if isinstance(other, BinaryExpression) and any(
        isinstance(each, _SERVER_TIMES) for each in iterate(other)
    ):
        raise ArgumentError(
            "A time computed from func.now() differs between the two databases. Compute it in Python:"
            " datetime.now(UTC) - timedelta(days=1)."
        )
    if isinstance(other, _PASSING_ON) and any(isinstance(each, _SERVER_TIMES) for each in iterate(other)):

        def converted(element: Any, **_: Any) -> Any:
            if isinstance(element, _SERVER_TIMES):
                return now(column)
            return None if isinstance(element, (*_PASSING_ON, ClauseList)) else element

        return replacement_traverse(cast("Any", other), {}, cast("Any", converted))
    return other


def as_value(value: Any, column: Timestamp) -> Any:
    """Return an SQL expression as a value for a column: the server's time in UTC, in the spelling of the column.

    Raises:
        ArgumentError: It computes with the server's time.
    """
    return _in_the_columns_terms(value, column, _Now if column.precision else _NowAsKept)


def column_of_server_time(statement: Any) -> str | None:
    """Return the column of times that a statement compares with, or sets to, the server's time as it is.

    The attributes of a row and the comparisons of a column convert `func.now()` themselves. They know nothing of the
    values of an INSERT or UPDATE, nor of a comparison that begins with the other side.

    Args:
        statement: The compiled statement.
    """
    for column, value in _values(statement):
        parts = iterate(value) if isinstance(value, ClauseElement) else ()
        if isinstance(column.type, Timestamp) and any(isinstance(each, _SERVER_TIMES) for each in parts):
            return str(column)
    for each in iterate(statement):
        if (
            isinstance(each, BinaryExpression)
            and isinstance(each.left, _SERVER_TIMES)
            and isinstance(each.right.type, Timestamp)
        ):
            return str(each.right)
    return None


def _values(statement: Any) -> Iterator[tuple[Any, Any]]:
    """Return the values that a statement writes, each with its column."""
    if not isinstance(statement, ValuesBase):
        return
    columns: Any = statement.table.columns
    kept: Any = statement
    rows = [kept._values or {}, *(row for rows in kept._multi_values for row in rows)]  # noqa: SLF001
    rows.append(dict(getattr(getattr(kept, "_post_values_clause", None), "update_values_to_set", ())))
    for row in rows:
        for key, value in row.items():
            column = columns.get(getattr(key, "key", key))
            if column is not None:
                yield column, value


def _in_utc(value: datetime) -> datetime:
    if not isinstance(value, datetime):
        raise TypeError(f"A time is a datetime with a zone, not {type(value).__name__}.")
    if value.utcoffset() is None:
        raise ValueError(
            f"The time {value.isoformat()} has no zone, so it is ambiguous. Write datetime.now(UTC), or add"
            " tzinfo=UTC to a time in UTC."
        )
    return value.astimezone(UTC)


def _finite(moment: datetime) -> datetime:
    """Return a time that asyncpg sends as it is: it would send the first and the last one as infinity.

    psycopg reads no infinity, so one such row would stop each of its queries.
    """
    known = moment.replace(tzinfo=UTC)
    if known == _LAST:
        return moment - datetime.resolution
    return moment + datetime.resolution if known == _FIRST else moment


def _whole(moment: datetime) -> datetime:
    return moment.replace(microsecond=0, tzinfo=None)
