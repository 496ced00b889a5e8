"""The migration lock: one at a time, told who holds it, proved while it is held, freed by death."""

from __future__ import annotations

import subprocess
import sys
import time

import psycopg
import pytest

from diwa_schema.database import lock
from diwa_schema.database.target import Target
from diwa_schema.errors import MigrationLockBusy, MigrationLockLost

HOLD = """
import sys, time
from diwa_schema.database import lock
from diwa_schema.database.target import Target
held = lock.acquire(Target.of(sys.argv[1]), "main" if "sqlite" in sys.argv[1] else "public", 0, print)
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def schema(database):
    return "main" if database.startswith("sqlite") else "public"


@pytest.fixture
def holder(database):
    process = subprocess.Popen([sys.executable, "-c", HOLD, database], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_runner_is_told_who_holds_the_lock(database, schema, holder):
    told: list[str] = []
    with pytest.raises(MigrationLockBusy) as caught:
        lock.acquire(Target.of(database), schema, 0.3, told.append)
    assert "pid" in caught.value.facts["holder"]
    assert "since 20" in caught.value.facts["holder"]
    assert len(told) == 1
    if database.startswith("sqlite"):
        assert f"pid {holder.pid}," in told[0]


def test_without_waiting_it_fails_at_once(database, schema, holder):
    began = time.monotonic()
    with pytest.raises(MigrationLockBusy):
        lock.acquire(Target.of(database), schema, 0, print)
    assert time.monotonic() - began < 5


def test_a_killed_holder_frees_the_lock(database, schema, holder):
    holder.kill()
    held = lock.acquire(Target.of(database), schema, 10, print)
    held.prove()
    held.release()


def test_a_released_lock_leaves_nothing_behind(sqlite, tmp_path):
    lock.acquire(Target.of(sqlite), "main", 0, print).release()
    assert list(tmp_path.glob("*.migration-lock")) == []


def test_a_lock_whose_session_was_ended_is_not_proved(postgres):
    held = lock.acquire(Target.of(postgres), "public", 0, print)
    assert isinstance(held, lock.AdvisoryLock)
    held.prove()
    with psycopg.connect(postgres, autocommit=True) as other:
        # The second argument lets the server wait for the end, in milliseconds.
        other.execute("SELECT pg_terminate_backend(%s, 60000)", (held.link.raw.info.backend_pid,))
    with pytest.raises(MigrationLockLost):
        held.prove()
    held.release()


def test_a_lock_file_that_was_replaced_is_not_proved(sqlite, tmp_path):
    held = lock.acquire(Target.of(sqlite), "main", 0, print)
    (path,) = tmp_path.glob("*.migration-lock")
    path.unlink()
    path.touch()
    with pytest.raises(MigrationLockLost):
        held.prove()
    held.release()
    path.unlink()


def test_the_fence_keeps_a_second_runner_out_of_a_transaction(postgres):
    with Target.of(postgres).connect() as first, Target.of(postgres).connect() as second:
        with lock.fence(first, "public"):
            with pytest.raises(MigrationLockLost), lock.fence(second, "public"):
                pass
            assert not second.raw.info.transaction_status
        with lock.fence(second, "public"):
            pass


def test_a_new_holder_waits_for_a_transaction_that_the_former_left_open(postgres):
    with (
        Target.of(postgres).connect() as former,
        lock.fence(former, "public"),
        pytest.raises(MigrationLockBusy),
    ):
        lock.acquire(Target.of(postgres), "public", 0.2, print)


def test_schemas_have_locks_of_their_own():
    assert len({*lock.keys("public"), *lock.keys("other")}) == 4


def test_waiting_does_not_deadlock_with_a_concurrent_index(postgres):
    held = lock.acquire(Target.of(postgres), "public", 0, print)
    waiting = subprocess.Popen(
        [sys.executable, "-c", HOLD.replace(", 0,", ", 30,"), postgres], stdout=subprocess.PIPE
    )
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("CREATE TABLE big AS SELECT generate_series(1, 100000) AS n")
        time.sleep(0.7)
        connection.execute("CREATE INDEX CONCURRENTLY big_n ON big (n)")
    held.release()
    assert waiting.stdout is not None
    assert b"held" in b"".join(iter(waiting.stdout.readline, b"held\n")) + b"held"
    waiting.kill()
    waiting.wait()
    waiting.stdout.close()
