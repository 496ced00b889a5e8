"""Starts runs in processes of their own, and tells how they ended."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.documents import judged
from tests.fixtures_checkout import VARIABLES, checkout

KILLED = -9
PATIENCE = 60.0  # seconds


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended.

    Args:
        code: Its exit code; the negative number of the signal that killed it.
        out: What it wrote to standard output.
        err: What it wrote to standard error.
        log: The statements it sent, each with the connection's name; empty for a killed run.
        reached: Whether it came to the statement that was named.
        seconds: How long the command took.
    """

    code: int
    out: str
    err: str
    log: list[tuple[str, str]] = field(default_factory=list)
    reached: bool = False
    seconds: float = 0.0


class Child:
    """A run that was started.

    Args:
        launcher: Where it was started.
        number: Its number there.
    """

    def __init__(self, launcher: Launcher, number: int) -> None:
        self._launcher = launcher
        self.number = number
        self.pid = 0
        self.status: int | None = None
        self.started = threading.Event()
        self.over = threading.Event()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.socket)
        self._listener.listen()
        self._talk: socket.socket | None = None

    @property
    def socket(self) -> str:
        """Where it says that it pauses."""
        return str(self._launcher.folder / f"{self.number}.socket")

    def pauses(self, timeout: float = PATIENCE) -> Child:
        """Wait until it pauses."""
        self._listener.settimeout(timeout)
        try:
            self._talk = self._listener.accept()[0]
        except TimeoutError:
            raise AssertionError(f"it does not pause: {self._text('err')}") from None
        assert self._talk.recv(16) == b"here"
        return self

    def steps(self) -> Iterator[None]:
        """Yield each time that it pauses, and let it go on after that, until its end."""
        self._listener.settimeout(0.1)
        while not self.over.is_set():
            try:
                self._talk = self._listener.accept()[0]
            except TimeoutError:
                continue
            assert self._talk.recv(16) == b"here"
            yield
            self.go()

    def says(self, text: str, timeout: float = PATIENCE) -> Child:
        """Wait until it has written a text to standard error."""
        deadline = time.monotonic() + timeout
        while text not in self._text("err"):
            assert time.monotonic() < deadline, f"it does not say '{text}': {self._text('err')}"
            time.sleep(0.02)
        return self

    def go(self) -> Child:
        """Let it go on."""
        assert self._talk is not None
        self._talk.sendall(b"go")
        self._talk.close()
        self._talk = None
        return self

    def wait(self, timeout: float = PATIENCE) -> Outcome:
        """Wait for its end."""
        assert self.over.wait(timeout), f"it does not end: {self._text('err')}"
        self._listener.close()
        assert self.status is not None
        report: dict[str, Any] = {}
        path = self._launcher.folder / f"{self.number}.json"
        if path.exists():
            report = json.loads(path.read_text())
        log = [(name, statement) for name, statement in report.get("log", ())]
        out, err = self._text("out"), self._text("err")
        assert self.status != 70, err
        return Outcome(self.status, out, err, log, report.get("reached", False), report.get("seconds", 0.0))

    def _text(self, name: str) -> str:
        path = self._launcher.folder / f"{self.number}.{name}"
        return path.read_text() if path.exists() else ""


class Launcher:
    """A program that has the package loaded and forks a process for each run; see `killable`."""

    def __init__(self) -> None:
        # The path of a socket must be short.
        self.folder = Path(tempfile.mkdtemp(prefix="diwa-run-"))
        self.owner = checkout(self.folder, "diwa-cloud")
        self._children: list[Child] = []
        self._busy = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("killable.py")), str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={name: value for name, value in os.environ.items() if name not in VARIABLES},
            text=True,
        )
        assert "ready" in self._line()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def start(
        self,
        *args: str,
        cwd: Path | None = None,
        env: dict[str, str | None] | None = None,
        history: Path | None = None,
        together: bool = False,
        **stop: Any,
    ) -> Child:
        """Start a command in a process of its own.

        Args:
            args: The command line after the program's name.
            cwd: Its working directory; by default a checkout of the owner.
            env: Variables to set, or to remove (None).
            history: The folder of another history than the package's.
            together: Whether it pauses before it begins.
            stop: What is to happen at which statement; see `killable.Statements`.
        """
        with self._busy:
            child = Child(self, len(self._children))
            self._children.append(child)
            job = {
                "number": child.number,
                "args": args,
                "cwd": str(cwd or self.owner),
                "env": env,
                "history": str(history) if history else None,
                "together": together,
                "socket": child.socket,
                **stop,
            }
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(job) + "\n")
            self._process.stdin.flush()
        assert child.started.wait(PATIENCE)
        return child

    def run(self, *args: str, **options: Any) -> Outcome:
        """Run a command to its end; takes the arguments of `start`. A document is compared with the reference."""
        done = self.start(*args, **options).wait()
        if "--json" in args:
            judged(args, done.out)
        return done

    def close(self) -> None:
        """End the program and what it started."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        assert self._process.stdout is not None
        self._process.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        return json.loads(line) if line else {}

    def _read(self) -> None:
        while document := self._line():
            child = self._children[document["number"]]
            if "pid" in document:
                child.pid = document["pid"]
                child.started.set()
            else:
                child.status = document["status"]
                child.over.set()
