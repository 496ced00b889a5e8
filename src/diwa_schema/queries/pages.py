"""The start of a page: the last row of the page before, which an index finds at once."""

from __future__ import annotations

from collections.abc import Iterable
from operator import index
from typing import Any

from sqlalchemy import ColumnElement, literal, tuple_
from sqlalchemy.exc import MissingGreenlet, StatementError
from sqlalchemy.orm import InstrumentedAttribute

from diwa_schema.errors import UsageError


def rows_before(keys: Iterable[InstrumentedAttribute[Any]], row: object) -> ColumnElement[bool]:
    """Return the condition that selects the rows before another row.

    Args:
        keys: The columns of the order; together they are unique and never NULL.
        row: The other row, or any object with attributes of these names.

    Raises:
        UsageError: The row belongs to an asynchronous session, and one of its keys has not been loaded.
        TypeError: The argument has no such attribute: it is no row.
    """
    keys = tuple(keys)
    there = (literal(read(row, key.key), key.type) for key in keys)
    return tuple_(*keys) < tuple_(*there)


def read(row: object, key: str) -> Any:
    """Return an attribute of the last row of a page.

    Raises:
        UsageError: The row belongs to an asynchronous session, and the attribute has not been loaded.
        TypeError: The argument has no such attribute: it is no row.
    """
    try:
        return getattr(row, key)
    except AttributeError as error:
        raise TypeError(
            f"A page is continued after its last row, not after {type(row).__name__}: pass the row, which has"
            f" {key}."
        ) from error
    except (MissingGreenlet, StatementError) as error:
        if not isinstance(error if isinstance(error, MissingGreenlet) else error.orig, MissingGreenlet):
            raise
        raise UsageError(
            f"The row of `after` has not loaded its {key}, and an asynchronous session loads nothing by"
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
