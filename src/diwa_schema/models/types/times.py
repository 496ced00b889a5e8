"""Points in time: aware on the Python side, without a zone in every database column."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Literal, cast

from sqlalchemy import TEXT
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.operators import OperatorType
from sqlalchemy.types import DateTime, TypeDecorator, TypeEngine

from diwa_schema.models.engines import watch

TimestampKind = Literal["utc_datetime_usec", "utc_datetime", "naive_datetime"]


class Timestamp(TypeDecorator[datetime]):
    """A point in time, aware and in UTC on the Python side; no database column has a zone.

    Anything aware is converted to UTC. A PostgreSQL column of whole seconds would round up to half a
    second into the future, so the fraction is cut off before. On SQLite the text is spelled the way the
    Ecto model of the column spells it, and every spelling in use is read.

    Args:
        precision: Digits of the second on PostgreSQL, 0 or 6.
        kind: The type of the field in Ecto, which decides the spelling on SQLite: ``utc_datetime_usec``
            (microseconds and Z), ``utc_datetime`` (seconds and Z) or ``naive_datetime`` (seconds).
            Left out: ``utc_datetime_usec`` for precision 6, ``naive_datetime`` for precision 0.

    Raises:
        ValueError: The time has no zone (SQLAlchemy wraps it as ``StatementError``).
    """

    impl = DateTime
    cache_ok = True

    def __init__(
        self, precision: Literal[0, 6] = 6, kind: TimestampKind | None = None, *, exact: bool = False
    ) -> None:
        super().__init__()
        self.precision: Literal[0, 6] = precision
        self.kind: TimestampKind = kind or ("utc_datetime_usec" if precision else "naive_datetime")
        self.exact = exact

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        watch(dialect)
        if dialect.name == "sqlite":
            return dialect.type_descriptor(TEXT())
        if dialect.name != "postgresql":
            return dialect.type_descriptor(DateTime())
        from sqlalchemy.dialects.postgresql import TIMESTAMP

        # Not adapted to the driver: its own type for a time forgets the precision.
        return TIMESTAMP(precision=0 if self.precision == 0 and not self.exact else None)

    def coerce_compared_value(self, op: OperatorType | None, value: Any) -> Any:
        """Compare with the time as it was given: cutting it would leave out rows of the same second."""
        if isinstance(value, timedelta):
            return self.impl_instance.coerce_compared_value(op, value)
        return Timestamp(self.precision, self.kind, exact=True)

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        moment = _in_utc(value)
        if dialect.name == "sqlite":
            return spell_exactly(moment, self.kind) if self.exact else spell(moment, self.kind)
        return moment.replace(tzinfo=None) if self.precision or self.exact else _whole(moment)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        moment = datetime.fromisoformat(value) if isinstance(value, str) else cast(datetime, value)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def spell(moment: datetime, kind: TimestampKind) -> str:
    """Write a UTC time as the text that Ecto writes into SQLite for a field of that kind."""
    fraction = "microseconds" if kind == "utc_datetime_usec" else "seconds"
    text = moment.replace(tzinfo=None).isoformat(timespec=fraction)
    return text if kind == "naive_datetime" else text + "Z"


def spell_exactly(moment: datetime, kind: TimestampKind) -> str:
    """Write a UTC time so that it is in its place among texts of that kind, whatever its fraction.

    SQLite compares texts, and those of whole seconds have no place for a fraction. It follows the whole text, its Z
    included: what is after ``…:15Z`` and before ``…:16Z`` is ``…:15Z.5``.
    """
    whole = spell(moment, kind)
    return f"{whole}.{moment.microsecond:06}" if moment.microsecond and kind != "utc_datetime_usec" else whole


def _in_utc(value: datetime) -> datetime:
    if not isinstance(value, datetime):
        raise TypeError(f"A time is a datetime with a zone, not {type(value).__name__}.")
    if value.utcoffset() is None:
        raise ValueError(
            f"The time {value.isoformat()} has no zone, so it names no point in time. "
            "Write datetime.now(UTC), or add tzinfo=UTC where it is meant as UTC."
        )
    return value.astimezone(UTC)


def _whole(moment: datetime) -> datetime:
    return moment.replace(microsecond=0, tzinfo=None)
