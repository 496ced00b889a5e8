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
    lines = [one.text if one.severity == "drift" else f"note: {one.text}"]
    if one.fix.statements:
        lines += [f"    {line}" for line in one.statement.splitlines()]
        lines.append(
            "    safe on a live table" if one.safe else f"    not safe on a live table: {one.fix.caution}"
        )
    elif one.fix.caution:
        lines.append(f"    {one.fix.caution}")
    if one.losing:
        lines.append(
            f"    this statement would lose {_counted(one.fix.lost)}; do not run it without a backup:"
        )
        lines += [f"        {line}" for line in one.losing.splitlines()]
    return lines


def _counted(lost: int | None) -> str:
    if lost is None:
        return "an unknown number of values"
    return f"{lost:,} value{'' if lost == 1 else 's'}"
