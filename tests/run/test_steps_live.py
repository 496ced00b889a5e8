"""Safe steps on a database that others use, and autovacuum with it: what they finish, leave, and wait for."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import psycopg
import pytest

from diwa_schema import Settings, api
from diwa_schema.errors import TableLockBusy
from diwa_schema.migrations import manifest
from tests.fixtures_databases import database_name
from tests.run import seeds
from tests.run.asking import PATIENCE, execute, until, value
from tests.run.histories import FIRST, extended
from tests.run.launcher import Launcher, Outcome
from tests.run.servers import OwnServer

HEAD = manifest.load().head
INDEX, BEFORE_INDEX = "20260107203000", "20260107201000"
BUILD = "^CREATE INDEX CONCURRENTLY memories_sync_origin_index"
ADD_COLUMN = "op.add_column('memories', sa.Column('extra', sa.Integer()))"
VERSION = "SELECT version_num FROM diwa_schema_version"
NOT_VALID = "SELECT count(*) FROM pg_index WHERE NOT indisvalid"


@pytest.fixture
def filled(launcher: Launcher, postgres: str) -> str:
    """A database at head with some thousand rows in `memories`."""
    assert launcher.run("upgrade", "--url", postgres).code == 0
    seeds.fill(postgres)
    seeds.multiply(postgres, 5_000)
    return postgres


def test_an_index_that_a_dead_run_is_still_building_is_waited_for(launcher, postgres):
    assert launcher.run("upgrade", BEFORE_INDEX, "--url", postgres).code == 0
    seeds.fill(postgres)
    dead = launcher.start("upgrade", INDEX, "--url", postgres, match=BUILD, at=1, how="pause").pauses()
    with psycopg.connect(postgres) as writer:
        writer.execute("UPDATE memories SET content = 'in a transaction'")
        dead.go()
        until(postgres, "SELECT count(*) FROM pg_stat_progress_create_index")
        os.kill(dead.pid, signal.SIGKILL)
        dead.wait()
        index = "SELECT 'memories_sync_origin_index'::regclass::oid::bigint"
        before = value(postgres, index)
        with ThreadPoolExecutor(1) as pool:
            again = pool.submit(launcher.run, "upgrade", INDEX, "--url", postgres)
            time.sleep(1)
            writer.commit()
            outcome = again.result()
    assert outcome.code == 0, outcome.err
    assert "is being built by server process" in outcome.err
    assert value(postgres, index) == before
    assert value(postgres, NOT_VALID) == 0


def test_a_build_of_somebody_else_is_waited_for_no_longer_than_a_build_may_take(launcher, postgres):
    assert launcher.run("upgrade", BEFORE_INDEX, "--url", postgres).code == 0
    seeds.fill(postgres)
    columns = "ADD sync_origin varchar(20) DEFAULT 'cloud', ADD remote_id uuid"
    execute(postgres, f"ALTER TABLE memories {columns}", f"ALTER TABLE contexts {columns}")
    build = "CREATE INDEX CONCURRENTLY memories_sync_origin_index ON memories (sync_origin)"
    with ThreadPoolExecutor(1) as pool, psycopg.connect(postgres) as writer:
        writer.execute("UPDATE memories SET content = 'in a transaction'")
        other = pool.submit(execute, postgres, build)
        until(postgres, "SELECT count(*) FROM pg_stat_progress_create_index WHERE index_relid <> 0")
        began = time.monotonic()
        with pytest.raises(TableLockBusy, match=r"being built by server process \d+. Waited 1 s"):
            api.migrate(postgres, INDEX, settings=Settings(build_timeout=1, lock_budget=2), repo="diwa-cloud")
        assert time.monotonic() - began < 10
        writer.commit()
        other.result()
    assert api.migrate(postgres, INDEX, repo="diwa-cloud").after == INDEX


OLDER = "SELECT count(*) FROM pg_stat_progress_create_index WHERE phase LIKE 'waiting%'"


@pytest.mark.parametrize("lost", [False, True], ids=["said", "without the lock"])
def test_a_build_says_whose_transaction_it_waits_for_and_proves_its_lock(launcher, postgres, lost):
    assert launcher.run("upgrade", BEFORE_INDEX, "--url", postgres).code == 0
    seeds.fill(postgres)
    with (
        psycopg.connect(postgres, application_name="another tenant") as tenant,
        ThreadPoolExecutor(1) as pool,
    ):
        # It has read something, and has nothing to do with our tables.
        tenant.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        tenant.execute("SELECT 1")
        run = pool.submit(launcher.run, "upgrade", INDEX, "--url", postgres)
        until(postgres, OLDER)
        time.sleep(2.5)
        if lost:
            ended = (
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            )
            execute(postgres, f"{ended} AND application_name LIKE 'diwa-schema migrate%'")
        else:
            tenant.commit()
        outcome = run.result(timeout=30)
    assert "application 'another tenant'" in outcome.err
    assert "0 of 0" not in outcome.err
    assert outcome.code == (6 if lost else 0), outcome.err
    if lost:
        assert "migration lock" in outcome.err


def test_a_backfill_goes_on_where_a_killed_run_stopped(launcher, filled, tmp_path):
    # It is no repetition: each row is counted up once, however often the step is run.
    count = "steps.backfill('memories', 'extra = coalesce(extra, 0) + 1')"
    history = extended(tmp_path / "history", ADD_COLUMN, count)
    killed = launcher.run(
        "upgrade", "--url", filled, history=history, match="^UPDATE diwa_schema_position", at=3
    )
    assert killed.code == -signal.SIGKILL
    done = value(filled, "SELECT count(*) FROM memories WHERE extra IS NOT NULL")
    assert 0 < done < 5_000
    again = launcher.run("upgrade", "--url", filled, history=history)
    assert again.code == 0, again.err
    assert value(filled, "SELECT count(*) FROM memories WHERE extra IS DISTINCT FROM 1") == 0
    # The rows of the first run are no part of what the second one did, nor of its rate.
    rows = value(filled, "SELECT count(*) FROM memories")
    assert f"memories.extra: {rows - done:,} rows in " in again.err
    assert value(filled, "SELECT to_regclass('diwa_schema_position') IS NULL")


def test_batches_adapt_to_the_stall_and_say_how_far_they_are(launcher, filled, tmp_path):
    slow = "steps.backfill('memories', \"extra = length(pg_sleep(0.0002)::text)\")"
    execute(filled, "DELETE FROM memories WHERE ctid IN (SELECT ctid FROM memories LIMIT 3500)")
    history = extended(tmp_path / "history", ADD_COLUMN, slow)
    outcome = launcher.run("upgrade", "--url", filled, "--max-stall", "100", history=history)
    assert outcome.code == 0, outcome.err
    batches = [said for _, said in outcome.log if said.startswith("UPDATE") and "pg_sleep" in said]
    # A batch of 1,000 rows takes a quarter of a second and more, so they become smaller.
    assert len(batches) > 5
    assert re.search(r": [\d,]+ of about [\d,]+ rows, [\d,]+/s, \d+ s left", outcome.err)


STOPPED = {
    "set not null": ("steps.set_not_null('memories', 'extra')", "extra IS NULL"),
    "check": ("steps.add_check('extra_there', 'memories', 'extra IS NOT NULL')", "extra IS NULL"),
    "foreign key": (
        "steps.add_foreign_key('extra_key', 'memory_versions', ['parent_version_id'], 'memories')",
        None,
    ),
}


@pytest.mark.parametrize("step", STOPPED)
def test_a_constraint_that_rows_break_leaves_nothing_behind(launcher, filled, tmp_path, dump, step):
    history = extended(tmp_path / "history", ADD_COLUMN, STOPPED[step][0])
    assert launcher.run("upgrade", str(FIRST), "--url", filled, history=history).code == 0
    execute(filled, "UPDATE memory_versions SET parent_version_id = gen_random_uuid()")
    constraints = "SELECT string_agg(conname, ',' ORDER BY conname) FROM pg_constraint"
    before = value(filled, constraints)
    failed = launcher.run("upgrade", "--url", filled, history=history)
    assert failed.code == 6, failed.out
    assert "rolled back" in failed.err
    assert value(filled, constraints) == before
    assert value(filled, VERSION) == str(FIRST)
    entry = "SELECT outcome || ' ' || sqlstate FROM diwa_schema_ledger ORDER BY id DESC LIMIT 1"
    assert value(filled, entry) in ("failed 23502", "failed 23503", "failed 23514")


def test_two_steps_in_one_revision_are_refused(launcher, filled, tmp_path):
    two = (
        "steps.add_check('one', 'memories', 'id IS NOT NULL')\n"
        "steps.add_check('two', 'memories', 'id IS NOT NULL')"
    )
    history = extended(tmp_path / "history", two)
    refused = launcher.run("upgrade", "--url", filled, history=history)
    assert refused.code == 6, refused.out
    assert "2 steps instead of one" in refused.err
    assert value(filled, VERSION) == HEAD


def test_a_concurrent_build_inside_a_transaction_is_refused_by_the_server(launcher, filled, tmp_path):
    build = "op.create_index('i', 'memories', ['content'], postgresql_concurrently=True)"
    refused = launcher.run("upgrade", "--url", filled, history=extended(tmp_path / "history", build))
    assert refused.code == 6, refused.out
    assert "CONCURRENTLY cannot run inside a transaction block" in refused.err
    assert value(filled, VERSION) == HEAD


def test_a_batch_is_as_large_as_its_own_work_allows(launcher, filled, tmp_path):
    """The attempts before, which met a lock, and the pauses between them are none of it."""
    execute(
        filled,
        "CREATE TABLE batches (number serial, size integer)",
        """CREATE FUNCTION count_batch() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN INSERT INTO public.batches (size) SELECT count(*) FROM changed; RETURN NULL; END'""",
        """CREATE TRIGGER count_batch AFTER UPDATE ON memories REFERENCING NEW TABLE AS changed
        FOR EACH STATEMENT EXECUTE FUNCTION count_batch()""",
    )
    history = extended(tmp_path / "history", "steps.backfill('memories', \"actor = 'calm'\", 'true')")
    with psycopg.connect(filled) as other, ThreadPoolExecutor(1) as pool:
        other.execute("SELECT FROM memories ORDER BY id LIMIT 1 FOR UPDATE")
        run = pool.submit(launcher.run, "upgrade", "--url", filled, "--max-stall", "1000", history=history)
        until(filled, "SELECT count(*) FROM pg_locks WHERE NOT granted")
        time.sleep(3)
        other.rollback()
        outcome = run.result()
    assert outcome.code == 0, outcome.err
    assert value(filled, "SELECT lock_waits FROM diwa_schema_ledger ORDER BY id DESC LIMIT 1") > 1
    assert value(filled, "SELECT size FROM batches ORDER BY number OFFSET 1 LIMIT 1") >= 500


