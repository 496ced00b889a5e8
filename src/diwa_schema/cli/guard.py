"""The command `guard`: show the calling repository, the evidence, and the guard's verdict."""

from __future__ import annotations

import argparse

from diwa_schema.cli.command import Commands, Result, add
from diwa_schema.cli.options import add_guard


def register(commands: Commands) -> None:
    """Add `guard` to the parser."""
    from diwa_schema.guard import Operation

    parser = add(
        commands, "guard", run, help="show the role of this repository, the evidence and the verdict"
    )
    add_guard(parser)
    parser.add_argument(
        "--operation",
        choices=[str(one) for one in Operation],
        default=Operation.UPGRADE,
        metavar="OPERATION",
        help=f"the operation to judge: {', '.join(Operation)} (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> Result:
    """Show the verdict; the exit code is 0 if the operation is allowed, 3 if it is blocked. Nothing changes."""
    from diwa_schema.errors import TYPED, Blocked
    from diwa_schema.guard import Operation, evidence_lines, judge, refused

    verdict = judge(Operation(args.operation), repo=args.repo)
    TYPED.set(str)  # the answer offers the command of the operation, not this one
    lines = [f"Role: {verdict.role}" + (f" ({verdict.repository})" if verdict.repository else "")]
    lines += evidence_lines(verdict)
    if verdict.allowed:
        by = f" by {verdict.bypass.source}" if verdict.bypass else ""
        lines.append(f"Verdict: '{verdict.operation}' is allowed{by}.")
    else:
        error = refused(verdict)
        lines += [f"Verdict: '{verdict.operation}' is blocked.", error.next_step]
    return Result(verdict.as_dict(), "\n".join(lines), 0 if verdict.allowed else Blocked.exit_code)
