"""The common parts of all models: the declarative base, metadata that asks the guard, and the usual columns."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, ClassVar, cast

from sqlalchemy import (
    CheckConstraint,
    Column,
    Connection,
    Engine,
    ForeignKey,
    Index,
    MetaData,
    Table,
    event,
    text,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, Mapper, mapped_column, relationship

from diwa_schema.models.changes import notice_changes, track_again
from diwa_schema.models.dossier import documented
from diwa_schema.models.filled import NOW, RANDOM_ID
from diwa_schema.models.rules import KEPT
from diwa_schema.models.shapes import drop_rest, tables_for
from diwa_schema.models.types import (
    Bytes,
    Cost,
    Count,
    Document,
    Flag,
    LongText,
    Real,
    ServerDefault,
    ShortText,
    TextArray,
    Timestamp,
    UniqueId,
)
from diwa_schema.models.types.documents import name_documents
from diwa_schema.models.values import VALUE_SETS

NAMING = {
    "pk": "%(table_name)s_pkey",
    "fk": "%(table_name)s_%(column_0_name)s_fkey",
    "ix": "%(table_name)s_%(column_0_N_name)s_index",
}


_NOT_THE_COLUMN = "The column 'metadata' is the attribute 'metadata_'; 'metadata' is SQLAlchemy's."


class SharedMetaData(MetaData):
    """The tables of the schema; creating or dropping them asks the guard before anything is sent."""

    keeps_foreign_keys = True
    """Whether SQLite has to keep foreign keys on a connection that uses these tables."""

    def __get__(self, row: Any, model: type[Any]) -> SharedMetaData:
        """Return the tables on a class, as its `metadata`; on a row, that name belongs to the column."""
        if row is None:
            return self
        raise AttributeError(_NOT_THE_COLUMN)

    def create_all(self, bind: Any, tables: Sequence[Table] | None = None, checkfirst: Any = True) -> None:
        """Create the tables, in the same shape as the history does in a database of that kind.

        No version table is written: such a database serves tests and prototypes, not `upgrade`.

        Args:
            bind: An Engine or a Connection.
            tables: Only these; all by default.
            checkfirst: Whether to skip existing tables.

        Raises:
            Blocked: The guard refuses. Nothing was sent.
        """
        _ask("CREATE_ALL", bind)
        _load_all()
        with _connected(bind) as connection:
            shape, names = tables_for(self, connection), _names(tables)
            MetaData.create_all(shape, connection, _named(shape, names), checkfirst)

    def drop_all(self, bind: Any, tables: Sequence[Table] | None = None, checkfirst: Any = True) -> None:
        """Drop the tables with all their rows; other tables stay.

        Args:
            bind: An Engine or a Connection.
            tables: Only these; all by default.
            checkfirst: Whether to skip absent tables.

        Raises:
            Blocked: The guard refuses. Nothing was sent.
        """
        _ask("DROP_ALL", bind)
        _load_all()
        with _connected(bind) as connection:
            super().drop_all(connection, tables, checkfirst)
            drop_rest(connection, self.tables if tables is None else {table.name for table in tables})


def _load_all() -> None:
    """Load the missing classes: an import of one of their modules loads only some of them."""
    from diwa_schema import models

    models.load()


event.listen(Mapper, "before_configured", _load_all)


def _ask(operation: str, bind: Any) -> None:
    from diwa_schema import guard

    guard.ask(guard.Operation[operation], private=guard.IN_MEMORY if _in_memory(bind) else None)


def _in_memory(bind: Any) -> bool:
    """Return whether nobody else can see the database; SQLite is asked, because an Engine can connect in any way."""
    if not isinstance(bind, Engine | Connection) or bind.dialect.name != "sqlite":
        return False
    url = bind.engine.url
    if url.database not in (None, "", ":memory:") and url.query.get("mode") != "memory":
        return False
    with _connected(bind) as connection:
        return not any(file for _, _, file in connection.execute(text("PRAGMA database_list")))


@contextmanager
def _connected(bind: Any) -> Iterator[Connection]:
    if isinstance(bind, Engine):
        with bind.begin() as connection:
            yield connection
    else:
        yield bind


def _names(tables: Sequence[Table] | None) -> list[str] | None:
    return None if tables is None else [table.name for table in tables]


def _named(shape: MetaData, names: list[str] | None) -> list[Table] | None:
    return None if names is None else [shape.tables[name] for name in names]


class Base(DeclarativeBase):
    """The base class of all models."""

    metadata = SharedMetaData(naming_convention=NAMING)
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        uuid.UUID: UniqueId(),
        str: ShortText(),
        bytes: Bytes(),
        int: Count(),
        float: Real(),
        bool: Flag(),
        Decimal: Cost(),
        list[str]: TextArray(),
        **dict.fromkeys(VALUE_SETS, ShortText()),
    }

    def __init_subclass__(cls, **options: Any) -> None:
        """Map a model, and let the errors about its documents name their columns."""
        super().__init_subclass__(**options)
        if isinstance(table := cls.__dict__.get("__table__"), Table):
            name_documents(table)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute, but refuse `metadata`: the value would stay on the object and never be written."""
        if name == "metadata":
            raise AttributeError(_NOT_THE_COLUMN)
        super().__setattr__(name, value)

    def __setstate__(self, values: dict[str, Any]) -> None:
        """Take the values of a pickled row, and track changes inside them."""
        self.__dict__.update(values)
        track_again(self)

    @property
    def awaitable_attrs(self) -> Any:
        """The attributes in awaitable form, mainly relationships: ``await memory.awaitable_attrs.context``.

        It is the attribute of `sqlalchemy.ext.asyncio.AsyncAttrs`, which is loaded on first use.
        """
        from sqlalchemy.ext.asyncio import AsyncAttrs

        return cast(property, AsyncAttrs.awaitable_attrs).__get__(self)


