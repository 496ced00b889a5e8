"""Keeping Ecto's own table in step, while an adopted database still has it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from diwa_schema.database.version import ECTO, State

if TYPE_CHECKING:
    from diwa_schema.database.link import Link

# Ecto knows the revisions up to this one; later ones would only look like missing files to it.
LAST = "20260228010000"


@dataclass(frozen=True, slots=True)
class Keeper:
    """Writes to Ecto's table what Ecto would have written.

    Args:
        active: Whether the database has that table and it is about this schema.
    """

    active: bool

    @classmethod
    def of(cls, state: State) -> Keeper:
        """Return the keeper of a database."""
        from diwa_schema.migrations.manifest import load

        known = {int(revision) for revision in load().ids if revision <= LAST}
        return cls(bool(known & set(state.ecto or ())))

    def record(self, link: Link, revision: str, *, applied: bool) -> None:
        """Record a revision as applied, or take its record away, inside the caller's transaction."""
        if not self.active or revision > LAST:
            return
        number = int(revision)
        link.execute(f"DELETE FROM {ECTO} WHERE version = %s", (number,))
        if applied:
            moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
            link.execute(f"INSERT INTO {ECTO} (version, inserted_at) VALUES (%s, %s)", (number, moment))
