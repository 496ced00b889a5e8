"""The start of a page: the last row of the page before, which an index finds at once."""

from __future__ import annotations

from collections.abc import Iterable
from operator import index
from typing import Any

from sqlalchemy import ColumnElement, literal, select, tuple_
from sqlalchemy.exc import MissingGreenlet, StatementError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.orm.exc import DetachedInstanceError, ObjectDeletedError
from sqlalchemy.sql.functions import FunctionElement

from diwa_schema.errors import UsageError
from diwa_schema.models.types import Timestamp


class _AsStored(FunctionElement[Any]):
    """A time of a row as its table holds it.

    SQLite compares times as texts, and a writer may have spelled this one in another way than the models do. With
    their spelling, the next page would begin with the same rows again, or leave some out.
    """

    inherit_cache = True


@compiles(_AsStored)
def _given(element: _AsStored, compiler: Any, **options: Any) -> str:
    given, _ = element.clauses
    return str(compiler.process(given, **options))


@compiles(_AsStored, "sqlite")
def _stored_or_given(element: _AsStored, compiler: Any, **options: Any) -> str:
    given, stored = (compiler.process(each, **options) for each in element.clauses)
    return f"coalesce({stored}, {given})"  # the row may be deleted


def rows_before(keys: Iterable[InstrumentedAttribute[Any]], row: object) -> ColumnElement[bool]:
    """Return the condition that selects the rows before another row.

    Args:
        keys: The columns of the order; together they are unique and never NULL. The last one is the id.
        row: The other row, or any object with attributes of these names.

    Raises:
        UsageError: A key of the row cannot be read any more, or not without a query.
        TypeError: The argument has no such attribute, or no value in it: it is no row of a page.
    """
    keys = tuple(keys)
    there = [literal(_held(row, key.key), key.type) for key in keys]
    places = (
        _place(key, value, there[-1]) if isinstance(key.type, Timestamp) else value
        for key, value in zip(keys, there, strict=True)
    )
    return tuple_(*keys) < tuple_(*places)


def _place(key: InstrumentedAttribute[Any], value: ColumnElement[Any], identity: Any) -> ColumnElement[Any]:
    table: Any = key.parent.local_table
    same = table.alias()
    stored = select(same.c[key.expression.name]).where(same.c.id == identity).scalar_subquery()
    return _AsStored(value, stored)


def _held(row: object, key: str) -> Any:
    value = read(row, key)
    if value is None:
        raise TypeError(
            f"The last row of the page has no {key}, so no page follows it: pass a row that a query returned."
        )
    return value


def read(row: object, key: str) -> Any:
    """Return an attribute of the last row of a page.

    Raises:
        UsageError: The attribute cannot be read any more, or not without a query in an asynchronous session.
        TypeError: The argument has no such attribute: it is no row.
    """
    try:
        return getattr(row, key)
    except AttributeError as error:
        raise TypeError(
            f"A page is continued after its last row, not after {type(row).__name__}: pass the row, which has"
            f" {key}."
        ) from error
    except (ObjectDeletedError, DetachedInstanceError):
        raise UsageError(
            f"The {key} of the last row of the page is not known any more: a commit made the row forget it, and since"
            " then the row was deleted, or its session was closed.",
            untouched="Nothing was sent.",
            next_step=(
                "Ask for the next page before the commit, or open the session with expire_on_commit=False"
            ),
        ) from None
    except (MissingGreenlet, StatementError) as error:
        if not isinstance(error if isinstance(error, MissingGreenlet) else error.orig, MissingGreenlet):
            raise
        raise UsageError(
            f"The last row of the page has not loaded its {key}, and an asynchronous session loads nothing by"
            " itself.",
            untouched="Nothing was sent.",
            next_step=f'Before: await session.refresh(row, ["{key}"])',
        ) from None


def at_most(limit: int) -> int:
    """Return the maximum number of rows of a query.

    Raises:
        ValueError: It is negative: SQLite would return all rows.
        TypeError: It is no whole number.
    """
    try:
        limit = index(limit)
    except TypeError:
        raise TypeError(f"A limit is a whole number, not {type(limit).__name__}.") from None
    if limit < 0:
        raise ValueError(f"A query returns 0 rows or more, not {limit}: pass a limit that is not negative.")
    return limit
