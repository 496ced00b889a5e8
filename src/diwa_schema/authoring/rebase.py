"""Rebasing revisions: if two branches extend the same revision, one branch moves behind the other.

Only unreleased revisions can move: databases contain the ids of released ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from diwa_schema import generate
from diwa_schema.authoring.draft import Draft, after, refuse_elsewhere
from diwa_schema.errors import UsageError
from diwa_schema.migrations import manifest
from diwa_schema.repository import own
from diwa_schema.repository.git import Git

if TYPE_CHECKING:
    from alembic.script import Script

# The branches whose revisions stay by default.
_SHARED = ("origin/HEAD", "origin/main", "main")


def rebase(onto: str | None = None) -> list[Draft]:
    """Move the revisions of one branch behind the other branch, with new ids, and list all of them in the manifest.

    A manifest with git's conflict marks is rewritten. Snapshots and catalogs are not written.

    Args:
        onto: The end of the branch that stays; by default that of the shared branch, if git knows one.

    Returns:
        The moved revisions, in order; none if the history has one end.

    Raises:
        Blocked: The working directory is a consumer's.
        UsageError: Git does not show which branch moves, a revision to move is released, or the history cannot be
            read. Nothing is written.
    """
    refuse_elsewhere()
    with _apart(Git.open()):
        return _rebased(onto)


def _rebased(onto: str | None) -> list[Draft]:
    branches = _branches()
    if onto is not None and onto not in branches:
        raise UsageError(
            f"--onto {onto} is not an end of the history.",
            untouched="Nothing was written.",
            next_step=f"Name one of its ends: {', '.join(sorted(branches))}",
        )
    if len(branches) == 1:
        return []
    git = Git.open()
    listed = _listed(git)
    released = {one: said.release for one, said in listed.items() if said.release}
    onto = onto or _staying(git, branches, released)
    moving = [one for head, branch in branches.items() if head != onto for one in branch]
    if frozen := [one for one in moving if released.get(one.revision)]:
        said = ", ".join(f"{one.revision} (in {released[one.revision]})" for one in frozen)
        raise UsageError(
            f"These revisions are released, and databases have recorded their ids: {said}.",
            untouched="Nothing was written.",
            next_step=f"Move the others: diwa-schema revision --rebase --onto {frozen[-1].revision}",
        )
    return _move(onto, moving, listed)


@contextmanager
def _apart(git: Git) -> Iterator[None]:
    """Give revisions of this branch other ids where the shared branch has the same, begun in the same second.

    Where the block fails, the files are as they were.
    """
    old: dict[Path, bytes] = {}
    written: list[Path] = []
    try:
        for revision, paths in generate.twins().items():
            shared = _shared(git, paths)
            new = after(max(path.name.partition("_")[0] for path in manifest.VERSIONS.glob("[0-9]*.py")))
            for path in sorted(manifest.VERSIONS.glob("*.py")):
                text = path.read_text(encoding="utf-8")
                if path.name in shared or f'"{revision}"' not in text:
                    continue
                target = _named(path, new) if path in paths else path
                old[path] = path.read_bytes()
                written.append(target)
                target.write_text(text.replace(f'"{revision}"', f'"{new}"'), encoding="utf-8")
                if target != path:
                    path.unlink()
        yield
    except BaseException:
        for target in written:
            target.unlink(missing_ok=True)
        for path, content in old.items():
            path.write_bytes(content)
        raise


def _shared(git: Git, twins: Sequence[Path]) -> set[str]:
    """Return the files of the shared branch, which has all but one of these revisions with the same id."""
    for there in map(partial(_files, git), filter(git.commit, _SHARED)):
        if len({path.name for path in twins} - there) == 1:
            return there
    raise UsageError(
        f"{' and '.join(path.name for path in twins)} have the same id, and git does not tell which was there first.",
        untouched="Nothing was written.",
        next_step="Give one of them another id by hand: its `revision`, the name of its file, and the `down_revision`"
        " of the one that goes on from it.",
    )


def _files(git: Git, name: str) -> set[str]:
    """Return the names of the revisions' files that a branch has."""
    tree = git.run("ls-tree", "--name-only", "--full-tree", "-r", name, "--", f"{own.VERSIONS}/").decode()
    return {Path(line).name for line in tree.splitlines()}


