"""What a checkout is compared with: the merge base of the branch that it is to be merged into."""

from __future__ import annotations

import os
from dataclasses import dataclass

from diwa_schema.errors import UsageError
from diwa_schema.repository.git import Git

USUAL_NAMES = ("main", "master")


@dataclass(frozen=True, slots=True)
class Base:
    """What a checkout is compared with.

    Args:
        name: The branch as it was found; empty when there is nothing to compare with yet.
        tip: The commit that the branch points at; None when there is no branch.
        tree: The commit or tree to compare with.
        notes: What is unusual about it.
    """

    name: str
    tip: str | None
    tree: str
    notes: tuple[str, ...] = ()


def find(git: Git, wanted: str | None = None) -> Base:
    """Return what to compare with.

    Args:
        git: The checkout.
        wanted: The branch or commit that was named; by default ``GITHUB_BASE_REF``, else the remote's
            default branch, else, without any remote, the local `main` or `master`.

    Raises:
        UsageError: There is no such branch, or a shallow clone lacks the history between.
    """
    name, tip = _branch(git, wanted)
    if tip and (common := git.ask("merge-base", tip, "HEAD")):
        return Base(name, tip, common, _shallow_note(git))
    if not git.commit("HEAD"):
        tree = tip or git.run("hash-object", "-t", "tree", "--stdin", stdin=b"").decode().strip()
        return Base(
            name, tip, tree, ("The branch has no commit yet: everything in the index counts as new.",)
        )
    if not tip:
        raise _unknown(git, "Nothing tells the branch to compare with.")
    if git.shallow:
        raise UsageError(
            f"This clone is shallow: the commit where '{name}' and HEAD part is not in it.",
            next_step="Fetch the history: git fetch --unshallow"
            " (GitHub: `fetch-depth: 0` for actions/checkout; GitLab: `GIT_DEPTH: 0`).",
        )
    return Base(name, tip, tip, (f"HEAD has no history in common with '{name}': compared with its tip.",))


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


def _shallow_note(git: Git) -> tuple[str, ...]:
    if not git.shallow:
        return ()
    return ("The clone is shallow: should others' changes be reported, run `git fetch --unshallow`.",)
