"""Statements that change a schema outside of migrations: worth a look where it is not owned."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator

from diwa_schema.repository.findings import Finding, Level, shown
from diwa_schema.repository.git import Git

KINDS = "TABLE|INDEX|COLUMN|TYPE|SCHEMA|SEQUENCE|TRIGGER|EXTENSION|VIEW|FUNCTION"
STATEMENT = rf"(CREATE|ALTER|DROP|TRUNCATE) +(OR +REPLACE +|UNIQUE +)?({KINDS})"
CODE = (
    r"\bop\.(create|drop|alter|add|rename|batch_alter|bulk)_[a-z_]+\(",
    r"\bmetadata\.(create|drop)_all\b",
    rf"\bexecute\b.*[\"'(~]\s*{STATEMENT}\b",
    rf"^\s*[\"']*\s*{STATEMENT}\b",
    r"\bEcto\.Migrator\.(run|up|down)\b",
)
SCRIPTS = (
    r"\bmix +ecto\.(migrate|rollback|drop|load|reset|setup)\b",
    r"[\"']ecto\.(migrate|rollback|drop|load|reset|setup)[\"' ]",
    r"\balembic +(-[^ ]+ +[^ ]+ +)*(upgrade|downgrade|stamp)\b",
    r"\bmanage\.py +migrate\b",
)
PATTERN = re.compile("|".join((*CODE, *SCRIPTS)), re.IGNORECASE)
# Git looks through everything for this, at once; what it finds is then looked at closely.
COARSE = rf"op\.[a-z]+_|metadata\.(create|drop)_all|ecto\.[mrdls]|alembic +|manage\.py +migrate|{STATEMENT}"
SUFFIXES = (
    "py",
    "ex",
    "exs",
    "eex",
    "sh",
    "bash",
    "zsh",
    "sql",
    "yml",
    "yaml",
    "toml",
    "mk",
    "cfg",
    "ini",
    "ps1",
)
NAMES = (
    "Makefile",
    "Dockerfile*",
    "Containerfile*",
    "Procfile",
    "justfile",
    "Justfile",
    "Taskfile*",
    "bin/*",
)
COMMENTS = ("#", "--", "//")
OURS = "diwa_schema"
SHOWN = 100


def warnings(git: Git, migration: Callable[[str], bool], changed: set[str]) -> Iterator[Finding]:
    """Yield a warning for every line outside of migrations that changes a schema.

    Args:
        git: The checkout; what git does not track is not read.
        migration: Tells by its path whether a file is a migration.
        changed: The paths that differ from the base.
    """
    for path, line, text in _matches(git):
        if not PATTERN.search(text):
            continue
        if not (migration(path) or text.startswith(COMMENTS) or OURS in text):
            yield Finding(
                Level.WARNING,
                path,
                f"this changes a schema outside of diwa-schema: {shown(text[:SHOWN])}",
                line=line,
                changed=path in changed,
            )


def _matches(git: Git) -> Iterator[tuple[str, int, str]]:
    places = [f":(glob,icase)**/*.{suffix}" for suffix in SUFFIXES] + [f":(glob)**/{name}" for name in NAMES]
    found = git.search("-n", "-I", "-i", "-z", "-E", "-e", COARSE, "--", *places)
    at = 0
    while at < len(found):
        path_end = found.index(b"\0", at)
        line_end = found.index(b"\0", path_end + 1)
        text_end = found.index(b"\n", line_end + 1)
        text = found[line_end + 1 : text_end].decode(errors="replace").strip()
        yield os.fsdecode(found[at:path_end]), int(found[path_end + 1 : line_end]), text
        at = text_end + 1
