"""The file of a revision, inside or outside this package: imported, with its declarations and their lines."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

from diwa_schema.errors import UsageError
from diwa_schema.migrations import manifest


@dataclass(frozen=True, slots=True)
class Source:
    """A revision as its file says it.

    Args:
        path: The file.
        shown: The file as it is named to people: from the working directory, where it is below it.
        module: What importing it gave.
        lines: The line of each name that is assigned or defined at its top.
        siblings: The ids that the other revisions of its directory go on from; None for a first one.
    """

    path: Path
    shown: str
    module: ModuleType
    lines: dict[str, int]
    siblings: tuple[str | None, ...]

    @property
    def revision(self) -> str:
        """Its id."""
        return str(self.module.revision)

    def declared(self, name: str, default: Any = None) -> Any:
        """Return what it declares under a name."""
        return getattr(self.module, name, default)

    def line(self, name: str) -> int:
        """Return the line where something is declared, or where its id is."""
        return self.lines.get(name, self.lines["revision"])

    @property
    def installed(self) -> bool:
        """Whether it belongs to the history of this package, which only has files of its own."""
        return self.path.parent == manifest.VERSIONS


class _LeavesNothing(SourceFileLoader):
    """A loader that writes no byte code beside the file."""

    def set_data(self, path: str, data: Any, *, _mode: int = 0o666) -> None:
        """Write nothing."""


def read(path: Path) -> Source:
    """Import the file of a revision.

    Args:
        path: The file.

    Raises:
        UsageError: There is no such file, it cannot be imported, or it is no revision.
    """
    found, name = path.resolve(), shown(path)
    try:
        content = found.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{name} cannot be read: {error.strerror}.", next_step="Name the file of a revision: lint FILE"
        ) from None
    try:
        lines = _lines(content, name)
        loader = _LeavesNothing(f"diwa_schema_draft_{found.stem}", str(found))
        spec = spec_from_loader(loader.name, loader)
        module = module_from_spec(spec)  # type: ignore[arg-type]  # it is None without a loader only
        loader.exec_module(module)
    except (Exception, SystemExit) as error:
        at = f" in line {error.lineno}" if isinstance(error, SyntaxError) else ""
        reason = error.msg if isinstance(error, SyntaxError) else error
        raise UsageError(
            f"{name} cannot be imported: {type(error).__name__}{at}: {reason}.",
            next_step="Fix the file, then run the command again.",
            file=name,
        ) from error
    if "revision" not in lines or not isinstance(module.__dict__.get("revision"), str):
        raise UsageError(
            f"{name} is not a revision: it has no `revision`.",
            next_step='Add its id to the file, a UTC time: revision = "20260131120000"',
            file=name,
        )
    return Source(found, name, module, lines, _siblings(found))


def shown(path: Path) -> str:
    """Return a file as it is named to people: from the working directory, where it is below it."""
    found, here = path.resolve(), Path.cwd()
    return str(found.relative_to(here)) if found.is_relative_to(here) else str(path)


def refuse_gone() -> None:
    """Refuse to go on where the manifest lists a revision whose file is not there.

    Raises:
        UsageError: It names the files.
    """
    if gone := [one.file for one in manifest.load() if not one.path.exists()]:
        raise UsageError(
            f"The manifest lists missing files: {', '.join(gone)}.",
            untouched="Nothing was written.",
            next_step=(
                "Restore the file with git checkout. To remove its revision, run: python -m"
                " diwa_schema.generate"
            ),
        )


def is_revision(path: Path) -> bool:
    """Tell whether a file says which revision it is and which it goes on from; one that cannot be read does not."""
    try:
        return {"revision", "down_revision"} <= _lines(path.read_bytes(), str(path)).keys()
    except (OSError, SyntaxError, ValueError):
        return False


def _lines(content: bytes, name: str) -> dict[str, int]:
    return {assigned: node.lineno for node in ast.parse(content, name).body for assigned in _names(node)}


def _siblings(path: Path) -> tuple[str | None, ...]:
    """Return what the other revisions of a directory go on from; their files are read and not run."""
    found: list[str | None] = []
    for other in sorted(path.parent.glob("*.py")):
        if other == path:
            continue
        try:
            body = ast.parse(other.read_bytes()).body
        except (OSError, SyntaxError, ValueError):
            continue
        for node in body:
            value = getattr(node, "value", None)
            if "down_revision" in _names(node) and isinstance(value, ast.Constant):
                found.append(None if value.value is None else str(value.value))
    return tuple(found)


def _names(node: ast.stmt) -> list[str]:
    """Return what a statement at the top of a file gives a value or a definition to."""
    if isinstance(node, ast.FunctionDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return [target.id for target in targets if isinstance(target, ast.Name)]
