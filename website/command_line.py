"""The command line, from its parser."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator

from diwa_schema.cli.parser import EXIT_CODES, build_parser

_WIDTH = "100"


def page() -> str:
    """Return the page: each command with its help, as `--help` prints it, and the exit codes."""
    width = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = _WIDTH  # or the page would depend on the terminal
    try:
        parts = list(_parts())
    finally:
        os.environ.pop("COLUMNS")
        if width is not None:
            os.environ["COLUMNS"] = width
    return "\n\n".join(parts) + "\n"


def _parts() -> Iterator[str]:
    parser = build_parser()
    yield "# Command line"
    yield "`diwa-schema` and `python -m diwa_schema` are the same program."
    yield _fenced(parser)
    for name, command in commands(parser):
        yield f"## {name}"
        yield _fenced(command)
    yield "## Exit codes"
    yield "[The page about exit codes](exit-codes.md) says what to do about each."
    yield _exit_codes()


def commands(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Yield each command with its parser, an alias as its command."""
    (choices,) = (dict(action.choices) for action in parser._actions if action.choices)  # noqa: SLF001
    seen: set[int] = set()
    for name, command in choices.items():
        if id(command) not in seen:
            seen.add(id(command))
            yield name, command


def _fenced(parser: argparse.ArgumentParser) -> str:
    return f"```text\n{parser.format_help().rstrip()}\n```"


def _exit_codes() -> str:
    rows = (f"| {code} | {meaning} |" for code, meaning in EXIT_CODES.items())
    return "\n".join(["| code | meaning |", "|---|---|", *rows])
