"""The check of a repository's contents: a consumer of the schema must not contain migrations of it.

Its migration files fail the check, unless they are known to change only the consumer's own tables. Statements elsewhere
that change a schema are warnings.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from diwa_schema.errors import UsageError
from diwa_schema.guard import Role, shown
from diwa_schema.migrations import manifest
from diwa_schema.repository import beside, changes, directories, own, ported
from diwa_schema.repository.changes import Change, MergeBase
from diwa_schema.repository.directories import Directories
from diwa_schema.repository.git import LINK, OWN, Entry, Git, identify
from diwa_schema.repository.ported import Ported
from diwa_schema.repository.remarks import Level, Remark, Review
from diwa_schema.repository.templates import mix_aliases

PYPROJECT = "pyproject.toml"

# Statements and commands that change a schema, in code and in scripts.
KINDS = "TABLE|INDEX|COLUMN|TYPE|SCHEMA|SEQUENCE|TRIGGER|EXTENSION|VIEW|FUNCTION"
STATEMENT = rf"(CREATE|ALTER|DROP|TRUNCATE) +(OR +REPLACE +|UNIQUE +)?({KINDS})"
CODE = (
    r"\bop\.(create|drop|alter|add|rename|batch_alter|bulk)_[a-z_]+\(",
    r"\bmetadata\.(create|drop)_all\b",
    rf"\bexecute\b.*[\"'(~]\s*{STATEMENT}\b",
    rf"^\s*[\"']*\s*{STATEMENT}\b",
    r"\bEcto\.Migrator\.(run|up|down)\b",
)
# `mix` runs diwa-schema for these tasks, and for those made of them, where mix.exs has the aliases of this package.
ALIASED = (
    r"\bmix +ecto\.(migrate|rollback|drop|reset|setup)\b",
    r"[\"']ecto\.(migrate|rollback|drop|reset|setup)[\"' ]",
)
SCRIPTS = (
    *ALIASED,
    r"\bmix +ecto\.load\b",
    r"[\"']ecto\.load[\"' ]",
    r"\balembic +(-[^ ]+ +[^ ]+ +)*(upgrade|downgrade|stamp)\b",
    r"\bmanage\.py +migrate\b",
)
PATTERN = re.compile("|".join((*CODE, *SCRIPTS)), re.IGNORECASE)
RUNS_THIS = re.compile("|".join(ALIASED), re.IGNORECASE)
# Git searches all files for this at once; its hits are then examined.
COARSE = rf"op\.[a-z]+_|metadata\.(create|drop)_all|ecto\.[mrdls]|alembic +|manage\.py +migrate|{STATEMENT}"
SUFFIXES = "py ex exs eex sh bash zsh sql yml yaml toml mk cfg ini ps1"
NAMES = "Makefile Dockerfile* Containerfile* Procfile justfile Justfile Taskfile* bin/*"
COMMENTS = ("#", "--", "//")
OURS = "diwa_schema"
ECTOS, MIGRATE = "priv/repo/migrations", "ecto.migrate"
SHOWN = 100


def check(directory: Path | None = None, *, base: str | None = None, repo: str | None = None) -> Review:
    """Check a repository against its role. The check reads files and git, changes nothing and needs no database.

    Args:
        directory: A directory in the checkout; the working directory by default.
        base: The target branch of the work; by default ``GITHUB_BASE_REF``, else the
            remote's default branch.
        repo: The declared name of the repository, evidence like any other.

    Raises:
        UsageError: It is not a git checkout, its role or base is unknown, or a file of settings is malformed.
    """
    git = Git.open(directory)
    role, name = identify(git.root, repo)
    if name == OWN:
        found = changes.find_base(git, base)
        return _report(role, name, found, list(own.findings(git, found)))
    if role is Role.OWNER and not _taken_over(git):
        return Review(role, name, "", notes=(f"{name} owns the schema, so no migration is refused.",))
    found = changes.find_base(git, base)
    if role is Role.OWNER:
        return _report(role, name, found, list(_unrun(git, found)))
    return _report(role, name, found, list(_consumer(git, found)))


def _report(role: Role, name: str, base: MergeBase, findings: list[Remark]) -> Review:
    against = f"the merge base with {base.name}" if base.name else "nothing"
    ordered = sorted(findings, key=lambda one: (one.level is not Level.ERROR, one.path, one.line))
    return Review(role, name, against, tuple(ordered), base.notes)


def _taken_over(git: Git) -> bool:
    """Return whether mix's own task for migrations is an alias for this package."""
    alias = f'"{MIGRATE}": {mix_aliases()[MIGRATE]}'
    return alias.encode() in (changes.read(git, "mix.exs") or b"")


def _unrun(git: Git, base: MergeBase) -> Iterator[Remark]:
    """Yield the new migrations in Ecto's folder; nothing runs them any more."""

    def ectos(path: str) -> bool:
        return path.startswith(f"{ECTOS}/") and not directories.HARMLESS.fullmatch(path)

    added = [one for one in changes.differences(git, base.tree) if ectos(one.path)]
    for change in (*changes.since(git, base.tree, added), *changes.untracked(git, ectos, {ECTOS})):
        if change.kind != "changed" and set(change.contents) != {b""}:
            yield Remark(
                Level.ERROR, change.path,
                f"a migration was {change.kind}, and nothing runs it: mix ecto.migrate runs diwa-schema.",
                "Write it as a revision, in a checkout of diwa-schema: diwa-schema revision -m '…'",
            )  # fmt: skip


