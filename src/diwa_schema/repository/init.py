"""The setup of a repository for this package: created files, and lines for a person to add.

Absent files are created. An existing file belongs to its owner, so it is read but never written: the lines to add are
printed, with their place.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path
from typing import Any

from diwa_schema.errors import UsageError
from diwa_schema.repository import templates
from diwa_schema.repository.git import OWN, Git, identify

PYPROJECT = "pyproject.toml"
MIX = "mix.exs"
HOOKS = ".pre-commit-config.yaml"
WORKFLOW = ".github/workflows/diwa-schema.yml"


@dataclass(frozen=True, slots=True)
class Additions:
    """The files that `init` would create, and the additions for a person.

    Args:
        root: The root of the repository.
        repository: Its name.
        files: The contents of the new files, by their paths from the root.
        notes: The additions to existing files: the file, the place, and the lines.
    """

    root: Path
    repository: str
    files: dict[str, str]
    notes: tuple[str, ...]

    def diff(self) -> str:
        """Return all new files as one unified diff."""
        made = ((path, content.splitlines(keepends=True)) for path, content in self.files.items())
        return "".join("".join(unified_diff([], lines, "/dev/null", f"b/{path}")) for path, lines in made)

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as a document for ``--json``."""
        return {
            "repository": self.repository,
            "files": list(self.files),
            "diff": self.diff(),
            "notes": list(self.notes),
        }


def plan(directory: Path | None = None, *, repo: str | None = None) -> Additions:
    """Return the missing parts of a repository. Nothing is changed.

    Args:
        directory: A directory in the checkout; the working directory by default.
        repo: The repository's name, evidence like any other.

    Raises:
        UsageError: It is not a git checkout, the repository is unknown, a needed file is unreadable, or a new file
            would lie outside of the repository.
    """
    git = Git.open(directory)
    _, name = identify(git.root, repo)
    if name == OWN:
        raise UsageError("This is diwa-schema itself.", next_step="Run `init` in a repository that uses it.")
    project = _read(git.root, PYPROJECT)
    wanted: dict[str, str] = {WORKFLOW: templates.workflow()}
    notes = list(_mix_notes(_read(git.root, MIX), name))
    if project is None:
        wanted[PYPROJECT] = templates.settings(name)
    else:
        package = name.replace("-", "_")
        folders = [
            folder for folder in (f"src/{package}", package) if (git.root / folder / "__init__.py").exists()
        ]
        shim = f"{folders[0]}/migrate.py" if folders else "migrate_schema.py"
        if "project" in _table(project):
            wanted[shim] = templates.shim(name, runnable="/" not in shim)
        notes += _project_notes(_table(project), name, shim)
    hooks = _read(git.root, HOOKS)
    if hooks is None:
        wanted[HOOKS] = f"repos:\n{templates.hook()}"
    elif templates.HOOK_ID not in hooks:
        notes.append(f"{HOOKS}: add to the list under `repos:`, at its end:\n\n{templates.hook()}")
    notes += _alembic_notes(git)
    files: dict[str, str] = {}
    for path, content in wanted.items():
        present = _read(git.root, path)
        if present is None:
            files[path] = content
        elif present.replace("\r\n", "\n") != content:
            notes.append(f"{path} exists and was left unchanged. The new content would be:\n\n{content}")
    return Additions(git.root, name, files, tuple(notes))


def apply(wanted: Additions) -> None:
    """Create the files of a plan, all or none: after a failure, the created ones are removed.

    Raises:
        UsageError: A file could not be created, or exists meanwhile.
    """
    made: list[Path] = []
    try:
        for name, content in wanted.files.items():
            path = wanted.root / name
            missing = [folder for folder in path.parents if not folder.exists()]
            for folder in reversed(missing):
                folder.mkdir()
                made.append(folder)
            _stay_inside(wanted.root, name)
            # "x" creates only an absent file, and follows no symbolic link.
            with path.open("x", encoding="utf-8", newline="") as file:
                made.append(path)
                file.write(content)
    except BaseException as error:
        for path in reversed(made):
            # Somebody may have put a file into a new folder; the folder then stays.
            with suppress(OSError):
                path.rmdir() if path.is_dir() else path.unlink()
        if not isinstance(error, OSError):
            raise
        raise UsageError(
            f"{name} could not be written: {error.strerror}.",
            untouched="The command changed and added no file.",
            next_step="Fix the cause, then run: diwa-schema init",
        ) from None


