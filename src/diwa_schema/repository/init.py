"""What a repository needs to use this package: the shim, the settings, the hook and the workflow."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path
from typing import Any

from diwa_schema.errors import UsageError
from diwa_schema.repository import templates
from diwa_schema.repository.edits import ByHand, add_aliases, add_to_list, add_to_table
from diwa_schema.repository.git import OWN, Git, identify

PYPROJECT = "pyproject.toml"
MIX = "mix.exs"
HOOKS = ".pre-commit-config.yaml"
WORKFLOW = ".github/workflows/diwa-schema.yml"


@dataclass(frozen=True, slots=True)
class Addition:
    """One file that is to be written.

    Args:
        path: The path from the root of the repository.
        before: Its content now; None when there is no such file.
        after: Its content afterwards.
    """

    path: str
    before: str | None
    after: str

    def diff(self) -> str:
        """Return the change as a unified diff."""
        old = (self.before or "").splitlines(keepends=True)
        source = f"a/{self.path}" if self.before is not None else "/dev/null"
        return "".join(unified_diff(old, self.after.splitlines(keepends=True), source, f"b/{self.path}"))


@dataclass(frozen=True, slots=True)
class Plan:
    """What `init` would write.

    Args:
        root: The root of the repository.
        repository: Its name.
        additions: The files that are to be written.
        notes: What is left to a person, and why.
    """

    root: Path
    repository: str
    additions: tuple[Addition, ...]
    notes: tuple[str, ...]

    def diff(self) -> str:
        """Return everything that would be written as one unified diff."""
        return "".join(addition.diff() for addition in self.additions)

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as a document for ``--json``."""
        return {
            "repository": self.repository,
            "files": [addition.path for addition in self.additions],
            "diff": self.diff(),
            "notes": list(self.notes),
        }


def plan(directory: Path | None = None, *, repo: str | None = None) -> Plan:
    """Find out what a repository lacks. Changes nothing.

    Args:
        directory: A directory in the checkout; the working directory by default.
        repo: The repository's name, evidence like any other.

    Raises:
        UsageError: It is no git checkout, or not known which repository it is.
    """
    git = Git.open(directory or Path.cwd())
    _, name = identify(git.root, repo)
    if name == OWN:
        raise UsageError("This is diwa-schema itself.", next_step="Run `init` in a repository that uses it.")
    work = _Work(git.root)
    if (git.root / MIX).is_file():
        work.edit(MIX, lambda text: add_aliases(text, templates.mix_aliases(), templates.mix_function(name)))
    _python(work, name)
    work.edit(PYPROJECT, lambda text: add_to_table(text, "tool.diwa-schema", "repo", name))
    work.edit(HOOKS, _hooked)
    work.create(WORKFLOW, templates.workflow())
    return Plan(git.root, name, tuple(work.additions()), tuple(work.notes))


def apply(wanted: Plan) -> None:
    """Write what a plan says. A file that came to be or was changed since then is left as it is.

    Raises:
        UsageError: A file could not be written, or is no longer what it was. Those before it are written.
    """
    for addition in wanted.additions:
        path = wanted.root / addition.path
        try:
            if addition.before is None:
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("x", encoding="utf-8", newline="") as file:
                    file.write(addition.after)
            elif _read(path) == addition.before:
                path.write_text(addition.after, encoding="utf-8", newline="")
            else:
                raise FileExistsError(17, "it was changed meanwhile")
        except OSError as error:
            raise UsageError(
                f"{addition.path} could not be written: {error.strerror}.",
                untouched=f"{addition.path} was left as it is.",
                next_step="Look at it, then run: python -m diwa_schema init",
            ) from None


class _Work:
    """Gathers edits to files, several of one file included."""

    def __init__(self, root: Path) -> None:
        self.notes: list[str] = []
        self.root = root
        self._files: dict[str, tuple[str | None, str]] = {}

    def edit(self, path: str, change: Callable[[str], str]) -> None:
        """Change a file, or make it, unless that is left to a person."""
        try:
            before, now = self._files.get(path) or self.load(path)
            unix = now.replace("\r\n", "\n")
            self._stay_inside(path)
            after = change(unix)
        except ByHand as reason:
            self.notes.append(f"{path}, by hand: {reason}")
            return
        self._files[path] = (before, after.replace("\n", "\r\n") if unix != now else after)

    def create(self, path: str, content: str) -> bool:
        """Make a file; return whether it then has that content."""
        before, now = self.load(path)
        if before is None:
            self._files[path] = (None, content)
        elif now != content:
            self.notes.append(f"{path} exists and was left as it is")
        return before is None or now == content

    def _stay_inside(self, path: str) -> None:
        if not (self.root / path).resolve().is_relative_to(self.root.resolve()):
            raise ByHand("it is a link that leads out of the repository")

    def additions(self) -> Iterator[Addition]:
        """Yield what is to be written."""
        for path, (before, after) in self._files.items():
            if before != after:
                yield Addition(path, before, after)

    def load(self, path: str) -> tuple[str | None, str]:
        """Return the content of a file twice: None and nothing when there is none."""
        place = self.root / path
        if not place.is_symlink() and not place.exists():
            return None, ""
        try:
            text = _read(place)
        except (OSError, ValueError) as error:
            raise UsageError(f"{path} cannot be read: {error}", next_step=f"Mend {path}.") from None
        return text, text


def _read(path: Path) -> str:
    return path.read_bytes().decode()


def _python(work: _Work, name: str) -> None:
    """Add the shim of a Python project: a module, and a console script that calls it."""
    before, text = work.load(PYPROJECT)
    project = tomllib.loads(text).get("project") if before is not None else None
    if project is None:
        return
    package = name.replace("-", "_")
    folders = (f"src/{package}", package)
    folder = next((folder for folder in folders if (work.root / folder / "__init__.py").exists()), "")
    path = f"{folder}/migrate.py" if folder else "migrate_schema.py"
    if work.create(path, templates.shim(name, runnable=not folder)) and folder:
        entry = f"{package}.migrate:main"
        work.edit(PYPROJECT, lambda text: add_to_table(text, "project.scripts", f"{name}-migrate", entry))
    if not any(str(one).lower().startswith("diwa-schema") for one in project.get("dependencies", [])):
        work.notes.append(f"{PYPROJECT}, by hand: add diwa-schema[binary] to the dependencies")


def _hooked(text: str) -> str:
    if templates.HOOK_ID in text:
        return text
    return add_to_list(text, "repos", templates.pre_commit_entry())
