"""Every statement that a piece of work sends to PostgreSQL, as a script for psql."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import psycopg

_execute = psycopg.Cursor.execute


def script(work: Callable[[], object]) -> tuple[str, int]:
    """Return what a call sends, on whichever connections, in its order, and how many statements that are."""
    sent: list[str] = []

    def execute(cursor: psycopg.Cursor[Any], query: Any, params: Any = None, **options: Any) -> Any:
        sent.append(psycopg.ClientCursor(cursor.connection).mogrify(query, params))
        return _execute(cursor, query, params, **options)

    with patch.object(psycopg.Cursor, "execute", execute):
        work()
    return "".join(f"{statement.rstrip().rstrip(';')};\n" for statement in sent), len(sent)