# Vacuum of `memories` that takes minutes, and begins as soon as autovacuum looks.
SLOW_VACUUM = """ALTER TABLE memories SET (autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1)"""
# One try to meet it, one to see who it is; the next is granted. On a starved machine the second sees nobody at times.
TRIES = 6
VACUUMING = "SELECT count(*) FROM pg_stat_progress_vacuum WHERE datname = current_database()"
CALLS = 6  # as many times autovacuum is called; once is enough, but seldom it does not come
WORKERS = """SELECT string_agg(concat_ws(' ', backend_type, datname, wait_event, query), '; ')
    FROM pg_stat_activity WHERE backend_type LIKE 'autovacuum%'"""


def call_autovacuum(url: str) -> None:
    """Wait until autovacuum is at work; give it more to do, and wake its launcher, where it does not come."""
    for _ in range(CALLS):
        with suppress(AssertionError):
            return until(url, VACUUMING, patience=PATIENCE / CALLS)
        execute(url, "UPDATE memories SET content = content || '.'", "SELECT pg_reload_conf()")
    pytest.fail(f"autovacuum does not come: {value(url, WORKERS)}")


@pytest.fixture
def vacuumed(own_server: OwnServer, launcher: Launcher) -> Iterator[str]:
    """A database in which autovacuum is at work on `memories`; its owner is no superuser."""
    name, role = database_name(), "mover"
    url = own_server.create(name)
    execute(url, f"DROP ROLE IF EXISTS {role}", f"CREATE ROLE {role} LOGIN")
    execute(url, f"ALTER DATABASE {name} OWNER TO {role}", f"GRANT ALL ON SCHEMA public TO {role}")
    assert launcher.run("upgrade", "--url", of(url, role)).code == 0
    seeds.fill(url)
    seeds.multiply(url, 5_000)
    execute(url, SLOW_VACUUM, "UPDATE memories SET content = content || '.'")
    call_autovacuum(url)
    yield url
    own_server.drop(name)
    execute(own_server.admin_url, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def of(url: str, role: str) -> str:
    return url.replace("//postgres@", f"//{role}@")


def beside_autovacuum(launcher: Launcher, url: str, history: object, *more: str) -> tuple[Outcome, int]:
    """Add a column while autovacuum is at work; return how that ended and how many tries it took."""
    call_autovacuum(url)
    outcome = launcher.run("upgrade", "--url", url, *more, history=history)
    waits = "SELECT lock_waits FROM diwa_schema_ledger ORDER BY id DESC LIMIT 1"
    return outcome, value(url, waits)


def test_autovacuum_gives_way_to_who_may_set_deadlock_timeout(launcher, vacuumed, tmp_path, measured):
    history = extended(tmp_path / "history", ADD_COLUMN)
    outcome, waits = beside_autovacuum(launcher, vacuumed, history)
    assert outcome.code == 0, outcome.err
    assert "asking autovacuum to give way (pid" in outcome.err
    assert waits <= TRIES, outcome.err
    measured(f"superuser: {outcome.seconds:.1f} s, granted at try {waits + 1}")


def test_the_grant_is_named_where_deadlock_timeout_may_not_be_set(launcher, vacuumed, tmp_path, measured):
    history = extended(tmp_path / "history", ADD_COLUMN)
    refused, _ = beside_autovacuum(launcher, of(vacuumed, "mover"), history)
    assert refused.code == 5, refused.err
    grant = 'GRANT SET ON PARAMETER deadlock_timeout TO "mover"'
    assert grant in refused.err
    assert "--allow-stall" in refused.err
    assert "rolled back" in refused.err
    assert value(vacuumed, VERSION) == HEAD
    execute(vacuumed, grant)
    outcome, waits = beside_autovacuum(launcher, of(vacuumed, "mover"), history)
    assert outcome.code == 0, outcome.err
    assert waits <= TRIES, outcome.err
    measured(f"with the grant: {outcome.seconds:.1f} s, granted at try {waits + 1}")


def test_one_longer_try_makes_autovacuum_give_way_where_a_stall_is_allowed(
    launcher, vacuumed, tmp_path, measured
):
    history = extended(tmp_path / "history", ADD_COLUMN)
    outcome, waits = beside_autovacuum(launcher, of(vacuumed, "mover"), history, "--allow-stall")
    assert outcome.code == 0, outcome.err
    assert "waiting longer than the stall allows" in outcome.err
    assert waits <= TRIES, outcome.err
    measured(f"--allow-stall: {outcome.seconds:.1f} s, granted at try {waits + 1}")


def test_short_tries_alone_never_get_past_autovacuum(vacuumed, measured):
    call_autovacuum(vacuumed)
    tries, give_up = 0, time.monotonic() + 3
    with psycopg.connect(vacuumed, autocommit=True) as connection:
        connection.execute("SET lock_timeout = '100ms'")
        while time.monotonic() < give_up:
            with pytest.raises(psycopg.errors.LockNotAvailable):
                connection.execute("ALTER TABLE memories ADD COLUMN extra integer")
            tries += 1
    measured(f"{tries} tries of 100 ms in vain")
