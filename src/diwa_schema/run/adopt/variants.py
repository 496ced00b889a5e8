"""The variant of a database that Ecto migrated, recognised by its recorded versions and its tables."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from diwa_schema.errors import DatabaseRefused, command
from diwa_schema.migrations.ecto import AGENT, AGENT_V1
from diwa_schema.names import amount

# Published in both lineages with the same content.
COMMON = 20251231080526
# The revision of a database of the agent's first lineage after its rebuild: all of its tables exist there.
V1_REVISION = "20260107000000"
# The revision that creates tala_operations.
BUFFER = "20260117075000"


@dataclass(frozen=True, slots=True)
class Variant:
    """A shape of a database that Ecto migrated.

    Args:
        name: The name of the variant.
        revision: The matching revision; None for base.
        buffer: Whether the agent created tala_operations itself; the table is converted in place to this history's
            shape.
        reshape: Whether its tables belong to the first lineage and are rebuilt.
        strange: Recorded versions that are not revisions of this history.
    """

    name: str
    revision: str | None
    buffer: bool = False
    reshape: bool = False
    strange: tuple[int, ...] = ()


def recognise(versions: Collection[int], ids: tuple[str, ...], shown: str, *, agents_buffer: bool) -> Variant:
    """Return the variant of a database.

    Args:
        versions: The versions that Ecto has recorded.
        ids: The revisions that Ecto knows, in history order.
        shown: The masked URL, for the refusal.
        agents_buffer: Whether tala_operations has the shape of the agent's own migration.

    Raises:
        DatabaseRefused: The versions do not match any possible history of Ecto.
    """
    recorded = frozenset(versions)
    shared = [int(name) for name in ids]
    strange = tuple(sorted(recorded - set(shared) - AGENT_V1 - {AGENT}))
    if recorded >= AGENT_V1 and not (recorded & set(shared)) - {COMMON}:
        return Variant("agent v1", V1_REVISION, reshape=True, strange=strange)
    applied = [version for version in shared if version in recorded]
    missing = [version for version in shared[: len(applied)] if version not in recorded]
    if missing:
        raise _gaps(shown, missing, applied)
    revision = str(applied[-1]) if applied else None
    if AGENT not in recorded and not agents_buffer:
        return Variant(f"{amount(len(applied), 'shared version')}", revision, strange=strange)
    if revision is None:
        # Only the agent's two tables exist; their foreign keys refer to an absent table.
        name = "agent release on its own"
    else:
        name = "agent, shared versions marked" if revision >= BUFFER else "agent"
    return Variant(name, revision, agents_buffer, strange=strange)


def _gaps(shown: str, missing: list[int], applied: list[int]) -> DatabaseRefused:
    return DatabaseRefused(
        f"Ecto recorded version {applied[-1]} on {shown} but not {', '.join(map(str, missing[:3]))}"
        f"{' and others' if missing[3:] else ''}, so its revision is unknown.",
        next_step=(
            "Look in the code of that application for these versions. If Ecto ran them, add their rows to"
            f" schema_migrations and run {command('adopt --plan')} again. If not, run them with Ecto first."
        ),
        missing=missing,
    )
