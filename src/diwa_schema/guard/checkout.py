"""The remote of the git checkout at a directory, read from git's own files: a git process would take too long."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

ESCAPES = {"\\n": "\n", "\\t": "\t", "\\b": "\b", '\\"': '"', "\\\\": "\\", "\\\n": ""}
ORIGIN = ("remote", "origin")

# One token of git's configuration. A backslash at the end of a line continues a value but never a comment, and only
# these four characters are blank: a reader with more blanks would miss lines that git reads.
BLANK = re.compile(r"[ \t\r\n]+|[#;][^\n]*")
SECTION = re.compile(r"\[([\w.-]*)(?:[ \t\r]*\"((?:[^\"\\\n]|\\[^\n])*+)\")?[ \t]*\]")
ENTRY = re.compile(
    r"([A-Za-z][A-Za-z0-9-]*)[ \t]*"
    r"(?:=((?:[^\n\"\\#;]|\\.|\"(?:[^\"\\\n]|\\.)*+\")*+)(?:[#;][^\n]*)?)?(?=\n|\Z)",
    re.DOTALL,
)


def origin_urls(place: Path) -> Iterator[tuple[str, Path]]:
    """Yield the URLs of the remote `origin` of the checkout at a directory, each with its source file.

    Args:
        place: A directory that may be the root of a checkout, a worktree or a submodule.

    Raises:
        OSError: There is no checkout, or a file cannot be read.
        ValueError: A file is not in git's format, or git is needed and cannot answer.
    """
    for config in _config_files(place / ".git"):
        found = list(_entries(config.read_text(encoding="utf-8", errors="replace")))
        if any(section in {"include", "includeif"} for (section, _), _, _ in found):
            yield from ((url, config) for url in _ask_git(place))
        yield from ((value, config) for section, key, value in found if (section, key) == (ORIGIN, "url"))


def _config_files(marker: Path) -> list[Path]:
    """Return the configuration files behind a `.git`: a directory, or the file of a worktree or submodule."""
    marker.lstat()
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


def _entries(text: str) -> Iterator[tuple[tuple[str, str], str, str]]:
    """Yield section, key and value of every entry in the text of a git configuration file."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    section, at = ("", ""), 0
    while at < len(text):
        entry = None
        if header := SECTION.match(text, at):
            name, dot, sub = header[1].lower().partition(".")
            quoted = header[2]
            section = (name, sub) if quoted is None else (name + dot + sub, re.sub(r"\\(.)", r"\1", quoted))
        elif entry := ENTRY.match(text, at):
            yield section, entry[1].lower(), _value(entry[2] or "")
        piece = header or entry or BLANK.match(text, at)
        if piece is None:
            raise ValueError("malformed configuration")
        at = piece.end()


def _value(raw: str) -> str:
    pieces = re.findall(r"\\.|\"|[^\\\"]+", raw, re.DOTALL)
    if unknown := [piece for piece in pieces if piece[0] == "\\" and piece not in ESCAPES]:
        raise ValueError(f"malformed configuration: {unknown[0]}")
    return "".join(ESCAPES.get(piece, piece) for piece in pieces if piece != '"').strip()


def _ask_git(place: Path) -> list[str]:
    """Ask git itself, the only program that can follow an include."""
    import subprocess

    # Inside a hook git exports GIT_DIR, which may name another checkout.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "config", "-z", "--get-all", "remote.origin.url"]
    try:
        answer = subprocess.run(  # noqa: S603
            command, cwd=place, env=environment, capture_output=True, check=False
        )
    except OSError as error:
        raise ValueError(f"includes other files, and git cannot be started: {error.strerror}") from None
    if answer.returncode not in {0, 1}:
        said = answer.stderr.decode(errors="replace").strip().replace("\n", " ")
        raise ValueError(f"includes other files, and git cannot read them: {said}")
    return [url for url in answer.stdout.decode(errors="replace").split("\0") if url.strip()]
