"""Keeping Ecto's own table in step, while an adopted database still has it."""

from __future__ import annotations

from dataclasses import dataclass

from diwa_schema.database.bookkeeping import Bookkeeping
from diwa_schema.database.state import State
from diwa_schema.migrations.manifest import load

# Ecto knows the revisions up to this one; later ones would only look like missing files to it.
LAST = "20260228010000"


@dataclass(frozen=True, slots=True)
class Keeper:
    """Writes to Ecto's table what Ecto would have written.

    Args:
        books: The tables of the schema, on the connection of the transaction.
        active: Whether the database has that table and it is about this schema.
    """

    books: Bookkeeping
    active: bool

    @classmethod
    def of(cls, books: Bookkeeping, state: State) -> Keeper:
        """Return the keeper of a database."""
        known = {int(revision) for revision in load().ids if revision <= LAST}
        return cls(books, bool(known & set(state.ecto or ())))

    def record(self, revision: str, *, applied: bool) -> None:
        """Record a revision as applied, or take its record away, inside the caller's transaction."""
        if self.active and revision <= LAST:
            self.books.record_in_ecto(revision, applied=applied)
