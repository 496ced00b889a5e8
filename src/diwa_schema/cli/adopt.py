"""The command `adopt`: take over a database that Ecto migrated."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from diwa_schema.cli import options
from diwa_schema.cli.command import Commands, Result, add, ended
from diwa_schema.cli.inspect import ahead
from diwa_schema.cli.progress import reported
from diwa_schema.errors import command

if TYPE_CHECKING:
    from diwa_schema.run.adopt.takeover import Adoption


def register(commands: Commands) -> None:
    """Add the command."""
    parser = add(commands, "adopt", _run, help="take over a database that Ecto migrated")
    parser.add_argument(
        "--plan", action="store_true", help="show the findings and the steps, and change nothing"
    )
    parser.add_argument(
        "--fix", action="store_true", help="first fix the differences that are safe to fix on a live table"
    )
    options.add_database(parser)
    options.add_guard(parser)
    options.add_renew(parser)
    options.add_settings(parser)


def _run(args: argparse.Namespace) -> Result:
    from diwa_schema.api import adopt, examine

    if args.plan:
        found = examine(**options.database_of(args))
        return Result(found.as_dict(), _planned(found), 1 if found.differences else 0)
    report = reported(args, adopt, fix=args.fix)
    text = f"{report.where} is adopted at {report.after or 'base'}. Next, run: {command('upgrade')}"
    return ended(report, text)


def _planned(found: Adoption) -> str:
    lines = [f"{found.database}: {found.variant.name}"]
    if found.variant.strange:
        lines.append(f"not of this history, unchanged: {', '.join(map(str, found.variant.strange))}")
    lines += [f"would {step}" for step in found.steps]
    if found.upgrade and found.upgrade.revisions:
        lines += ["The upgrade after it:", *(f"    {line}" for line in ahead(found.upgrade))]
    for one in found.differences:
        lines += [f"differs: {one.text}", *(f"    {line}" for line in one.way())]
    if found.differences:
        lines.append(f"Adoption needs a database without differences. {found.next_step}")
    return "\n".join(lines)
