"""Fixing what is safe: the application goes on meanwhile, and the connection stays as it was."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
import sqlalchemy as sa

import diwa_schema
from diwa_schema.database.target import Target
from diwa_schema.errors import DatabaseRefused, MigrationFailed
from tests.drift.drifts import rewritten

pytestmark = pytest.mark.usefixtures("owner_directory")

WANTED = (
    "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'tasks'::regclass AND mode <> 'AccessShareLock'"
)
MET = 3  # times that the table was wanted while somebody had it
UNHURRIED = 0.5  # seconds that a reader may be made to wait, many times what a run allows


def longest_read(url: str, ended: threading.Event) -> float:
    """Read the table again and again; return the longest time, in seconds, that it took."""
    longest = 0.0
    with psycopg.connect(url, autocommit=True) as reader:
        while not ended.wait(0.001):
            began = time.monotonic()
            reader.execute("SELECT count(*) FROM tasks")
            longest = max(longest, time.monotonic() - began)
    return longest


def tries(connection: psycopg.Connection) -> int:
    """Return how many times a change wanted the table, once that is often enough or has taken too long."""
    seen, wanted, give_up = 0, False, time.monotonic() + 20
    while seen < MET and time.monotonic() < give_up:
        before, wanted = wanted, connection.execute(WANTED).fetchone() is not None
        seen += wanted and not before
        time.sleep(0.005)
    return seen


def test_safe_fixes_do_not_make_the_application_wait(legacy: Callable[[str], str]) -> None:
    url = legacy("ecto_no_vector")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "ALTER TABLE tasks DROP CONSTRAINT tasks_context_id_fkey, ALTER title DROP NOT NULL"
        )
        connection.execute("DROP INDEX tasks_status_index")
    ended = threading.Event()
    with psycopg.connect(url) as slow, ThreadPoolExecutor() as pool:
        slow.execute("SELECT count(*) FROM tasks")
        reading = pool.submit(longest_read, url, ended)
        adopting = pool.submit(diwa_schema.adopt, url, fix=True)
        try:
            seen = tries(slow)
        finally:
            slow.rollback()
            ended.set()
        adopting.result()
    assert seen == MET
    assert reading.result() < UNHURRIED
    assert diwa_schema.status(url).revision == "20260228010000"
    assert diwa_schema.check(url) == []


def test_nothing_is_fixed_before_all_of_it_can_be(legacy: Callable[[str], str]) -> None:
    """What is said is true: a refused fix changes nothing, and each next step comes nearer to the takeover."""
    url = legacy("ecto_no_vector")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER TABLE tasks ADD COLUMN surplus int")
        connection.execute("DROP INDEX tasks_status_index")
    with pytest.raises(DatabaseRefused) as refused:
        diwa_schema.adopt(url, fix=True)
    assert {one["object"] for one in refused.value.facts["differences"]} == {"surplus", "tasks_status_index"}
    assert refused.value.untouched == "Nothing was changed."
    assert "Decide on the one" in str(refused.value.next_step)
    with Target.of(url).connect() as link:
        assert link.value("SELECT count(*) FROM pg_class WHERE relname = 'tasks_status_index'") == 0
    # The statement that is printed for it, without the one that loses values where there are some.
    (statement,) = re.findall(r"ALTER TABLE \S+ DROP COLUMN \S+?;", refused.value.what)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)
    with pytest.raises(DatabaseRefused) as refused:
        diwa_schema.adopt(url)
    assert "adopt --fix" in str(refused.value.next_step)
    diwa_schema.adopt(url, fix=True)
    assert diwa_schema.check(url) == []


def test_a_fix_that_the_rows_do_not_bear_says_so(legacy: Callable[[str], str]) -> None:
    url = legacy("ecto_no_vector")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER TABLE tasks ALTER title DROP NOT NULL")
        connection.execute("UPDATE tasks SET title = NULL")
    with pytest.raises(MigrationFailed):
        diwa_schema.adopt(url, fix=True)


@pytest.mark.parametrize("enforced", [True, False])
def test_a_connection_of_sqlite_is_left_as_it_was(legacy: Callable[[str], str], *, enforced: bool) -> None:
    url = legacy("sqlite_head")
    with Target.of(url).connect() as link:
        for statement in rewritten("tasks", "DEFAULT 'pending'", "DEFAULT 'done'").split(";"):
            link.execute(statement)
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        raw = connection.connection.driver_connection
        assert raw is not None
        raw.execute(f"PRAGMA foreign_keys = {'ON' if enforced else 'OFF'}")
        before = raw.execute("SELECT * FROM tasks").fetchall()
        connection.rollback()

        diwa_schema.adopt(connection, fix=True)

        assert raw.execute("PRAGMA foreign_keys").fetchone() == (int(enforced),)
        assert raw.execute("SELECT * FROM tasks").fetchall() == before
        assert "'pending'" in raw.execute("SELECT sql FROM sqlite_master WHERE name = 'tasks'").fetchone()[0]
    engine.dispose()
