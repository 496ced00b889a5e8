"""The settings of a run from the class that holds them, and every variable of the environment that has a meaning."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import MISSING, fields
from datetime import timedelta
from typing import Any, NamedTuple

from diwa_schema.cli.parser import build_parser
from diwa_schema.database.seen import SETTING
from diwa_schema.database.url import MIGRATION_VARIABLE, VARIABLE
from diwa_schema.guard.verdict import BYPASS_VARIABLE, REASON_VARIABLE
from diwa_schema.run.settings import Settings, bounds
from website.docstrings import documented

TEST_VARIABLE = (
    "DIWA_TEST_DATABASE_URL"  # the package names it beside fixtures, and the site is built without pytest
)


class Variable(NamedTuple):
    """A variable of the environment.

    Args:
        name: Its name; a star stands for any end of it.
        meaning: What it does.
        before: What goes before it.
    """

    name: str
    meaning: str
    before: str = ""


VARIABLES = {
    "The database": (
        Variable(
            MIGRATION_VARIABLE, "the URL of the database; the owner's role in it", "an argument, `--url`"
        ),
        Variable(VARIABLE, "the URL where the variable above is not set", f"`{MIGRATION_VARIABLE}`"),
        Variable(
            "XDG_DATA_HOME",
            "the folder that holds `diwa/diwa.db`, the embedded database; a relative path is ignored"
            " (`~/.local/share`)",
            "`--embedded PATH`",
        ),
        Variable(
            "PGSERVICE",
            "libpq reads it; a service or a timeout of its own replaces the wait of 10 s",
            "the URL",
        ),
        Variable("PGCONNECT_TIMEOUT", "libpq reads it: how many seconds a connection may take", "the URL"),
        Variable("PGPASSWORD", "libpq reads it; messages never show its value", "the URL"),
    ),
    "The guard": (
        Variable(
            "DIWA_REPO", "the name of the calling repository, as evidence ([guard](../guard.md#evidence))"
        ),
        Variable(
            BYPASS_VARIABLE,
            "`true` or `1` opens the guard; any other value is named and ignored"
            " ([the bypass](../guard.md#the-bypass))",
            "`allow_core_migration=`",
        ),
        Variable(REASON_VARIABLE, "why, for stderr and the ledger"),
    ),
    "The application": (
        Variable(
            SETTING,
            "`false`, `0`, `no` or `off`: `ensure_current` writes no note of the release that starts"
            " ([connections](../connections.md#the-release-that-has-started))",
            "`note=`",
        ),
    ),
    "The terminal and CI": (
        Variable("TERM", "empty, `dumb` or `unknown`: progress is plain lines, as in a pipe"),
        Variable("COLUMNS", "the width of lines on a terminal, and of help; by default the terminal's own"),
        Variable("CI", "anything but empty, `0` and `false`: progress is plain lines"),
        Variable(
            "GITHUB_ACTIONS", "`true`: `lint` and `repo-check` print annotations of GitHub", "`--format`"
        ),
        Variable("GITHUB_BASE_REF", "the branch that `repo-check` compares with", "`--base`"),
        Variable(
            "GIT_CONFIG*",
            "handed on to git; other variables that begin with `GIT_` are not, since a hook sets them",
        ),
    ),
    "Tests": (
        Variable(
            TEST_VARIABLE,
            "the server on which the pytest plugin, `revision`, `prove` and `release` make databases, or `sqlite://`"
            " ([testing](../testing.md))",
            "`--diwa-dsn`",
        ),
    ),
    "Completion, set by the shell": (
        Variable("_ARGCOMPLETE", "the program answers what can stand at the cursor, and does nothing else"),
        Variable("COMP_LINE", "the line that was typed"),
        Variable("COMP_POINT", "the place of the cursor"),
    ),
    "The tests of this project": (
        Variable("DIWA_SHARED", "the folder of the facts about the databases that Ecto made"),
        Variable("DIWA_TEST_CITUS_URL", "a coordinator of Citus, to run the tests of it there"),
        Variable("DIWA_WRITE_PAGES", "any value: `docs/messages.md` is written anew instead of compared"),
    ),
}
"""All variables, by what they are about. What libraries read on their own stands in the text of the page."""

_PYPROJECT = (
    (
        "repo",
        "a text",
        "the name of this repository, as evidence for the guard ([guard](../guard.md#evidence))",
    ),
    (
        "migration-paths",
        "a list of folders",
        "where `repo-check` looks for migrations, beside those it knows ([CI](../ci.md))",
    ),
)


def page() -> str:
    """Return the page: the settings of a run, the variables, and what files and pytest can say."""
    return "\n\n".join(_parts()) + "\n"


def _parts() -> Iterator[str]:
    yield "# Settings"
    yield "## A run"
    yield (
        "On the command line each is an option. In Python they are fields of `diwa_schema.Settings`, which the"
        " functions take as `settings=`. There is no variable and no file for them."
    )
    yield _table(("setting", "option", "default", "meaning"), _settings())
    yield "\n".join(_known())
    yield "## Variables of the environment"
    yield "A variable of this package that is empty counts as one that is not set."
    for title, variables in VARIABLES.items():
        yield f"### {title}"
        rows = [(f"`{one.name}`", one.meaning, one.before) for one in variables]
        yield _table(("variable", "meaning", "what goes before it"), rows)
    yield (
        "libpq reads its own variables beside these (`PGHOST`, `PGPASSWORD`, `PGPASSFILE`, `PGSSLMODE` and others)"
        " where the URL leaves something out. `NO_COLOR` takes the colours away."
    )
    yield "## pyproject.toml"
    yield "The table `[tool.diwa-schema]`:"
    yield _table(("key", "value", "meaning"), [(f"`{key}`", *rest) for key, *rest in _PYPROJECT])
    yield "## pytest"
    yield f"`--diwa-dsn URL` names the server of the fixtures; it goes before `{TEST_VARIABLE}`."


def with_option(name: str) -> list[str]:
    """Return the commands that have the option of a setting, verbs included."""
    return sorted(
        {
            parser.prog.partition(" ")[2]
            for parser in _parsers(build_parser())
            if _option_of(name) in parser._option_string_actions  # noqa: SLF001
        }
    )


def _parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:  # noqa: SLF001
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - argparse has no other name for it
            for one in action.choices.values():
                yield from _parsers(one)


def _known() -> Iterator[str]:
    """Yield a line for each group of options that the same commands have."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for one in fields(Settings):
        groups.setdefault(tuple(with_option(one.name)), []).append(_option(one.name))
    for commands, options in groups.items():
        yield f"* {', '.join(options)}: {', '.join(f'`{one}`' for one in commands)}"


def _option_of(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _option(name: str) -> str:
    return f"`{_option_of(name)}`"


def _settings() -> Iterator[tuple[str, ...]]:
    units = {bound.name: bound.unit for bound in bounds()}
    meanings = documented(Settings)
    for one in fields(Settings):
        yield f"`{one.name}`", _option(one.name), _default(one, units.get(one.name, "")), meanings[one.name]


def _default(one: Any, unit: str) -> str:
    value = one.metadata.get("default") if one.default is MISSING else one.default
    if isinstance(value, timedelta):
        return f"{value.days} days"
    if isinstance(value, bool):
        return "no"
    return f"{value:g} {unit}"


def _table(head: tuple[str, ...], rows: Any) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