def _consumer(git: Git, base: MergeBase) -> Iterator[Remark]:
    tracked = git.tracked()
    of_alembic, faults = _alembic(git, base)
    yield from faults
    places = _places(git, base, tracked, of_alembic)
    for link in places.leading_out():
        yield Remark(
            Level.ERROR, link, "this link leads out of the repository, so its target cannot be checked.",
            "Make it a directory of this repository.",
        )  # fmt: skip
    entries, wrong = ported.read(changes.read(git, ported.PATH))
    yield from wrong
    yield from _disagreements(git, entries)
    differences = changes.differences(git, base.tree)
    held = [one for one in differences if places.holds(one.path)]
    known = {posixpath.dirname(entry.path) for entry in tracked if places.holds(entry.path)}
    for change in (*changes.since(git, base.tree, held), *changes.untracked(git, places.holds, known)):
        before = git.content(f"{base.tree}:{change.path}")
        why = _objection(change, before, guarded=places.guards(change.path))
        if why and (finding := _judge(change, entries, why)):
            yield finding
    yield from _statements(git, places.holds, {one.path for one in differences})


def _places(git: Git, base: MergeBase, tracked: list[Entry], of_alembic: set[str]) -> Directories:
    """Return the places of migrations. The base's configuration counts too: no change can disable its own check."""
    try:
        before = directories.configured(git.content(f"{base.tree}:{PYPROJECT}"))
    except UsageError:
        before = ()
    guarded = {*directories.configured(changes.read(git, PYPROJECT)), *before}
    links = [entry for entry in tracked if entry.mode == LINK]
    targets = git.blobs(link.blob for link in links)
    named = {link.path: os.fsdecode(targets[link.blob]) for link in links}
    return Directories(sorted(guarded | of_alembic), named, sorted(guarded))


def _alembic(git: Git, base: MergeBase) -> tuple[set[str], list[Remark]]:
    """Return the places in Alembic's settings, now and at the base, and a warning for each unclear place."""
    words = ("-l", "-z", "-I", "-E", "-e", "script_location|version_locations")
    files = (":(glob,icase)**/*.ini", ":(glob,icase)**/*.cfg", ":(glob)**/pyproject.toml")
    places: set[str] = set()
    faults: list[Remark] = []
    for path in os.fsdecode(git.search("--untracked", *words, "--", *files)).split("\0")[:-1]:
        found, unclear = directories.of_alembic(path, changes.read(git, path) or b"")
        places |= found
        faults += (Remark(Level.WARNING, path, f"{what}.") for what in unclear)
    for named in os.fsdecode(git.search(*words, base.tree, "--", *files)).split("\0")[:-1]:
        found, _ = directories.of_alembic(named.partition(":")[2], git.content(named) or b"")
        places |= found
    return places, faults


def _objection(change: Change, before: bytes | None, *, guarded: bool) -> str | None:
    """Return the reason why a migration, before or after the change, may be one of the shared schema; else None."""
    if guarded:
        return "its folder belongs to the shared schema"
    contents = dict.fromkeys((*change.contents, *(() if before is None else (before,))))
    return next(filter(None, (beside.objection(change.path, content) for content in contents)), None)


def _judge(change: Change, entries: dict[str, Ported], why: str) -> Remark | None:
    # An empty file has no effect; the later change that fills it is found.
    if set(change.contents) == {b""}:
        return None
    entry = entries.get(change.path)
    if entry is None:
        what = f"a migration was {change.kind}, in a repository that does not own the schema: {why}."
        content = change.contents[-1]
        checksum = f' with sha256 = "{manifest.checksum_of(content)}"' if content is not None else ""
        way = (
            "Remove it and make the change in diwa-schema, from ../diwa-cloud. After that revision is"
            f" reviewed, name this file in {ported.PATH}{checksum}."
        )
        return Remark(Level.ERROR, change.path, what, way)
    if entry.version not in manifest.load():
        version = entry.version or "(none)"
        what = f"{ported.PATH} names it, but the installed diwa-schema has no revision {version}."
        return Remark(
            Level.ERROR, change.path, what, "Install the release that has it, or correct the entry."
        )
    return None


def _disagreements(git: Git, entries: dict[str, Ported]) -> Iterator[Remark]:
    for entry in entries.values():
        contents = {changes.read(git, entry.file), git.content(f":{entry.file}")} - {None}
        if not contents:
            what = f"The entry names {entry.file}, and that file does not exist."
            yield Remark(Level.WARNING, ported.PATH, what, line=entry.line)
        yield from ported.disagreements(entry, contents)


def _statements(git: Git, migration: Callable[[str], bool], changed: set[str]) -> Iterator[Remark]:
    """Yield a warning for every line of a tracked file outside of migrations that changes a schema."""
    taken_over = _taken_over(git)
    for path, line, text in _matches(git):
        if not PATTERN.search(RUNS_THIS.sub("", text) if taken_over else text):
            continue
        if not (migration(path) or text.startswith(COMMENTS) or OURS in text):
            yield Remark(
                Level.WARNING,
                path,
                f"this line changes a schema outside of diwa-schema: {shown(text[:SHOWN])}",
                line=line,
                changed=path in changed,
            )


def _matches(git: Git) -> Iterator[tuple[str, int, str]]:
    places = [f":(glob,icase)**/*.{suffix}" for suffix in SUFFIXES.split()] + [
        f":(glob)**/{name}" for name in NAMES.split()
    ]
    found = git.search("-n", "-I", "-i", "-z", "-E", "-e", COARSE, "--", *places)
    at = 0
    while at < len(found):
        path_end = found.index(b"\0", at)
        line_end = found.index(b"\0", path_end + 1)
        text_end = found.index(b"\n", line_end + 1)
        text = found[line_end + 1 : text_end].decode(errors="replace").strip()
        yield os.fsdecode(found[at:path_end]), int(found[path_end + 1 : line_end]), text
        at = text_end + 1
