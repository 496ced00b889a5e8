from __future__ import annotations

import os
from pathlib import Path

import pytest

from .checkouts import ECTO, Checkout


@pytest.fixture(autouse=True)
def _plain_git(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What the user's git and the CI service say does not reach a test."""
    for name in [name for name in os.environ if name.startswith(("GIT_", "GITHUB_", "CI_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


@pytest.fixture
def agent(tmp_path: Path) -> Checkout:
    """A consumer with an old migration on `main`, standing on the branch `work`."""
    made = Checkout(tmp_path / "agent")
    made.write(f"{ECTO}/20250101000001_old.exs", "old\n")
    made.commit()
    made.branch()
    return made
