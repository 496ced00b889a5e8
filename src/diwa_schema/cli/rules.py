"""The commands about rules for rows: `violations` lists rows that break them, `validate` adds the rules."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from diwa_schema.cli import options
from diwa_schema.cli.command import Commands, Result, add
from diwa_schema.cli.progress import reported
from diwa_schema.errors import command
from diwa_schema.names import amount

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from diwa_schema.drift.rules import BrokenRow, BrokenRule, Waiting

_LIMIT = 20


def register(commands: Commands) -> None:
    """Add the commands."""
    violations = add(commands, "violations", _violations, help="list the rows that break a rule")
    violations.add_argument("rules", nargs="*", metavar="RULE", help="the rules to check (all)")
    violations.add_argument(
        "--limit",
        type=int,
        default=_LIMIT,
        metavar="N",
        help=f"list at most N rows of a rule ({_LIMIT}); the count covers all",
    )
    options.add_database(violations)
    validate = add(commands, "validate", _validate, help="add the waiting rules that no row breaks any more")
    validate.add_argument("rules", nargs="*", metavar="RULE", help="the rules (all that wait)")
    options.add_database(validate, embedded=False)
    options.add_guard(validate)
    options.add_settings(validate)


def _violations(args: argparse.Namespace) -> Result:
    from diwa_schema.api import violations

    found = violations(rules=args.rules, limit=args.limit, **options.database_of(args))
    document = {"violations": [one.as_dict() for one in found], "rows": sum(one.total for one in found)}
    lines = [line for one in found for line in _lines(one)]
    if any(one.kept for one in found):
        lines.append(f"Fix the rows of the waiting rules, then run: {command('validate')}")
    return Result(document, "\n".join(lines) or "No row breaks a rule.", 1 if found else 0)


def _lines(one: BrokenRule) -> Iterator[str]:
    what = "to be enforced by the database" if one.kept else "checked only"
    yield f"{one.rule}: {amount(one.total, 'row')} of {one.table} ({what})"
    yield f"    {one.why}"
    for row in one.rows:
        yield f"    {_row(row)}"
        yield f"        {row.look}"
    if one.total > len(one.rows):
        yield f"    and {one.total - len(one.rows):,} more"


def _row(row: BrokenRow) -> str:
    values = ", ".join(
        f"{name} {'NULL' if value is None else repr(value)}" for name, value in row.values.items()
    )
    return f"{row.key}: {values}"


def _validate(args: argparse.Namespace) -> Result:
    from diwa_schema.api import validate

    done = reported(args, validate, rules=args.rules)
    lines = [f"the database enforces rule {name} from now on" for name in done.added]
    if not done.waiting:
        lines.append("The database enforces every rule.")
    elif args.rules:
        left = {one.rule for one in done.waiting} | set(done.added)
        lines += [f"the database enforced rule {name} before" for name in done.asked if name not in left]
    lines += [one.text for one in done.waiting]
    if done.waiting:
        lines.append("The command did not change the waiting rules.")
        lines += [f"Run: {step}" for step in _next_steps(done.waiting)]
    return Result(done.as_dict(), "\n".join(lines), 0 if done.done else 1)


def _next_steps(found: Sequence[Waiting]) -> Iterator[str]:
    """Yield the commands for waiting rules: `violations` for broken ones, `validate` for the others."""
    for verb, broken in (("violations", True), ("validate", False)):
        if names := [one.rule for one in found if bool(one.rows) is broken]:
            yield command(f"{verb} {' '.join(names)}")
