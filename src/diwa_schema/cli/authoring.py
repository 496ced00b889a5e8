"""The commands of whoever writes a revision: `revision` begins one, `lint` tells what it does to a database in use."""

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
    """Add `revision` and `lint` to the parser."""
    revision = add(
        commands,
        "revision",
        run_revision,
        help="begin a revision, in a checkout of diwa-schema",
        description="Write the file of a revision after the last one, and the manifest that lists it.",
    )
    revision.add_argument(
        "-m", "--message", metavar="TEXT", required=True, help="what it does: the first line of its docstring"
    )
    revision.add_argument(
        "--contract",
        action="store_true",
        help="code that runs today breaks with it; its floor is then itself",
    )
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


def run_revision(args: argparse.Namespace) -> Result:
    """Begin a revision."""
    from diwa_schema.authoring.draft import draft
    from diwa_schema.authoring.source import shown

    made = draft(args.message, contract=args.contract)
    file = shown(made.path)
    document = {"revision": made.revision, "down_revision": made.down_revision, "file": file}
    lines = [
        f"Written: {file}, after {made.down_revision}; the manifest lists it.",
        "Write upgrade() and downgrade(), then run:",
        f"    diwa-schema lint {file}",
        "    python -m diwa_schema.generate",
        "The second writes manifest, snapshots and catalogs anew.",
    ]
    return Result(document, "\n".join(lines))


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
        yield f"squawk is not installed, so these rules were not looked at: {', '.join(review.not_looked_at)};"
        yield "of SQL that is written as text, only the kind of statement was."
        yield "    Run: pip install 'diwa-schema[lint]'"
    yield f"lint: {review.revisions} revision(s), {len(review.findings)} finding(s)"


def _annotations(review: Review) -> Iterator[str]:
    from diwa_schema.repository.remarks import annotation

    for one in review.findings:
        yield annotation(
            "error", one.file, one.line, f"diwa-schema lint: {one.rule}", f"{one.why}\n{one.instead}"
        )
