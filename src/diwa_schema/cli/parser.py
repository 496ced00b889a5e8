"""The parser of the command line: it never guesses abbreviations and never ignores unknown arguments."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, NoReturn

from diwa_schema.cli import audience
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
    "roles",
    "doctor",
    "export",
    "fleet",
    "authoring",
    "mix",
    "completion",
)

# Options of Ecto and Alembic, with their form in this package.
_ELSEWHERE = {
    "--all": "Leave --all out: upgrade goes to head by default.",
    "-n": "Write +N for N revisions up, and -N for N revisions down.",
    "--step": "Write +N for N revisions up, and -N for N revisions down.",
    "--to": "Write the revision without --to: upgrade REVISION.",
    "-v": "Write the revision without -v: upgrade REVISION.",
    "--prefix": "Write --schema NAME.",
}

PROGRAM = "diwa-schema"

# The meaning of each exit code; --help lists them, and so does the reference.
EXIT_CODES = {
    0: "done, or nothing to do",
    1: "a check found something",
    2: "wrong usage or configuration",
    3: "blocked by the guard",
    4: "the database cannot be reached",
    5: "a lock was not obtained in time",
    6: "a revision failed and was rolled back",
    7: "the database was refused",
    129: "ended by SIGHUP",
    130: "ended by Ctrl-C",
    141: "the reader of the pipe ended",
    143: "ended by SIGTERM",
}

# The name of a file need not be UTF-8; a URL is read by a parser of its own.
_MAY_BE_BYTES = ("embedded", "url")


def build_parser(command: str = "") -> Parser:
    """Return the parser of all commands.

    Args:
        command: The typed command; if it exists, the others are left out.
    """
    parser = Parser(
        prog=PROGRAM,
        usage=f"{PROGRAM} [-h] [--version] COMMAND ...",
        description="The shared schema of diwa-agent and diwa-cloud.",
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    parsers = parser.add_subparsers(
        prog=PROGRAM, metavar="COMMAND", required=True, parser_class=Parser, help=argparse.SUPPRESS
    )
    for module in _MODULES:
        import_module(f"diwa_schema.cli.{module}").register(Commands(parsers, command))
        if command in parsers.choices:
            return parser
    if command:
        return build_parser()
    parser.epilog = _listed({one.dest: one.help or "" for one in parsers._choices_actions})  # noqa: SLF001
    return parser


def _listed(said: Mapping[str, str]) -> str:
    """Return the commands by audience, and the exit codes, for `--help`.

    Args:
        said: The help text of each command.
    """
    lines = []
    for who, commands in audience.AUDIENCES.items():
        lines += [f"{who}:", *(f"  {name:15} {said[name]}" for name in commands), ""]
    lines += ["exit codes:", *(f"  {code:<4} {meaning}" for code, meaning in EXIT_CODES.items()), ""]
    return "\n".join([*lines, f"Run `{PROGRAM} COMMAND --help` for the options of a command and an example."])


class _Help(argparse.HelpFormatter):
    """Help that wraps sentences and keeps the lines of a list."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        lines = []
        for line in text.splitlines():
            lines += [line] if line.startswith(" ") else textwrap.wrap(line, width) or [""]
        return "\n".join(indent + line for line in lines)


class Parser(argparse.ArgumentParser):
    """A parser that takes only complete names of options, and raises errors of this package."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, "formatter_class": _Help, **options})
        if words := audience.example(self.prog.removeprefix(f"{PROGRAM} ")):
            self.epilog = f"example:\n  {PROGRAM} {words}"

    def typed(self, words: Sequence[str]) -> argparse.Namespace:
        """Parse the typed words.

        Raises:
            UsageError: A word is unknown, or is not text. The error explains words of other tools.
        """
        found, unknown = self.parse_known_args(words)
        if unknown:
            known = (_ELSEWHERE.get(word.partition("=")[0]) for word in unknown)
            raise UsageError(
                f"{self.prog}: unrecognized arguments: {' '.join(unknown)}",
                next_step=next(filter(None, known), f"Run: {self.prog} --help"),
            )
        for name, value in vars(found).items():
            # Bytes outside of UTF-8 arrive as half characters, which no driver and no file accepts.
            if isinstance(value, str) and name not in _MAY_BE_BYTES:
                try:
                    value.encode()
                except UnicodeEncodeError as error:
                    raise UsageError(
                        f"The value of {name} is not UTF-8.", next_step=f"Run: {self.prog} --help"
                    ) from error
        return found

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Refuse an unknown command with the names that are like it, instead of with all of them."""
        if not isinstance(action, argparse._SubParsersAction) or value in action.choices:  # noqa: SLF001
            super()._check_value(action, value)
            return
        from difflib import get_close_matches

        alike = get_close_matches(str(value), list(action.choices))
        raise UsageError(
            f"{self.prog}: there is no {str(action.metavar).lower()} {value!r}."
            + (f" Did you mean {' or '.join(alike)}?" if alike else ""),
            next_step=f"To see all, run: {self.prog} --help",
        )

    def error(self, message: str) -> NoReturn:
        """Raise an error instead of ending the process."""
        raise UsageError(f"{self.prog}: {message}", next_step=f"Run: {self.prog} --help")
