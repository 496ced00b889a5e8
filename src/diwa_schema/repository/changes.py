"""The changes of a checkout since its merge base with the target branch.

Committed, staged and not yet staged work all count.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from diwa_schema.errors import UsageError
from diwa_schema.repository.git import LINK, REGULAR, Git

USUAL_NAMES = ("main", "master")
WHERE = {"index": ("--cached",), "working tree": ()}


@dataclass(frozen=True, slots=True)
class MergeBase:
    """The base of the comparison of a checkout.

    Args:
        name: The found branch; empty if there is nothing to compare with yet.
        tip: The commit of the branch; None without a branch.
        tree: The commit or tree to compare with.
        notes: Unusual facts about it.
    """

    name: str
    tip: str | None
    tree: str
    notes: tuple[str, ...] = ()


def find_base(git: Git, wanted: str | None = None) -> MergeBase:
    """Return the base of the comparison.

    Args:
        git: The checkout.
        wanted: The named branch or commit; by default ``GITHUB_BASE_REF``, else the remote's
            default branch, else, without any remote, the local `main` or `master`.

    Raises:
        UsageError: The branch does not exist, or a shallow clone lacks the history between.
    """
    name, tip = _branch(git, wanted)
    if tip and (common := git.ask("merge-base", tip, "HEAD")):
        note = "The clone is shallow. If the report contains changes of other branches, run: git fetch --unshallow"
        return MergeBase(name, tip, common, (note,) if git.shallow else ())
    if not git.commit("HEAD"):
        tree = tip or git.run("hash-object", "-t", "tree", "--stdin", stdin=b"").decode().strip()
        return MergeBase(
            name, tip, tree, ("The branch has no commit yet: everything in the index counts as new.",)
        )
    if not tip:
        raise _unknown(git, "No branch to compare with was found.")
    if git.shallow:
        raise UsageError(
            f"This clone is shallow: it lacks the merge base of '{name}' and HEAD.",
            next_step="Fetch the history: git fetch --unshallow"
            " (GitHub: `fetch-depth: 0` for actions/checkout; GitLab: `GIT_DEPTH: 0`).",
        )
    return MergeBase(
        name,
        tip,
        tip,
        (
            (
                f"HEAD and '{name}' have no common history, so the check compared HEAD with the tip of '{name}'."
            ),
        ),
    )


def _branch(git: Git, wanted: str | None) -> tuple[str, str | None]:
    if wanted:
        return _resolve(git, wanted, (wanted, f"origin/{wanted}"), "--base")
    if target := os.environ.get("GITHUB_BASE_REF"):
        return _resolve(git, target, (f"origin/{target}", target), "GITHUB_BASE_REF")
    remote = _remote(git)
    candidates = [f"{remote}/HEAD", *(f"{remote}/{name}" for name in USUAL_NAMES)] if remote else USUAL_NAMES
    for name in candidates:
        if tip := git.commit(f"refs/remotes/{name}" if remote else f"refs/heads/{name}"):
            return name, tip
    return "", None


def _resolve(git: Git, wanted: str, names: tuple[str, ...], source: str) -> tuple[str, str]:
    for name in names:
        if tip := git.commit(name):
            return name, tip
    raise _unknown(git, f"There is no branch or commit '{wanted}' here (named by {source}).", wanted)


def _unknown(git: Git, what: str, wanted: str = "main") -> UsageError:
    remote = _remote(git) or "origin"
    fetch = f"git fetch {remote} +refs/heads/{wanted}:refs/remotes/{remote}/{wanted}"
    return UsageError(what, next_step=f"Fetch it (`{fetch}`), or name another: --base BRANCH")


def _remote(git: Git) -> str | None:
    remotes = (git.ask("remote") or "").split()
    return "origin" if "origin" in remotes else next(iter(remotes), None)


@dataclass(frozen=True, slots=True)
class Change:
    """A file that differs from the base.

    Args:
        path: The path from the root of the checkout.
        kind: The kind of its change, as text.
        contents: Its contents in the index and in the working tree; None for an entry that is not a file.
    """

    path: str
    kind: str
    contents: tuple[bytes | None, ...]


class RawLine(NamedTuple):
    """One line of git's raw difference: before and after.

    Args:
        path: The path from the root of the checkout.
        status: Git's letter: A added, D deleted, and others.
        modes: The file's mode before and after.
        blobs: The content's id before and after; zeros for content that only the working tree has.
    """

    path: str
    status: str
    modes: tuple[str, str]
    blobs: tuple[str, str]


def differences(git: Git, tree: str) -> list[RawLine]:
    """Return the differences of the index and the working tree from a tree."""
    return [one for options in WHERE.values() for one in _differences(git, tree, options)]


def since(git: Git, tree: str, found: Iterable[RawLine]) -> list[Change]:
    """Return the changes in differences. Deleted files and unchanged content do not count.

    Args:
        git: The checkout.
        tree: The base of the comparison.
        found: The differences that matter.
    """
    found = [one for one in found if one.status != "D"]
    blobs = git.blobs(blob for one in found for blob in one.blobs if blob.strip("0"))
    origins = _by_blob(git, tree) if any(one.status == "A" for one in found) else {}
    changes: dict[str, Change] = {}
    for one in found:
        content = _content(git, one, blobs)
        if _same(one, content, blobs):
            continue
        known = changes.get(one.path)
        contents = tuple(dict.fromkeys((*(known.contents if known else ()), content)))
        changes[one.path] = Change(one.path, known.kind if known else _kind(one, origins), contents)
    return list(changes.values())


def untracked(git: Git, wanted: Callable[[str], bool], places: set[str]) -> list[Change]:
    """Return the wanted untracked files in folders with tracked ones."""
    if not places:
        return []
    listed = git.run("ls-files", "--others", "--exclude-standard", "-z", "--", *sorted(places))
    names = [name for name in os.fsdecode(listed).split("\0") if name and wanted(name)]
    return [Change(name, "added, not yet in git", (read(git, name),)) for name in names]


def read(git: Git, path: str) -> bytes | None:
    """Return a file of the working tree, or a link as its text; None for anything else."""
    place = git.root / path
    try:
        return os.fsencode(place.readlink()) if place.is_symlink() else place.read_bytes()
    except OSError:
        return None


def _differences(git: Git, tree: str, options: tuple[str, ...]) -> Iterator[RawLine]:
    # Without the detection of renames, a renamed or copied file counts as added.
    arguments = ("--raw", "-z", "--no-abbrev", "--no-renames", "--no-ext-diff", "--ignore-submodules=dirty")
    parts = os.fsdecode(git.run("diff", *arguments, *options, tree, "--")).split("\0")[:-1]
    for described, path in zip(parts[::2], parts[1::2], strict=True):
        before, after, old, new, status = described.removeprefix(":").split(" ")
        yield RawLine(path, status[0], (before, after), (old, new))


def _content(git: Git, one: RawLine, blobs: dict[str, bytes]) -> bytes | None:
    if one.modes[1] not in (*REGULAR, LINK):
        return None
    return blobs.get(one.blobs[1]) if one.blobs[1].strip("0") else read(git, one.path)


def _same(one: RawLine, content: bytes | None, blobs: dict[str, bytes]) -> bool:
    """Return whether only the mode, the line ends or git's own bookkeeping differ."""
    before = blobs.get(one.blobs[0])
    if content is None or before is None or any(mode not in REGULAR for mode in one.modes):
        return False
    return content.replace(b"\r\n", b"\n") == before.replace(b"\r\n", b"\n")


def _by_blob(git: Git, tree: str) -> dict[str, str]:
    """Return the paths of a tree by the id of their content."""
    listed = os.fsdecode(git.run("ls-tree", "-r", "-z", "--full-tree", tree)).split("\0")[:-1]
    return {described.split(" ")[2]: path for described, _, path in (line.partition("\t") for line in listed)}


def _kind(one: RawLine, origins: dict[str, str]) -> str:
    if one.status != "A":
        return "changed"
    origin = origins.get(one.blobs[1])
    return f"added with the content of {origin}" if origin else "added"
