"""What every command is made of: how it is added to the parser, and what it returns."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diwa_schema.run.settings import Report


@dataclass(frozen=True, slots=True)
class Result:
    """What a command found or did.

    Args:
        document: The result for machines, printed by ``--json``.
        text: The result for people, printed otherwise.
        exit_code: What the process ends with.
    """

    document: dict[str, Any]
    text: str = ""
    exit_code: int = 0


def ended(report: Report, text: str) -> Result:
    """Return what a command that changes a database says at its end: its sentence, then who has to reconnect."""
    return Result(report.as_dict(), "\n".join([text, *report.told]))


Run = Callable[[argparse.Namespace], Result]
Commands = Any  # argparse names the type of add_subparsers() only privately


def add(commands: Commands, name: str, run: Run, **options: Any) -> argparse.ArgumentParser:
    """Add a command to the parser and return its own parser, on which its arguments are declared."""
    options.setdefault("description", options.get("help"))
    parser: argparse.ArgumentParser = commands.add_parser(name, **options)
    parser.add_argument("--json", action="store_true", help="print the result as one JSON document")
    parser.set_defaults(run=run)
    return parser
