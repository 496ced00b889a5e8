"""Writers and readers go on while a migration runs: nobody waits for it longer than the stall allows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from tests.fixtures_databases import database_name
from tests.fixtures_server import Server
from tests.run import seeds
from tests.run.histories import extended
from tests.run.launcher import Launcher, Outcome
from tests.run.traffic import Reader, Stalls, Traffic

# What is measured is time, so nothing else may take the processor meanwhile.
pytestmark = pytest.mark.live

STALL = 100  # milliseconds, as the command has it by default
# How exactly a wait can be told: the time between two looks, and what the server's timers are late.
GRAIN = 30  # milliseconds
QUIET = 1.0  # seconds without a migration, which tell how long requests take anyway
READS = 10.0  # seconds

MEMORIES = 20_000
EMBEDDINGS = 1_000

ADD_COLUMN = "op.add_column('memories', sa.Column('extra', sa.Text()))"
# The tables that the migration waits for one after the other, after the first that it gets at once.
IN_TURN = ("contexts", "memories", "memory_versions", "tasks")
SEVERAL = f"""
for table in ('organizations', *{IN_TURN}):
    op.add_column(table, sa.Column('extra', sa.Text()))
""".strip()
# The revision before the migration, and after it: one of the package's own, or what those of the test do.
STEPS: dict[str, tuple[str, str | tuple[str, ...]]] = {
    "transactional ALTER": ("20251227042000", "20251229030717"),
    "several tables": (
        "head",
        (SEVERAL,),
    ),
    "concurrent index": ("20260107201000", "20260107203000"),
    "retype": ("20260228000500", "20260228010000"),
    "backfill": ("head", (ADD_COLUMN, "steps.backfill('memories', \"extra = 'old'\", 'extra IS NULL')")),
    "check": ("head", ("steps.add_check('content_there', 'memories', 'content IS NOT NULL')",)),
    "foreign key": (
        "head",
        ("steps.add_foreign_key('version_of', 'memory_versions', ['memory_id'], 'memories')",),
    ),
    "set not null": ("head", ("steps.set_not_null('memories', 'organization_id')",)),
}


@pytest.fixture(scope="session")
def busy(server: Server, launcher: Launcher) -> Iterator[Callable[[str], str]]:
    """Makes a database at a revision, with many rows in it, and returns its URL."""
    templates: dict[str, str] = {}
    names: list[str] = []

    def make(revision: str) -> str:
        if revision not in templates:
            templates[revision] = database_name()
            url = server.create(templates[revision])
            assert launcher.run("upgrade", revision, "--url", url).code == 0
            seeds.fill(url)
            seeds.multiply(url, MEMORIES, EMBEDDINGS)
        names.append(database_name())
        return server.create(names[-1], templates[revision])

    yield make
    for name in (*names, *templates.values()):
        server.drop(name)


def migrate(launcher: Launcher, url: str, after: str | tuple[str, ...], folder: Path) -> Outcome:
    if isinstance(after, str):
        return launcher.run("upgrade", after, "--url", url, "--max-stall", str(STALL))
    return launcher.run("upgrade", "--url", url, "--max-stall", str(STALL), history=extended(folder, *after))


@dataclass(frozen=True, slots=True)
class Measured:
    """What the application noticed of a migration.

    Args:
        seconds: How long the migration took.
        requests: How many requests were under way meanwhile.
        longest: The longest of them, in milliseconds.
        noise: The longest before the migration began.
    """

    seconds: float
    requests: int
    longest: float
    noise: float


def under_traffic(
    launcher: Launcher, url: str, after: str | tuple[str, ...], folder: Path, reads: float
) -> Measured:
    """Migrate while the application goes on; a reader is in the way for `reads` seconds."""
    with Traffic(url) as traffic:
        quiet = time.monotonic()
        time.sleep(QUIET)
        began = time.monotonic()
        with Reader(url, reads) if reads else nullcontext():
            outcome = migrate(launcher, url, after, folder)
        ended = time.monotonic()
        time.sleep(0.2)
    assert outcome.code == 0, outcome.err
    assert [request.error for request in traffic.requests if request.error] == []
    requests = traffic.between(began, ended)
    return Measured(
        ended - began, len(requests), traffic.longest(began, ended), traffic.longest(quiet, began)
    )


def not_noticed(found: Measured, stall: float) -> str:
    """Assert that no request waited for the migration longer than it may, and say what was measured."""
    said = (
        f"{found.seconds:.1f} s, {found.requests} requests, stalled for {stall:.0f} ms at most;"
        f" longest request {found.longest:.0f} ms, without the migration {found.noise:.0f} ms"
    )
    assert found.requests, said
    assert stall <= STALL + GRAIN + found.noise, said
    assert found.longest <= STALL + GRAIN + 3 * max(found.noise, GRAIN), said
    return said


@pytest.fixture
def steps(server: Server) -> dict[str, tuple[str, str | tuple[str, ...]]]:
    """The steps that there is something to do for: without pgvector nothing is retyped."""
    return {name: step for name, step in STEPS.items() if name != "retype" or server.has_vector}


@pytest.mark.parametrize("step", STEPS)
def test_nobody_waits_longer_than_the_stall(launcher, busy, tmp_path, steps, step, measured):
    if step not in steps:
        pytest.skip("there is nothing to retype without pgvector")
    before, after = steps[step]
    url = busy(before)
    with Stalls(url) as stalls:
        found = under_traffic(launcher, url, after, tmp_path / "history", 0)
    measured(not_noticed(found, stalls.longest(url)))


WAITING_FOR = """
SELECT c.relname FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_stat_activity a ON a.pid = l.pid
WHERE NOT l.granted AND a.datname = current_database() AND starts_with(a.application_name, 'diwa-schema diwa/')
AND clock_timestamp() - l.waitstart > interval '180 ms'
"""


def test_waits_for_several_tables_do_not_add_up(launcher, busy, tmp_path, measured):
    # Each table comes free after a third of the stall; meanwhile those that the migration has got already wait.
    url, history = busy("head"), extended(tmp_path / "history", SEVERAL)
    with ExitStack() as stack:
        stalls, _ = stack.enter_context(Stalls(url)), stack.enter_context(Traffic(url, "organizations"))
        readers = {name: stack.enter_context(psycopg.connect(url)) for name in IN_TURN}
        for name, reader in readers.items():
            reader.execute(f"SELECT count(*) FROM {name}".encode())
        run = launcher.start("upgrade", "--url", url, "--max-stall", "600", history=history)
        looking = stack.enter_context(psycopg.connect(url, autocommit=True))
        while not run.over.wait(0.005):
            for (name,) in looking.execute(WAITING_FOR):
                readers[name].commit()
        outcome = run.wait()
    assert outcome.code == 0, outcome.err
    assert 180 < stalls.longest(url) <= 600 + GRAIN
    measured(f"stalled for {stalls.longest(url):.0f} ms at most, where 600 are allowed")


def test_nor_with_a_long_reader_in_the_way(launcher, server, busy, tmp_path, steps, measured):
    urls = {name: busy(before) for name, (before, _) in steps.items()}

    def one(name: str) -> Measured:
        return under_traffic(launcher, urls[name], steps[name][1], tmp_path / name.replace(" ", "-"), READS)

    with Stalls(server.admin_url) as stalls, ThreadPoolExecutor(len(steps)) as pool:
        found = dict(zip(steps, pool.map(one, steps), strict=True))
    for name, one_found in found.items():
        measured(f"{name}: {not_noticed(one_found, stalls.longest(urls[name]))}")
    assert [name for name in found if found[name].seconds > READS]
