"""Rows for any table: what has to be filled in is filled in, and what has to be there before is made."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Column
from sqlalchemy.orm import Mapper, Session

from diwa_schema.models import Base
from diwa_schema.models.types import Bytes, Count, Document, Embedding, Timestamp, UniqueId

NUMBERS = [round(0.5 - index / 1024, 6) for index in range(1536)]
# What may be NULL at head, and not in the tables that Ecto made.
DEMANDED_BY_ECTO = {"usage_records.context_id"}
MOMENT = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)


def mappers() -> list[Mapper[Any]]:
    """Return all models, those that others refer to first."""
    order = list(Base.metadata.sorted_tables)
    return sorted(Base.registry.mappers, key=lambda mapper: order.index(mapper.local_table))  # type: ignore[arg-type]


def class_of(table: str) -> Any:
    return next(mapper.class_ for mapper in mappers() if mapper.class_.__tablename__ == table)


def attributes(row: Any) -> Iterator[tuple[str, Column[Any]]]:
    for attribute in type(row).__mapper__.column_attrs:
        yield attribute.key, attribute.columns[0]


def new_row(model: Any) -> list[Any]:
    """Return a row of a model after the rows that it needs, with an embedding where it can have one."""
    row, needed = model(), []
    for key, column in attributes(row):
        embedding = isinstance(column.type, Embedding)
        demanded = not column.nullable or str(column) in DEMANDED_BY_ECTO
        if column.foreign_keys and demanded:
            parent = class_of(next(iter(column.foreign_keys)).column.table.name)
            needed += new_row(parent)
            setattr(row, key, needed[-1].id)
        elif embedding or not (column.nullable or column.default or column.server_default):
            setattr(row, key, _value(column))
    if hasattr(row, "id"):
        row.id = uuid.uuid4() if isinstance(model.__table__.c.id.type, UniqueId) else str(uuid.uuid4())
    return [*needed, row]


def _value(column: Column[Any]) -> Any:
    kinds = {
        Bytes: b"\x00\xff",
        Count: 7,
        Document: {"größe": [1, "zwei", None]},
        Embedding: NUMBERS,
        Timestamp: MOMENT,
        UniqueId: uuid.uuid4(),
    }
    return kinds.get(type(column.type), f"{column.name}-{uuid.uuid4()}"[:60])


def store(session: Session, *rows: Any) -> None:
    """Store rows in their order, and end the transaction."""
    for row in rows:
        session.add(row)
        session.flush()
    session.commit()
