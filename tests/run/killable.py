"""Runs the command line in processes that end, or whose connections end, at a statement that a test names.

    python killable.py FOLDER

It imports the package once and forks a process for each job, a JSON document a line on standard input; a line
with the job's number and its wait status answers each. The end of standard input ends it and its processes.
Nothing of this is known to the package: statements are counted where the drivers are handed them.
"""

from __future__ import annotations

import gc
import json
import os
import re
import selectors
import signal
import socket
import sqlite3
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

GONE = 10_000  # milliseconds that a terminated server process may take to end
IN_FLIGHT = 0.001  # seconds between a statement's start and a kill while it runs

send = psycopg.Cursor.execute
open_sqlite = sqlite3.connect


class Statements:
    """Counts statements, and does what the job wants at one of them.

    Args:
        job: ``at``: the statement before which something is done, from 1; ``match``: count only statements
            like this pattern; ``how``: kill, kill-running, pause, step (pause before each), or the beginning of the application_name of
            the connections to terminate; ``socket``: where to say that the process pauses.
    """

    def __init__(self, job: dict[str, Any]) -> None:
        self.at: int | None = job.get("at")
        self.how: str = job.get("how") or "kill"
        self.only = re.compile(job.get("match") or "", re.DOTALL)
        self.socket: str | None = job.get("socket")
        self.url: str | None = job.get("url")
        self.log: list[tuple[str, str]] = []
        self.reached = False
        self._busy = threading.RLock()

    def before(self, connection: str, statement: str) -> None:
        """Note that a statement is about to be sent."""
        if not self.only.search(statement):
            return
        with self._busy:
            self.log.append((connection, statement))
            if self.how == "step":
                self.pause()
            elif len(self.log) == self.at:
                self.act()

    def end(self) -> None:
        """Note that no statement follows."""
        if self.at is not None and len(self.log) == self.at - 1:
            self.act()

    def act(self) -> None:
        self.reached = True
        if self.how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif self.how == "kill-running":
            threading.Timer(IN_FLIGHT, os.kill, (os.getpid(), signal.SIGKILL)).start()
        elif self.how == "pause":
            self.pause()
        else:
            terminate(str(self.url), self.how)

    def pause(self) -> None:
        """Tell the test that the process waits here, and wait for its answer."""
        with socket.socket(socket.AF_UNIX) as talk:
            talk.connect(str(self.socket))
            talk.sendall(b"here")
            talk.recv(16)


def terminate(url: str, name: str) -> None:
    """End the sessions of this job's database whose application_name begins like this."""
    with psycopg.connect(url, autocommit=True, application_name="test") as other:
        cursor = other.cursor()
        send(
            cursor,
            "SELECT pg_terminate_backend(pid, %s) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name ~ %s AND pid <> pg_backend_pid()",
            (GONE, f"^{name}"),
        )
        cursor.fetchall()


def count_postgresql(statements: Statements) -> None:
    """Count what psycopg is handed."""

    def counted(name: str) -> Callable[..., Any]:
        original = getattr(psycopg.Cursor, name)

        def execute(cursor: psycopg.Cursor[Any], query: Any, *args: Any, **kwargs: Any) -> Any:
            shown = query if isinstance(query, str) else query.as_string(None)
            statements.before(cursor.connection.info.parameter_status("application_name") or "", shown)
            return original(cursor, query, *args, **kwargs)

        return execute

    for name in ("execute", "executemany"):
        setattr(psycopg.Cursor, name, counted(name))


def count_sqlite(statements: Statements) -> None:
    """Count what SQLite runs; the library calls before it begins a statement."""

    def connect(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = open_sqlite(*args, **kwargs)
        connection.set_trace_callback(lambda statement: statements.before("sqlite", statement))
        return connection

    sqlite3.connect = connect  # type: ignore[assignment]


def use_history(folder: Path) -> None:
    """Let the package have another history than its own: a manifest and the files it lists."""
    from diwa_schema.migrations import manifest

    manifest.PATH = folder / "manifest.json"
    manifest.VERSIONS = folder / "versions"
    manifest.load.cache_clear()


def run(job: dict[str, Any], folder: Path) -> int:
    """Run a job in this process and return its exit code."""
    os.chdir(job["cwd"])
    for name, value in (job.get("env") or {}).items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value
    if job.get("history"):
        use_history(Path(job["history"]))
    statements = Statements(job)
    count_postgresql(statements)
    count_sqlite(statements)
    if job.get("together"):
        statements.pause()
    from diwa_schema.cli import main

    began = time.monotonic()
    code = main(job["args"])
    statements.end()
    sys.stdout.flush()
    report = {"log": statements.log, "reached": statements.reached, "seconds": time.monotonic() - began}
    written = folder / f"{job['number']}.written"
    written.write_text(json.dumps(report))
    written.rename(folder / f"{job['number']}.json")
    return code


def forked(job: dict[str, Any], folder: Path) -> int:
    """Start a job in a process of its own and return its id."""
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        # A shell that starts the tests in the background has it ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        # Whoever runs the tests may ignore it, as nohup does, and children inherit that.
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 0)
        for descriptor, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(folder / f"{job['number']}.{name}", os.O_WRONLY | os.O_CREAT), descriptor)
        code = run(job, folder)
    except BaseException:  # noqa: BLE001 - it belongs into the job's own output, whatever it is
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def load_everything(folder: Path) -> None:
    """Import and compile what a run needs, by making one."""
    import sqlalchemy.dialects.postgresql.psycopg  # noqa: F401

    import diwa_schema
    from diwa_schema.cli.parser import build_parser

    build_parser()
    diwa_schema.migrate(embedded=folder / "warm.db", settings=diwa_schema.Settings(replay=True))
    gc.freeze()


def serve(folder: Path) -> None:
    """Fork a process for each line of standard input, until that ends."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    running: dict[int, int] = {}
    pending = b""
    with selectors.DefaultSelector() as selector:
        selector.register(0, selectors.EVENT_READ)
        selector.register(reading, selectors.EVENT_READ)
        while True:
            ready = {key.fd for key, _ in selector.select()}
            if reading in ready:
                os.read(reading, 512)
                answer(running)
            if 0 in ready:
                chunk = os.read(0, 65536)
                if not chunk:
                    break
                *lines, pending = (pending + chunk).split(b"\n")
                for line in lines:
                    job = json.loads(line)
                    pid = forked(job, folder)
                    running[pid] = job["number"]
                    tell({"number": job["number"], "pid": pid})
    for pid in running:
        os.kill(pid, signal.SIGKILL)


def answer(running: dict[int, int]) -> None:
    """Tell which processes have ended."""
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        tell({"number": running.pop(pid), "status": os.waitstatus_to_exitcode(status)})


def tell(document: dict[str, Any]) -> None:
    os.write(1, json.dumps(document).encode() + b"\n")


if __name__ == "__main__":
    place = Path(sys.argv[1])
    load_everything(place)
    tell({"ready": os.getpid()})
    serve(place)
