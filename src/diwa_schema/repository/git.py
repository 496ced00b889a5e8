"""One checkout: its repository and the answers of its git; nothing here changes the checkout."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from diwa_schema.errors import UsageError
from diwa_schema.guard import REPOSITORIES, Role, collect, weigh

OWN = "diwa-schema"
REGULAR = ("100644", "100755")
LINK = "120000"


class Entry(NamedTuple):
    """One path in git's index.

    Args:
        path: The path from the root of the checkout, with slashes.
        mode: Git's mode, such as `100644`.
        blob: The id of the content.
    """

    path: str
    mode: str
    blob: str


@dataclass(frozen=True, slots=True)
class Git:
    """A checkout that git knows.

    Args:
        root: The root of the working tree.
        shallow: Whether its clone lacks older commits.
        environment: The environment of git commands.
    """

    root: Path
    shallow: bool
    environment: Mapping[str, str] = field(repr=False)

    @classmethod
    def open(cls, directory: Path | None = None) -> Git:
        """Return the checkout around a directory, by default the working directory.

        Raises:
            UsageError: The directory is not in a checkout with a working tree, or git is not installed.
        """
        try:
            directory = directory or Path.cwd()
        except FileNotFoundError:
            raise UsageError(
                "The working directory no longer exists.", next_step="Change into a checkout: cd PATH"
            ) from None
        wanted = ("--show-toplevel", "--is-shallow-repository")
        # Inside a hook, git exports the path of its checkout; the examined one may differ.
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        kept |= {name: value for name, value in os.environ.items() if name.startswith("GIT_CONFIG")}
        environment = kept | {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"}
        done = _start(directory, environment, ("rev-parse", *wanted))
        if done.returncode:
            # If git knows a remedy, such as the command that trusts a directory, the next lines contain it.
            reason, _, advice = done.stderr.decode(errors="replace").strip().partition("\n")
            raise UsageError(
                f"{directory} is not a checkout that git accepts: {reason}",
                next_step=advice.strip()
                or (
                    "Run the command inside a checkout with its .git directory. To see whether git accepts"
                    " it, run: git status"
                ),
            )
        root, shallow = os.fsdecode(done.stdout).rstrip("\n").rsplit("\n", 1)
        return cls(Path(root), shallow == "true", environment)

    def run(self, *arguments: str, stdin: bytes | None = None) -> bytes:
        """Return the answer of git.

        Raises:
            UsageError: Git refused.
        """
        done = _start(self.root, self.environment, arguments, stdin)
        if done.returncode:
            reason = done.stderr.decode(errors="replace").strip()
            raise UsageError(f"git {arguments[0]} failed: {reason}", next_step="Run: git status")
        return done.stdout

    def ask(self, *arguments: str) -> str | None:
        """Return the answer of git, stripped; None if git fails."""
        done = _start(self.root, self.environment, arguments)
        return None if done.returncode else os.fsdecode(done.stdout).strip()

    def content(self, name: str) -> bytes | None:
        """Return the file `TREE:PATH`, or `:PATH` of the index; None if there is none."""
        done = _start(self.root, self.environment, ("cat-file", "blob", name))
        return None if done.returncode else done.stdout

    def search(self, *arguments: str) -> bytes:
        """Return the lines of tracked files that `git grep` finds."""
        done = _start(self.root, self.environment, ("grep", "--no-color", "--no-column", *arguments))
        return done.stdout

    def commit(self, name: str) -> str | None:
        """Return the commit of a name; None if there is none."""
        if not name or name.startswith("-"):
            return None
        return self.ask("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")

    def tracked(self) -> list[Entry]:
        """Return every path in the index."""
        entries = []
        for line in os.fsdecode(self.run("ls-files", "--stage", "-z")).split("\0")[:-1]:
            described, _, path = line.partition("\t")
            mode, blob, _ = described.split(" ")
            entries.append(Entry(path, mode, blob))
        return entries

    def blobs(self, ids: Iterable[str]) -> dict[str, bytes]:
        """Return the contents of blobs by their ids, in one call; other ids are left out."""
        wanted = sorted(set(ids))
        if not wanted:
            return {}
        answer = self.run("cat-file", "--batch", stdin="\n".join(wanted).encode() + b"\n")
        found: dict[str, bytes] = {}
        at = 0
        while at < len(answer):
            end = answer.index(b"\n", at)
            name, kind, *size = answer[at:end].decode().split()
            at = end + 1
            if size:
                if kind == "blob":
                    found[name] = answer[at : at + int(size[0])]
                at += int(size[0]) + 1
        return found


def identify(root: Path, repo: str | None = None) -> tuple[Role, str]:
    """Return role and name of a checkout; the name of this package comes before another owner.

    Args:
        root: The root of the checkout.
        repo: Its declared name, evidence like any other.

    Raises:
        UsageError: The repository is unknown, or a file that may name it is unreadable.
    """
    evidence = collect(repo, root)
    role = weigh(evidence)
    names = {one.name for one in evidence if one.role is role}
    if role is not Role.UNKNOWN:
        return role, OWN if OWN in names else min(names)
    if unread := [one.source for one in evidence if one.role is Role.UNKNOWN]:
        raise UsageError(
            "The file that may name this repository is not readable.", next_step=f"Fix {'; '.join(unread)}."
        )
    listed = ", ".join(f"{one.name} ({one.source})" for one in evidence) or "nothing"
    raise UsageError(
        f"The repository is unknown. Evidence: {listed}.",
        next_step=f"Name the repository ({', '.join(REPOSITORIES)}): --repo NAME, DIWA_REPO, or "
        '[tool.diwa-schema] repo = "NAME" in pyproject.toml.',
    )


def _start(
    directory: Path, environment: Mapping[str, str], arguments: Iterable[str], stdin: bytes | None = None
) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(  # noqa: S603
            ["git", *arguments],  # noqa: S607 - the user's own git
            cwd=directory,
            env=environment,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            check=False,
        )
    except OSError as error:
        raise UsageError(
            f"git could not be started in {directory}: {error.strerror}",
            next_step="Install git, and run the command in an existing directory.",
        ) from None
