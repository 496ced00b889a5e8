"""The file of a revision, inside or outside this package: imported, with its declarations and their lines."""

from __future__ import annotations

import ast
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

from diwa_schema.errors import UsageError
from diwa_schema.migrations import manifest


@dataclass(frozen=True, slots=True)
class Source:
    """A revision with the declarations of its file.

    Args:
        path: The file.
        shown: The file's name for people: relative to the working directory if it is below it.
        module: The imported module.
        lines: The line of each name that its top level assigns or defines.
        siblings: The ids before the other revisions of its directory; None for a first one.
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
        """Return its declaration of a name."""
        return getattr(self.module, name, default)

    def line(self, name: str) -> int:
        """Return the line of a declaration, or else of its id."""
        return self.lines.get(name, self.lines["revision"])

    @property
    def installed(self) -> bool:
        """Whether it belongs to the history of this package."""
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
        UsageError: The file does not exist, cannot be imported, or is not a revision.
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
    """Return a file's name for people: relative to the working directory if it is below it."""
    found, here = path.resolve(), Path.cwd()
    return str(found.relative_to(here)) if found.is_relative_to(here) else str(path)


def refuse_gone() -> None:
    """Refuse to continue if the manifest lists a revision without a file.

    Raises:
        UsageError: Files are missing; the message names them.
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
    """Return whether a file declares its revision and its predecessor; an unreadable file does not."""
    try:
        return {"revision", "down_revision"} <= _lines(path.read_bytes(), str(path)).keys()
    except (OSError, SyntaxError, ValueError):
        return False


def _lines(content: bytes, name: str) -> dict[str, int]:
    return {assigned: node.lineno for node in ast.parse(content, name).body for assigned in _names(node)}


def _siblings(path: Path) -> tuple[str | None, ...]:
    """Return the predecessors of the other revisions of a directory; their files are read, not run."""
    found: list[str | None] = []
    for other in sorted(path.parent.glob("*.py")):
        if other != path:
            with suppress(OSError, SyntaxError, ValueError):
                found += _goes_on_from(other.read_bytes())
    return tuple(found)


@cache  # each file of a history is a sibling of all others
def _goes_on_from(content: bytes) -> tuple[str | None, ...]:
    """Return what the source of a revision says it goes on from; nothing where it says none."""
    values = (
        getattr(node, "value", None) for node in ast.parse(content).body if "down_revision" in _names(node)
    )
    return tuple(
        None if value.value is None else str(value.value)
        for value in values
        if isinstance(value, ast.Constant)
    )


def _names(node: ast.stmt) -> list[str]:
    """Return the names that a top-level statement assigns or defines."""
    if isinstance(node, ast.FunctionDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return [target.id for target in targets if isinstance(target, ast.Name)]
