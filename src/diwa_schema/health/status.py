"""Where a database stands, for people and machines."""

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
    """Where a database stands.

    Args:
        database: The masked URL.
        schema: The schema that was looked at; None on SQLite, which has one.
        kind: empty, versioned, made by Ecto, or foreign.
        revision: The revision it is at; None at base.
        head: The last revision of the installed package.
        floor: The oldest head whose code still works with it.
        pending: The revisions that an upgrade would apply.
        missing: The tables that it lacks although it says that it is at head.
        known: Whether its revision is in the installed history.
        protected: Whether the bypass is kept from it.
        bypassed: The runs that came through the bypass since the last regular run, oldest first.
        unfinished: The revisions that a run has begun and not ended: since when, who began it, on which host, and
            whether that run is still at work.
        ended: How the last run ended where it was interrupted or has failed, as the ledger has it; None where it came
            to its end.
        ecto: What was done to Ecto's list of versions past this package: those that are gone, and those that were
            added.
        refused: Why no run would begin here; empty where one would.
        elsewhere: Other schemas of the database that have a version table, where this one has none.
        next_step: What to do about either; empty otherwise.
        releases: The releases of this package that applications are connected with; None where this role may not look.
        seen: The last start of each release by each role on each host, the last one first; None where this role may
            not read the notes.
        waiting: The rules about rows that the database does not keep for all rows, with how many rows break each.
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
        """Whether there is nothing to apply, no table missing, and Ecto's list as this package left it."""
        return self.known and not (self.pending or self.missing or self.ecto or self.refused)

    def as_dict(self) -> dict[str, Any]:
        """Return the status as a document for ``--json``."""
        return {**asdict(self), "current": self.current}


def read(link: Link) -> Status:
    """Read where a database stands; nothing is written.

    Raises:
        PermissionMissing: Row security hides it from the connection's role.
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
    """Return what a run would be refused with, before anything but the look is known."""
    try:
        refuse_unknown(state, load(), shown)
    except DatabaseRefused as error:
        return error
    return None


def bypassed(link: Link) -> tuple[dict[str, Any], ...]:
    """Return the runs that came through the bypass since the last regular run, oldest first."""
    return _bypassed(bookkeeping.entries(link, bookkeeping.look(link)))


def waiting_rules(link: Link, state: State) -> tuple[Waiting, ...]:
    """Return the rules about rows that a database at head does not keep for all rows; none below head."""
    from diwa_schema.drift.rules import waiting
    from diwa_schema.models.rules import KEPT

    if state.revision != load().head:
        return ()
    return waiting(link, state.schema, [rule for rule in KEPT if rule.table in state.tables])


def _changed_list(state: State) -> dict[str, tuple[int, ...]]:
    from diwa_schema.run.adopt.ecto_list import changed_list

    gone, added = changed_list(state)
    return {"gone": gone, "added": added} if gone or added else {}


def _unfinished(link: Link, state: State, entries: list[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    begun = [entry for entry in entries if entry["outcome"] == "started"]
    at_work = bool(begun) and lock.running(link, state.schema)
    kept = ("run_id", "revision", "started_at", "os_user", "host", "pid")
    return tuple({name: entry[name] for name in kept} | {"running": at_work} for entry in begun)


def _bypassed(entries: list[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    runs: dict[str, dict[str, Any]] = {}
    for entry in entries:
        if not entry["bypass"]:
            if entry["outcome"] == "applied":  # one that failed has set nothing right
                runs.clear()
            continue
        kept = ("run_id", "started_at", "kind", "repository", "os_user", "host", "bypass", "bypass_reason")
        run = runs.setdefault(entry["run_id"], {name: entry[name] for name in kept} | {"revisions": []})
        run["revisions"].append(entry["revision"])
    return tuple(runs.values())
