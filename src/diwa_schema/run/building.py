"""The progress of an index build, as the server reports it to another connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from diwa_schema.database.link import Link

_BUILD = (
    "SELECT coalesce(i.relname, t.relname), p.phase, p.blocks_done, p.blocks_total, p.tuples_done, p.tuples_total,"
    " p.lockers_done, p.lockers_total FROM pg_stat_progress_create_index p"
    " LEFT JOIN pg_class i ON i.oid = nullif(p.index_relid, 0) LEFT JOIN pg_class t ON t.oid = p.relid"
    " WHERE p.pid = %s AND p.phase IS NOT NULL"
)


class Build(NamedTuple):
    """How far the current phase of a build is; one build has several, each with pieces of its own.

    Args:
        label: The index and the phase.
        done: How many pieces are done.
        total: How many there are; None where the server counts none.
        unit: What the pieces are.
    """

    label: str
    done: int
    total: int | None
    unit: str


def building(link: Link, pid: int) -> Build | None:
    """Return how far the index build of a server process is; None where it builds none.

    Args:
        link: Another connection of the same role, or of one that may see it.
        pid: The server process.
    """
    found = link.row(_BUILD, (pid,))
    if found is None:
        return None
    name, phase, *counted = found
    blocks, entries, sessions = zip(counted[::2], counted[1::2], strict=True)
    # The server leaves the numbers of one phase standing in the next.
    if phase.startswith("waiting"):
        (done, total), unit = sessions, "sessions"
    elif "loading" in phase:
        (done, total), unit = entries, "entries"
    elif "sorting" in phase or phase == "initializing":
        (done, total), unit = (0, 0), ""
    else:
        (done, total), unit = blocks, "blocks"
    return Build(f"{name}: {phase.removeprefix('building index: ')}", done or 0, total or None, unit)
