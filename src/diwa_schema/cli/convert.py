"""The commands for optional parts of a database: vectors and the optional indexes."""

from __future__ import annotations

import argparse
from typing import Any

from diwa_schema.cli import options
from diwa_schema.cli.command import Commands, Result, add, ended
from diwa_schema.cli.progress import reported
from diwa_schema.errors import command


def register(commands: Commands) -> None:
    """Add the commands."""
    vector = add(
        commands, "enable-vector", _enable_vector, help="convert embeddings into vectors of pgvector"
    )
    binary = add(
        commands,
        "disable-vector",
        _disable_vector,
        help="convert embeddings into bytes, for code that binds bytes",
    )
    index = add(commands, "index", _index, help="build, drop or list the optional indexes")
    index.add_argument("action", choices=["enable", "disable", "list"], help="the action")
    index.add_argument("name", nargs="?", help="the index")
    for parser in (vector, binary, index):
        options.add_database(parser, embedded=False)
        options.add_guard(parser)
        options.add_settings(parser)
    for parser in (vector, binary):
        options.add_renew(parser)


def _enable_vector(args: argparse.Namespace) -> Result:
    from diwa_schema.api import enable_vector

    done = _done(args, enable_vector, "Embeddings are vectors")
    way_back = f"Code that binds embeddings as bytes cannot use them now. To go back, run: {command('disable-vector')}"
    return Result(done.document, f"{done.text}\n{way_back}")


def _disable_vector(args: argparse.Namespace) -> Result:
    from diwa_schema.api import disable_vector

    return _done(args, disable_vector, "Embeddings are bytes")


def _index(args: argparse.Namespace) -> Result:
    from diwa_schema.api import disable_index, enable_index
    from diwa_schema.drift.optional import OPTIONAL

    if args.action == "list":
        state = _states(args)
        listed = [
            {
                "name": one.index.name,
                "table": one.table,
                "serves": one.serves,
                "state": state.get(one.index.name),
            }
            for one in OPTIONAL
        ]
        lines = [
            "  ".join(filter(None, (one["name"], one["state"] and f"({one['state']})", one["serves"])))
            for one in listed
        ]
        return Result({"indexes": listed}, "\n".join(lines))
    if args.name is None:
        from diwa_schema.errors import UsageError

        raise UsageError(
            f"index {args.action} needs the name of an index.", next_step="Run: diwa-schema index list"
        )
    if args.action == "enable":
        return _done(args, enable_index, f"Index {args.name} is built", name=args.name)
    return _done(
        args,
        disable_index,
        f"Index {args.name} is dropped",
        nothing=f"Index {args.name} was not there",
        name=args.name,
    )


def _states(args: argparse.Namespace) -> dict[str, str]:
    """Return the states of the optional indexes; empty if no database is named."""
    from diwa_schema.api.describe import optional_indexes
    from diwa_schema.errors import NoDatabase

    try:
        return optional_indexes(**options.database_of(args))
    except NoDatabase:
        return {}


def _done(args: argparse.Namespace, call: Any, sentence: str, *, nothing: str = "", **more: Any) -> Result:
    report = reported(args, call, **more)
    said = nothing if nothing and report.kind == "nothing" else sentence
    return ended(report, f"{said} in {report.where}.")
