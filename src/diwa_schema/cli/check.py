"""The command `check`: report the differences of a live database from the expected schema."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from diwa_schema.cli import options
from diwa_schema.cli.command import Commands, Result, add
from diwa_schema.errors import command
from diwa_schema.names import amount

if TYPE_CHECKING:
    from diwa_schema.drift.check import Comparison
    from diwa_schema.drift.report import Difference


def register(commands: Commands) -> None:
    """Add the command."""
    parser = add(commands, "check", _run, help="compare the database with the expected schema")
    options.add_database(parser)


def _run(args: argparse.Namespace) -> Result:
    from diwa_schema.api import check

    found = check(**options.database_of(args))
    drift = [one for one in found if one.severity == "drift"]
    lines = [line for one in found for line in _lines(one)] or ["No differences."]
    if found.revision is not None:
        lines += _standing(found)
    return Result(found.as_dict(), "\n".join(lines), 1 if drift else 0)


def _standing(found: Comparison) -> list[str]:
    """Return the revision of the comparison, and the way to head if the database is behind."""
    if not found.pending:
        return [f"Compared with revision {found.revision}, the head."]
    further = amount(len(found.pending), "revision")
    return [
        f"Compared with revision {found.revision}. The head, {found.head}, is {further} further, and was not compared.",
        f"To apply {'it' if len(found.pending) == 1 else 'them'}, run: {command('upgrade')}",
    ]


def _lines(one: Difference) -> list[str]:
    first = one.text if one.severity == "drift" else f"note: {one.text}"
    return [first, *(f"    {line}" for line in one.way())]
