"""Unfinished work: the run that is active or was interrupted, and the objects that belong to its work.

A comparison in the middle of a revision finds the revision's own objects: temporary ones, and those that it adds,
changes or removes. They are no drift. The fix of all of them is the next run, never a statement by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from diwa_schema.database import bookkeeping, lock
from diwa_schema.database.state import LEDGER, State
from diwa_schema.drift.compare import Finding, findings
from diwa_schema.errors import command
from diwa_schema.migrations.manifest import load
from diwa_schema.migrations.temporary import is_temporary

if TYPE_CHECKING:
    from diwa_schema.database.link import Link
    from diwa_schema.drift.model import Catalog

Place = tuple[str, str, str]
"""Kind, table and name of an object."""


# The commands of work in pieces without a revision, by the kind of their entries: forth and back.
_COMMANDS = {
    "convert": ("enable-vector", "disable-vector"),
    "index": ("index enable NAME", "index disable NAME"),
    "validate": ("validate", "validate"),
}


class Unfinished(NamedTuple):
    """Work that a run has begun and not finished.

    Args:
        revision: The revision; None for work without one, and if no entry of the ledger tells it.
        running: Whether the run is active.
        since: Its start or end as text; empty if unknown.
        back: Whether the run reverses the revision.
        again: The command that continues work without a revision; empty if unknown.
        failed: Whether the run ended with an error, which has told its own next step.
    """

    revision: str | None
    running: bool = False
    since: str = ""
    back: bool = False
    again: str = ""
    failed: bool = False

    @property
    def text(self) -> str:
        """The state of the run in one line of text."""
        if self.revision is None and not self.again:
            return "a run was interrupted in the middle of a step"
        inside = f"revision {self.revision}" if self.revision else self.again.removesuffix(" NAME")
        state = "is active" if self.running else "failed" if self.again and self.failed else "was interrupted"
        return f"a run {state} in {inside}{self.since}"

    @property
    def next_step(self) -> str:
        """The next step, which removes what the revision needs no longer."""
        if self.running:
            return f"Wait for the run to end; to see it, run: {command('status')}"
        if self.again:
            return f"Run: {command(self.again)}; it continues there. Drop none of its objects by hand"
        if self.revision is None:
            return (
                f"Run the interrupted command again, {command('enable-vector')} or {command('disable-vector')}: it"
                " continues there. Drop none of these objects by hand"
            )
        way = "downgrade" if self.back else "upgrade"
        return f"Run: {command(way)}; it continues there. Drop none of these objects by hand: the revision needs them"


def look(link: Link, state: State) -> Unfinished | None:
    """Return the unfinished work of a database; None if the ledger shows none."""
    if LEDGER not in state.tables:
        return None
    latest = bookkeeping.latest(link, state, ("migrate", *_COMMANDS))
    for kind in ("migrate", *_COMMANDS):
        last = latest.get(kind)
        if last is None or last["outcome"] == "applied":
            continue
        found = _revision(link, state, last) if kind == "migrate" else _piecework(link, state, last)
        if found is not None:
            return found
    return None


def _piecework(link: Link, state: State, last: dict[str, Any]) -> Unfinished | None:
    back = last["direction"] == "downgrade"
    running, since = _course(link, state, last)
    return Unfinished(
        None, running, since, back, _COMMANDS[last["kind"]][back], failed=last["outcome"] == "failed"
    )


def _course(link: Link, state: State, last: dict[str, Any]) -> tuple[bool, str]:
    """Return whether the run of an entry is active, and its start as text."""
    running = last["outcome"] == "started" and lock.running(link, state.schema)
    return running, f" since {last['since']}" if running else f", begun at {last['since']}"


def _revision(link: Link, state: State, last: dict[str, Any]) -> Unfinished | None:
    if last["revision"] is None:
        return None
    revision, back = str(last["revision"]), last["direction"] == "downgrade"
    history = load()
    # A database that has moved since, for example by stamp, has nothing left of that run.
    pending = history.between(state.revision, history.head) if state.revision in (None, *history.ids) else ()
    if revision != (state.revision if back else pending[0].revision if pending else None):
        return None
    return Unfinished(revision, *_course(link, state, last), back)


def touched(one: Unfinished, wanted: Catalog, expected: Callable[[str | None], Catalog]) -> frozenset[Place]:
    """Return the objects that an unfinished revision adds, changes or removes.

    Args:
        one: The revision.
        wanted: The catalog expected at the database's revision.
        expected: Returns the catalog expected at any revision.
    """
    if one.revision is None:
        return frozenset()
    step = load().get(one.revision)
    found = findings(expected(step.down_revision if one.back else one.revision), wanted)
    retyped = step.retypes_back if one.back else step.retypes
    columns = {("column", *name.split(".", 1)) for name in retyped}
    return frozenset(columns | {place for each in found for place in _places(each)})  # type: ignore[arg-type]


def belongs(kind: str, table: str, name: str, among: Iterable[Place] = ()) -> bool:
    """Return whether an object belongs to an unfinished step."""
    return is_temporary(kind, table, name) or (kind, table, name) in among


def _places(one: Finding) -> Iterable[Place]:
    names = {str(side.name) for side in (one.found, one.expected) if side is not None}
    return ((one.kind, one.table, name) for name in names)
