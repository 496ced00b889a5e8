"""The commands that change a database."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from diwa_schema.cli import options
from diwa_schema.cli.command import Commands, Result, add, ended
from diwa_schema.cli.progress import reported
from diwa_schema.names import amount

if TYPE_CHECKING:
    from diwa_schema.run.settings import Report


def register(commands: Commands) -> None:
    """Add the commands."""
    upgrade = _changing(commands, "upgrade", _upgrade, "apply revisions to the database")
    upgrade.add_argument(
        "revision",
        nargs="?",
        default="head",
        help="the revision to reach: head (default), an id or its beginning, or +N",
    )
    upgrade.add_argument("--sql", action="store_true", help="print the SQL and connect to nothing")
    upgrade.add_argument("--replay", action="store_true", help="run every revision even on an empty database")
    options.add_renew(upgrade)
    options.add_settings(upgrade)
    options.add_seen(upgrade)
    downgrade = _changing(
        commands, "downgrade", _downgrade, "reverse revisions (also: rollback)", aliases=["rollback"]
    )
    downgrade.add_argument(
        "revision",
        nargs="?",
        default="-1",
        help="the revision to return to: an id or its beginning, base, or -N (default -1)",
    )
    downgrade.add_argument("--sql", action="store_true", help="print the SQL and connect to nothing")
    options.add_confirm(downgrade)
    options.add_renew(downgrade)
    options.add_settings(downgrade)
    stamp = _changing(commands, "stamp", _stamp, "record a revision without running it")
    stamp.add_argument("revision", help="the revision to record")
    stamp.add_argument("--force", action="store_true", help="record it even if tables or columns are missing")
    options.add_settings(stamp)
    drop = _changing(commands, "drop", _drop, "drop the tables of the models, and no others")
    options.add_confirm(drop)
    options.add_settings(drop)
    protect = _changing(commands, "protect", _protect, "close this database to the guard's bypass")
    protect.add_argument("--reason", help="the reason, for the next reader")
    options.add_settings(protect)
    options.add_settings(
        _changing(commands, "unprotect", _unprotect, "open this database to the guard's bypass again")
    )


def _changing(commands: Commands, name: str, run: Any, text: str, **more: Any) -> argparse.ArgumentParser:
    parser = add(commands, name, run, help=text, **more)
    options.add_database(parser)
    options.add_guard(parser)
    return parser


def _upgrade(args: argparse.Namespace) -> Result:
    from diwa_schema.api import migrate

    if args.sql:
        return _script(args, "upgrade")
    return _told(reported(args, migrate, revision=args.revision))


def _downgrade(args: argparse.Namespace) -> Result:
    from diwa_schema.api import downgrade

    if args.sql:
        return _script(args, "downgrade")
    return _told(reported(args, downgrade, revision=args.revision, confirm=args.confirm))


def _stamp(args: argparse.Namespace) -> Result:
    from diwa_schema.api import stamp

    return _told(reported(args, stamp, revision=args.revision, force=args.force))


def _drop(args: argparse.Namespace) -> Result:
    from diwa_schema.api import drop

    return _told(reported(args, drop, confirm=args.confirm))


def _protect(args: argparse.Namespace) -> Result:
    from diwa_schema.api import protect

    report = reported(args, protect, reason=args.reason)
    text = f"{report.where} is protected: the guard's bypass does not open it."
    return Result({**report.as_dict(), "protected": True}, text)


def _unprotect(args: argparse.Namespace) -> Result:
    from diwa_schema.api import unprotect

    report = reported(args, unprotect)
    return Result({**report.as_dict(), "protected": False}, f"{report.where} is no longer protected.")


def _script(args: argparse.Namespace, direction: str) -> Result:
    from diwa_schema.api import target_of
    from diwa_schema.database import url as urls
    from diwa_schema.errors import NoDatabase
    from diwa_schema.run.script import render

    try:
        dialect = target_of(args.url, args.embedded).dialect
    except NoDatabase:
        dialect = urls.parse("postgresql://").dialect
    text = render(dialect, args.revision, direction)
    return Result({"dialect": dialect, "sql": text}, text, verbatim=True)


def _told(report: Report) -> Result:
    return ended(report, _sentence(report))


def _sentence(report: Report) -> str:
    after = report.after or "base"
    if report.kind == "nothing":
        return f"{report.where} is at {after}: nothing to do."
    if report.kind == "drop":
        return f"{report.where}: the tables of the models are dropped."
    if report.kind == "stamp":
        return f"{report.where}: revision {after} is recorded; before, it was {report.before or 'base'}."
    from diwa_schema.cli.measure import took

    total = sum(step.milliseconds for step in report.applied)
    if report.kind == "snapshot":
        total = report.applied[0].milliseconds
        how = f"{amount(len(report.applied), 'revision')} as one snapshot"
    else:
        how = amount(len(report.applied), "revision")
    return f"{report.where}: {report.before or 'base'} -> {after} ({how}, {took(total)})."
