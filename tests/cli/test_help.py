"""What `--help` shows: every command by who uses it, every exit code, and an example that the parser takes."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator

from diwa_schema.cli.audience import AUDIENCES
from diwa_schema.cli.parser import EXIT_CODES, build_parser


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Yield every parser below a parser, an alias as its command."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in dict.fromkeys(dict(action.choices).values()):
                yield child
                yield from parsers(child)


def test_every_command_is_listed_once_by_who_uses_it() -> None:
    text = build_parser().format_help()
    for who in AUDIENCES:
        assert f"\n{who}:\n" in text
    listed = re.findall(r"^  ([a-z][a-z-]*) {2,}\w", text, flags=re.MULTILINE)
    commands = {parser.prog.split()[1] for parser in parsers(build_parser())}
    assert sorted(listed) == sorted(commands)
    assert max(map(len, text.splitlines())) <= 80


def test_every_exit_code_is_listed() -> None:
    text = build_parser().format_help()
    assert dict(re.findall(r"^  (\d+) +(.*)$", text, flags=re.MULTILINE)) == {
        str(code): meaning for code, meaning in EXIT_CODES.items()
    }


def test_the_help_of_every_command_ends_with_an_example_that_the_parser_takes() -> None:
    known = build_parser()
    found = list(parsers(known))
    assert len(found) > 30
    for parser in found:
        (example,) = re.findall(
            r"^example:\n  diwa-schema (.*)\Z", parser.format_help().strip(), re.MULTILINE
        )
        words = shlex.split(example)
        assert f"diwa-schema {' '.join(words)}".startswith(parser.prog), example
        assert callable(known.parse_args(words).run), example
        assert parser.description
        assert parser.description.rstrip().endswith((".", ".md")), parser.prog
