"""The state of a database, for people and machines."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from diwa_schema.database import bookkeeping, lock, presence, releases
from diwa_schema.database.seen import seen as noted
from diwa_schema.database.state import State, refuse_unknown
from diwa_schema.errors import DatabaseRefused
from diwa_schema.migrations.manifest import load

if TYPE_CHECKING:
    from diwa_schema.database.link import Link
    from diwa_schema.drift.rules import Waiting


@dataclass(frozen=True, slots=True)
class Status:
    """The state of a database.

    Args:
        database: The masked URL.
        schema: The examined schema; None on SQLite, which has only one.
        kind: empty, versioned, created by Ecto, or foreign.
        revision: The revision of the database; None at base.
        head: The last revision of the installed package.
        floor: The oldest head whose code still works with the database.
        pending: The revisions that an upgrade would apply.
        missing: The tables that are absent although the database is recorded at head.
        known: Whether the installed history contains its revision.
        protected: Whether the guard refuses the bypass for it.
        bypassed: The runs with the bypass since the last regular run, oldest first.
        unfinished: The work that a run has begun and not finished, each with its kind, revision, start time, user and
            host, and whether the run is still active.
        ended: The end of the last run if it was interrupted or failed, as recorded in the ledger; None otherwise.
        ecto: The changes of Ecto's list of versions outside this package: removed and added versions.
        refused: The reason why no run could begin; empty if a run could begin.
        elsewhere: Other schemas of the database with a version table, if this schema has none.
        next_step: The next step for either; empty otherwise.
        releases: The releases of this package in connected applications; None if this role may not read them.
        seen: The last start of each release by each role on each host, latest first; None if this role may not read the
            notes.
        waiting: The rules about rows that the database does not enforce for all rows, with the number of rows that
            break each.
    """

    database: str
    schema: str | None
    kind: str
    revision: str | None
    head: str
    floor: str | None
    pending: tuple[str, ...]
    missing: tuple[str, ...]
    known: bool
    protected: bool
    bypassed: tuple[dict[str, Any], ...]
    unfinished: tuple[dict[str, Any], ...] = ()
    ended: dict[str, Any] | None = None
    ecto: dict[str, tuple[int, ...]] = field(default_factory=dict)
    refused: str = ""
    elsewhere: tuple[str, ...] = ()
    next_step: str = ""
    waiting: tuple[dict[str, Any], ...] = ()
    releases: tuple[dict[str, Any], ...] | None = ()
    seen: tuple[dict[str, Any], ...] | None = ()

    @property
    def current(self) -> bool:
        """Whether nothing is pending, no table is missing, and Ecto's list is unchanged."""
        return self.known and not (self.pending or self.missing or self.ecto or self.refused)

    def as_dict(self) -> dict[str, Any]:
        """Return the status as a document for ``--json``."""
        return {**asdict(self), "current": self.current}


def read(link: Link) -> Status:
    """Read the state of a database; nothing is written.

    Raises:
        PermissionMissing: Row security hides the state from the connection's role.
    """
    history = load()
    state = bookkeeping.look(link)
    known = state.revision is None or state.revision in history
    pending = history.between(state.revision, history.head) if known else ()
    entries = bookkeeping.entries(link, state)
    refusal = _refusal(state, link.shown)
    elsewhere = () if refusal or state.revision else presence.elsewhere(link, state.schema)
    sessions = releases.connected(link)
    starts = noted(link, state.schema)
    return Status(
        database=link.database,
        schema=None if link.dialect == "sqlite" else state.schema,
        kind=str(state.kind),
        revision=state.revision,
        head=history.head,
        floor=state.floor,
        pending=tuple(step.revision for step in pending),
        missing=presence.missing(state),
        known=known,
        protected=state.protected,
        bypassed=_bypassed(entries),
        unfinished=_unfinished(link, state, entries),
        ended=bookkeeping.Bookkeeping(link, state.schema).ledger.ended() if entries else None,
        ecto=_changed_list(state),
        refused=refusal.what if refusal else "",
        elsewhere=elsewhere,
        next_step=refusal.next_step if refusal else presence.meant(elsewhere),
        releases=None if sessions is None else tuple(one.as_dict() for one in sessions),
        seen=None if starts is None else tuple(one.as_dict() for one in starts),
        waiting=tuple(one.as_dict() for one in waiting_rules(link, state)),
    )


def _refusal(state: State, shown: str) -> DatabaseRefused | None:
    """Return the refusal of a run, as far as reading the state can tell."""
    try:
        refuse_unknown(state, load(), shown)
    except DatabaseRefused as error:
        return error
    return None


def bypassed(link: Link) -> tuple[dict[str, Any], ...]:
    """Return the runs with the bypass since the last regular run, oldest first."""
    return _bypassed(bookkeeping.entries(link, bookkeeping.look(link)))


def waiting_rules(link: Link, state: State) -> tuple[Waiting, ...]:
    """Return the rules about rows that a database at head does not enforce for all rows; none below head."""
    from diwa_schema.drift.rules import waiting
    from diwa_schema.models.rules import KEPT

    if state.revision != load().head:
        return ()
    return waiting(link, state.schema, [rule for rule in KEPT if rule.table in state.tables])


def _changed_list(state: State) -> dict[str, tuple[int, ...]]:
    from diwa_schema.database.ecto_list import changed_list

    gone, added = changed_list(state)
    return {"gone": gone, "added": added} if gone or added else {}


def _unfinished(link: Link, state: State, entries: list[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    begun = [entry for entry in entries if entry["outcome"] == "started"]
    at_work = bool(begun) and lock.running(link, state.schema)
    kept = ("run_id", "kind", "revision", "started_at", "os_user", "host", "pid")
    return tuple({name: entry[name] for name in kept} | {"running": at_work} for entry in begun)


def _bypassed(entries: list[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    runs: dict[str, dict[str, Any]] = {}
    for entry in entries:
        if not entry["bypass"]:
            if entry["outcome"] == "applied":  # a failed run has corrected nothing
                runs.clear()
            continue
        kept = ("run_id", "started_at", "kind", "repository", "os_user", "host", "bypass", "bypass_reason")
        run = runs.setdefault(entry["run_id"], {name: entry[name] for name in kept} | {"revisions": []})
        run["revisions"].append(entry["revision"])
    return tuple(runs.values())
