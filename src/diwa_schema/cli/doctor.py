"""The command `doctor`: check whether a database is fit for its application."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from diwa_schema.cli import options
from diwa_schema.cli.command import Commands, Result, add
from diwa_schema.names import amount

if TYPE_CHECKING:
    from diwa_schema.health.finding import Finding


def register(commands: Commands) -> None:
    """Add `doctor` to the parser."""
    parser = add(commands, "doctor", run, help="check the database as the application sees it")
    options.add_database(parser)
    options.add_guard(parser)


def run(args: argparse.Namespace) -> Result:
    """Print the findings; the exit code is 1 if there are more than notes."""
    from diwa_schema.api import doctor
    from diwa_schema.health.finding import Severity

    found = doctor(repo=args.repo, **options.database_of(args))
    ill = sum(finding.severity is not Severity.NOTE for finding in found)
    document = {"fit": not ill, "findings": [finding.as_dict() for finding in found]}
    return Result(document, "\n".join(_lines(found, ill)), 1 if ill else 0)


def _lines(found: list[Finding], ill: int) -> Iterator[str]:
    for finding in found:
        yield f"{finding.severity:8} {finding.code}: {finding.reason}"
        yield f"         next: {finding.command}"
    notes = len(found) - ill
    verdict = f"{ill} to fix" if ill else "Nothing to fix"
    yield f"{verdict}, {amount(notes, 'note')}."
