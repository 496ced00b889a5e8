"""`.diwa-schema/ported.toml`: the migrations of a consumer that were reviewed and ported."""

from __future__ import annotations

import posixpath
import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from diwa_schema.errors import UsageError
from diwa_schema.migrations.manifest import checksum_of
from diwa_schema.repository.remarks import Level, Remark

PATH = ".diwa-schema/ported.toml"
REQUIRED = ("file", "sha256", "reviewer", "date")
ALLOWED = {*REQUIRED, "version"}


@dataclass(frozen=True, slots=True)
class Ported:
    """A ported migration.

    Args:
        file: Its path from the root of the repository.
        sha256: The checksum of its content, line ends as LF.
        version: Its revision in the shared history.
        line: Its line in ported.toml.
    """

    file: str
    sha256: str
    version: str
    line: int


def read(content: bytes | None, today: date | None = None) -> tuple[dict[str, Ported], list[Remark]]:
    """Return the ported migrations by file, and the faults of the list.

    Args:
        content: The content of ported.toml; None if there is none.
        today: The present day; a review cannot be later.

    Raises:
        UsageError: It is not TOML.
    """
    try:
        text = (content or b"").decode()
        entries = tomllib.loads(text).get("ported", [])
    except ValueError as error:
        raise UsageError(f"{PATH} is not TOML: {error}", next_step=f"Fix {PATH}.") from None
    if not isinstance(entries, list):
        raise UsageError(f"'ported' in {PATH} is not a list.", next_step="Start every entry with: [[ported]]")
    today = today or max(date.today(), datetime.now(UTC).date())  # noqa: DTZ011 - the reviewer's own day counts
    found: dict[str, Ported] = {}
    wrong: list[Remark] = []
    for number, entry in enumerate(entries):
        faults = list(_faults(entry, today))
        if not faults and entry["file"] in found:
            faults = [("file", "the file is named twice")]
        wrong += (_fault(_line(text, number, key), what) for key, what in faults)
        if not faults:
            name = entry["file"].rpartition("/")[2]
            version = entry.get("version") or version_of(name) or ""
            found[entry["file"]] = Ported(
                entry["file"], entry["sha256"], version, _line(text, number, "sha256")
            )
    return found, wrong


def disagreements(entry: Ported, contents: Iterable[bytes | None]) -> Iterator[Remark]:
    """Yield a finding for every content of a ported file that differs from the reviewed one."""
    for content in contents:
        if content is not None and (actual := checksum_of(content)) != entry.sha256:
            yield _fault(entry.line, f"sha256 of {entry.file} is not the reviewed one: the file has {actual}")


def version_of(name: str) -> str | None:
    """Return the version in the name of a migration file; None without 14 digits."""
    match = re.match(r"(\d{14})_", name)
    return match[1] if match else None


def _faults(entry: Any, today: date) -> Iterator[tuple[str, str]]:
    if not isinstance(entry, dict):
        yield "", "an entry has to be a table that starts with [[ported]]"
        return
    for key in sorted(set(entry) - ALLOWED):
        yield key, f"{key!r} is unknown; an entry has {', '.join(REQUIRED)} and optionally version"
    for key in REQUIRED:
        if not str(entry.get(key, "")).strip():
            yield key, f"{key!r} is missing"
    for key in ("file", "reviewer", "version"):
        if not isinstance(entry.get(key, ""), str):
            yield key, f"{key!r} is not a text"
    yield from _value_faults(entry)
    if entry.get("date"):
        yield from _date_faults(entry["date"], today)


def _value_faults(entry: dict[str, Any]) -> Iterator[tuple[str, str]]:
    file, checksum = entry.get("file"), entry.get("sha256")
    named = version_of(posixpath.basename(str(file)))
    if isinstance(file, str) and not _inside(file):
        yield "file", "'file' is not a path from the root of the repository"
    if named and entry.get("version", named) != named:
        yield "version", f"'version' is not {named}, the version in the name of the file"
    if checksum and not (isinstance(checksum, str) and re.fullmatch(r"[0-9a-f]{64}", checksum)):
        yield "sha256", "'sha256' is not 64 hexadecimal digits in lower case"


def _inside(path: str) -> bool:
    return posixpath.normpath(path) == path and not path.startswith(("/", ".."))


def _date_faults(value: Any, today: date) -> Iterator[tuple[str, str]]:
    try:
        day = date.fromisoformat(str(value)[:10])
    except ValueError:
        yield "date", f"{value!r} is not a date such as 2026-01-31"
        return
    if day > today:
        yield "date", f"the date {day} is in the future"


def _line(text: str, number: int, key: str) -> int:
    """Return the line of a key in the entry of that number, else the first line of the entry."""
    lines = text.splitlines()
    starts = [at for at, line in enumerate(lines) if re.match(r"\s*\[\[\s*ported\s*\]\]", line)]
    if number >= len(starts):
        return 1
    end = starts[number + 1] if number + 1 < len(starts) else len(lines)
    named = (
        at
        for at in range(starts[number], end)
        if key and re.match(rf"\s*\"?{re.escape(key)}\"?\s*=", lines[at])
    )
    return next(named, starts[number]) + 1


def _fault(line: int, what: str) -> Remark:
    return Remark(Level.ERROR, PATH, f"{what}.", line=line)
