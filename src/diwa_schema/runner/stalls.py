"""Which revisions of a run would make the application wait for longer than it may."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from diwa_schema.database.version import quoted
from diwa_schema.errors import UsageError

if TYPE_CHECKING:
    from diwa_schema.database.link import Link
    from diwa_schema.database.version import State
    from diwa_schema.migrations.manifest import Revision

# That many rows a millisecond are written anew, with their indexes, on a machine that is not fast.
_ROWS = 20


def of(link: Link, state: State, revisions: Iterable[Revision], max_stall: float) -> dict[str, str]:
    """Return why revisions would hold a strong lock for longer than the stall allows, by their ids.

    Args:
        link: A connection to the database.
        state: What is there.
        revisions: The revisions that are to run.
        max_stall: The longest the application may be made to wait, in milliseconds.
    """
    if link.dialect == "sqlite":
        return {}  # its one writer waits for every change
    most = int(max_stall * _ROWS)
    found: dict[str, str] = {}
    for revision in revisions:
        large = [table for table in revision.rewrites if _has_more(link, state, table, most)]
        if large:
            found[revision.revision] = f"it rewrites {' and '.join(large)}, of more than {most:,} rows"
    return found


def refuse(found: dict[str, str], revisions: Iterable[Revision]) -> None:
    """Raise where a revision would stall the application.

    Raises:
        UsageError: One would.
    """
    for revision in revisions:
        if why := found.get(revision.revision):
            raise UsageError(
                f"Revision {revision.revision} ({revision.slug}) would make the application wait: {why}.",
                next_step="Choose a quiet hour and add --allow-stall.",
                revision=revision.revision,
            )


def _has_more(link: Link, state: State, table: str, most: int) -> bool:
    if table not in state.tables:
        return False
    name = f"{quoted(state.schema)}.{quoted(table)}"
    return bool(link.value(f"SELECT EXISTS (SELECT FROM {name} OFFSET %s)", (most,)))
