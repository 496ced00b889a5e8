"""python -m benchmarks.live_upgrade: what each revision does to applications that go on working.

From Ecto's last version to head, a revision at a time. Four connections that were opened before send inserts, updates
and selects at a steady rate, from a process of their own. The same rows are then taken there by what `upgrade --sql`
prints, which waits for nobody: these are the naive statements. Printed is a row a revision.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
import sqlalchemy as sa

import diwa_schema
from benchmarks import large
from benchmarks.bench import Bench, server
from benchmarks.open_connections import Ask, Open, Request, models, plain_asyncpg, plain_psycopg
from benchmarks.report import markdown
from diwa_schema.migrations.ecto import LAST
from diwa_schema.migrations.manifest import load
from tests.run.traffic import Stalls

CONTEXTS = 2_000
RATE = 40  # requests a second on each connection
LONGEST_WAIT = 100.0  # milliseconds
AT_MOST = 1.5  # times the naive statements
LITTLE = 1.0  # seconds of naive statements below which a run's own costs hide theirs
AT_LEAST = 1.0  # seconds that are measured of a revision, however short it is
NAME = "traffic"  # application_name

# How an application that knows nothing of the newer columns writes and reads.
STATEMENTS = {
    "insert": "INSERT INTO memories (id, context_id, content, inserted_at, updated_at)"
    " VALUES (%s, %s, %s, now(), now()) RETURNING id, inserted_at",
    "update": "UPDATE memories SET content = %s WHERE id = %s",
    "touch": "UPDATE memories SET last_accessed_at = now() WHERE id = %s",
    "one": "SELECT id, context_id, content, tags, metadata FROM memories WHERE id = %s",
    "newest": "SELECT id, content FROM memories WHERE context_id = %s ORDER BY inserted_at DESC LIMIT 20",
}

CLIENTS: dict[str, Open] = {
    "psycopg": lambda url: plain_psycopg(url, autocommit=True, threshold=0),
    "psycopg, transactions": lambda url: plain_psycopg(url, autocommit=False, threshold=0),
    "SQLAlchemy, psycopg": partial(models, prepare_threshold=0),
    "asyncpg": plain_asyncpg,
}


class Answer(NamedTuple):
    """One request: who sent what when, how many milliseconds it took, and why it failed."""

    client: str
    kind: str
    began: float
    took: float
    error: str | None


@dataclass(frozen=True, slots=True)
class Measured:
    """What one revision did.

    Args:
        name: Which one.
        seconds: How long it took.
        naive: How long the naive statements took.
        longest: The longest that a request waited for a lock of it, in milliseconds, as the server counts.
        naive_longest: The same for the naive statements.
        slowest: The slowest request meanwhile, in milliseconds, whatever it waited for.
        errors: What failed, by client.
    """

    name: str
    seconds: float
    naive: float
    longest: float
    naive_longest: float
    slowest: float
    errors: dict[str, list[str]]


def request(kind: str, contexts: Sequence[UUID], memories: Sequence[UUID], number: int) -> Request:
    """Return one request of a kind, about the rows of that number."""
    memory, context = memories[number % len(memories)], contexts[number % len(contexts)]
    values: tuple[Any, ...] = {
        "insert": (UUID, context, f"said at {number}"),
        "update": (f"changed at {number}", memory),
        "newest": (context,),
    }.get(kind, (memory,))
    text = STATEMENTS[kind]
    parts = text.split("%s")
    named = "".join(f"{part}:v{place}" for place, part in enumerate(parts[:-1])) + parts[-1]

    def build(given: tuple[Any, ...]) -> sa.Executable:
        return sa.text(named).bindparams(**{f"v{place}": value for place, value in enumerate(given)})

    return Request(kind, "memories", text, values, build)


def send(url: str) -> None:
    """Send requests until standard input ends, then print what became of them: the process of the applications."""
    with psycopg.connect(url) as connection:
        contexts = [row[0] for row in connection.execute("SELECT id FROM contexts ORDER BY id LIMIT 50")]
        memories = [row[0] for row in connection.execute("SELECT id FROM memories LIMIT 500")]
    answers: list[Answer] = []
    over = threading.Event()
    ready = threading.Barrier(len(CLIENTS) + 1)

    def work(name: str, first: int) -> None:
        try:
            with CLIENTS[name](url) as ask:
                number = first
                _ask_all(ask, contexts, memories, number)
                ready.wait()
                while not over.is_set():
                    number += len(CLIENTS)
                    kind = list(STATEMENTS)[number // len(CLIENTS) % len(STATEMENTS)]
                    began, error = time.monotonic(), None
                    try:
                        ask(request(kind, contexts, memories, number))
                    except Exception as failure:  # noqa: BLE001 - whatever a client meets is what is measured
                        error = f"{kind}: {failure}".splitlines()[0][:120]
                    answers.append(Answer(name, kind, began, (time.monotonic() - began) * 1000, error))
                    over.wait(max(0.0, began + 1 / RATE - time.monotonic()))
        except BaseException:
            ready.abort()  # nobody waits for a client that could not start
            raise

    threads = [threading.Thread(target=work, args=(name, place)) for place, name in enumerate(CLIENTS)]
    for thread in threads:
        thread.start()
    ready.wait()
    sys.stdout.write("running\n")
    sys.stdout.flush()
    sys.stdin.read()
    over.set()
    for thread in threads:
        thread.join()
    json.dump(answers, sys.stdout)


def _ask_all(ask: Ask, contexts: Sequence[UUID], memories: Sequence[UUID], number: int) -> None:
    """Send every kind often enough that the driver has prepared it."""
    for _ in range(7):
        for kind in STATEMENTS:
            ask(request(kind, contexts, memories, number))


def named(url: str) -> str:
    """Return a URL with the name by which the server knows the applications; all three drivers read it there."""
    return f"{url}{'&' if '?' in url else '?'}application_name={NAME}"


@contextmanager
def load_on(url: str) -> Iterator[list[Answer]]:
    """Let the applications work during the block; the list has their answers after it."""
    answers: list[Answer] = []
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.live_upgrade", "--send", named(url)],
        cwd=Path(__file__).parents[1],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        if process.stdout.readline() != "running\n":
            raise SystemExit("The applications could not start.")
        yield answers
    finally:
        printed, _ = process.communicate()
    answers += (Answer(*one) for one in json.loads(printed))


def stepwise(
    url: str, step: Callable[[str, str], object]
) -> tuple[list[tuple[float, float, float]], list[Answer]]:
    """Take a database from Ecto's last version to head under load.

    Returns:
        When each revision began and ended and the longest wait for it, in milliseconds; and all answers.
    """
    found, before = [], LAST
    with load_on(url) as answers:
        for revision in load().between(LAST, load().head):
            with Stalls(url, application=NAME) as stalls:
                began = time.monotonic()
                step(before, revision.revision)
                ended = time.monotonic()
                # What waits when a short revision ends is still seen.
                time.sleep(max(0.1, AT_LEAST - (ended - began)))
            found.append((began, ended, stalls.longest(url)))
            before = revision.revision
    return found, answers


def naively(scripts: dict[str, str], url: str, _: str, revision: str) -> None:
    """Send the plain statements of a revision."""
    with psycopg.connect(url, autocommit=True, application_name="diwa-schema naive") as connection:
        connection.execute(scripts[revision].encode())


def printed() -> dict[str, str]:
    """Return what `upgrade --sql` prints for each revision."""
    found, before = {}, LAST
    for revision in load().between(LAST, load().head):
        words = ["upgrade", f"{before}:{revision.revision}", "--sql", "--url", "postgresql://"]
        command = [sys.executable, "-m", "diwa_schema", *words]
        found[revision.revision] = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        before = revision.revision
    return found


def measured(bench: Bench, say: Callable[[str], object]) -> list[Measured]:
    """Measure every revision after Ecto's last version.

    Args:
        bench: Where, and with how many memories.
        say: Is told what happens.
    """
    scripts = printed()
    say(f"{bench.memories:,} memories ...")
    with large.template(bench, bench.memories, CONTEXTS) as template:
        with bench.database(template) as url:
            say("in safe steps ...")
            ours, answers = stepwise(url, lambda _, to: diwa_schema.migrate(url, to))
        with bench.database(template) as url:
            say("naively ...")
            theirs, _ = stepwise(url, partial(naively, scripts, url))
    rows = []
    for revision, (began, ended, longest), naive in zip(
        load().between(LAST, load().head), ours, theirs, strict=True
    ):
        under_way = [one for one in answers if one.began < ended and one.began + one.took / 1000 > began]
        errors: dict[str, list[str]] = defaultdict(list)
        for one in answers:
            if one.error and began <= one.began < max(ended, began + AT_LEAST):
                errors[one.client].append(one.error)
        rows.append(
            Measured(
                f"{revision.revision} {revision.slug}",
                ended - began,
                naive[1] - naive[0],
                longest,
                naive[2],
                max((one.took for one in under_way), default=0.0),
                dict(errors),
            )
        )
    return rows


def table(rows: Sequence[Measured]) -> str:
    """Return the table of all revisions, and what failed."""
    lines = [
        (
            row.name,
            f"{row.longest:.0f}",
            f"{row.naive_longest:.0f}",
            f"{row.slowest:.0f}",
            *(str(len(row.errors.get(name, ()))) for name in CLIENTS),
            f"{row.seconds * 1000:.0f}",
            f"{row.naive * 1000:.0f}",
            f"{row.seconds / row.naive:.2f}",
        )
        for row in rows
    ]
    took, naive = sum(row.seconds for row in rows), sum(row.naive for row in rows)
    longest = f"{max(row.longest for row in rows):.0f}"
    naive_longest = f"{max(row.naive_longest for row in rows):.0f}"
    slowest = f"{max(row.slowest for row in rows):.0f}"
    failed = [str(sum(len(row.errors.get(name, ())) for row in rows)) for name in CLIENTS]
    lines.append(
        (
            "all",
            longest,
            naive_longest,
            slowest,
            *failed,
            f"{took * 1000:.0f}",
            f"{naive * 1000:.0f}",
            f"{took / naive:.2f}",
        )
    )
    head = ("revision", "longest wait, ms", "naive", "slowest request, ms")
    parts = [markdown((*head, *CLIENTS, "time, ms", "naive, ms", "ratio"), lines)]
    for row in rows:
        for client, errors in row.errors.items():
            parts.append(f"{row.name}: {client}: {'; '.join(sorted(set(errors)))}")
    return "\n\n".join(parts)


def broken(rows: Sequence[Measured]) -> list[str]:
    """Return which promises were broken: nobody fails or waits long, and the whole costs little more than naively."""
    found = [f"{row.name}: requests failed" for row in rows if row.errors]
    found += [
        f"{row.name}: a request waited {row.longest:.0f} ms for it"
        for row in rows
        if row.longest > LONGEST_WAIT
    ]
    naive = sum(row.naive for row in rows)
    ratio = sum(row.seconds for row in rows) / naive
    if ratio > AT_MOST and naive > LITTLE:
        found.append(f"All revisions took {ratio:.2f} times as long as the naive statements.")
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Return 1 where a request failed or waited for too long, or the whole took too long."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live_upgrade", description=__doc__)
    parser.add_argument("--memories", type=int, default=50_000, help="rows of the database (50000)")
    parser.add_argument("--send", metavar="URL", help="be the applications, until standard input ends")
    args = parser.parse_args(argv)
    if args.send:
        send(args.send)
        return 0
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with server() as address:
        rows = measured(
            Bench(address, Path(), memories=args.memories), lambda line: sys.stderr.write(f"{line}\n")
        )
    wrong = broken(rows)
    print(table(rows))
    print("\n" + ("\n".join(wrong) or "Nobody failed, nobody waited for long."))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
