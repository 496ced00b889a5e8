"""The evidence about the calling repository, and its weight."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

SHOWN_LENGTH = 80


class Role(StrEnum):
    """The rights of a repository over the schema."""

    OWNER = "owner"
    CONSUMER = "consumer"
    UNKNOWN = "unknown"


REPOSITORIES = {"diwa-cloud": Role.OWNER, "diwa-agent": Role.CONSUMER, "diwa-schema": Role.OWNER}
RESTRICTIVENESS = (Role.OWNER, Role.UNKNOWN, Role.CONSUMER)


class Evidence(NamedTuple):
    """One observation that identifies the calling repository.

    Args:
        name: The repository's name, normalised; empty if the source could not be read.
        source: The source of the name.
        role: The role of the name. None for an unrelated name, which is neutral; `Role.UNKNOWN` for a source that could
            not be read and might name a consumer.
    """

    name: str
    source: str
    role: Role | None


def weigh(evidence: Iterable[Evidence]) -> Role:
    """Return the most restrictive role in the evidence, `Role.UNKNOWN` without any."""
    return max((one.role for one in evidence if one.role), key=RESTRICTIVENESS.index, default=Role.UNKNOWN)


def collect(repo: str | None = None, directory: Path | None = None) -> tuple[Evidence, ...]:
    """Collect all evidence about the calling repository; only files are read, nothing is changed.

    Args:
        repo: The name that the caller gives: the argument of a shim, or ``--repo``.
        directory: The caller's directory; the working directory by default.

    Returns:
        The evidence in the order of the search. Installed distributions are searched only if there is no other
        evidence.
    """
    told = [] if repo is None else [_observed(repo, "repo= argument or --repo")]
    if exported := os.environ.get("DIWA_REPO"):
        told.append(_observed(exported, "environment variable DIWA_REPO"))
    return (*told, *_surroundings(directory)) or tuple(_installed())


def name_of(text: str) -> str:
    """Return the normalised repository name in a name, a path or a URL of any form, without credentials."""
    path = re.split(r"[?#]", text.strip(), maxsplit=1)[0]
    plain = re.sub(r"%([0-7][0-9A-Fa-f])", lambda code: chr(int(code[1], 16)), path)
    segments = [re.sub(r"\.git$", "", part, flags=re.IGNORECASE) for part in re.split(r"[/\\:]", plain)]
    last = next((part for part in reversed(segments) if part not in {"", "."}), "")
    name = "".join(letter if letter.isprintable() else "?" for letter in last.rpartition("@")[2])
    return re.sub(r"[-_.\s]+", "-", name[:SHOWN_LENGTH]).strip("-").lower()


def shown(path: str) -> str:
    """Return a text with a path in a form that always prints on one line."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in path
    )


def app_in(mix: str) -> str | None:
    """Return the app's name from the text of a mix.exs: empty if it is computed, None if it is absent.

    The first app of the project counts. Another app in the same file can only restrict, like all evidence beyond the
    nearest directory.
    """
    text = re.sub(r"(?m)(?<![\w\"?])#(?!\{).*$", "", mix)
    project = text[max(text.find("def project"), 0) :]
    named = r"(?:\bapp\"?:|:app[ \t]*(?:=>|,))\s*([^\s,\]}]+)"
    first = [value for value in re.findall(named, project) if value not in {"true", "false"}][:1]
    found = [_atom(value, text) for value in first]
    others = (_atom(value, text) for value in re.findall(named, mix))
    restricting = (one for one in others if REPOSITORIES.get(name_of(one)) is Role.CONSUMER)
    return next(restricting, found[0] if found else None)


def _atom(value: str, text: str) -> str:
    if value.startswith("@"):
        attribute = re.search(rf"(?m)^[ \t]*{re.escape(value)}[ \t]+(\S+)[ \t]*$", text)
        value = attribute[1] if attribute else ""
    atom = re.fullmatch(r":(\"?)([\w-]+)\1", value)
    return atom[2] if atom else ""


def _observed(text: Any, source: str) -> Evidence:
    name = name_of(text) if isinstance(text, str) else ""
    if not name:
        return _unreadable(f"{source} ({'empty' if isinstance(text, str) else 'not a text'})")
    return Evidence(name, shown(source), REPOSITORIES.get(name))


def _unreadable(source: str) -> Evidence:
    # It might name a consumer, so it never opens.
    return Evidence("", shown(source), Role.UNKNOWN)


def _surroundings(directory: Path | None) -> Iterator[Evidence]:
    try:
        here = (directory or Path.cwd()).resolve(strict=True)
    except (OSError, RuntimeError, ValueError) as error:
        yield _unreadable(f"working directory ({_reason(error)})")
        return
    places = (here, *here.parents)
    roots = (level for level, place in enumerate(places) if os.path.lexists(place / ".git"))
    boundary = next(roots, len(places))
    for file, read in (("pyproject.toml", _pyproject), ("mix.exs", _mix), (".git", _origin)):
        yield from _upward(places, boundary, file, read)


def _upward(
    places: Sequence[Path], boundary: int, file: str, read: Callable[[Path], Iterable[Evidence]]
) -> Iterator[Evidence]:
    """Yield the evidence of the nearest directory; evidence beyond it or beyond the checkout can only restrict."""
    spoken = False
    for level, place in enumerate(places):
        try:
            found = list(read(place / file))
        except (OSError, ValueError, RecursionError) as error:
            if isinstance(error, (FileNotFoundError, NotADirectoryError)) and not os.path.lexists(
                place / file
            ):
                continue
            found = [_unreadable(f"{place / file} ({_reason(error)})")]
        beyond = spoken or level > boundary
        yield from (one for one in found if not beyond or one.role is Role.CONSUMER)
        if any(one.role for one in found):
            return
        spoken = spoken or bool(found)


def _pyproject(path: Path) -> Iterator[Evidence]:
    text = path.read_text(encoding="utf-8")
    import tomllib  # only if there is something to read

    document = tomllib.loads(text)
    said = _table(document, "tool", "diwa-schema").get("repo")
    name = _table(document, "project").get("name")
    if said is not None:
        yield _observed(said, f"[tool.diwa-schema] repo in {path}")
    if name is not None:
        project = _observed(name, f"[project] name in {path}")
        # The table takes precedence over the project's name, which can then only restrict.
        if said is None or project.role is Role.CONSUMER:
            yield project


def _table(document: dict[str, Any], *keys: str) -> dict[str, Any]:
    for key in keys:
        document = document.get(key, {})
        if not isinstance(document, dict):
            raise ValueError(f"{key} is not a table")  # noqa: TRY004 - malformed like any other content
    return document


def _mix(path: Path) -> Iterator[Evidence]:
    app = app_in(path.read_text(encoding="utf-8"))
    if app is not None:
        yield (
            _observed(app, f"app in {path}") if app else _unreadable(f"{path} (the app is not a plain atom)")
        )


def _origin(marker: Path) -> Iterator[Evidence]:
    marker.lstat()  # without a checkout, the module that reads one is not loaded
    from diwa_schema.guard.checkout import origin_urls

    yield from (_observed(url, f"remote 'origin' in {config}") for url, config in origin_urls(marker.parent))


def _installed() -> Iterator[Evidence]:
    from importlib import metadata

    for name in ("diwa-cloud", "diwa-agent"):
        try:
            metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        yield _observed(name, f"installed distribution {name}")
        return


def _reason(error: Exception) -> str:
    said = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return said.splitlines()[0]
