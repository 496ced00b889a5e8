"""Every statement that a piece of work sends to PostgreSQL, as a script for psql."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import psycopg
from psycopg import sql

_execute = psycopg.Cursor.execute


def script(work: Callable[[], object]) -> tuple[str, int]:
    """Return what a call sends, on whichever connections, in its order, and how many statements that are."""
    sent: list[str] = []

    def execute(cursor: psycopg.Cursor[Any], query: Any, params: Any = None, **options: Any) -> Any:
        sent.append(_written(cursor, query, params))
        return _execute(cursor, query, params, **options)

    with patch.object(psycopg.Cursor, "execute", execute):
        work()
    return "".join(f"{statement.rstrip().rstrip(';')};\n" for statement in sent), len(sent)


def _written(cursor: psycopg.Cursor[Any], query: Any, params: Any) -> str:
    """Return a statement with its values in it, whichever kind of marks it has for them."""
    if not params or not isinstance(cursor, psycopg.RawCursor):
        return psycopg.ClientCursor(cursor.connection).mogrify(query, params)
    values = [sql.Literal(value).as_string(cursor) for value in params]
    return re.sub(r"\$(\d+)", lambda mark: values[int(mark[1]) - 1], query)
