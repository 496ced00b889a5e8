"""The parser of the command line: nothing that was typed is guessed, and nothing that is unknown is passed over."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

from diwa_schema.cli.command import Commands
from diwa_schema.errors import UsageError

_MODULES = (
    "migrate",
    "inspect",
    "check",
    "adopt",
    "convert",
    "rules",
    "guard",
    "repository",
    "mix",
    "roles",
    "doctor",
    "export",
    "fleet",
    "authoring",
)

# What people know from Ecto and Alembic, and how it is said here.
_ELSEWHERE = {
    "--all": "Leave --all out: without a revision, upgrade goes to head.",
    "-n": "Write +N for so many revisions up, and -N for so many down.",
    "--step": "Write +N for so many revisions up, and -N for so many down.",
    "--to": "Write the revision without --to: upgrade REVISION.",
    "-v": "Write the revision without -v: upgrade REVISION.",
    "--prefix": "Name the schema in the URL: ?options=-csearch_path%3DNAME",
}

# The name of a file need not be UTF-8; a URL is read by a parser of its own.
_MAY_BE_BYTES = ("embedded", "url")


def build_parser(command: str = "") -> Parser:
    """Return the parser of all commands.

    Args:
        command: The one that was typed; the others are left out where there is such a one.
    """
    parser = Parser(
        prog="diwa-schema",
        description="The shared schema of diwa-agent and diwa-cloud.",
        epilog="Exit codes: 0 done or nothing to do, 1 a check found something, 2 wrong usage, 3 blocked by the guard,"
        " 4 database unreachable, 5 a lock was not obtained, 6 a migration failed and was rolled back,"
        " 7 database refused.",
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    parsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=Parser)
    for module in _MODULES:
        import_module(f"diwa_schema.cli.{module}").register(Commands(parsers, command))
        if command in parsers.choices:
            return parser
    return build_parser() if command else parser


class Parser(argparse.ArgumentParser):
    """A parser that takes options by their whole names only, and whose errors are those of this package."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **options})

    def typed(self, words: Sequence[str]) -> argparse.Namespace:
        """Return what was typed.

        Raises:
            UsageError: Something of it is unknown, and what is meant by it elsewhere is said; or it is no text.
        """
        found, unknown = self.parse_known_args(words)
        if unknown:
            known = (_ELSEWHERE.get(word.partition("=")[0]) for word in unknown)
            raise UsageError(
                f"{self.prog}: unrecognized arguments: {' '.join(unknown)}",
                next_step=next(filter(None, known), f"Run: {self.prog} --help"),
            )
        for name, value in vars(found).items():
            # Bytes that are no UTF-8 arrive as half characters, which neither a driver nor a file can be handed.
            if isinstance(value, str) and name not in _MAY_BE_BYTES:
                try:
                    value.encode()
                except UnicodeEncodeError as error:
                    raise UsageError(
                        f"The value of {name} is not UTF-8.", next_step=f"Run: {self.prog} --help"
                    ) from error
        return found

    def error(self, message: str) -> NoReturn:
        """Raise instead of ending the process."""
        raise UsageError(f"{self.prog}: {message}", next_step=f"Run: {self.prog} --help")
