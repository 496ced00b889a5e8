"""The commands that describe a database or the history; they change nothing."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from diwa_schema.cli import options
from diwa_schema.cli.command import Commands, Result, add
from diwa_schema.errors import command
from diwa_schema.names import amount

if TYPE_CHECKING:
    from diwa_schema.health.status import Status
    from diwa_schema.migrations.manifest import Revision
    from diwa_schema.run.plan import Plan


_SHOWN = 10


def register(commands: Commands) -> None:
    """Add the commands."""
    status = add(commands, "status", _status, help="show the state of the database and its pending revisions")
    options.add_database(status)
    history = add(commands, "history", _history, help="list the revisions, or the ledger of the database")
    history.add_argument("--applied", action="store_true", help="show the ledger of the database")
    options.add_database(history)
    plan = add(commands, "plan", _plan, help="show the work of the next upgrade and the obstacles")
    plan.add_argument("revision", nargs="?", default="head", help="the revision to reach (head)")
    plan.add_argument("--replay", action="store_true", help="plan single revisions even on an empty database")
    plan.add_argument(
        "--observe",
        action="store_true",
        help="run the revisions in temporary tables and show the SQL, locks, rewrites and writes of each",
    )
    plan.add_argument("--markdown", action="store_true", help="print the plan for a pull request")
    options.add_database(plan)
    options.add_seen(plan)


def _status(args: argparse.Namespace) -> Result:
    from diwa_schema.api import status

    found = status(**options.database_of(args))
    return Result(found.as_dict(), "\n".join(_status_lines(found)), 0 if found.current else 1)


def _status_lines(found: Status) -> list[str]:
    lines = [
        f"database  {found.database}",
        "" if found.schema is None else f"schema    {found.schema}",
        f"state     {found.kind}{', protected' if found.protected else ''}",
        f"revision  {found.revision or 'base'}",
        f"head      {found.head}",
    ]
    if found.refused:
        lines.append(f"{'refused ' if found.known else 'unknown '}  {found.refused}")
    elif found.pending:
        lines.append(
            f"pending   {len(found.pending)}: {', '.join(found.pending[:5])}{' ...' if found.pending[5:] else ''}"
        )
    if found.missing:
        lines.append(f"missing   {amount(len(found.missing), 'table')}: {', '.join(found.missing)}")
    lines += [f"bypassed  {_bypassed(run)}" for run in found.bypassed]
    lines += [f"{'running ' if one['running'] else 'stopped '}  {_begun(one)}" for one in found.unfinished]
    if found.ended:
        lines.append(f"stopped   {_ended(found.ended)}")
    for done, versions in found.ecto.items():
        if versions:
            lines.append(f"ecto      {done} from outside: {', '.join(map(str, versions[:5]))}")
    lines += _release_lines(found)
    lines += _waiting_lines(found)
    lines.append(_next_step(found))
    return [line for line in lines if line]


def _waiting_lines(found: Status) -> list[str]:
    lines = [f"waiting   {one['text']}" for one in found.waiting]
    return [*lines, f"          {command('violations')} lists the rows"] if lines else []


def _release_lines(found: Status) -> list[str]:
    from diwa_schema.database.releases import UNSEEN, Connected
    from diwa_schema.database.seen import UNREAD, Seen

    lines = [f"release   {one['release']} is connected: {Connected(**one)}" for one in found.releases or ()]
    if found.releases is None:
        lines.append(f"release   {UNSEEN}")
    noted = found.seen or ()
    lines += [f"seen      {one['release']} started: {Seen(**one)}" for one in noted[:_SHOWN]]
    if found.seen is None:
        lines.append(f"seen      {UNREAD}")
    elif noted[_SHOWN:]:
        lines.append(f"          and {len(noted) - _SHOWN} more, which --json lists")
    return lines


def _ended(last: dict[str, Any]) -> str:
    from diwa_schema.database.ledger import how

    by = f"by {last['os_user']}@{last['host']}"
    where = f"revision {last['revision']}" if last["revision"] else last["kind"]
    return f"{where}, begun {last['started_at']} {by}: {how(last)}; {_resumes(last)}"


def _begun(one: dict[str, Any]) -> str:
    end = "it runs now" if one["running"] else f"it did not finish; {_resumes(one)}"
    where = f"revision {one['revision']}" if one["revision"] else one["kind"]
    return f"{where}, begun {one['started_at']} by {one['os_user']}@{one['host']}: {end}"


def _resumes(one: dict[str, Any]) -> str:
    return "the next run resumes there" if one["revision"] else "the same command continues there"


def _bypassed(run: dict[str, Any]) -> str:
    reason = f", reason: {run['bypass_reason']}" if run["bypass_reason"] else ""
    return f"{run['started_at']} {run['kind']} by {run['os_user']} from {run['repository']} ({run['bypass']}{reason})"


def _next_step(found: Status) -> str:
    if found.next_step:
        return f"next      {found.next_step}"
    if found.current:
        return "next      nothing to do"
    if found.missing:
        return (
            f"next      restore the missing tables from the backup; {command('check')} lists every difference"
        )
    return f"next      {command('upgrade')}"


def _history(args: argparse.Namespace) -> Result:
    if args.applied:
        return _ledger(args)
    from diwa_schema.migrations.manifest import load

    entries = [
        {"revision": step.revision, "slug": step.slug, "phase": step.phase, "floor": step.floor}
        for step in load()
    ]
    text = "\n".join(f"{entry['revision']}  {entry['phase']:8}  {entry['slug']}" for entry in entries)
    return Result({"revisions": entries}, text)


def _ledger(args: argparse.Namespace) -> Result:
    from diwa_schema.api import history

    entries = history(**options.database_of(args))
    lines = [
        f"{entry['started_at']}  {entry['revision'] or '-':14}  {entry['direction']:9}  {entry['kind']:8}"
        f"  {entry['outcome']:8}  {entry['duration_ms'] if entry['duration_ms'] is not None else '-'} ms"
        f"  {entry['database_role']}  {entry['os_user']}@{entry['host']}"
        f"{'  bypassed' if entry['bypass'] else ''}{'  forced' if entry['forced'] else ''}"
        f"{'  ' + (entry['sqlstate'] or entry['error_class']) if entry['error_class'] else ''}"
        for entry in entries
    ]
    return Result({"entries": entries}, "\n".join(lines) or "The database has no ledger yet.")


def _plan(args: argparse.Namespace) -> Result:
    from diwa_schema.api import plan

    named = options.database_of(args)
    found = plan(revision=args.revision, replay=args.replay, seen_within=args.seen_within, **named)
    if args.observe:
        return _observed(args, found)
    return Result(found.as_dict(), _listed(args, found), verbatim=args.markdown)


def _observed(args: argparse.Namespace, found: Plan) -> Result:
    from diwa_schema.authoring.observe import observe
    from diwa_schema.cli import observed
    from diwa_schema.errors import DiwaSchemaError

    document = found.as_dict()
    if found.snapshot:
        why = "The database is empty: one snapshot creates everything, and there is nothing to observe."
        return Result(
            document | {"observed": None, "unobserved": why},
            _listed(args, found, why),
            verbatim=args.markdown,
        )
    try:
        seen = observe(found, **options.database_of(args))
    except DiwaSchemaError as error:
        # The plan itself is still right.
        text = _listed(args, found, "Nothing was observed.", *str(error).splitlines())
        return Result(
            document | {"observed": None, "unobserved": error.as_dict()},
            text,
            error.exit_code,
            verbatim=args.markdown,
        )
    document |= {"observed": [one.as_dict() for one in seen], "unobserved": None}
    shown = observed.markdown(seen) if args.markdown else observed.text(seen)
    return Result(document, "\n\n".join(filter(None, (_listed(args, found), shown))), verbatim=args.markdown)


def _listed(args: argparse.Namespace, found: Plan, *further: str) -> str:
    """Return the revisions of a plan and its remarks, as lines or as Markdown."""
    if not args.markdown:
        return "\n".join([*_plan_lines(found), *further])
    rows = [(one.revision, one.phase, one.slug, "; ".join(_marks(one))) for one in found.revisions]
    table = [("revision", "phase", "name", "remark"), ("---",) * 4, *rows, ()] if rows else []
    remarks = [*_plan_lines(found)[len(rows) :], *further]
    return "\n".join(
        [*(f"| {' | '.join(row)} |" if row else "" for row in table), *(f"- {line}" for line in remarks)]
    )


def _plan_lines(found: Plan) -> list[str]:
    if not found.revisions:
        return [f"At {found.after or 'base'}: nothing to do."]
    listed = (
        "  ".join([one.revision, f"{one.phase:8}", one.slug, *(f"({mark})" for mark in _marks(one))])
        for one in found.revisions
    )
    return [*listed, *ahead(found)]


def _marks(step: Revision) -> Iterator[str]:
    if not step.transactional:
        yield "one step outside a transaction"
    if step.irreversible:
        yield f"NO WAY BACK: {step.irreversible}"


def ahead(plan: Plan) -> list[str]:
    """Return the way in which a plan would run, its obstacles, and its effects on open connections, a line each."""
    how = " as one snapshot, in one transaction" if plan.snapshot else ", each on its own"
    lines = [
        f"{plan.before or 'base'} -> {plan.after or 'base'}: {amount(len(plan.revisions), 'revision')}{how}."
    ]
    lines += [
        f"{step.revision}  FORGETS {', '.join(step.forgets)}: a downgrade does not restore the values."
        for step in plan.revisions
        if step.forgets and plan.direction == "upgrade" and not plan.snapshot
    ]
    lines += [f"{name}  STALLS: {why} (needs --allow-stall)" for name, why in plan.stalls.items()]
    lines += [
        f"IN THE WAY: {one.what}." + (f" As a superuser: {one.statement};" if one.statement else "")
        for one in plan.obstacles
    ]
    lines += [
        f"IN THE WAY of {one.revision}: {one.what} depends on {one.column}. Drop it, and create it again"
        " after the upgrade."
        for one in plan.dependents
    ]
    lines += [
        f"{amount(count, 'value')} of {column} with another length: the run moves them to the table"
        " diwa_schema_embedding_archive."
        for column, count in plan.archived.items()
    ]
    lines += [f"IN THE WAY: {one}" for one in plan.outdated or ()]
    if plan.outdated is None:
        from diwa_schema.database.releases import UNSEEN

        lines.append(UNSEEN)
    for table, size in plan.sizes.items():
        rows = "an unknown number of rows" if size.rows is None else f"about {amount(size.rows, 'row')}"
        lines.append(f"{table} is rewritten or retyped: {rows}, {amount(size.size, 'byte')}.")
    return [*lines, *(plan.connections.lines(plan.after, planned=True) if plan.connections else ())]
