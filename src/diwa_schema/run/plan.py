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
    """An obstacle for a revision, found before the first one runs.

    Args:
        what: A description of the obstacle.
        statement: The SQL that removes it, without a final semicolon; empty if another role is needed.
    """

    what: str
    statement: str = ""


class Outdated(NamedTuple):
    """A release that a revision breaks, and its current or recent use.

    Args:
        revision: The revision.
        needs: The first release that keeps working.
        sessions: The connected sessions, or the last start.
    """

    revision: str
    needs: str
    sessions: Connected | Seen

    def __str__(self) -> str:
        return f"Revision {self.revision} breaks releases before {self.needs}, and {self.sessions.told}."


class Size(NamedTuple):
    """The size of a table in the database of a plan.

    Args:
        rows: The number of its rows in the server's statistics; None if it has not been analysed yet.
        size: Its size in bytes, with its indexes and external values.
    """

    rows: int | None
    size: int


class Plan(NamedTuple):
    """The plan of a run.

    Args:
        direction: The direction of the run.
        before: The starting revision; None for base.
        after: The target revision; None for base.
        revisions: The revisions in the order of the run.
        snapshot: Whether the run uses the snapshot for all of them.
        stalls: The reasons why revisions would make the application wait for longer than allowed, by their ids.
        obstacles: Missing rights that would make a revision fail.
        dependents: Objects that depend on columns with a type change and would stop it.
        connections: The results whose type would change, and the connected applications; None before the check.
        archived: The number of values that go to the archive because the new type of their column cannot hold them, by
            table.column; counted only for a displayed plan.
        outdated: The releases that the plan would break and that are connected or have started recently; None if this
            role may not read connections.
        sizes: The sizes of existing tables that revisions rewrite or retype; read only for a displayed plan.
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

    @property
    def keeps_types(self) -> bool:
        """Whether no column gets another type: every revision declares its columns that do."""
        back = self.direction == "downgrade"
        kinds = (one.retypes_back if back else one.retypes for one in self.revisions)
        return bool(self.revisions) and not self.snapshot and not any(kinds)

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
    """Return the plan of an upgrade to a revision.

    Raises:
        UnknownRevision: The history has no such revision.
        UsageError: The name leads down.
        DatabaseRefused: The database is not in a state that allows an upgrade.
    """
    refuse_unknown(state, manifest, shown)
    after = manifest.resolve(name, state.revision)
    pending = manifest.between(state.revision, after)
    # The id of a revision below is no way back: a release may name the one that it needs.
    if after != state.revision and (name == "base" or name.startswith("-")):
        raise UsageError(
            f"An upgrade leads upward only, and '{name}' is below {state.revision}, the revision of {shown}.",
            next_step=f"To go back, run: {command(f'downgrade {name}')}",
        )
    if not pending:
        return Plan("upgrade", state.revision, state.revision)
    fresh = state.untouched and after == manifest.head and not replay
    return Plan("upgrade", state.revision, after, pending, snapshot=fresh)


def downgrade(state: State, manifest: Manifest, name: str, shown: str) -> Plan:
    """Return the plan of a downgrade to a revision.

    Raises:
        UnknownRevision: The history has no such revision.
        DatabaseRefused: One of the revisions cannot be reversed, or the state of the database does not allow a
            downgrade.
    """
    from diwa_schema.run.adopt.variants import V1_REVISION

    refuse_unknown(state, manifest, shown)
    after = manifest.resolve(name, state.revision)
    reversed_ = tuple(reversed(manifest.between(after, state.revision)))
    if not reversed_ and after != state.revision:
        raise UsageError(
            f"{after} comes after {state.revision or 'base'}, the revision of {shown}.",
            next_step=f"Run: {command(f'upgrade {after}')}",
        )
    if REBUILT in state.tables and after is not None and after < V1_REVISION:
        raise DatabaseRefused(
            f"{shown} was rebuilt from the agent's first lineage, which has no revision below {V1_REVISION}.",
            next_step=(
                f"Stay at it or above: {command(f'downgrade {V1_REVISION}')}, which keeps the old tables as"
                f" {REBUILT} and its neighbours; or remove all tables: {command('downgrade base')}"
            ),
        )
    for revision in reversed_:
        if revision.irreversible:
            raise DatabaseRefused(
                f"Revision {revision.revision} ({revision.slug}) cannot be reversed: {revision.irreversible}",
                next_step=f"Stop at it or above: {command(f'downgrade {revision.revision}')}",
                revision=revision.revision,
            )
    return Plan("downgrade", state.revision, after, reversed_)
