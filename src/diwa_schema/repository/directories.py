"""The migration directories of a repository: by convention, by its own settings, and by its Alembic settings."""

from __future__ import annotations

import configparser
import posixpath
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from diwa_schema.errors import UsageError

CONVENTIONS = ("**/priv/*/migrations", "**/alembic/versions", "**/migrations/versions")
DJANGO = "**/migrations"
OWN_PACKAGE = "**/diwa_schema"
NUMBERED = re.compile(r"[vV]?\d+[_-].*\.(?:py|sql|exs?)")
# Files that no migration tool loads. The name alone is no evidence: Alembic loads readme_add_it.py like any other.
HARMLESS = re.compile(
    r"(.*/)?(README(\.(rst|txt|adoc))?|[^/]*\.md|\.gitkeep|\.keep|\.gitignore|\.formatter\.exs|__pycache__/[^/]*\.pyc)",
    re.IGNORECASE,
)
OUTSIDE = ".."
# The placeholder for Alembic's %(here)s, the folder of the settings file.
HERE = "//here"


class Directories:
    """The places of a repository whose files are migrations.

    Args:
        configured: Further places, as globs from the root: `*` within a name, `**` across directories.
        links: Every symbolic link of the repository, by its path, with its target.
        guarded: The configured places from `pyproject.toml`.
    """

    def __init__(
        self,
        configured: Sequence[str] = (),
        links: Mapping[str, str] | None = None,
        guarded: Sequence[str] = (),
    ) -> None:
        self._guarded = _any_of((OWN_PACKAGE, *guarded))
        self._everything = _any_of((*CONVENTIONS, *configured))
        self._numbered = _any_of((DJANGO,))
        self._anything = _any_of((*CONVENTIONS, *configured, DJANGO))
        self._links = {link: _target(link, to) for link, to in (links or {}).items()}

    def holds(self, path: str) -> bool:
        """Return whether a file is a migration, under its own name or through a symbolic link."""
        if not self._links:
            return self._holds(path)
        return any(self._holds(name) for name in self._names(path))

    def guards(self, path: str) -> bool:
        """Return whether every file at a path belongs to the shared schema, whatever its content."""
        return any(self._guarded.fullmatch(name) for name in self._names(path))

    def leading_out(self) -> list[str]:
        """Return the links in places of migrations that lead out of the repository."""
        return sorted(link for link, to in self._links.items() if to == OUTSIDE and self.holds(link))

    def _holds(self, path: str) -> bool:
        if not self._anything.fullmatch(path):
            return False
        if HARMLESS.fullmatch(path):
            return False
        if self._everything.fullmatch(path):
            return True
        parent = self._numbered.fullmatch(posixpath.dirname(path))
        return bool(parent and NUMBERED.fullmatch(posixpath.basename(path)))

    def _names(self, path: str) -> Iterator[str]:
        seen, waiting = {path}, [path]
        while waiting:
            name = waiting.pop()
            yield name
            for link, to in self._links.items():
                if (name == to or name.startswith(f"{to}/")) and (
                    alias := link + name[len(to) :]
                ) not in seen:
                    # A link to a folder above itself has an endless number of names.
                    if len(seen) < len(self._links) + 2:
                        waiting.append(alias)
                    seen.add(alias)


def configured(pyproject: bytes | None, source: str = "pyproject.toml") -> tuple[str, ...]:
    """Return the `migration-paths` of the table `[tool.diwa-schema]`.

    Args:
        pyproject: The content of a pyproject.toml; None if there is none.
        source: Its name for an error.

    Raises:
        UsageError: It is malformed, or a path leads out of the repository.
    """
    try:
        document: Any = tomllib.loads((pyproject or b"").decode())
        paths = document.get("tool", {}).get("diwa-schema", {}).get("migration-paths", [])
    except (ValueError, AttributeError) as error:
        raise UsageError(f"{source} cannot be read: {error}", next_step=f"Fix {source}.") from None
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise _wrong_path(source, "must be a list of texts")
    return tuple(_checked(path, source) for path in paths)


def of_alembic(path: str, content: bytes) -> tuple[set[str], list[str]]:
    """Return the places in a file of Alembic's settings, and notes about unreadable ones.

    Args:
        path: The file, an ini or a pyproject.toml, from the root of the repository.
        content: Its content.

    Returns:
        Globs from the root of the repository, as in `migration-paths`, and sentences about the rest. A relative path
        counts from the file's folder and from the root, because Alembic takes it from its working directory.
    """
    try:
        text = content.decode()
        locations = list(_toml_locations(text) if path.endswith(".toml") else _ini_locations(text))
    except (ValueError, AttributeError, configparser.Error) as error:
        return set(), [f"Alembic's settings cannot be read: {str(error).splitlines()[0]}"]
    places: set[str] = set()
    faults = []
    for location in locations:
        inside = set(_inside(location.replace("\\", "/"), posixpath.dirname(path)))
        places |= inside
        if not inside:
            faults.append(
                f"{location.replace(HERE, '%(here)s')!r} is not inside the repository, so it was not checked"
            )
    return places, faults


def _ini_locations(text: str) -> Iterator[str]:
    parser = configparser.ConfigParser({"here": HERE}, strict=False)
    parser.read_string(text)
    for section in parser.sections():
        if script := parser.get(section, "script_location", fallback=""):
            yield posixpath.join(script, "versions")
        named = parser.get(section, "version_locations", fallback="")
        by = ("path_separator", "version_path_separator")
        separators = {parser.get(section, name, fallback="") for name in by}
        yield from filter(None, re.split(r"[\s,;:]+" if separators & {"os", ":"} else r"[\s,;]+", named))


def _toml_locations(text: str) -> Iterator[str]:
    settings = tomllib.loads(text).get("tool", {}).get("alembic", {})
    if script := settings.get("script_location"):
        yield posixpath.join(str(script).replace("%(here)s", HERE), "versions")
    for named in settings.get("version_locations", []):
        yield str(named).replace("%(here)s", HERE)


def _inside(location: str, folder: str) -> Iterator[str]:
    if location.startswith(HERE):
        names = [posixpath.join(folder, location.removeprefix(HERE).lstrip("/"))]
    elif package := re.fullmatch(r"([\w.]+):(.*)", location):
        names = [posixpath.join("**", package[1].replace(".", "/"), package[2])]
    else:
        names = [posixpath.join(folder, location), location]
    plain = (posixpath.normpath(name) for name in names)
    yield from (name for name in plain if not name.startswith(("/", "..")))


def _checked(path: str, source: str) -> str:
    plain = posixpath.normpath(path.strip())
    if not path.strip() or plain.startswith(("/", "..")) or plain == ".":
        raise _wrong_path(source, f"names {path!r}, which is not inside the repository")
    return plain


def _wrong_path(source: str, what: str) -> UsageError:
    return UsageError(
        f"migration-paths in [tool.diwa-schema] of {source} {what}.",
        next_step='Write it as: migration-paths = ["db/changes", "services/*/migrations"]',
    )


def _any_of(globs: Sequence[str]) -> re.Pattern[str]:
    choices = "|".join(_translated(glob) for glob in globs)
    return re.compile(rf"(?:{choices})(?:/.*)?", re.IGNORECASE | re.DOTALL)


def _translated(glob: str) -> str:
    pieces = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(pieces.get(part, re.escape(part)) for part in re.split(r"(\*\*/|\*\*|\*|\?)", glob))


def _target(link: str, to: str) -> str:
    plain = posixpath.normpath(posixpath.join(posixpath.dirname(link), to))
    return OUTSIDE if plain.startswith(("/", "..")) else plain