def _branches() -> dict[str, list[Script]]:
    """Return, for each end of the history, the revisions that lead only to it, oldest first."""
    script = generate.history()
    lines = {head: list(script.iterate_revisions(head, "base")) for head in script.get_heads()}
    ids = {head: {one.revision for one in line} for head, line in lines.items()}
    shared = set.intersection(*ids.values())
    return {
        head: [one for one in reversed(line) if one.revision not in shared] for head, line in lines.items()
    }


def _listed(git: Git) -> Mapping[str, generate.Listed]:
    """Return the manifest's entry of each revision; with git's conflict marks, the entries of both sides."""
    path = f"{own.MIGRATIONS}/{manifest.PATH.name}"
    texts = [manifest.PATH.read_bytes()]
    if b"<<<<<<< " in texts[0]:
        sides = [git.content(f":{side}:{path}") for side in (2, 3)]
        texts = [one for one in sides if one is not None] or texts
    return {one: said for text in texts for one, said in generate.known(text).items()}


def _staying(git: Git, branches: Mapping[str, Sequence[Script]], released: Mapping[str, str]) -> str:
    """Return the end of the branch that stays: the released one, else the one of the shared branch."""
    frozen = [head for head, branch in branches.items() if any(released.get(one.revision) for one in branch)]
    if len(frozen) == 1:
        return frozen[0]
    for name in _SHARED:
        if not git.commit(name):
            continue
        there = _files(git, name)
        stay = [
            head for head, branch in branches.items() if all(Path(one.path).name in there for one in branch)
        ]
        if len(stay) == 1:
            return stay[0]
    raise UsageError(
        f"The history has {len(branches)} ends: {', '.join(sorted(branches))}. Git does not show which one"
        " was first.",
        untouched="Nothing was written.",
        next_step=f"Name the end that stays: diwa-schema revision --rebase --onto {min(branches)}",
    )


def _named(path: Path, revision: str) -> Path:
    """Return the file of a revision with another id; the name of a file that was made by hand may have no id."""
    return path.with_name(f"{revision}_{re.sub('^[0-9]+_', '', path.name)}")


def _move(onto: str, moving: Sequence[Script], listed: Mapping[str, generate.Listed]) -> list[Draft]:
    """Write files under new ids and the manifest, then remove the old files: all of it, or nothing."""
    new, last = {}, onto
    latest = max([onto, *(one.revision for one in moving)])
    for one in moving:
        latest = new[one.revision] = after(latest)
    before, written = manifest.PATH.read_bytes(), []
    old = {Path(one.path): Path(one.path).read_bytes() for one in moving}
    try:
        made = []
        for one, (path, content) in zip(moving, old.items(), strict=True):
            text = re.sub(
                r"""(?<=["'])\d{14}(?=["'])""",
                lambda found: new.get(found[0], found[0]),
                content.decode(),
            )
            text = re.sub(
                r"^down_revision\b.*$", f'down_revision = "{last}"', text, count=1, flags=re.MULTILINE
            )
            below, last = last, new[one.revision]
            target = _named(path, last)
            target.write_text(text, encoding="utf-8")
            written.append(target)
            made.append(Draft(last, below, target, one.doc.partition("\n")[0].removesuffix(".")))
            path.unlink()
        manifest.PATH.write_text(generate.render(generate.document(listed=listed)), encoding="utf-8")
    except BaseException:
        for target in written:
            target.unlink()
        for path, content in old.items():
            path.write_bytes(content)
        manifest.PATH.write_bytes(before)
        raise
    return made
