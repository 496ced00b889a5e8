"""The command `check`: report the differences of a live database from the expected schema."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from diwa_schema.cli import options
from diwa_schema.cli.command import Commands, Result, add

if TYPE_CHECKING:
    from diwa_schema.drift.report import Difference


def register(commands: Commands) -> None:
    """Add the command."""
    parser = add(commands, "check", _run, help="compare the database with the expected schema")
    options.add_database(parser)


def _run(args: argparse.Namespace) -> Result:
    from diwa_schema.api import check

    found = check(**options.database_of(args))
    drift = [one for one in found if one.severity == "drift"]
    document = {"differences": [one.as_dict() for one in found], "drift": len(drift)}
    lines = [line for one in found for line in _lines(one)]
    return Result(document, "\n".join(lines) or "No differences.", 1 if drift else 0)


def _lines(one: Difference) -> list[str]:
    first = one.text if one.severity == "drift" else f"note: {one.text}"
    return [first, *(f"    {line}" for line in one.way())]