event.listen(Base, "mapper_configured", notice_changes, propagate=True)


class PostgresColumn(Column[Any]):
    """A column that only PostgreSQL has; a query that selects it on SQLite gets NULL."""

    inherit_cache = True


@compiles(PostgresColumn, "sqlite")
def _null(*_: Any, **__: Any) -> str:
    return "NULL"


def utc_now() -> datetime:
    """Return the current time, aware, in UTC."""
    return datetime.now(UTC)


def stamped(column: Timestamp, *, on_change: bool = False, doc: str) -> Any:
    """Return a column for the time of a row's writing, from the client's clock.

    A new row shows the stored value: if a column of whole seconds drops the fraction, Python drops it first.

    Args:
        column: Its type.
        on_change: Whether every UPDATE writes the time again.
        doc: The meaning of the column.
    """

    def now(context: Any) -> datetime:
        return column.as_kept(utc_now(), context.dialect)

    return mapped_column(column, default=now, onupdate=now if on_change else None, **documented(doc))


def defaulted(value: Any) -> dict[str, Any]:
    """Return the options of a column with the same default on the client and on the server.

    Args:
        value: A text, number or flag, or a list of texts or a dict, which is copied for each row.
    """
    if isinstance(value, dict):
        return {"default": lambda: dict(value), "server_default": text("'{}'")}
    if isinstance(value, list):
        return {"default": lambda: list(value), "server_default": _list_default(value)}
    spelled = f"'{value}'" if isinstance(value, str) else str(value).lower()
    return {"default": value, "server_default": text(spelled)}


def left_open(sqlite: str) -> dict[str, Any]:
    """Return the options of a column that is NULL where no writer gives a value, because any value would claim a fact.

    PostgreSQL has no default. SQLite's table keeps the one that it was created with: to drop it takes a copy of the
    table.

    Args:
        sqlite: That default, as SQL.
    """
    return {"default": lambda: None, "server_default": ServerDefault(sqlite=sqlite)}


def _list_default(texts: list[str]) -> ServerDefault:
    elements = ", ".join(f"'{item}'::character varying" for item in texts)
    quoted = ",".join(f'"{item}"' for item in texts)
    return ServerDefault(
        postgresql=f"ARRAY[{elements}]" + ("" if texts else "::character varying[]"), sqlite=f"'[{quoted}]'"
    )


def kept_rules(table: str) -> tuple[CheckConstraint | Index, ...]:
    """Return the constraints of the rules that PostgreSQL enforces for a table."""
    return tuple(
        Index(rule.name, *rule.unique, unique=True)
        if rule.unique
        else CheckConstraint(text(rule.condition), name=rule.name)
        for rule in KEPT
        if rule.table == table
    )


