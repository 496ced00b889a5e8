"""The git checkout around a directory, read from its own files: asking git would cost too much."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from diwa_schema.guard.role import Evidence, observed, unreadable

ESCAPES = {"n": "\n", "t": "\t", "b": "\b", '"': '"', "\\": "\\"}
SECTION = re.compile(r"\s*\[\s*([\w.-]+)\s*(?:\"((?:[^\"\\]|\\.)*)\")?\s*\]")
ENTRY = re.compile(r"\s*([A-Za-z][\w-]*)\s*(?:=(.*))?$", re.DOTALL)
ORIGIN = ("remote", "origin")


def read_origin(place: Path) -> Sequence[Evidence]:
    """Return what the remote `origin` of the checkout at a directory says; nothing where there is none.

    Args:
        place: A directory that may be the root of a checkout, a worktree or a submodule.
    """
    marker = place / ".git"
    try:
        return [
            observed(url, f"remote 'origin' in {config}")
            for config in config_files(marker)
            for url in origin_urls(config, place)
        ]
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return [unreadable(f"{marker} ({reason})")]


def config_files(marker: Path) -> list[Path]:
    """Return the configuration files behind a `.git`: a directory, or the file of a worktree or submodule."""
    if not marker.is_symlink() and not marker.exists():
        return []
    git = marker
    if marker.is_file():
        kind, _, target = marker.read_text(encoding="utf-8").strip().partition(":")
        git = marker.parent / target.strip()
        if kind != "gitdir":
            raise ValueError("not a git file")
    if not git.is_dir():
        raise ValueError("points nowhere")
    common = git / "commondir"
    shared = git / common.read_text(encoding="utf-8").strip() if common.is_file() else git
    return [path for path in (shared / "config", git / "config.worktree") if path.exists()]


def origin_urls(config: Path, place: Path) -> list[str]:
    """Return the URLs of the remote `origin` in one configuration file."""
    urls: list[str] = []
    for section, key, value in entries(config.read_text(encoding="utf-8", errors="replace")):
        if section == ORIGIN and key == "url" and value:
            urls.append(value)
        if section[0] in {"include", "includeif"}:
            return _ask_git(place)
    return urls


def entries(text: str) -> Iterator[tuple[tuple[str, str], str, str]]:
    """Yield section, key and value of every entry in the text of a git configuration file."""
    section = ("", "")
    for line in re.sub(r"\\\r?\n", "", text.removeprefix("\ufeff")).splitlines():
        rest = line
        if header := SECTION.match(line):
            section = _section(header)
            rest = line[header.end() :]
        if not rest.strip() or rest.lstrip()[0] in "#;":
            continue
        entry = ENTRY.match(rest)
        if not entry:
            raise ValueError("malformed configuration")
        yield section, entry[1].lower(), _value(entry[2] or "")


def _section(header: re.Match[str]) -> tuple[str, str]:
    if header[2] is not None:
        return header[1].lower(), re.sub(r"\\(.)", r"\1", header[2])
    name, _, sub = header[1].lower().partition(".")
    return name, sub


def _value(raw: str) -> str:
    parts, quoted = [], False
    for piece in re.findall(r"\\.|[\"#;]|[^\\\"#;]+", raw):
        if piece == '"':
            quoted = not quoted
        elif piece in "#;" and not quoted:
            break
        else:
            parts.append(ESCAPES.get(piece[1:], piece) if piece[0] == "\\" else piece)
    return "".join(parts).strip()


def _ask_git(place: Path) -> list[str]:
    """Ask git itself, which alone knows how to follow an include."""
    import subprocess

    command = ["git", "config", "--get-all", "remote.origin.url"]
    # Inside a hook git exports GIT_DIR, which may be another checkout than the one at hand.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    answer = subprocess.run(  # noqa: S603
        command, cwd=place, env=environment, capture_output=True, text=True, check=False
    )
    if answer.returncode not in {0, 1}:
        raise ValueError("includes other files, and git cannot read them")
    return answer.stdout.split()
