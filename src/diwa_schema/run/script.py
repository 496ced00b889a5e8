"""The SQL of a run, printed instead of sent."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from alembic.runtime.migration import MigrationContext

from diwa_schema.database import ledger
from diwa_schema.database.bookkeeping import advance_statement, create_statements
from diwa_schema.database.state import LEDGER, RELEASES, VERSION
from diwa_schema.errors import UsageError
from diwa_schema.migrations.manifest import load
from diwa_schema.migrations.revisions import bound, load as load_module

if TYPE_CHECKING:
    from diwa_schema.migrations.manifest import Revision


def render(dialect: str, revision: str, direction: str) -> str:
    """Return the SQL of the revisions in a range, without a connection.

    Args:
        dialect: postgresql or sqlite.
        revision: The last revision, or ``FROM:TO``; without FROM the range starts at base (downgrade: head).
        direction: upgrade or downgrade.

    Raises:
        UnknownRevision: One of the two is not in the history.
        UsageError: The range is empty.
    """
    history = load()
    start, _, end = revision.rpartition(":")
    first = history.resolve(start or ("base" if direction == "upgrade" else "head"), None)
    last = history.resolve(end, first)
    steps = history.between(first, last) if direction == "upgrade" else history.between(last, first)[::-1]
    if not steps:
        raise UsageError(f"There is nothing between {first or 'base'} and {last or 'base'}.")
    out = io.StringIO()
    if first is None:
        for statement in create_statements(
            dialect, {name: name for name in (LEDGER, VERSION, RELEASES)}
        ).values():
            out.write(f"{statement};\n\n")
    with bound(_context(dialect, out)):
        for step in steps:
            _write(step, direction, dialect, out)
    return out.getvalue()


def alone(dialect: str, step: Revision, direction: str) -> str:
    """Return the SQL of one revision, without the bookkeeping, times and versions of a run."""
    out = io.StringIO()
    with bound(_context(dialect, out)):
        getattr(load_module(step), direction)()
    return out.getvalue()


def _context(dialect: str, out: io.StringIO) -> MigrationContext:
    return MigrationContext.configure(
        dialect_name=dialect,
        opts={"as_sql": True, "output_buffer": out, "literal_binds": True, "version_table": VERSION},
    )


def _write(step: Revision, direction: str, dialect: str, out: io.StringIO) -> None:
    module = load_module(step)
    out.write(f"-- {direction} {step.revision} {step.slug}\n\n")
    out.write("BEGIN;\n\n" if dialect == "postgresql" else "BEGIN IMMEDIATE;\n\n")
    getattr(module, direction)()
    up = direction == "upgrade"
    before, after = (step.down_revision, step.revision) if up else (step.revision, step.down_revision)
    out.write(f"{advance_statement(VERSION, before, after)};\n\n")
    out.write(
        f"{ledger.script_statement(dialect, LEDGER, step.revision, step.sha256, direction)};\n\nCOMMIT;\n\n"
    )
