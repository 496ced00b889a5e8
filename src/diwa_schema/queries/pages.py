"""Where a page goes on: at the last row of the page before, which an index finds at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, literal, tuple_
from sqlalchemy.orm import InstrumentedAttribute


def rows_before(keys: Iterable[InstrumentedAttribute[Any]], row: object) -> ColumnElement[bool]:
    """Return the condition that a row comes before another one.

    Args:
        keys: The columns of the order; together they are unique, and none is NULL.
        row: The other row, or anything that has attributes of their names.
    """
    keys = tuple(keys)
    there = (literal(getattr(row, key.key), key.type) for key in keys)
    return tuple_(*keys) < tuple_(*there)
