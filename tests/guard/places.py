"""Directories that say which repository they are, and what is made of it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from diwa_schema.guard import Role, collect, weigh


def git(*arguments: str, cwd: Path) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "protocol.file.allow=always"]
    return subprocess.run(
        ["git", *identity, *arguments], cwd=cwd, check=True, capture_output=True, text=True
    ).stdout


def project(place: Path, name: str) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    (place / "pyproject.toml").write_text(f'[project]\nname = "{name}"\n')
    return place


def checkout(place: Path, origin: str = "") -> Path:
    place.mkdir(parents=True, exist_ok=True)
    git("init", "-q", cwd=place)
    if origin:
        git("remote", "add", "origin", origin, cwd=place)
    return place


def names(place: Path, repo: str | None = None) -> list[str]:
    return [one.name for one in collect(repo, place)]


def role(place: Path, repo: str | None = None) -> Role:
    return weigh(collect(repo, place))
