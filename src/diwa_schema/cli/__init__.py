"""The command line: what was typed, handed to the API, and its result printed. No rule lives here."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from diwa_schema.errors import ROLLED_BACK, DiwaSchemaError, UsageError, command

_MODULES = ("migrate", "inspect", "check", "adopt", "convert", "guard", "repository", "roles", "doctor")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        argv: The words after the program's name; by default those of this process.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    wants_json = "--json" in words
    try:
        args = build_parser(words[0] if words else "").parse_args(words)
        result = args.run(args)
        print(json.dumps(result.document, indent=2, default=str) if wants_json else result.text, flush=True)
        return int(result.exit_code)
    except DiwaSchemaError as error:
        return _print_error(error, as_json=wants_json)
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted; what was not yet applied was rolled back\n")
        return 130
    except BrokenPipeError:
        # What is still to be written goes nowhere, or the interpreter complains about it once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:  # noqa: BLE001 - a user must never meet a bare traceback
        return _print_error(_unexpected(error), as_json=wants_json)


def build_parser(command: str = "") -> argparse.ArgumentParser:
    """Return the parser of all commands.

    Args:
        command: The one that was typed; once it is there, those after it are left out.
    """
    parser = _Parser(
        prog="diwa-schema",
        description="The shared schema of diwa-agent and diwa-cloud.",
        epilog="Exit codes: 0 done or nothing to do, 1 a check found something, 2 wrong usage, 3 blocked by the guard,"
        " 4 database unreachable, 5 a lock was not obtained, 6 a migration failed and was rolled back,"
        " 7 database refused.",
    )
    parser.add_argument("--version", action=_Version, help="print the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=_Parser)
    for module in _MODULES:
        import_module(f"diwa_schema.cli.{module}").register(commands)
        if command in commands.choices:
            break
    return parser


class _Version(argparse.Action):
    """Looks the version up only when it is asked for."""

    def __init__(self, option_strings: Sequence[str], dest: str, **options: object) -> None:
        super().__init__(option_strings, dest, nargs=0, help=str(options["help"]))

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from diwa_schema import __version__

        print(f"diwa-schema {__version__}")
        parser.exit()


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message}", next_step=f"Run: {self.prog} --help")


def _print_error(error: DiwaSchemaError, *, as_json: bool) -> int:
    if as_json:
        print(json.dumps(error.as_dict(), indent=2, default=str))
    else:
        sys.stderr.write(f"{error}\n")
    return error.exit_code


def _unexpected(error: Exception) -> DiwaSchemaError:
    from diwa_schema.database.url import mask

    return DiwaSchemaError(
        f"An error that was not foreseen: {type(error).__name__}: {mask(str(error))}",
        untouched=ROLLED_BACK,
        next_step=f"Run {command('status')} to see where the database stands, and report this message.",
    )
