"""The commands of a fleet: many databases and schemas at once."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from diwa_schema.cli import options
from diwa_schema.cli.command import Commands, Result, add, ended
from diwa_schema.cli.fleet_shown import Shown, lines, progress
from diwa_schema.errors import UsageError

if TYPE_CHECKING:
    from diwa_schema.fleet import Fleet, FleetReport, Schedule
    from diwa_schema.fleet.targets import Source
    from diwa_schema.privileges.existing import RoleNames
    from diwa_schema.run.settings import Report


_LINES = "print a JSON document for each target and one for the summary, each in a line"


def register(commands: Commands) -> None:
    """Add `fleet` and its verbs to the parser."""
    if commands.typed not in ("", "fleet"):
        return
    from diwa_schema.cli.parser import Parser

    text = "many databases and schemas at once"
    fleet = commands.parsers.add_parser("fleet", help=text, description=f"Work on {text}.")
    verbs = Commands(
        fleet.add_subparsers(title="verbs", metavar="VERB", required=True, parser_class=Parser), ""
    )
    _add_targets(
        add(
            verbs,
            "status",
            _status,
            json=_LINES,
            help="show the state of every target, with a few queries per database",
        )
    )
    plan = add(verbs, "plan", _plan, json=_LINES, help="show the work of an upgrade for every target")
    upgrade = add(verbs, "upgrade", _upgrade, json=_LINES, help="bring every target up to a revision")
    for parser in (plan, upgrade):
        parser.add_argument(
            "revision", nargs="?", default="head", help="head (default), or an id or its beginning"
        )
    check = add(verbs, "check", _check, json=_LINES, help="compare each target with the expected schema")
    digest = add(
        verbs, "digest", _digest, json=_LINES, help="show the targets with another catalog than most"
    )
    adopt = add(verbs, "adopt", _adopt, json=_LINES, help="take over every target that Ecto migrated")
    adopt.add_argument(
        "--fix", action="store_true", help="first fix the differences that are safe to fix on a live table"
    )
    for parser in (plan, upgrade, check, digest, adopt):
        _add_targets(parser)
        _add_schedule(parser)
    for parser in (upgrade, adopt):
        options.add_guard(parser)
        options.add_renew(parser)
        options.add_settings(parser)

    create = add(
        verbs, "create", _create, help="create a tenant: a schema at head, with roles, in one transaction"
    )
    copy = add(verbs, "copy", _copy, help="copy all rows of a tenant to another place, in one transaction")
    for name, text in (
        ("source", "the database to copy from"),
        ("target", "the PostgreSQL database to copy to"),
    ):
        copy.add_argument(name, metavar=name.upper(), help=f"{text}: its URL")
        copy.add_argument(f"--{name}-schema", metavar="NAME", help=f"the schema in the {name}")
    for parser in (create, copy):
        _add_roles(parser)
    options.add_guard(copy)
    options.add_settings(copy)
    drop = add(verbs, "drop", _drop, help="drop a tenant with all its rows, a table at a time")
    drop.add_argument("--confirm", metavar="NAME", help="the name of the tenant again")
    for parser in (create, drop):
        parser.add_argument("tenant", metavar="NAME", help="the schema")
        parser.add_argument(
            "--url",
            metavar="URL",
            help="the database (default: DIWA_MIGRATION_DATABASE_URL, then DATABASE_URL)",
        )
        options.add_guard(parser)
        options.add_settings(parser)


def _add_roles(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--no-roles", action="store_true", help="leave roles and rights alone")
    for option, default, text in (
        ("--owner", "diwa_owner", "changes the schema"),
        ("--app", "diwa_app", "reads and writes rows"),
        ("--reader", "diwa_reader", "reads rows"),
    ):
        parser.add_argument(option, metavar="NAME", default=default, help=f"the role that {text} ({default})")


def _add_targets(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("targets, in any mix")
    group.add_argument(
        "--url", metavar="URL", help="a database; by default DIWA_MIGRATION_DATABASE_URL or DATABASE_URL"
    )
    group.add_argument(
        "--schemas",
        metavar="PATTERN",
        action="append",
        default=[],
        help="the schemas in it, such as 'tenant_*'; by default those with a version table",
    )
    group.add_argument("--server", metavar="URL", help="any database of a server")
    group.add_argument(
        "--databases",
        metavar="PATTERN",
        action="append",
        default=[],
        help="the databases of the server, such as 'diwa_*'; --schemas then applies to each",
    )
    group.add_argument(
        "--targets",
        metavar="FILE",
        action="append",
        default=[],
        help=(
            "a file with one target per line: a URL, or name,url,schema,wave, or the same as JSON; - is"
            " standard input"
        ),
    )
    group.add_argument(
        "--only", metavar="PATTERN", action="append", default=[], help="only targets with a matching name"
    )
    group.add_argument(
        "--from",
        metavar="REPORT",
        dest="report",
        help="only the unfinished targets of an earlier run, whose --json output it is",
    )


def _add_schedule(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("order")
    group.add_argument(
        "--jobs", type=int, metavar="N", help="the number of targets at once (one more than the processors)"
    )
    group.add_argument("--per-host", type=int, metavar="N", help="the most targets of one server at once")
    group.add_argument(
        "--waves",
        metavar="N,N,rest",
        help="the number of targets of each wave, such as 1,10,rest (all at once)",
    )
    group.add_argument(
        "--stop-after",
        type=int,
        metavar="N",
        help=(
            "begin no further target after N failures (with several waves, the first failure of the first"
            " wave stops)"
        ),
    )


def _schedule(args: argparse.Namespace) -> Schedule:
    from diwa_schema.fleet.schedule import Schedule, waves_of

    waves = waves_of(args.waves) if args.waves is not None else ()
    schedule = Schedule(args.jobs, args.per_host, waves, args.stop_after)
    schedule.refuse_impossible()
    return schedule


def _status(args: argparse.Namespace) -> Result:
    return _reported(args, lambda fleet: fleet.status())


def _plan(args: argparse.Namespace) -> Result:
    return _reported(args, lambda fleet: fleet.plan(args.revision, schedule=_schedule(args)))


def _check(args: argparse.Namespace) -> Result:
    return _reported(args, lambda fleet: fleet.check(schedule=_schedule(args)))


def _digest(args: argparse.Namespace) -> Result:
    return _reported(args, lambda fleet: fleet.digest(schedule=_schedule(args)))


def _upgrade(args: argparse.Namespace) -> Result:
    return _reported(args, lambda fleet: fleet.upgrade(args.revision, **_changing(args)))


def _adopt(args: argparse.Namespace) -> Result:
    return _reported(args, lambda fleet: fleet.adopt(fix=args.fix, **_changing(args)))


def _create(args: argparse.Namespace) -> Result:
    from diwa_schema.fleet import create

    report = _one(args, create, roles=_roles(args))
    total = report.applied[0].milliseconds
    from diwa_schema.cli.measure import took

    return ended(report, f"{report.database}: tenant {args.tenant} is at {report.after} ({took(total)}).")


def _copy(args: argparse.Namespace) -> Result:
    from diwa_schema.cli.fleet_shown import copied
    from diwa_schema.cli.progress import progress as told_by
    from diwa_schema.fleet import Member, copy

    with told_by(quiet=args.json, log_format=args.log_format) as told:
        done = copy(
            Member(args.source, args.source_schema),
            Member(args.target, args.target_schema),
            roles=_roles(args),
            repo=args.repo,
            settings=options.settings_of(args),
            progress=told,
        )
    return Result(done.as_dict(), "\n".join(copied(done)))


def _roles(args: argparse.Namespace) -> RoleNames | None:
    from diwa_schema.privileges.existing import RoleNames

    return None if args.no_roles else RoleNames(args.owner, args.app, args.reader)


def _drop(args: argparse.Namespace) -> Result:
    from diwa_schema.fleet import drop

    report = _one(args, drop, confirm=args.confirm)
    return ended(report, f"{report.database}: tenant {args.tenant} is dropped.")


def _one(args: argparse.Namespace, call: Callable[..., Report], **more: Any) -> Report:
    from diwa_schema.cli.progress import progress as told_by
    from diwa_schema.database.url import from_environment

    with told_by(quiet=args.json) as told:
        return call(
            from_environment() if args.url is None else args.url,
            args.tenant,
            repo=args.repo,
            settings=options.settings_of(args),
            progress=told,
            **more,
        )


def _changing(args: argparse.Namespace) -> dict[str, Any]:
    return {
        "schedule": _schedule(args),
        "repo": args.repo,
        "renew": args.renew,
        "settings": options.settings_of(args),
    }


def _reported(args: argparse.Namespace, call: Callable[[Fleet], FleetReport]) -> Result:
    """Call a method of the typed fleet, show its progress, and return its result."""
    from diwa_schema.fleet import Interrupted

    with progress(args) as shown:
        fleet = _fleet(args, shown)
        try:
            report, code = call(fleet), None
        except Interrupted as interruption:
            report, code = interruption.report, interruption.exit_code
        shown.finish(report)
    return Result(
        report.as_dict() | ({} if code is None else {"exit_code": code}),
        "\n".join(lines(report, interrupted=code is not None)),
        report.exit_code if code is None else code,
        line=True,
    )


def _fleet(args: argparse.Namespace, shown: Shown) -> Fleet:
    from diwa_schema.fleet import Fleet
    from diwa_schema.fleet.unfinished import unfinished

    among = unfinished(_read(args.report), args.report) if args.report else None
    return Fleet(*_sources(args), only=args.only, among=among, ended=shown.ended, said=shown.said)


def _sources(args: argparse.Namespace) -> Iterator[Source]:
    from diwa_schema.database.url import from_environment
    from diwa_schema.fleet import Databases, Schemas, listed

    if bool(args.server) != bool(args.databases):
        raise UsageError(
            "--server and --databases belong together.",
            next_step="Write --server URL --databases 'diwa_*'",
        )
    patterns: list[str | None] = [*args.schemas] or [None]
    if args.url is not None or not (args.server or args.targets):
        url = from_environment() if args.url is None else args.url
        yield from (Schemas(url, pattern) for pattern in patterns)
    for databases in args.databases:
        yield from (Databases(args.server, databases, pattern) for pattern in patterns)
    for file in args.targets:
        yield listed(_read(file), "standard input" if file == "-" else file)


def _read(file: str) -> list[str]:
    try:
        if file == "-":
            return sys.stdin.read().split("\n")
        # A spreadsheet writes a mark at the beginning. What was typed may be anything, such as a pipe.
        with open(file, encoding="utf-8-sig") as opened:  # noqa: PTH123
            return opened.read().split("\n")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "the text is not UTF-8"
        raise UsageError(f"{file} cannot be read: {why}.", next_step="Name another file.") from error
