"""The commands of whoever writes a revision: `lint` tells what a draft does to a database that is in use."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from diwa_schema.cli.command import Commands, Result, add
from diwa_schema.errors import CheckFailed

if TYPE_CHECKING:
    from diwa_schema.authoring.lint import Review

TEXT, JSON, GITHUB = "text", "json", "github"


def register(commands: Commands) -> None:
    """Add `lint` to the parser."""
    lint = add(
        commands,
        "lint",
        run_lint,
        help="tell what a revision would do to a database that is in use",
        description="Judge revisions one by one; no database is needed. The rules and their safe forms: docs/lint.md",
    )
    lint.add_argument(
        "files", metavar="FILE", nargs="*", type=Path, help="revisions; by default the whole history"
    )
    lint.add_argument(
        "--since", metavar="REF", help="the revisions that were added or changed since a branch or commit"
    )
    lint.add_argument(
        "--format",
        choices=(TEXT, JSON, GITHUB),
        default=GITHUB if os.environ.get("GITHUB_ACTIONS") == "true" else TEXT,
        help="github adds annotations; the default in a GitHub workflow",
    )


def run_lint(args: argparse.Namespace) -> Result:
    """Judge revisions; exit code 1 when something is found."""
    from diwa_schema.authoring.lint import lint

    review = lint(args.files, since=args.since)
    document = review.as_dict()
    if args.format == JSON:
        text = json.dumps(document, indent=2)
    else:
        text = "\n".join([*_lines(review), *(_annotations(review) if args.format == GITHUB else ())])
    return Result(document, text, CheckFailed.exit_code if review.findings else 0)


def _lines(review: Review) -> Iterator[str]:
    for one in review.findings:
        place = ".".join(name for name in (one.table, one.column) if name)
        yield f"{one.file}:{one.line}: {one.rule}{f' ({place})' if place else ''}"
        yield f"    {one.why}"
        yield "    Instead:"
        yield from (f"        {line}".rstrip() for line in one.instead.splitlines())
    if review.not_looked_at:
        yield f"squawk is not installed, so these rules were not looked at: {', '.join(review.not_looked_at)}"
        yield "    Run: pip install 'diwa-schema[lint]'"
    yield f"lint: {review.revisions} revision(s), {len(review.findings)} finding(s)"


def _annotations(review: Review) -> Iterator[str]:
    from diwa_schema.repository.remarks import annotation

    for one in review.findings:
        yield annotation(
            "error", one.file, one.line, f"diwa-schema lint: {one.rule}", f"{one.why}\n{one.instead}"
        )
