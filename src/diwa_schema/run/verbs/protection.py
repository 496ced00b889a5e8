"""Marking a database as protected, and removing the mark."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diwa_schema.database.ledger import os_user
from diwa_schema.database.state import refuse_unknown
from diwa_schema.errors import SchemaEmpty, command
from diwa_schema.migrations.manifest import load
from diwa_schema.run.session import Look, Session, Verb, Written
from diwa_schema.run.settings import Report

if TYPE_CHECKING:
    from diwa_schema.run.change import Change


def protect(session: Session, reason: str | None) -> Report:
    """Mark the database as protected.

    Raises:
        SchemaEmpty: It has no revision, so there is nothing to protect.
    """

    def decide(look: Look) -> bool:
        _refuse_empty(look)
        return True

    def work(change: Change, _: bool) -> Written:
        change.at_once(lambda: change.books.protect(os_user(), reason), after=change.state.revision)
        return Written(change.state.revision, 1)

    return session.change(Verb("protect"), decide, work)


def unprotect(session: Session) -> Report:
    """Take the mark away from the database.

    Raises:
        SchemaEmpty: It has no revision.
    """

    def decide(look: Look) -> bool | None:
        _refuse_empty(look)
        return True if look.state.protected else None

    def work(change: Change, _: bool) -> Written:
        change.at_once(change.books.unprotect, after=change.state.revision)
        return Written(change.state.revision, 1)

    return session.change(Verb("unprotect"), decide, work)


def _refuse_empty(look: Look) -> None:
    if look.state.revision is None:
        refuse_unknown(look.state, load(), look.shown)
        raise SchemaEmpty(
            f"{look.shown} has no revision of this schema yet.", next_step=f"Run: {command('upgrade')}"
        )
