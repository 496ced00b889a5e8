"""An application that goes on while a migration runs, and how long its requests wait for it.

    python traffic.py URL KIND...

sends requests of these kinds at a steady rate until its standard input ends, and prints all of them with their times.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import psycopg

CONNECTIONS = 4
RATE = 25  # requests a second on each connection
LOOK = 0.003  # seconds between two looks at who waits

_WRITES = {
    "insert": "INSERT INTO memories (id, context_id, content, inserted_at, updated_at)"
    " SELECT %(new)s, id, 'of the traffic', now(), now() FROM contexts ORDER BY id LIMIT 1",
    "update": "UPDATE memories SET content = content || '.' WHERE id = %(one)s",
    "context": "UPDATE contexts SET updated_at = now()"
    " WHERE id = (SELECT context_id FROM memories WHERE id = %(one)s)",
}
_READS = {
    "one": "SELECT id, content FROM memories WHERE id = %(one)s",
    "newest": "SELECT m.id, m.content FROM memories m JOIN contexts c ON c.id = m.context_id"
    " ORDER BY m.inserted_at DESC LIMIT 10",
    "organizations": "SELECT id, name FROM organizations LIMIT 5",
}
KINDS = {**_WRITES, **_READS}

# Only what the migration makes others wait for: who waits behind the reader alone is not counted.
_WAITING = """
SELECT a.datname, w.pid, w.waitstart::text, extract(epoch FROM clock_timestamp() - w.waitstart)::float * 1000
FROM pg_locks w JOIN pg_stat_activity a ON a.pid = w.pid
WHERE NOT w.granted AND w.waitstart IS NOT NULL AND a.application_name = %s AND EXISTS (
    SELECT FROM unnest(pg_blocking_pids(w.pid)) AS b(pid) JOIN pg_stat_activity m ON m.pid = b.pid
    WHERE m.application_name LIKE 'diwa-schema%%')
"""


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    Args:
        kind: Which one.
        began: When it was sent, on the clock that all processes share.
        took: Milliseconds until its answer.
        error: Why it failed; None when it did not.
    """

    kind: str
    began: float
    took: float
    error: str | None


class Stalls:
    """Looks every few milliseconds how long requests of any database of a server wait for a migration.

    The server itself says since when somebody waits, so a busy machine does not count as a wait.

    Args:
        url: Any database of the server.
        application: What the requests show as application_name.
    """

    def __init__(self, url: str, application: str = "traffic") -> None:
        self._url = url
        self._application = application
        self._waits: dict[tuple[str, int, str], float] = {}
        self._over = threading.Event()
        self._looking = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._looking.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._looking.join()

    def longest(self, url: str) -> float:
        """The longest wait in a database, in milliseconds."""
        name = url.rpartition("/")[2]
        return max(
            (waited for (database, *_), waited in self._waits.items() if database == name), default=0.0
        )

    def _look(self) -> None:
        with psycopg.connect(self._url, autocommit=True, application_name="look") as connection:
            while not self._over.wait(LOOK):
                for database, pid, since, waited in connection.execute(_WAITING, (self._application,)):
                    self._waits[database, pid, since] = waited


class Traffic:
    """Requests of another process.

    Args:
        url: The database; it has to have rows in `memories`.
        kinds: Which requests.
    """

    def __init__(self, url: str, *kinds: str) -> None:
        self._url = url
        self._kinds = kinds or tuple(KINDS)
        self.requests: list[Request] = []

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__)), self._url, *self._kinds],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "running\n"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        printed, _ = self._process.communicate()
        self.requests = [Request(*request) for request in json.loads(printed)]

    def longest(self, since: float, until: float) -> float:
        """The longest request between two moments, in milliseconds."""
        return max((request.took for request in self.between(since, until)), default=0.0)

    def between(self, since: float, until: float) -> list[Request]:
        """The requests that were under way between two moments."""
        return [
            request
            for request in self.requests
            if request.began < until and request.began + request.took / 1000 > since
        ]


class Reader:
    """A transaction that has read every table and stays open for some seconds, on a thread of its own."""

    def __init__(self, url: str, seconds: float) -> None:
        self._url = url
        self._seconds = seconds
        self._reading = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self.ended = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._reading.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.join()

    def _read(self) -> None:
        with psycopg.connect(self._url, application_name="report") as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            for table in ("organizations", "contexts", "memories", "memory_versions"):
                connection.execute(f"SELECT count(*) FROM {table}".encode())
            self._reading.set()
            time.sleep(self._seconds)
        self.ended = time.monotonic()


def main(url: str, *kinds: str) -> None:
    """Send requests until standard input ends, then print them."""
    over = threading.Event()
    requests: list[list[Any]] = []
    threads = [
        threading.Thread(target=work, args=(url, random.Random(number), kinds, over, requests))
        for number in range(CONNECTIONS)
    ]
    for thread in threads:
        thread.start()
    sys.stdout.write("running\n")
    sys.stdout.flush()
    sys.stdin.read()
    over.set()
    for thread in threads:
        thread.join()
    sys.stdout.write(json.dumps(requests))


def work(
    url: str, choice: random.Random, kinds: Sequence[str], over: threading.Event, requests: list[list[Any]]
) -> None:
    """Send requests on one connection, each at its time; after a late one they do not come closer."""
    with psycopg.connect(url, autocommit=True, application_name="traffic") as connection:
        rows = [row for (row,) in connection.execute("SELECT id FROM memories LIMIT 200")]
        while not over.is_set():
            kind = choice.choice(kinds)
            began = time.monotonic()
            error = None
            try:
                connection.execute(KINDS[kind].encode(), {"one": choice.choice(rows), "new": uuid4()})
            except psycopg.Error as failure:
                error = str(failure)
            requests.append([kind, began, (time.monotonic() - began) * 1000, error])
            over.wait(max(0.0, began + 1 / RATE - time.monotonic()))


if __name__ == "__main__":
    main(*sys.argv[1:])
