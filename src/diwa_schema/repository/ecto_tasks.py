"""The meaning of Ecto's tasks and options in this package, for the aliases of a `mix.exs`.

An option either has a meaning in this package, or concerns only mix and is ignored, or is refused by name: a silently
dropped option would seem to work.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from diwa_schema.errors import UsageError
from diwa_schema.migrations.manifest import Manifest, load

TASKS = ("ecto.migrate", "ecto.rollback", "ecto.drop", "ecto.migrations")

_SHORT = {"-n": "--step", "-q": "--quiet", "-f": "--force", "-r": "--repo"}
_NUMBERS = ("--step", "--to", "--to-exclusive")
_VALUES = (*_NUMBERS, "--prefix", "--confirm")
# Options for work of mix itself, before its call or for Ecto.
PASSED_OVER = ("--no-compile", "--no-deps-check")
_MOVES = {"--all", *_NUMBERS, "--prefix", "--quiet", "--log-migrations-sql"}
TAKEN = {
    "ecto.migrate": _MOVES,
    "ecto.rollback": {*_MOVES, "--confirm"},
    "ecto.drop": {"--quiet", "--force-drop", "--confirm"},
    "ecto.migrations": {"--prefix"},
}
_WHY_NOT = {
    "--force": "A drop that loses rows needs the name of the database: --confirm NAME.",
    "--migrations-path": "The migrations come from the installed diwa-schema, not from a folder.",
    "--repo": "Only the alias in mix.exs takes it, and passes the URL of that repository.",
    "--pool-size": "A run opens its own connections.",
}


class Translated(NamedTuple):
    """A task of Ecto as a command of this package.

    Args:
        words: The command and its arguments.
        quiet: Whether its result is not printed.
        shows_sql: Whether the statements of the revisions are logged.
        disconnects: Whether a drop of a test database ends the sessions of others.
    """

    words: tuple[str, ...]
    quiet: bool
    shows_sql: bool
    disconnects: bool = False


def translate(
    task: str, options: Sequence[str], *, testing: bool = False, history: Manifest | None = None
) -> Translated:
    """Return the command for a task with its options.

    Args:
        task: One of `TASKS`.
        options: The arguments of mix after the task.
        testing: Whether this is mix's test environment, in which a task may drop a whole database.
        history: The revisions; those of this package by default.

    Raises:
        UsageError: An option has no meaning here, lacks its value, or contradicts another one.
        UnknownRevision: The history has no such version.
    """
    given = _read(task, options)
    quiet, sql = given.pop("--quiet", None) is not None, given.pop("--log-migrations-sql", None) is not None
    schema = ("--schema", given.pop("--prefix")) if "--prefix" in given else ()
    confirm = ("--confirm", given.pop("--confirm")) if "--confirm" in given else ()
    if task == "ecto.drop":
        if given and not testing:
            raise UsageError(
                f"mix {task}: --force-drop disconnects other sessions, and only a test database allows that.",
                next_step="Leave it out.",
            )
        return Translated(("drop", *confirm), quiet, sql, disconnects=bool(given))
    if task == "ecto.migrations":
        return Translated(("status", *schema), quiet, sql)
    if len(given) > 1:
        raise UsageError(
            f"mix {task}: {' and '.join(given)} contradict each other.", next_step="Leave one of them out."
        )
    name, value = next(iter(given.items()), ("", ""))
    up = task == "ecto.migrate"
    revision = _revision(name, value, history or load(), up=up)
    return Translated(("upgrade" if up else "downgrade", revision, *schema, *confirm), quiet, sql)


def _revision(name: str, value: str, history: Manifest, *, up: bool) -> str:
    """Return the revision of the database after the task."""
    if name == "--step":
        return f"{'+' if up else '-'}{value}"
    if name in ("--to", "--to-exclusive"):
        # Upward, `--to` ends at that version; downward, it also reverses that version.
        at = history.get(history.resolve(value, None) or history.head)
        return at.revision if up == (name == "--to") else at.down_revision or "base"
    if name == "--all":
        return "head" if up else "base"
    return "head" if up else "-1"


def _read(task: str, options: Sequence[str]) -> dict[str, str]:
    """Return the options by their long names, each with its value, or with an empty text if it has none."""
    found: dict[str, str] = {}
    left = list(options)
    while left:
        typed = left.pop(0)
        name, assigned, value = typed.partition("=")
        name = _SHORT.get(name, name)
        if name in PASSED_OVER:
            continue
        if name not in TAKEN[task]:
            raise UsageError(
                f"mix {task}: diwa-schema has no option {typed}. {_WHY_NOT.get(name, '')}".rstrip(),
                next_step=f"Leave it out. The options of the task: {', '.join(sorted(TAKEN[task]))}.",
            )
        if name in _VALUES and not assigned:
            if not left or left[0].startswith("--"):
                raise UsageError(f"mix {task}: {typed} lacks its value.", next_step=f"Write: {name} VALUE")
            value = left.pop(0)
        if name in _NUMBERS and not (value.isascii() and value.isdigit() and int(value)):
            raise UsageError(
                f"mix {task}: {value!r} is not a number above 0.", next_step=f"Write: {name} NUMBER"
            )
        found[name] = value
    return found
