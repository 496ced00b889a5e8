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
    """The progress of the current phase of a build; a build has several phases, each with its own pieces.

    Args:
        label: The index and the phase.
        done: The number of finished pieces.
        total: The number of all pieces; None if the server counts none.
        unit: The kind of the pieces.
    """

    label: str
    done: int
    total: int | None
    unit: str


def building(link: Link, pid: int) -> Build | None:
    """Return the progress of a server process's index build; None if it builds no index.

    Args:
        link: Another connection of the same role, or of a role that may see it.
        pid: The server process.
    """
    found = link.row(_BUILD, (pid,))
    if found is None:
        return None
    name, phase, *counted = found
    blocks, entries, sessions = zip(counted[::2], counted[1::2], strict=True)
    # The server keeps the numbers of one phase in the next one.
    if phase.startswith("waiting"):
        (done, total), unit = sessions, "sessions"
    elif "loading" in phase:
        (done, total), unit = entries, "entries"
    elif "sorting" in phase or phase == "initializing":
        (done, total), unit = (0, 0), ""
    else:
        (done, total), unit = blocks, "blocks"
    return Build(f"{name}: {phase.removeprefix('building index: ')}", done or 0, total or None, unit)
