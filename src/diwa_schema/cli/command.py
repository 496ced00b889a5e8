"""The type of a command: its parser entry and its result."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from diwa_schema.run.settings import Report


class Result(NamedTuple):
    """What a command found or did.

    Args:
        document: The result for machines, printed by ``--json``.
        text: The result for people, printed otherwise.
        exit_code: What the process ends with.
        line: Whether the document is printed as one line, because others have been printed before it.
    """

    document: dict[str, Any]
    text: str = ""
    exit_code: int = 0
    line: bool = False


def ended(report: Report, text: str) -> Result:
    """Return what a command that changes a database says at its end: its sentence, then who has to reconnect."""
    return Result(report.as_dict(), "\n".join([text, *report.told]))


Run = Callable[[argparse.Namespace], Result]


class Commands(NamedTuple):
    """Where the commands are added.

    Args:
        parsers: What `add_subparsers()` of argparse has returned, whose type has only a private name.
        typed: The one command that is wanted; empty for all of them.
    """

    parsers: Any
    typed: str


class _Unasked:
    """Stands for the parser of a command that was not typed: what is declared on it is forgotten.

    To make the parsers of a file's other commands would take as long as to connect to the database.
    """

    def __getattr__(self, _: str) -> Callable[..., Any]:
        return lambda *_, **__: self


def add(commands: Commands, name: str, run: Run, **options: Any) -> argparse.ArgumentParser:
    """Add a command to the parser and return its own parser, on which its arguments are declared."""
    if commands.typed not in ("", name, *options.get("aliases", ())):
        return _Unasked()  # type: ignore[return-value]
    said = str(options["help"])
    options.setdefault("description", f"{said[0].upper()}{said[1:]}.")
    parser: argparse.ArgumentParser = commands.parsers.add_parser(name, **options)
    parser.add_argument("--json", action="store_true", help="print the result as one JSON document")
    parser.set_defaults(run=run)
    return parser
