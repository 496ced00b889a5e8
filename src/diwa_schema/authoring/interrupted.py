"""Run an upgrade in a process that is killed before one of its statements.

    python -m diwa_schema.authoring.interrupted URL REVISION AT

The run does not know about this: statements are counted where the drivers receive them. With 0 for AT the process
survives and prints the number of statements.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from typing import Any

import psycopg

from diwa_schema.api import migrate
from diwa_schema.errors import DiwaSchemaError
from diwa_schema.run.settings import Settings

# The exit code of a run that stops because the rows break a rule.
ROWS_REFUSED = 23


def killed_at(url: str, revision: str, at: int = 0) -> tuple[int, str]:
    """Run an upgrade in a separate process.

    Args:
        url: The database.
        revision: The goal of the run.
        at: The statement before which the process kills itself; 0 for none.

    Returns:
        Its exit code and its output: the number of its statements, or the error.
    """
    command = [sys.executable, "-m", __name__, url, revision, str(at)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603 - this module
    return done.returncode, (done.stdout or done.stderr).strip()


class _Counter:
    def __init__(self, at: int) -> None:
        self.at, self.count = at, 0

    def statement(self, _: str = "") -> None:
        self.count += 1
        if self.count == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


def main(url: str, revision: str, at: str) -> None:
    """Run the upgrade, and write the number of its statements."""
    counter = _Counter(int(at))
    execute, connect = psycopg.Cursor.execute, sqlite3.connect

    def counted(cursor: Any, *args: Any, **options: Any) -> Any:
        counter.statement()
        return execute(cursor, *args, **options)

    def watched(*args: Any, **options: Any) -> Any:
        connection = connect(*args, **options)
        connection.set_trace_callback(counter.statement)
        return connection

    psycopg.Cursor.execute, sqlite3.connect = counted, watched  # type: ignore[method-assign,assignment]
    try:
        migrate(url, revision, settings=Settings(replay=True))
    except DiwaSchemaError as error:
        sys.stderr.write(error.what)
        state = error.facts.get("sqlstate") or ""
        sys.exit(ROWS_REFUSED if state.startswith(("23", "SQLITE_CONSTRAINT")) else error.exit_code)
    sys.stdout.write(f"{counter.count}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
