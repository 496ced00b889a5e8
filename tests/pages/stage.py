"""Where the errors of docs/messages.md are made: a folder with a checkout of diwa-cloud, and what a run prints there."""

from __future__ import annotations

import io
import os
import re
import shlex
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing, redirect_stderr, redirect_stdout
from functools import cached_property
from pathlib import Path

import pytest

from diwa_schema import __version__, api, cli
from diwa_schema.errors import DiwaSchemaError
from diwa_schema.migrations.ecto import LAST
from diwa_schema.migrations.manifest import load

# What differs from one run, machine or release to the next, and what the page shows for it.
_SHOWN = (
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[.\d]*(?:Z|\+00:00)?", "2026-02-28T23:00:00Z"),
    (r"(pid|server process) \d+", r"\1 4711"),
    (r"user [^,()]+(?=[,)])", "user owner"),
    (r"(open for|Waited|in use for) [\d.]+ s", r"\1 12 s"),
    (r"and \d+ more", "and 20 more"),
    (r".*; trying again in .*\n", ""),  # said as often as the run has tried
    (r"\(\d+ versions", "(32 versions"),
    (r"(cannot be reached: ).*?(?=connection to server)", r"\1"),  # psycopg's own words differ
)


class Stage:
    """A place where commands run as in a checkout of diwa-cloud, and fail.

    Args:
        folder: An empty folder of its own.
        monkeypatch: Puts the process into the folder, and back.
        head: A SQLite database at head, to be copied.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, head: Path) -> None:
        self.folder = folder
        self.head = head
        self.patch = monkeypatch
        self.places: dict[str, str] = {}
        for name in ("diwa-cloud", "diwa-agent"):
            (folder / name).mkdir()
            (folder / name / "pyproject.toml").write_text(f'[project]\nname = "{name}"\nversion = "1.0"\n')
        monkeypatch.chdir(folder / "diwa-cloud")
        # Other tests of this process have given passwords like "0", which would be masked in every address.
        monkeypatch.setattr("diwa_schema.database.spelling._passwords", set())

    @cached_property
    def older(self) -> Path:
        """A SQLite database at Ecto's last version, to be copied: later ids that are pending never change."""
        path = self.folder / "older.db"
        api.migrate(f"sqlite:///{path}", str(LAST))
        return path

    def file(self, *statements: str, like: Path | None = None) -> str:
        """Return the URL of a new SQLite database in which the statements were run: a copy, or an empty one."""
        path = Path("app.db")
        path.unlink(missing_ok=True)
        if like:
            path.write_bytes(like.read_bytes())
        with closing(sqlite3.connect(path)) as connection, connection:
            for statement in statements:
                connection.execute(statement)
        return "sqlite:///app.db"

    def command(self, words: str, *, variables: Mapping[str, str] | None = None) -> str:
        """Run a command that fails and return its line, and what it prints after it."""
        said, printed = io.StringIO(), io.StringIO()
        with self.patch.context() as context, redirect_stderr(said), redirect_stdout(printed):
            for name, value in (variables or {}).items():
                context.setenv(name, value)
            code = cli.main(shlex.split(words))
        assert code, printed.getvalue()
        assert not printed.getvalue(), "a failing command printed a result"
        front = "".join(f"{name}={value} " for name, value in (variables or {}).items())
        return self.shown(f"$ {front}diwa-schema {words}\n{said.getvalue()}[exit code {code}]")

    def call(self, words: str, call: Callable[[], object]) -> str:
        """Call a function that raises and return its line, and the error after it."""
        with pytest.raises(DiwaSchemaError) as raised:
            call()
        return self.shown(f">>> {words}\n{type(raised.value).__name__}: {raised.value}")

    def shown(self, text: str) -> str:
        """Return a text without what differs from one machine or release to the next."""
        for found, place in {**self.places, str(self.folder): "/srv", load().head: "HEAD"}.items():
            text = text.replace(found, place)
        for pattern, place in _SHOWN:
            text = re.sub(pattern, place, text)
        text = text.replace(os.environ.get("HOME", "/root"), "~")
        return re.sub(re.escape(__version__), "VERSION", text).strip()
