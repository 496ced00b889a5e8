"""The type of a command: its parser entry and its result."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from diwa_schema.run.settings import Report


class Result(NamedTuple):
    """The result of a command.

    Args:
        document: The result for machines, printed by ``--json``.
        text: The result for people, printed otherwise.
        exit_code: The exit code of the process.
        line: Whether the document is printed as one line, because others were printed before it.
        verbatim: Whether the text is code, a file or a table, whose lines a terminal gets as they are.
    """

    document: dict[str, Any]
    text: str = ""
    exit_code: int = 0
    line: bool = False
    verbatim: bool = False


def ended(report: Report, text: str) -> Result:
    """Return the result of a command that changes a database: its sentence, then the clients that have to reconnect."""
    return Result(report.as_dict(), "\n".join([text, *report.told]))


Run = Callable[[argparse.Namespace], Result]


class Commands(NamedTuple):
    """The parsers of the commands.

    Args:
        parsers: The result of `add_subparsers()` of argparse, whose type has only a private name.
        typed: The only command that is needed; empty for all of them.
    """

    parsers: Any
    typed: str


class _Unasked:
    """A placeholder for the parser of another command, which ignores declarations.

    The parsers of all other commands would take as long as a connection to the database.
    """

    def __getattr__(self, _: str) -> Callable[..., Any]:
        return lambda *_, **__: self


def add(
    commands: Commands,
    name: str,
    run: Run,
    *,
    json: str = "print the result as one JSON document",
    **options: Any,
) -> argparse.ArgumentParser:
    """Add a command to the parser and return its own parser, on which its arguments are declared."""
    if commands.typed not in ("", name, *options.get("aliases", ())):
        return _Unasked()  # type: ignore[return-value]
    said = str(options["help"])
    options.setdefault("description", f"{said[0].upper()}{said[1:]}.")
    parser: argparse.ArgumentParser = commands.parsers.add_parser(name, **options)
    parser.add_argument("--json", action="store_true", help=json)
    parser.set_defaults(run=run)
    return parser
