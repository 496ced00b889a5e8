"""Which shape Ecto left a database in, told from the versions it recorded and from what its tables look like."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from diwa_schema.errors import DatabaseRefused, command

# The agent's own migration, which made tala_operations and idempotency_log in shapes of its own.
AGENT = 20260109204856
# The agent's first lineage. A script recorded these seven on databases of every shape.
AGENT_V1 = frozenset(range(20250101000001, 20250101000008))
# Published in both lineages with the same content.
COMMON = 20251231080526
# Where a database of the agent's first lineage stands once it is reshaped: all of its tables exist by then.
V1_REVISION = "20260107000000"


@dataclass(frozen=True, slots=True)
class Variant:
    """A shape that Ecto left behind.

    Args:
        name: What it is called.
        revision: The revision it stands at; None for base.
        aside: The tables of the agent's own making, which are kept aside.
        reshape: Whether its tables are of the first lineage and are built anew.
        strange: Recorded versions that are no revisions of this history.
    """

    name: str
    revision: str | None
    aside: tuple[str, ...] = ()
    reshape: bool = False
    strange: tuple[int, ...] = ()


def recognise(
    versions: Collection[int], ids: tuple[str, ...], agent_tables: Collection[str], shown: str
) -> Variant:
    """Return the variant that a database is.

    Args:
        versions: What Ecto has recorded.
        ids: The revisions that Ecto knows, in history order.
        agent_tables: Which of the tables in question have the shape of the agent's own migration.
        shown: The masked URL, for the refusal.

    Raises:
        DatabaseRefused: The versions are not those of any way that Ecto could have gone.
    """
    recorded = frozenset(versions)
    shared = [int(name) for name in ids]
    strange = tuple(sorted(recorded - set(shared) - AGENT_V1 - {AGENT}))
    if recorded >= AGENT_V1 and not (recorded & set(shared)) - {COMMON}:
        return Variant("agent v1", V1_REVISION, reshape=True, strange=strange)
    if not recorded & {*shared, *AGENT_V1, AGENT}:
        raise DatabaseRefused(
            f"{shown} has tables named like ours, and a list of Ecto's migrations that has none of this schema's:"
            " another application made them.",
            next_step="Name the database of diwa-agent or diwa-cloud, or a schema of its own with --schema NAME.",
            versions=sorted(recorded)[:5],
        )
    applied = [version for version in shared if version in recorded]
    missing = [version for version in shared[: len(applied)] if version not in recorded]
    if missing:
        raise _gaps(shown, missing, applied)
    revision = str(applied[-1]) if applied else None
    if AGENT not in recorded and not agent_tables:
        return Variant(f"{len(applied)} shared versions", revision, strange=strange)
    return _of_the_agent(revision, agent_tables, strange)


def _of_the_agent(revision: str | None, agent_tables: Collection[str], strange: tuple[int, ...]) -> Variant:
    """Return the variant of a database that ran the agent's own migration."""
    aside = tuple(table for table in ("tala_operations",) if table in agent_tables)
    if revision is None:
        # Only the agent's two tables are there; their foreign keys lead to a table that is not.
        return Variant(
            "agent release on its own", None, ("tala_operations", "idempotency_log"), strange=strange
        )
    marked = revision >= "20260117075000"
    return Variant("agent, shared versions marked" if marked else "agent", revision, aside, strange=strange)


def _gaps(shown: str, missing: list[int], applied: list[int]) -> DatabaseRefused:
    return DatabaseRefused(
        f"Ecto recorded version {applied[-1]} on {shown} but not {', '.join(map(str, missing[:3]))}"
        f"{' and others' if missing[3:] else ''}, so where it stands cannot be told.",
        next_step="Find out whether those were applied. If so, add their rows to schema_migrations and type"
        f" {command('adopt --plan')} again; if not, run them with Ecto first.",
        missing=missing,
    )
