"""The commands for a repository: `repo-check` reports forbidden files, `init` creates the needed ones."""

from __future__ import annotations

import argparse
import os
import sys

from diwa_schema.cli.command import Commands, Result, add
from diwa_schema.cli.options import add_guard
from diwa_schema.errors import CheckFailed

TEXT, GITHUB = "text", "github"


def register(commands: Commands) -> None:
    """Add `repo-check` and `init` to the parser."""
    check = add(
        commands, "repo-check", run_check, help="fail on migrations that this repository may not contain"
    )
    add_guard(check)
    check.add_argument(
        "--base",
        metavar="BRANCH",
        help="the branch to merge into (default: GITHUB_BASE_REF, then the remote's default branch)",
    )
    check.add_argument(
        "--format",
        choices=(TEXT, GITHUB),
        default=GITHUB if os.environ.get("GITHUB_ACTIONS") == "true" else TEXT,
        help="output format; github annotates the changed files and is the default in a GitHub workflow",
    )
    init = add(
        commands,
        "init",
        run_init,
        help="write the shim, the hook and the workflow of a repository",
    )
    add_guard(init)
    how = init.add_mutually_exclusive_group()
    how.add_argument("--dry-run", action="store_true", help="show the diff and write nothing")
    how.add_argument("--yes", action="store_true", help="write without asking on a terminal")


def run_check(args: argparse.Namespace) -> Result:
    """Check the repository around the working directory; the exit code is 1 if a file has to be removed."""
    from diwa_schema.repository.remarks import github_annotations
    from diwa_schema.repository.repo_check import check

    report = check(base=args.base, repo=args.repo)
    lines = [*report.lines(), *(github_annotations(report) if args.format == GITHUB else ())]
    return Result(
        report.as_dict(),
        "\n".join(lines),
        CheckFailed.exit_code if report.errors else 0,
        verbatim=args.format == GITHUB,
    )


def run_init(args: argparse.Namespace) -> Result:
    """Create the files that a repository lacks, and print the additions to its existing files."""
    from diwa_schema.repository.init import apply, plan

    wanted = plan(repo=args.repo)
    if not args.json:
        sys.stdout.write(wanted.diff())
        sys.stdout.flush()
    write = bool(wanted.files) and not args.dry_run and (args.yes or args.json or _confirmed())
    if write:
        apply(wanted)
    files = ", ".join(wanted.files)
    made = [f"Written: {files}" if write else f"Not written: {files}"] if files else []
    by_hand = ["Add by hand, to existing files:", *wanted.notes] if wanted.notes else []
    lines = [*made, *by_hand] or ["Nothing is missing."]
    return Result({**wanted.as_dict(), "written": write}, "\n\n".join(lines), verbatim=True)


def _confirmed() -> bool:
    if not sys.stdin.isatty():
        return True
    sys.stdout.write("Write this? [y/N] ")
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
