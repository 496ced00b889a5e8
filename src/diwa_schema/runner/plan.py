"""What a run would do to a database in a given state, and which states it refuses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from diwa_schema.database.version import REBUILT, Kind, State
from diwa_schema.errors import (
    DatabaseProtected,
    DatabaseRefused,
    NotAdopted,
    PermissionMissing,
    SchemaForeign,
    SchemaTooNew,
    UsageError,
)
from diwa_schema.guard import Verdict
from diwa_schema.migrations.manifest import Manifest, Revision

Direction = Literal["upgrade", "downgrade"]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do.

    Args:
        direction: Which way it goes.
        before: The revision it starts from; None for base.
        after: The revision it ends at; None for base.
        revisions: The revisions in the order they run.
        snapshot: Whether all of them come at once, as the snapshot.
        stalls: Why revisions would make the application wait for longer than it may, by their ids.
    """

    direction: Direction
    before: str | None
    after: str | None
    revisions: tuple[Revision, ...] = ()
    snapshot: bool = False
    stalls: dict[str, str] = field(default_factory=dict)


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
    from diwa_schema.catalog.variants import V1_REVISION

    refuse_unknown(state, manifest, shown)
    after = manifest.resolve(name, state.revision)
    reversed_ = tuple(reversed(manifest.between(after, state.revision)))
    if not reversed_ and after != state.revision:
        raise UsageError(
            f"{after} comes after {state.revision or 'base'}, where {shown} is.",
            next_step=f"Type: diwa-schema upgrade {after}",
        )
    if REBUILT in state.tables and (after or "") < V1_REVISION:
        raise DatabaseRefused(
            f"{shown} was built anew from the agent's first lineage, which has no place below revision {V1_REVISION}.",
            next_step=f"Stay at it or above: diwa-schema downgrade {V1_REVISION}; the old tables are kept as"
            f" {REBUILT} and its neighbours.",
        )
    for revision in reversed_:
        if revision.irreversible:
            raise DatabaseRefused(
                f"Revision {revision.revision} ({revision.slug}) cannot be reversed: {revision.irreversible}",
                next_step=f"Stay at it or above: diwa-schema downgrade {revision.revision}",
                revision=revision.revision,
            )
    return Plan("downgrade", state.revision, after, reversed_)


def refuse_unknown(state: State, manifest: Manifest, shown: str) -> None:
    """Raise unless the database is empty or at a revision of the installed history."""
    _refuse_elsewhere(state, shown)
    if len(state.versions) > 1:
        raise SchemaForeign(
            f"The version table of {shown} has {len(state.versions)} rows, and a linear history has one.",
            next_step="Find out who wrote them: diwa-schema history --applied",
        )
    if state.kind is Kind.ECTO:
        raise NotAdopted(
            f"{shown} was made by Ecto ({len(state.ecto or ())} versions recorded) and has not been taken over yet.",
            next_step="Type: diwa-schema adopt --plan, then diwa-schema adopt",
        )
    if state.kind is Kind.FOREIGN:
        ours = sorted(state.tables & set(manifest.tables))
        raise SchemaForeign(
            f"{shown} has tables named like ours ({', '.join(ours[:5])}{', ...' if len(ours) > 5 else ''})"  # noqa: PLR2004 - as many names as fit a line
            " but no version table: another tool made them.",
            next_step="Name an empty database, or a schema of its own with ?options=-csearch_path%3DNAME.",
            tables=ours,
        )
    if state.revision is not None and state.revision not in manifest:
        raise unknown_revision(state, manifest, shown)


def unknown_revision(state: State, manifest: Manifest, shown: str) -> SchemaTooNew | SchemaForeign:
    """Describe a database at a revision that the installed history does not have."""
    revision = state.revision or ""
    if revision.isdigit() and len(revision) == len(manifest.head) and revision > manifest.head:
        return SchemaTooNew(
            f"{shown} is at revision {revision}, and the installed package ends at {manifest.head}.",
            next_step="Install the newer package: pip install --upgrade diwa-schema",
            revision=revision,
            head=manifest.head,
        )
    return SchemaForeign(
        f"{shown} is at revision '{revision}', which is not in the installed history.",
        next_step="Install the package that knows it, or see what was applied: diwa-schema history --applied",
        revision=revision,
    )


def refuse_protected(state: State, verdict: Verdict, shown: str) -> None:
    """Raise when a bypassed run meets a protected database."""
    if state.protected and verdict.bypass is not None:
        raise DatabaseProtected(
            f"{shown} is protected, and the bypass ({verdict.bypass.source}) does not reach it.",
            next_step="Run the command in the diwa-cloud repository: cd ../diwa-cloud",
        )


def _refuse_elsewhere(state: State, shown: str) -> None:
    if state.nowhere:
        raise PermissionMissing(
            f"The search_path of {shown} leads to no schema that is there and may be used.",
            next_step="Name one: ?options=-csearch_path%3DNAME in the URL; or as its owner:"
            " GRANT USAGE, CREATE ON SCHEMA NAME TO ROLE.",
        )
    if state.elsewhere:
        raise SchemaForeign(
            f"New tables of {shown} would go to schema '{state.schema}', but the version table is in"
            f" '{state.elsewhere}'.",
            next_step=f"Name the schema first: ?options=-csearch_path%3D{state.elsewhere}%2Cpublic in the URL.",
        )
