"""python -m benchmarks.fleet: many tenants in one database, each a schema, and in several databases.

Everything is measured in one run, beside what it is held against: a loop over the tenants, or the bare query. A loop is
measured over a few of them and multiplied. Printed is one table; ratios hold, milliseconds are this machine's.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

import psycopg

import diwa_schema
from benchmarks.bench import Bench, name_of, server
from benchmarks.measure import timed
from benchmarks.report import markdown
from diwa_schema import Settings
from diwa_schema.fleet import Databases, Fleet, Schemas
from diwa_schema.migrations.manifest import load
from diwa_schema.testing import embedded
from diwa_schema.testing.address import Address

BEHIND = 6  # revisions
LOOPED = 5  # tenants of a loop that are measured
ROUNDS = 5
PATTERN = "tenant_*"
FIRST = "tenant_00000"
AT_MOST_STATUS, AT_MOST_GROWTH, AT_MOST_MEMORY = 3.0, 1.3, 10.0

Line = tuple[str, str, str, str, str]


@contextmanager
def tenants(bench: Bench, count: int, revision: str) -> Iterator[str]:
    """Give the URL of a database with so many tenants: one was brought to the revision, the others are its copies."""
    with bench.database() as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
            connection.execute(f"CREATE SCHEMA {FIRST}".encode())
        diwa_schema.migrate(url, revision, schema=FIRST, settings=Settings(replay=True))
        dump = subprocess.run(
            [embedded.programs() / "pg_dump", "--no-owner", "--inserts", "-n", FIRST, url],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        text = "\n".join(line for line in dump.splitlines() if not line.startswith("\\"))

        def copy(numbers: range) -> None:
            with psycopg.connect(url, autocommit=True) as connection:
                for number in numbers:
                    connection.execute(text.replace(FIRST, f"tenant_{number:05d}").encode())

        with ThreadPoolExecutor(2) as threads:
            list(threads.map(copy, (range(1, count, 2), range(2, count, 2))))
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
        yield url


@contextmanager
def copied(bench: Bench, url: str) -> Iterator[str]:
    """Give the URL of a copy of a database."""
    with bench.database(name_of(url)) as copy:
        yield copy


def command(verb: str, url: str, *more: str) -> list[str]:
    words = [sys.executable, "-m", "diwa_schema", "fleet", verb, "--url", url, "--schemas", PATTERN, *more]
    return [*words, "--repo", "diwa-schema"] if verb == "upgrade" else words


def ended(words: Sequence[str], *codes: int) -> float:
    """Run a process and return its milliseconds."""

    def run() -> None:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode not in (codes or (0,)):
            raise SystemExit(f"{' '.join(words)}: exit {done.returncode}\n{done.stdout}{done.stderr}")

    return timed(run)


def line(what: str, ours: float, against: str, theirs: float, at_most: float | None = None) -> Line:
    """Return a line of the table: what it took, what it is held against, and whether the ratio holds."""
    ratio = ours / theirs
    held = "" if at_most is None else f"at most {at_most:g}: {'yes' if ratio <= at_most else '**no**'}"
    return what, f"{ours:,.0f} ms", f"{against}: {theirs:,.0f} ms", f"{ratio:.3f}", held


def best(*things: Callable[[], object]) -> list[float]:
    """Measure things in turn and return the median of each."""
    found: list[list[float]] = [[] for _ in things]
    for _ in range(ROUNDS):
        for values, thing in zip(found, things, strict=True):
            values.append(timed(thing))
    return [median(values) for values in found]


def status(url: str, count: int) -> Iterator[Line]:
    names = [member.schema for member in Schemas(url, PATTERN).find()]
    union = " UNION ALL ".join(
        f"SELECT '{name}', version_num, floor FROM {name}.diwa_schema_version" for name in names
    )

    def bare() -> None:
        with psycopg.connect(url) as connection:
            connection.execute(union.encode()).fetchall()

    def looped() -> None:
        for name in names[:LOOPED]:
            diwa_schema.status(url, schema=name)

    ours, theirs, loop = best(Fleet(Schemas(url, PATTERN)).status, bare, looped)
    yield line(f"status of {count}", ours, "the bare UNION ALL", theirs, AT_MOST_STATUS)
    yield line(f"status of {count}", ours, "a loop in one process", loop / min(LOOPED, count) * count)


def upgrades(bench: Bench, url: str, count: int) -> Iterator[Line]:
    with copied(bench, url) as one, copied(bench, url) as other:
        loop = timed(
            lambda: [diwa_schema.migrate(other, schema=f"tenant_{n:05d}") for n in range(min(LOOPED, count))]
        )
        ours = ended(command("upgrade", one))
        yield line(
            f"{BEHIND} revisions on each of {count}",
            ours,
            "a loop in one process",
            loop / min(LOOPED, count) * count,
        )
        single = [
            sys.executable,
            "-m",
            "diwa_schema",
            "upgrade",
            "--repo",
            "diwa-schema",
            "--url",
            one,
            "--schema",
        ]
        process = ended([*single, FIRST])
        nothing = ended(command("upgrade", one))
        yield line(
            f"nothing to do on {count}, whole process", nothing, "a loop of processes", process * count
        )
        digest = ended(command("digest", one))
        check = timed(lambda: diwa_schema.check(one, schema=FIRST))
        yield line(f"digest of {count}, whole process", digest, "a check of each in a loop", check * count)


def growth(bench: Bench, url: str, count: int) -> Iterator[Line]:
    """Yield what one tenant costs beside so many others, against one that is alone."""
    with tenants(bench, 1, load().ids[-1 - BEHIND]) as alone, copied(bench, url) as beside:
        things: dict[str, Callable[[str], object]] = {
            "check below head": lambda at: diwa_schema.check(at, schema=FIRST),
            "upgrade": lambda at: diwa_schema.migrate(at, schema=FIRST),
            "check at head": lambda at: diwa_schema.check(at, schema=FIRST),
            "doctor": lambda at: diwa_schema.doctor(at, schema=FIRST, repo="diwa-schema"),
            "roles": lambda at: diwa_schema.roles(at, schema=FIRST),
            "status": lambda at: diwa_schema.status(at, schema=FIRST),
        }
        for name, thing in things.items():
            if name == "upgrade":
                one, many = timed(lambda: thing(alone)), timed(lambda: thing(beside))  # noqa: B023
            else:
                one, many = best(lambda: thing(alone), lambda: thing(beside))  # noqa: B023
            yield line(f"{name} beside {count} others", many, "alone", one, AT_MOST_GROWTH)


def largest(words: Sequence[str]) -> float:
    """Run a command, and return the most MB that any process of it had, those that it starts included."""
    running = subprocess.Popen(
        words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    most = 0
    while running.poll() is None:
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                session = int((folder / "stat").read_text().rpartition(")")[2].split()[3])
                peaks = [
                    one for one in (folder / "status").read_text().splitlines() if one.startswith("VmHWM")
                ]
            except (OSError, ValueError):
                continue  # it has just ended
            if session == running.pid and peaks:
                most = max(most, int(peaks[0].split()[1]))
        time.sleep(0.1)
    if running.returncode:
        raise SystemExit(f"{' '.join(words)}: exit {running.returncode}")
    return most / 1024


def memory(bench: Bench, url: str, count: int) -> Iterator[Line]:
    """Yield how much larger the largest process of an upgrade is with ten times as many targets."""
    few = max(1, count // 10)
    found = []
    for only in (f"tenant_{'[0-9]' * 5}", None):
        with copied(bench, url) as copy:
            if only is not None:
                with psycopg.connect(copy, autocommit=True) as connection:
                    for number in range(few, count):
                        connection.execute(
                            f"ALTER SCHEMA tenant_{number:05d} RENAME TO other_{number:05d}".encode()
                        )
            found.append(largest(command("upgrade", copy)))
    more = found[1] - found[0]
    held = f"at most {AT_MOST_MEMORY:g} MB more: {'yes' if more <= AT_MOST_MEMORY else '**no**'}"
    yield (
        f"memory, {few} to {count} targets",
        f"{found[1]:.0f} MB",
        f"{few}: {found[0]:.0f} MB",
        f"{more:+.1f} MB",
        held,
    )


def kills(bench: Bench, url: str, times: int) -> Iterator[Line]:
    """Yield how many targets are not clean, or were touched twice, after so many kills at random and one more run."""
    alone = random.Random(1)
    with copied(bench, url) as copy:
        for _ in range(times):
            running = subprocess.Popen(
                command("upgrade", copy),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            time.sleep(alone.uniform(0.5, 3.0))
            os.killpg(running.pid, signal.SIGKILL)
            running.wait()
        ended(command("upgrade", copy))
        wrong = twice = 0
        with psycopg.connect(copy) as connection:
            for member in Schemas(copy, PATTERN).find():
                rows = connection.execute(
                    f"SELECT revision, count(*) FROM {member.schema}.diwa_schema_ledger WHERE outcome = 'applied'"
                    " GROUP BY 1".encode()
                ).fetchall()
                wrong += len(rows) != len(load().ids)
                twice += any(number > 1 for _, number in rows)
    held = "yes" if not wrong and not twice else "**no**"
    yield f"killed {times} times, rerun", f"{wrong} not clean", f"{twice} touched twice", "", held


def databases(bench: Bench, count: int) -> Iterator[Line]:
    """Yield what a fleet of databases costs, a tenant in each."""
    with ExitStack() as stack:
        mark = secrets.token_hex(3)
        made = stack.enter_context(tenants(bench, 1, load().ids[-1 - BEHIND]))
        for number in range(count):
            name = f"diwa_fleet_{mark}_{number}"
            bench.execute(f"CREATE DATABASE {name} TEMPLATE {name_of(made)}")
            stack.callback(bench.execute, f"DROP DATABASE {name} WITH (FORCE)")
        source = Databases(bench.server, f"diwa_fleet_{mark}_*", FIRST)
        members = source.find()
        ours, loop = best(
            Fleet(source).status, lambda: [diwa_schema.status(one.url, schema=FIRST) for one in members]
        )
        yield line(f"status of {count} databases", ours, "a loop in one process", loop)


def table(bench: Bench, count: int, servers: int, times: int) -> Iterator[Line]:
    with tenants(bench, count, load().ids[-1 - BEHIND]) as url:
        yield from status(url, count)
        yield from upgrades(bench, url, count)
        yield from growth(bench, url, count)
        yield from memory(bench, url, count)
        yield from kills(bench, url, times)
    yield from databases(bench, servers)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table, and return 1 where something does not hold."""
    made = argparse.ArgumentParser(prog="python -m benchmarks.fleet", description=__doc__)
    made.add_argument("--schemas", type=int, default=100, help="tenants of the one database (100)")
    made.add_argument("--databases", type=int, default=5, help="databases of one tenant each (5)")
    made.add_argument("--kills", type=int, default=3, help="how often an upgrade is killed (3)")
    args = made.parse_args(argv)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    lines = []
    with server() as url, tempfile.TemporaryDirectory(prefix="diwa-bench-") as folder:
        bench = Bench(Address(url), Path(folder))
        for found in table(bench, args.schemas, args.databases, args.kills):
            sys.stderr.write(f"{json.dumps(found)}\n")
            lines.append(found)
    print(f"{args.schemas} schemas, {args.databases} databases, {os.cpu_count()} processors,", end=" ")
    print(f"load {os.getloadavg()[0]:.1f}\n")
    print(markdown(("what", "took", "against", "ratio", "holds"), lines))
    return int(any("**no**" in found[-1] for found in lines))


if __name__ == "__main__":
    sys.exit(main())
