"""The command `roles`: the SQL for the database's roles, printed or run."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from diwa_schema.cli import options
from diwa_schema.cli.command import Commands, Result, add
from diwa_schema.cli.progress import reported
from diwa_schema.names import on_one_line

if TYPE_CHECKING:
    from diwa_schema.privileges.difference import Roles


def register(commands: Commands) -> None:
    """Add `roles` to the parser."""
    parser = add(commands, "roles", run, help="print or run the SQL for the roles of the database")
    options.add_database(parser, embedded=False)
    parser.add_argument("--apply", action="store_true", help="run the statements, in one transaction")
    parser.add_argument(
        "--owner", metavar="NAME", default="diwa_owner", help="role that changes the schema (diwa_owner)"
    )
    parser.add_argument(
        "--app", metavar="NAME", default="diwa_app", help="role that reads and writes rows (diwa_app)"
    )
    parser.add_argument(
        "--reader", metavar="NAME", default="diwa_reader", help="role that reads rows (diwa_reader)"
    )
    parser.add_argument(
        "--event-trigger",
        action="store_true",
        help="also let only members of the owner change the schema, by an event trigger (needs a superuser)",
    )
    parser.add_argument(
        "--take-ownership", action="store_true", help="also give the tables of other roles to the owner"
    )
    options.add_guard(parser)
    options.add_settings(parser)


def run(args: argparse.Namespace) -> Result:
    """Print or run the statements that lead from the present roles to the expected ones."""
    from diwa_schema.api import roles

    names = ("apply", "owner", "app", "reader", "event_trigger", "take_ownership")
    found = reported(args, roles, **{name: getattr(args, name) for name in names})
    return Result(found.as_dict(), "\n".join(_script(found)), verbatim=True)


def _script(found: Roles) -> Iterator[str]:
    """Yield the statements as a script for psql, each below its reason."""
    yield f"-- {on_one_line(found.database)}, schema {on_one_line(found.schema)}"
    if found.changes:
        from diwa_schema.names import amount

        done = "applied" if found.applied else "not applied: run this script, or add --apply"
        yield f"-- {amount(len(found.changes), 'change')}, {done}"
        yield from ("", "BEGIN;")
        for change in found.changes:
            yield from (f"-- {change.kind}: {on_one_line(change.what)}", f"{change.sql};")
        yield "COMMIT;"
    else:
        yield "-- The roles are as they should be."
    if found.by_hand:
        yield from (
            "",
            f"-- To do by hand ({len(found.by_hand)}); --take-ownership also gives tables to the owner:",
        )
        for change in found.by_hand:
            yield f"-- {on_one_line(change.what)}:"
            yield from (f"--     {line}" for line in f"{change.sql};".splitlines())
