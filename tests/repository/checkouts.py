"""Real git repositories for the tests."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from diwa_schema.migrations import manifest
from diwa_schema.repository.remarks import Level, Review
from diwa_schema.repository.repo_check import check

SETTINGS = {
    "user.name": "t",
    "user.email": "t@example.invalid",
    "protocol.file.allow": "always",
    "init.defaultBranch": "main",
}
PORTED = manifest.load().ids[0]
NOT_PORTED = "20260109204856"
ECTO = "priv/repo/migrations"


class Checkout:
    """A git checkout that a test builds step by step."""

    def __init__(self, root: Path, name: str = "diwa-agent") -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        self.git("init", "-q", "-b", "main")
        if name:
            self.write("pyproject.toml", f'[project]\nname = "{name}"\n')

    def git(self, *arguments: str, stdin: str | None = None) -> str:
        settings = [word for item in SETTINGS.items() for word in ("-c", "=".join(item))]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        done = subprocess.run(
            ["git", *settings, *arguments],
            cwd=self.root,
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def write(self, path: str, content: str = "changes a table\n") -> str:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(content, encoding="utf-8")
        return path

    def commit(self, *paths: str) -> None:
        self.git("add", "--all", "--", *(paths or (".",)))
        self.git("commit", "-q", "--allow-empty", "-m", "a step")

    def branch(self, name: str = "work") -> None:
        self.git("switch", "-q", "-c", name)

    def check(self, base: str | None = None) -> Review:
        return check(self.root, base=base)

    def errors(self, base: str | None = None) -> list[str]:
        return [one.path for one in self.check(base).findings if one.level is Level.ERROR]

    def warnings(self, base: str | None = None) -> list[tuple[str, int]]:
        return [(one.path, one.line) for one in self.check(base).findings if one.level is Level.WARNING]


def ported(path: str, content: str, **other: str) -> str:
    """Return an entry of ported.toml; other keys replace its own, empty ones are left out."""
    entry = {
        "file": f'"{path}"',
        "sha256": f'"{manifest.checksum_of(content.encode())}"',
        "reviewer": '"somebody"',
        "date": "2026-01-31",
    } | other
    return "\n".join(["[[ported]]", *(f"{key} = {value}" for key, value in entry.items() if value), ""])
