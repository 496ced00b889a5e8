"""Where a database stands, for people and machines."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from diwa_schema.database import bookkeeping, ledger, presence
from diwa_schema.database.state import State
from diwa_schema.migrations.manifest import load

if TYPE_CHECKING:
    from diwa_schema.database.link import Link


@dataclass(frozen=True, slots=True)
class Status:
    """Where a database stands.

    Args:
        database: The masked URL.
        kind: empty, versioned, made by Ecto, or foreign.
        revision: The revision it is at; None at base.
        head: The last revision of the installed package.
        floor: The oldest head whose code still works with it.
        pending: The revisions that an upgrade would apply.
        missing: The tables that it lacks although it says that it is at head.
        known: Whether its revision is in the installed history.
        protected: Whether the bypass is kept from it.
        bypassed: The runs that came through the bypass since the last regular run, oldest first.
    """

    database: str
    kind: str
    revision: str | None
    head: str
    floor: str | None
    pending: tuple[str, ...]
    missing: tuple[str, ...]
    known: bool
    protected: bool
    bypassed: tuple[dict[str, Any], ...]

    @property
    def current(self) -> bool:
        """Whether there is nothing to apply, and no table missing."""
        return self.known and not self.pending and not self.missing

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
    presence.refuse_hidden(link, state)
    known = state.revision is None or state.revision in history
    pending = history.between(state.revision, history.head) if known else ()
    return Status(
        database=link.shown,
        kind=str(state.kind),
        revision=state.revision,
        head=history.head,
        floor=state.floor,
        pending=tuple(step.revision for step in pending),
        missing=presence.missing(state),
        known=known,
        protected=state.protected,
        bypassed=_bypassed(link, state),
    )


def _bypassed(link: Link, state: State) -> tuple[dict[str, Any], ...]:
    if ledger.LEDGER not in state.tables:
        return ()
    runs: dict[str, dict[str, Any]] = {}
    for entry in ledger.entries(link, state.schema):
        if not entry["bypass"]:
            if entry["outcome"] == "applied":  # one that failed has set nothing right
                runs.clear()
            continue
        kept = ("run_id", "started_at", "kind", "repository", "os_user", "host", "bypass", "bypass_reason")
        run = runs.setdefault(entry["run_id"], {name: entry[name] for name in kept} | {"revisions": []})
        run["revisions"].append(entry["revision"])
    return tuple(runs.values())
