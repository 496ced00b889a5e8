"""Completion in bash, zsh and fish: the command that prints the setup, and the answers to a shell.

The shell asks the program itself, so the answer always matches the installed version. It comes from the parser and from
files of the package; no database is asked. The library argcomplete is loaded only for this.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from diwa_schema.cli.command import Commands, Result, add
from diwa_schema.errors import UsageError

SHELLS: Final = ("bash", "zsh", "fish")

Values = Mapping[str, str] | Iterable[str]


def register(commands: Commands) -> None:
    """Add `completion` to the parser."""
    parser = add(
        commands,
        "completion",
        run,
        help="print the code for completion in bash, zsh or fish",
        description=(
            "Print the code that lets a shell complete the words of this program. The code asks the program"
            " for the words, so it stays right after an upgrade of the program. It needs the extra"
            " diwa-schema[completion]."
        ),
    )
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))


def run(args: argparse.Namespace) -> Result:
    """Return the code of a shell.

    Raises:
        UsageError: argcomplete is not installed.
    """
    from diwa_schema.cli.parser import PROGRAM

    try:
        from argcomplete.shell_integration import shellcode
    except ImportError as error:
        raise UsageError(
            "Completion needs the library argcomplete, which is not installed.",
            next_step="Run: pip install 'diwa-schema[completion]'",
        ) from error
    # The shell should not complete unknown words as names of files.
    code = shellcode([PROGRAM], shell=args.shell, complete_arguments=["-o", "nospace"])
    return Result({"shell": args.shell, "code": code}, code.strip(), verbatim=True)


def answer() -> int:
    """Write the possible words at the cursor for the shell's code, and end the process.

    Returns:
        The exit code if argcomplete is missing; nothing is written then.
    """
    try:
        from argcomplete.completers import SuppressCompleter
        from argcomplete.finders import CompletionFinder
        from argcomplete.lexers import split_line
    except ImportError:
        return UsageError.exit_code  # nobody reads messages here
    from diwa_schema.cli.parser import build_parser

    # As in a run, only the parser of the typed command is built.
    line, point = os.environ.get("COMP_LINE", ""), int(os.environ.get("COMP_POINT", "0"))
    before = split_line(line, point)[3]
    parser = build_parser(before[1] if len(before) > 1 else "")
    _let_complete(parser)
    CompletionFinder()(parser, always_complete_options=False, default_completer=SuppressCompleter())
    return 0


def _let_complete(parser: argparse.ArgumentParser) -> None:
    for action in parser._actions:  # noqa: SLF001 - argparse lists them nowhere else
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - nor has it a public name
            for below in dict.fromkeys(dict(action.choices).values()):
                _let_complete(below)
        elif (values := _VALUES.get((action.option_strings or [action.dest])[0])) is not None:
            action.completer = values  # type: ignore[attr-defined]
        elif action.option_strings and isinstance(action.default, float):
            action.completer = _default  # type: ignore[attr-defined]


def _default(*, action: argparse.Action, **_: Any) -> Values:
    return {f"{action.default:g}": "the default"}


def _files(**asked: Any) -> Values:
    from argcomplete.completers import FilesCompleter

    return FilesCompleter()(**asked)


def _revisions(*, parser: argparse.ArgumentParser, **_: Any) -> Values:
    from diwa_schema.migrations.manifest import load

    ids = {one.revision: one.slug.replace("_", " ") for one in load()}
    # The most frequent goals come first, if the shell keeps the order.
    if parser.prog.endswith(" downgrade"):
        return {"-1": "one revision back", "base": "before the first revision", **ids}
    if parser.prog.endswith((" upgrade", " plan")):
        return {"head": "the last revision", "+1": "one revision on", **ids}
    return ids


def _repositories(**_: Any) -> Values:
    from diwa_schema.guard.evidence import REPOSITORIES

    return {name: str(role) for name, role in REPOSITORIES.items()}


def _roles(*, action: argparse.Action, **_: Any) -> Values:
    from diwa_schema.privileges.existing import RoleNames

    return tuple(RoleNames()) if action.default is None else (action.default,)


def _rules(**_: Any) -> Values:
    from diwa_schema.models.rules import RULES

    return {rule.name: rule.why for rule in RULES}


def _indexes(**_: Any) -> Values:
    from diwa_schema.drift.optional import OPTIONAL

    return {one.index.name: one.serves for one in OPTIONAL}


def _addresses(**_: Any) -> Values:
    return ("postgresql://", "sqlite:///")


def _durations(**_: Any) -> Values:
    return {"7d": "the default", "0": "consider connections only"}


# By the first spelling of an option, or the name of an argument, which has one meaning in all commands.
_VALUES: Final[Mapping[str, Callable[..., Values]]] = {
    "revision": _revisions,
    "revisions": _revisions,
    "--onto": _revisions,
    "rules": _rules,
    "name": _indexes,
    "files": _files,
    "--embedded": _files,
    "--output": _files,
    "--targets": _files,
    "--from": _files,
    "--url": _addresses,
    "--server": _addresses,
    "source": _addresses,
    "target": _addresses,
    "--repo": _repositories,
    "--renew": _roles,
    "--owner": _roles,
    "--app": _roles,
    "--reader": _roles,
    "--seen-within": _durations,
}
