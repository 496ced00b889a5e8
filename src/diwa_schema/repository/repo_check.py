"""May this repository hold what it holds? A consumer of the schema has no migrations of its own."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator
from pathlib import Path

from diwa_schema.errors import UsageError
from diwa_schema.guard import Role
from diwa_schema.migrations import manifest
from diwa_schema.repository import base as bases
from diwa_schema.repository import changes, ddl, directories, own, ported
from diwa_schema.repository.base import Base
from diwa_schema.repository.changes import Change
from diwa_schema.repository.directories import Directories
from diwa_schema.repository.findings import Finding, Level, Report
from diwa_schema.repository.git import LINK, OWN, Entry, Git, identify
from diwa_schema.repository.ported import Ported

PYPROJECT = "pyproject.toml"


def check(directory: Path | None = None, *, base: str | None = None, repo: str | None = None) -> Report:
    """Check a repository against its role. Reads files and git, changes nothing, needs no database.

    Args:
        directory: A directory in the checkout; the working directory by default.
        base: The branch that the work is to be merged into; by default ``GITHUB_BASE_REF``, else the
            remote's default branch.
        repo: What the repository says it is, evidence like any other.

    Raises:
        UsageError: It is no git checkout, its role or base is unknown, or a file of settings is malformed.
    """
    try:
        git = Git.open(directory or Path.cwd())
    except FileNotFoundError:
        raise UsageError("The working directory no longer exists.", next_step="cd into a checkout.") from None
    role, name = identify(git.root, repo)
    if name == OWN:
        found = bases.find(git, base)
        return _report(role, name, found, list(own.findings(git, found)))
    if role is Role.OWNER:
        return Report(role, name, "", notes=(f"{name} owns the schema: there is nothing to fail.",))
    found = bases.find(git, base)
    return _report(role, name, found, list(_consumer(git, found)))


def _report(role: Role, name: str, base: Base, findings: list[Finding]) -> Report:
    against = f"the merge base with {base.name}" if base.name else "nothing"
    ordered = sorted(findings, key=lambda one: (one.level is not Level.ERROR, one.path, one.line))
    return Report(role, name, against, tuple(ordered), base.notes)


def _consumer(git: Git, base: Base) -> Iterator[Finding]:
    tracked = git.tracked()
    places = _places(git, base, tracked)
    for link in places.leading_out():
        yield Finding(
            Level.ERROR, link, "this link leads out of the repository: what is behind it cannot be checked.",
            "Make it a directory of this repository.",
        )  # fmt: skip
    entries, faults = ported.read(changes.read(git, ported.PATH))
    yield from faults
    yield from _disagreements(git, entries)
    differences = changes.differences(git, base.tree)
    held = [one for one in differences if places.holds(one.path)]
    known = {posixpath.dirname(entry.path) for entry in tracked if places.holds(entry.path)}
    for change in (*changes.since(git, base.tree, held), *changes.untracked(git, places.holds, known)):
        if finding := _judge(change, entries):
            yield finding
    yield from ddl.warnings(git, places.holds, {one.path for one in differences})


def _places(git: Git, base: Base, tracked: list[Entry]) -> Directories:
    """Return where migrations are. What the base configured counts too: no change lifts its own check."""
    configured = {
        *directories.configured(changes.read(git, PYPROJECT)),
        *_configured_before(git, base),
    }
    links = [entry for entry in tracked if entry.mode == LINK]
    targets = git.blobs(link.blob for link in links)
    return Directories(sorted(configured), {link.path: os.fsdecode(targets[link.blob]) for link in links})


def _configured_before(git: Git, base: Base) -> tuple[str, ...]:
    try:
        return directories.configured(git.content(f"{base.tree}:{PYPROJECT}"))
    except UsageError:
        return ()


def _judge(change: Change, entries: dict[str, Ported]) -> Finding | None:
    # A file without content does nothing; the change that fills it is found then.
    if set(change.contents) == {b""}:
        return None
    entry = entries.get(change.path)
    if entry is None:
        what = f"a migration was {change.kind}, in a repository that does not own the schema."
        return Finding(Level.ERROR, change.path, what, _way(change))
    if entry.version not in manifest.load():
        version = entry.version or "(none)"
        what = f"named in {ported.PATH}, but the installed diwa-schema has no revision {version}."
        return Finding(
            Level.ERROR, change.path, what, "Install the release that has it, or correct the entry."
        )
    return None


def _way(change: Change) -> str:
    content = change.contents[-1]
    checksum = f' with sha256 = "{manifest.checksum_of(content)}"' if content is not None else ""
    return (
        "Take it out and make the change in diwa-schema, from ../diwa-cloud. "
        f"Once it is ported there and reviewed, name it in {ported.PATH}{checksum}."
    )


def _disagreements(git: Git, entries: dict[str, Ported]) -> Iterator[Finding]:
    for entry in entries.values():
        contents = {changes.read(git, entry.file), git.content(f":{entry.file}")} - {None}
        if not contents:
            what = f"{entry.file} is named here, but there is no such file."
            yield Finding(Level.WARNING, ported.PATH, what, line=entry.line)
        yield from ported.disagreements(entry, contents)
