"""Which repository is asking: every observation that tells, collected."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from diwa_schema.guard.checkout import read_origin
from diwa_schema.guard.role import Evidence, Role, observed, unreadable


def collect(repo: str | None = None, directory: Path | None = None) -> tuple[Evidence, ...]:
    """Collect everything that tells which repository is asking. Reads files only, changes nothing.

    Args:
        repo: What the caller says it is: the argument of a shim, or ``--repo``.
        directory: Where the caller stands; the working directory by default.

    Returns:
        The evidence in the order in which it was looked for. Installed distributions are asked only
        when nothing else said anything.
    """
    found = (*_told(repo), *_surroundings(directory))
    return found or tuple(_installed())


def _told(repo: str | None) -> Iterator[Evidence]:
    if repo is not None:
        yield observed(repo, "repo= argument or --repo")
    if exported := os.environ.get("DIWA_REPO"):
        yield observed(exported, "environment variable DIWA_REPO")


def _surroundings(directory: Path | None) -> Iterator[Evidence]:
    try:
        here = (directory or Path.cwd()).resolve(strict=True)
    except (OSError, RuntimeError) as error:
        yield unreadable(f"working directory ({_reason(error)})")
        return
    places = (here, *here.parents)
    roots = (level for level, place in enumerate(places) if os.path.lexists(place / ".git"))
    boundary = next(roots, len(places))
    for read in (_read_pyproject, _read_mix, read_origin):
        yield from _upward(places, boundary, read)


def _upward(
    places: Sequence[Path], boundary: int, read: Callable[[Path], Sequence[Evidence]]
) -> Iterator[Evidence]:
    """Yield what the nearest place says. What lies beyond it, or beyond the checkout, can only restrict."""
    spoken = False
    for level, place in enumerate(places):
        found = read(place)
        beyond = spoken or level > boundary
        yield from (one for one in found if not beyond or one.role is Role.CONSUMER)
        if any(one.role for one in found):
            return
        spoken = spoken or bool(found)


def _read_pyproject(place: Path) -> Sequence[Evidence]:
    path = place / "pyproject.toml"
    try:
        text = path.read_text(encoding="utf-8")
        said, source = _project_name(text)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (OSError, ValueError, RecursionError) as error:
        return [unreadable(f"{path} ({_reason(error)})")]
    if said is None:
        return []
    source = f"{source} in {path}"
    return [observed(said, source) if isinstance(said, str) else unreadable(source)]


def _project_name(text: str) -> tuple[Any, str]:
    import tomllib

    document = tomllib.loads(text)
    said = _table(document, "tool", "diwa-schema").get("repo")
    if said is not None:
        return said, "[tool.diwa-schema] repo"
    return _table(document, "project").get("name"), "[project] name"


def _table(document: dict[str, Any], *keys: str) -> dict[str, Any]:
    for key in keys:
        document = document.get(key, {})
        if not isinstance(document, dict):
            raise ValueError(f"{key} is not a table")  # noqa: TRY004 - malformed like any other content
    return document


def _read_mix(place: Path) -> Sequence[Evidence]:
    path = place / "mix.exs"
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (OSError, ValueError) as error:
        return [unreadable(f"{path} ({_reason(error)})")]
    app = app_in(text)
    if app is None:
        return []
    return [observed(app, f"app in {path}") if app else unreadable(f"{path} (the app is not a plain atom)")]


def app_in(mix: str) -> str | None:
    """Return the app's name in the text of a mix.exs: empty if it is computed, None if there is none."""
    text = re.sub(r"(?m)(?<![\w\"?])#(?!\{).*$", "", mix)
    project = text[max(text.find("def project"), 0) :]
    values = re.findall(r"\bapp:\s*([^\s,\]}]+)", project)
    value = next((value for value in values if value not in {"true", "false"}), None)
    if value is None:
        return None
    if value.startswith("@"):
        attribute = re.search(rf"(?m)^\s*{re.escape(value)}\s+(\S+)\s*$", text)
        value = attribute[1] if attribute else ""
    atom = re.fullmatch(r":(\"?)([\w-]+)\1", value)
    return atom[2] if atom else ""


def _installed() -> Iterator[Evidence]:
    from importlib import metadata

    for name in ("diwa-cloud", "diwa-agent"):
        try:
            metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        yield observed(name, f"installed distribution {name}")
        return


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error).splitlines()[0]
