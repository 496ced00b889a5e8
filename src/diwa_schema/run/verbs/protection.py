"""Marking a database as protected, and taking the mark away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diwa_schema.database import ledger, version
from diwa_schema.errors import SchemaEmpty, command

if TYPE_CHECKING:
    from diwa_schema.run.session import Runner


def protect(runner: Runner, reason: str | None) -> None:
    """Mark the runner's database as protected.

    Raises:
        SchemaEmpty: It has no version table, so there is nothing to protect.
    """
    with runner.explained(), runner.target.work() as link:
        state = runner.look(link)
        if state.revision is None:
            raise SchemaEmpty(
                f"{link.shown} has no revision of this schema yet.",
                next_step=f"Run: {command('upgrade')}",
            )
        with runner.locked(link, state.schema):
            version.protect(link, ledger.now(), ledger.os_user(), reason)


def unprotect(runner: Runner) -> None:
    """Take the mark away from the runner's database."""
    with runner.explained(), runner.target.work() as link:
        state = runner.look(link)
        with runner.locked(link, state.schema):
            version.unprotect(link)
