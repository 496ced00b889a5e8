"""Which revisions of a run would make the application wait for longer than it may."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from diwa_schema.errors import UsageError
from diwa_schema.names import quoted

if TYPE_CHECKING:
    from diwa_schema.database.link import Link
    from diwa_schema.database.version import State
    from diwa_schema.run.plan import Plan

# That many rows a millisecond are written anew, with their indexes, on a machine that is not fast.
_ROWS = 20


def noted(plan: Plan, link: Link, state: State, max_stall: float) -> Plan:
    """Return the plan with a note on each revision that would hold a strong lock for longer than the stall allows.

    Args:
        plan: What is to run.
        link: A connection to the database.
        state: What is there.
        max_stall: The longest the application may be made to wait, in milliseconds.
    """
    if link.dialect == "sqlite":
        return plan  # its one writer waits for every change
    most = int(max_stall * _ROWS)
    found: dict[str, str] = {}
    for revision in plan.revisions:
        large = [table for table in revision.rewrites if _has_more(link, state, table, most)]
        if large:
            found[revision.revision] = f"it rewrites {' and '.join(large)}, of more than {most:,} rows"
    return replace(plan, stalls=found)


def refuse(plan: Plan) -> None:
    """Raise where a revision is noted to stall the application.

    Raises:
        UsageError: One would.
    """
    for revision in plan.revisions:
        if why := plan.stalls.get(revision.revision):
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
