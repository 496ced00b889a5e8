"""The command `mix`: run an Ecto task for the aliases of a `mix.exs`."""

from __future__ import annotations

import argparse
import logging
import shlex
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING

from diwa_schema.cli import options
from diwa_schema.cli.command import Commands, Result, add
from diwa_schema.cli.signals import ending_with_its_parent
from diwa_schema.errors import NAMED, NOTHING_CHANGED, TYPED, Blocked, DatabaseUnreachable

if TYPE_CHECKING:
    from diwa_schema.repository.ecto_tasks import Translated

TEST = "test"
# The options of PostgreSQL's programs, by the parameter of libpq.
_SERVER = {"host": "host", "port": "port", "user": "username"}


def register(commands: Commands) -> None:
    """Add `mix` to the parser."""
    from diwa_schema.repository.ecto_tasks import TASKS

    parser = add(
        commands,
        "mix",
        run,
        help="run a task of Ecto for the aliases of a mix.exs",
        description="Run a task of Ecto with this package. `diwa-schema init` prints the aliases that call it.",
    )
    options.add_guard(parser)
    parser.add_argument("--env", metavar="NAME", default="dev", help="the environment of mix (dev)")
    parser.add_argument("task", choices=TASKS, metavar="TASK", help=", ".join(TASKS))
    parser.add_argument(
        "options", nargs=argparse.REMAINDER, metavar="-- OPTIONS", help="the arguments of mix after the task"
    )


def run(args: argparse.Namespace) -> Result:
    """Run a task as a command of this package; in mix's test environment, a test database belongs to nobody else."""
    from diwa_schema.cli.parser import build_parser
    from diwa_schema.database.url import from_environment, parse
    from diwa_schema.repository.ecto_tasks import translate

    testing = args.env == TEST
    given = args.options[1:] if args.options[:1] == ["--"] else args.options
    asked = translate(args.task, given, testing=testing)
    url = from_environment()
    words = [*asked.words, *(["--json"] if args.json else [])]
    if args.repo is not None and asked.words[0] != "status":
        words += ["--repo", args.repo]
    meant = build_parser(words[0]).typed(words)
    meant.url, meant.quiet = url, asked.quiet
    NAMED.set(partial(options.named, meant))
    TYPED.set(str)  # the words are those of mix, which takes its URL from the configuration
    try:
        with ending_with_its_parent():
            result = _ran(meant, url, asked, testing=testing)
    except DatabaseUnreachable:
        from diwa_schema.database import marked

        # Ecto's task succeeds then, so that `mix ecto.reset` can begin with it.
        if args.task != "ecto.drop" or not marked.is_absent(url):
            raise
        result = Result({"kind": "nothing"}, f"The database {parse(url).shown} is already down.")
    return result._replace(text="") if asked.quiet else result


def _ran(meant: argparse.Namespace, url: str, asked: Translated, *, testing: bool) -> Result:
    if testing and asked.words[0] == "drop":
        from diwa_schema.database import marked

        if marked.drop(url, force=asked.disconnects):
            return Result({"kind": "dropped"}, "The test database is dropped.")
    with _opened(url, asked, testing=testing), _statements(shown=asked.shows_sql):
        try:
            result: Result = meant.run(meant)
        except Blocked as error:
            if testing:
                # The check for a test database needed a connection.
                error.untouched = NOTHING_CHANGED
                error.next_step += (
                    "\nIn the test environment the guard opens a database that diwa-schema found empty at"
                    " its first run. This one was not empty. If it only has rows of tests, drop it:"
                    f" {_dropping(url)}\nThen run: MIX_ENV=test mix do ecto.create, ecto.migrate"
                )
            raise
    return result


def _dropping(url: str) -> str:
    """Return the command that drops a database, which neither Ecto's task nor its alias does here."""
    from diwa_schema.database.url import parse

    meant = parse(url)
    if meant.file is not None:
        return f"rm {shlex.quote(meant.file)}"
    parts = dict(meant.parameters)
    server = [f"--{name}={parts[part]}" for part, name in _SERVER.items() if part in parts]
    return shlex.join(["dropdb", *server, parts.get("dbname", "")])


def _opened(url: str, asked: Translated, *, testing: bool) -> AbstractContextManager[object]:
    if not testing:
        return nullcontext()
    from diwa_schema.database.marked import opened

    return opened(url, makes=asked.words[0] == "upgrade")


@contextmanager
def _statements(*, shown: bool) -> Iterator[None]:
    """Write the statements of the revisions to stderr in the block, without their values."""
    if not shown:
        yield
        return
    logger, handler = logging.getLogger("sqlalchemy.engine.Engine"), logging.StreamHandler()
    handler.addFilter(lambda record: not str(record.msg).startswith("["))
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
