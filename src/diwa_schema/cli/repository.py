"""The command `repo-check`: whether a repository holds what its role lets it hold."""

from __future__ import annotations

import argparse
import os

from diwa_schema.cli.command import Commands, Result, add
from diwa_schema.cli.options import add_guard
from diwa_schema.errors import CheckFailed

TEXT, GITHUB = "text", "github"


def register(commands: Commands) -> None:
    """Add `repo-check` to the parser."""
    check = add(
        commands, "repo-check", run_check, help="fail on migrations that this repository must not have"
    )
    add_guard(check)
    check.add_argument(
        "--base",
        metavar="BRANCH",
        help="what the work is to be merged into; by default GITHUB_BASE_REF or the remote's default branch",
    )
    check.add_argument(
        "--format",
        choices=(TEXT, GITHUB),
        default=GITHUB if os.environ.get("GITHUB_ACTIONS") == "true" else TEXT,
        help="github adds annotations of the changed files; the default in a GitHub workflow",
    )


def run_check(args: argparse.Namespace) -> Result:
    """Check the repository around the working directory; exit code 1 when something must go."""
    from diwa_schema.repository.findings import github_annotations
    from diwa_schema.repository.repo_check import check

    report = check(base=args.base, repo=args.repo)
    lines = [*report.lines(), *(github_annotations(report) if args.format == GITHUB else ())]
    return Result(report.as_dict(), "\n".join(lines), CheckFailed.exit_code if report.errors else 0)