def belongs_to(
    key: str,
    *,
    ondelete: str | None = "CASCADE",
    index: bool = True,
    unique: bool | None = None,
    **options: Any,
) -> Any:
    """Return a column that refers to the parent row, which owns this one.

    Args:
        key: The referenced ``table.column``.
        ondelete: The action of the database when the parent row is deleted.
        index: Whether the column has an index of its own.
        unique: Whether at most one row refers to the same parent.
        options: Further options of `mapped_column`.
    """
    return mapped_column(ForeignKey(key, ondelete=ondelete), index=index or None, unique=unique, **options)


def refers_to(key: str, **options: Any) -> Any:
    """Return a column that refers to another row and becomes NULL when that row is deleted."""
    return belongs_to(key, ondelete="SET NULL", **options)


def referred_by(attribute: str, **options: Any) -> Any:
    """Return the relationship to the rows that refer to this one; on a delete, the database handles them.

    Args:
        attribute: The attribute on the other side.
        options: Further options of `relationship`.
    """
    return relationship(back_populates=attribute, passive_deletes="all", **options)


def new_key() -> str:
    """Return a key for a table whose keys are text."""
    return str(uuid.uuid4())


ServerId = Annotated[
    uuid.UUID,
    mapped_column(
        primary_key=True,
        default=uuid.uuid4,
        server_default=ServerDefault(postgresql=RANDOM_ID, sqlite="NULL"),
        **documented("The key of the row. The client makes it, and PostgreSQL where a client sends none."),
    ),
]
"""A key that the client makes, and PostgreSQL where a client does not; SQLite's table says DEFAULT NULL."""

ClientId = Annotated[
    uuid.UUID,
    mapped_column(
        primary_key=True,
        default=uuid.uuid4,
        server_default=ServerDefault(postgresql=RANDOM_ID),
        **documented("The key of the row. The client makes it, and PostgreSQL where a client sends none."),
    ),
]
"""The same, where SQLite's table says nothing of a default."""

Prose = Annotated[str, mapped_column(LongText())]
Json = Annotated[Any, mapped_column(Document())]

Moment = Annotated[datetime, mapped_column(Timestamp(6))]
Second = Annotated[datetime, mapped_column(Timestamp(0))]

Arrival = Annotated[
    datetime, mapped_column(Timestamp(6, filled=True), server_default=ServerDefault(postgresql=NOW))
]
"""When a row came in, by the clock of the database; a client that leaves it out writes its order."""

_CREATED = "When the row was made."
_CHANGED = "When an application last changed the row; a plain UPDATE leaves it as it was."

CreatedSecond = Annotated[datetime, stamped(Timestamp(0), doc=_CREATED)]
ChangedSecond = Annotated[datetime, stamped(Timestamp(0), on_change=True, doc=_CHANGED)]
"""Whole seconds; on SQLite without a zone."""

_UTC_SECOND = Timestamp(0, "utc_datetime")
CreatedUtcSecond = Annotated[datetime, stamped(_UTC_SECOND, doc=_CREATED)]
ChangedUtcSecond = Annotated[datetime, stamped(_UTC_SECOND, on_change=True, doc=_CHANGED)]
"""Whole seconds; on SQLite with a Z."""

_FINER_ON_SQLITE = Timestamp(0, "utc_datetime_usec")
CreatedFiner = Annotated[datetime, stamped(_FINER_ON_SQLITE, doc=_CREATED)]
ChangedFiner = Annotated[datetime, stamped(_FINER_ON_SQLITE, on_change=True, doc=_CHANGED)]
"""Whole seconds on PostgreSQL, microseconds on SQLite, as the Elixir models write them."""

CreatedMoment = Annotated[datetime, stamped(Timestamp(6), doc=_CREATED)]
ChangedMoment = Annotated[datetime, stamped(Timestamp(6), on_change=True, doc=_CHANGED)]
"""Microseconds on both."""


def enforce_foreign_keys(engine: Engine) -> None:
    """Make SQLite enforce foreign keys on every new connection of an engine; by default it does not.

    Args:
        engine: An SQLite engine, or the `sync_engine` of an async one. For other databases nothing happens.
    """
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _enforce)


def _enforce(connection: Any, _: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()
