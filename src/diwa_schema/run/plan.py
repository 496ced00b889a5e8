"""The plan of a run for a database in a given state, and the states that it refuses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from diwa_schema.database.state import REBUILT, State, refuse_unknown
from diwa_schema.errors import DatabaseRefused, UsageError, command
from diwa_schema.migrations.manifest import Manifest, Revision

if TYPE_CHECKING:
    from diwa_schema.database.releases import Connected
    from diwa_schema.database.seen import Seen
    from diwa_schema.migrations.steps.dependents import Dependent
    from diwa_schema.run.connections import Connections

Direction = Literal["upgrade", "downgrade"]


class Obstacle(NamedTuple):
    """What would make a revision fail, found before the first one runs.

    Args:
        what: What stands in the way.
        statement: What takes it out of the way, without a semicolon at its end; empty where another role is needed.
    """

    what: str
    statement: str = ""


class Outdated(NamedTuple):
    """A release that a revision breaks, and where it is at work or was lately.

    Args:
        revision: The revision.
        needs: The first release that goes on working.
        sessions: Who is connected, or the last start.
    """

    revision: str
    needs: str
    sessions: Connected | Seen

    def __str__(self) -> str:
        return f"Revision {self.revision} breaks releases before {self.needs}, and {self.sessions.told}."


class Size(NamedTuple):
    """How large a table is in the database that a plan is for.

    Args:
        rows: Its rows as the server's statistics have them; None where nobody has analysed it yet.
        size: Its bytes, with its indexes and what is stored beside it.
    """

    rows: int | None
    size: int


class Plan(NamedTuple):
    """What a run would do.

    Args:
        direction: Which way it goes.
        before: The revision it starts from; None for base.
        after: The revision it ends at; None for base.
        revisions: The revisions in the order they run.
        snapshot: Whether all of them come at once, as the snapshot.
        stalls: Why revisions would make the application wait for longer than it may, by their ids.
        obstacles: What would make a revision fail: rights that are missing.
        dependents: What hangs on columns that are to get another type, and would stop that.
        connections: Which results would change their type, and who is connected; None before anybody looked.
        archived: How many values of a column go to the archive, because its new type cannot hold them, by the column
            as table.column; counted for who reads the plan only.
        outdated: The releases that the plan would break and that are connected or have started lately; None where this
            role may not look at connections.
        sizes: How large the tables are that revisions rewrite or retype, where they are there; read for who reads the
            plan only.
    """

    direction: Direction
    before: str | None
    after: str | None
    revisions: tuple[Revision, ...] = ()
    snapshot: bool = False
    stalls: Mapping[str, str] = MappingProxyType({})
    obstacles: tuple[Obstacle, ...] = ()
    dependents: tuple[Dependent, ...] = ()
    connections: Connections | None = None
    archived: Mapping[str, int] = MappingProxyType({})
    outdated: tuple[Outdated, ...] | None = ()
    sizes: Mapping[str, Size] = MappingProxyType({})

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as a document for ``--json``."""
        retypes = self.connections.retypes if self.connections else ()
        return {
            "from": self.before,
            "to": self.after,
            "snapshot": self.snapshot,
            "revisions": [
                {
                    "revision": step.revision,
                    "slug": step.slug,
                    "phase": step.phase,
                    "transactional": step.transactional,
                    "irreversible": step.irreversible,
                    "drops_back": list(step.drops),
                    "forgets": list(step.forgets),
                    "stalls": self.stalls.get(step.revision),
                    "retypes": [one.column for one in retypes if one.revision == step.revision],
                }
                for step in self.revisions
            ],
            "obstacles": [one._asdict() for one in self.obstacles],
            "dependents": [asdict(one) for one in self.dependents],
            "outdated": self.outdated
            and [
                {"revision": one.revision, "needs": one.needs, **one.sessions.as_dict()}
                for one in self.outdated
            ],
            "connections": asdict(self.connections) if self.connections and retypes else None,
            "archived": dict(self.archived),
            "sizes": {table: one._asdict() for table, one in self.sizes.items()},
        }


def upgrade(state: State, manifest: Manifest, name: str, shown: str, *, replay: bool = False) -> Plan:
    """Decide what an upgrade to a revision would do.

    Raises:
        UnknownRevision: The history has no such revision.
        DatabaseRefused: The database is not one to upgrade.
    """
    refuse_unknown(state, manifest, shown)
    after = manifest.resolve(name, state.revision)
    pending = manifest.between(state.revision, after)
    if not pending:
        return Plan("upgrade", state.revision, state.revision)
    fresh = state.untouched and after == manifest.head and not replay
    return Plan("upgrade", state.revision, after, pending, snapshot=fresh)


def downgrade(state: State, manifest: Manifest, name: str, shown: str) -> Plan:
    """Decide what a downgrade to a revision would do.

    Raises:
        UnknownRevision: The history has no such revision.
        DatabaseRefused: One of the revisions cannot be reversed, or the database is not one to downgrade.
    """
    from diwa_schema.run.adopt.variants import V1_REVISION

    refuse_unknown(state, manifest, shown)
    after = manifest.resolve(name, state.revision)
    reversed_ = tuple(reversed(manifest.between(after, state.revision)))
    if not reversed_ and after != state.revision:
        raise UsageError(
            f"{after} comes after {state.revision or 'base'}, where {shown} is.",
            next_step=f"Run: {command(f'upgrade {after}')}",
        )
    if REBUILT in state.tables and after is not None and after < V1_REVISION:
        raise DatabaseRefused(
            f"{shown} was built anew from the agent's first lineage, which has no place below revision {V1_REVISION}.",
            next_step=f"Stay at it or above: {command(f'downgrade {V1_REVISION}')}, which keeps the old tables as"
            f" {REBUILT} and its neighbours; or take everything away: {command('downgrade base')}",
        )
    for revision in reversed_:
        if revision.irreversible:
            raise DatabaseRefused(
                f"Revision {revision.revision} ({revision.slug}) cannot be reversed: {revision.irreversible}",
                next_step=f"Stay at it or above: {command(f'downgrade {revision.revision}')}",
                revision=revision.revision,
            )
    return Plan("downgrade", state.revision, after, reversed_)
