"""The versions that Ecto records in its databases, and their meaning; this module needs no Alembic."""

from __future__ import annotations

from collections.abc import Iterable

from diwa_schema.migrations.manifest import load

LIST = "schema_migrations"
# Ecto knows the revisions up to this one; later ones would be missing files for it.
LAST = "20260228010000"
# The agent's own migration, which created tala_operations and idempotency_log in its own shapes.
AGENT = 20260109204856
# From this revision on both tables exist in the shapes of this history; below the first revision neither exists.
AGENTS_TABLES = "20260301000000"
# The agent's first lineage. A script recorded these seven on databases of every shape.
AGENT_V1 = frozenset(range(20250101000001, 20250101000008))


def shared() -> frozenset[int]:
    """Return the versions that are revisions of this history."""
    return frozenset(int(name) for name in load().ids if name <= LAST)


def is_ours(versions: Iterable[int] | None) -> bool:
    """Return whether a list of Ecto belongs to this schema: any Phoenix application has a list of that name."""
    return bool(versions) and not (shared() | AGENT_V1 | {AGENT}).isdisjoint(versions or ())
