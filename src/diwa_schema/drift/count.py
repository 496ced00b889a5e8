"""Counting rows for display: in short time, without blocking others, all rows or none."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from diwa_schema.database.failures import is_driver_error

if TYPE_CHECKING:
    from diwa_schema.database.link import Link

# A count reads a whole table, on a live database. It sees all rows or fails.
_COUNTING = (
    "SELECT set_config('statement_timeout', %s, true), set_config('lock_timeout', '50ms', true),"
    " set_config('row_security', 'off', true)"
)
_SEEING_ALL = "SELECT set_config('row_security', 'off', true)"
AT_MOST = 5.0  # seconds for all counts of a command together


def deadline() -> float:
    """Return the deadline for counts that begin now."""
    return time.monotonic() + AT_MOST


def counted(link: Link, query: str, until: float) -> int | None:
    """Return the result of a counting query; None if it takes too long, or in a caller's transaction."""
    left = round((until - time.monotonic()) * 1000)
    # In a caller's transaction, a failed count would end the transaction.
    if left <= 0 or _busy(link):
        return None
    link.execute("BEGIN")
    try:
        if link.dialect == "postgresql":
            link.row(_COUNTING, (f"{left}ms",))
        return int(link.value(query))
    except Exception as error:
        # A value outside of the other type, a missing right, or a table that is too large or in use.
        if not is_driver_error(error):
            raise
        return None
    finally:
        link.abandon()


@contextmanager
def seeing_all(link: Link) -> Iterator[None]:
    """Let reads in the block see all rows, or fail if row security would hide some; the setting ends with the block."""
    if link.dialect == "sqlite":
        yield
        return
    inside = _busy(link)
    link.raw.execute("SAVEPOINT diwa_schema_rows" if inside else "BEGIN READ ONLY")
    try:
        link.row(_SEEING_ALL)
        yield
    finally:
        if inside:
            link.raw.execute("ROLLBACK TO diwa_schema_rows")
            link.raw.execute("RELEASE diwa_schema_rows")
        else:
            link.abandon()


def _busy(link: Link) -> bool:
    return bool(link.raw.in_transaction if link.dialect == "sqlite" else link.raw.info.transaction_status)