def _read(root: Path, path: str) -> str | None:
    """Return the text of a file; None if it is absent and can be created."""
    place = root / path
    if not os.path.lexists(place):
        _stay_inside(root, path)
        return None
    try:
        return place.read_bytes().decode()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(f"{path} cannot be read: {reason}.", next_step=f"Fix {path}.") from None


def _stay_inside(root: Path, path: str) -> None:
    """Refuse a file whose folder lies outside of the repository through a symbolic link."""
    try:
        folder = (root / path).parent.resolve()
    except (OSError, RuntimeError) as error:
        raise UsageError(
            f"{path} cannot be made: {error}.", next_step="Fix the links among its parent folders."
        ) from None
    if not folder.is_relative_to(root.resolve()):
        raise UsageError(
            f"{path} lies outside of the repository: a link leads to {folder}.",
            next_step="Make that link a folder of the repository, then run: diwa-schema init",
        )


def _table(project: str) -> dict[str, Any]:
    try:
        return tomllib.loads(project)
    except ValueError as error:
        raise UsageError(f"{PYPROJECT} cannot be read: {error}.", next_step=f"Fix {PYPROJECT}.") from None


def _project_notes(document: dict[str, Any], name: str, shim: str) -> Iterator[str]:
    said = document.get("tool", {}).get("diwa-schema", {}).get("repo")
    if said != name:
        instead = f" in place of repo = {said!r}" if said else ""
        where = f"{PYPROJECT}: add{instead}, in the table [tool.diwa-schema] (a new one at the end, if it has none)"
        yield f"{where}:\n\n{templates.settings(name)}"
    project = document.get("project")
    if not isinstance(project, dict):
        return
    if not any(str(one).lower().startswith(OWN) for one in project.get("dependencies", [])):
        yield f'{PYPROJECT}: add to the list `dependencies` in the table [project]:\n\n"{OWN}[binary]",\n'
    script = f"{name}-migrate"
    if "/" in shim and script not in project.get("scripts", {}):
        entry = f'{script} = "{name.replace("-", "_")}.migrate:main"\n'
        where = f"{PYPROJECT}: add to the table [project.scripts] (a new one after [project], if it has none)"
        yield f"{where}:\n\n[project.scripts]\n{entry}"


def _mix_notes(mix: str | None, name: str) -> Iterator[str]:
    if mix is None:
        return
    missing = {task: call for task, call in templates.mix_aliases().items() if f'"{task}": {call}' not in mix}
    if missing:
        lines = "".join(f'      "{task}": {call},\n' for task, call in missing.items())
        yield (
            f"{MIX}: add at the start of the list of aliases, in place of entries of the same names. Where the project"
            " has none yet, write `aliases: aliases(),` into the list of `project`, and these lines into a new"
            f" `defp aliases do [...] end`:\n\n{lines}"
        )
    functions = templates.mix_functions(name)
    if "defp diwa_schema(" not in mix:
        yield f"{MIX}: add before the last `end` of the module:\n\n{functions}"
    elif functions not in mix:
        yield (
            f"{MIX}: write these functions in place of those from `defp diwa_schema` to the last `defp database_url`,"
            f" which are of another release, or were changed:\n\n{functions}"
        )


def _alembic_notes(git: Git) -> Iterator[str]:
    """Yield the settings of the application's own Alembic that keep it from dropping the shared tables."""
    environments = git.search(
        "-l", "-z", "--untracked", "-e", r"context\.configure", "--", ":(glob)**/env.py"
    )
    for path in os.fsdecode(environments).split("\0")[:-1]:
        if "diwa_schema" not in (_read(git.root, path) or ""):
            yield f"{path}: add to the imports, and to each call of `context.configure`:\n\n{templates.ENVIRONMENT}"
