"""Who is asking: the working directory, the environment and the command line of a test."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.documents import judged

# What would decide a test's outcome from outside of it.
VARIABLES = (
    "DIWA_REPO",
    "ALLOW_CORE_MIGRATION",
    "ALLOW_CORE_MIGRATION_REASON",
    "DATABASE_URL",
    "DIWA_MIGRATION_DATABASE_URL",
    "PYTEST_ADDOPTS",  # a test that runs pytest would hear which tests the run around it was asked for
)
TIMEOUT = 120  # seconds

Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test hears what the shell around it says, and none sees the user's embedded database."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data-home"))


def checkout(folder: Path, name: str) -> Path:
    """Make a checkout of the repository of that name inside a folder, and return it."""
    made = folder / name
    made.mkdir()
    (made / "pyproject.toml").write_text(f'[project]\nname = "{name}"\nversion = "1.0"\n')
    return made


@pytest.fixture
def owner_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory is a checkout of diwa-cloud."""
    monkeypatch.chdir(made := checkout(tmp_path, "diwa-cloud"))
    return made


@pytest.fixture
def consumer_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory is a checkout of diwa-agent."""
    monkeypatch.chdir(made := checkout(tmp_path, "diwa-agent"))
    return made


def run(
    command: list[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str | None] | None = None,
    check: int | None = None,
    timeout: float = TIMEOUT,
) -> subprocess.CompletedProcess[str]:
    """Run a command without standard input.

    Args:
        command: The command and its arguments.
        cwd: Where it runs; the test's own working directory by default.
        env: Variables to add to the environment, or to remove from it (None).
        check: The exit code that is expected.
        timeout: Seconds after which it is killed.
    """
    surroundings = {name: value for name, value in {**os.environ, **(env or {})}.items() if value is not None}
    done = subprocess.run(
        command,
        cwd=cwd,
        env=surroundings,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    if check is not None:
        assert done.returncode == check, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="session")
def cli() -> Cli:
    """Runs `python -m diwa_schema ARGS...` in a process of its own; takes the keyword arguments of `run`.

    What is printed with `--json` is compared with the reference.
    """

    def call(*args: str, **options: object) -> subprocess.CompletedProcess[str]:
        done = run([sys.executable, "-m", "diwa_schema", *args], **options)  # type: ignore[arg-type]
        if "--json" in args:
            judged(args, done.stdout)
        return done

    return call
