"""What keeps a run safe, one protection at a time, on real processes and real servers.

Each test here fails when its protection is taken out of the package.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator

import psycopg
import pytest
import sqlalchemy as sa

from diwa_schema import api
from diwa_schema.migrations import manifest
from tests.run import seeds
from tests.run.asking import execute, until, value
from tests.run.histories import FIRST, extended
from tests.run.killable import terminate
from tests.run.poolers import Pooler
from tests.run.traffic import Reader, Stalls, Traffic

HEAD = manifest.load().head
SECOND = manifest.load().ids[1]
LOCK, WORK = "diwa-schema migrate", "diwa-schema diwa/"
INDEX, BEFORE_INDEX = "20260107203000", "20260107201000"
ADD_COLUMN = "op.add_column('memories', sa.Column('extra', sa.Text()))"
BACKFILL = "steps.backfill('memories', \"extra = 'x'\", 'extra IS NULL')"


def applied_twice(url: str) -> object:
    return value(
        url,
        "SELECT count(*) FROM (SELECT revision FROM diwa_schema_ledger WHERE outcome = 'applied'"
        " GROUP BY revision HAVING count(*) > 1) AS r",
    )


def test_the_lock_keeps_a_second_run_out(launcher, database):
    first = launcher.start(
        "upgrade", "--url", database, "--replay", how="pause", match="TABLE plans", at=1
    ).pauses()
    second = launcher.run("upgrade", "--url", database, "--lock-wait", "0")
    assert first.go().wait().code == 0
    assert second.code == 5, second.err
    assert f"pid {first.pid}" in second.err or database.startswith("postgresql")


def test_a_lock_that_is_lost_stops_the_run_before_the_next_batch(launcher, postgres, tmp_path):
    history = extended(tmp_path / "history", ADD_COLUMN, BACKFILL)
    assert launcher.run("upgrade", "--url", postgres).code == 0
    seeds.fill(postgres, 2)
    seeds.multiply(postgres, 5_000)
    moved = "^UPDATE diwa_schema_position"
    run = launcher.start(
        "upgrade", "--url", postgres, history=history, how="pause", match=moved, at=2
    ).pauses()
    terminate(postgres, LOCK)
    stopped = run.go().wait()
    filled = value(postgres, "SELECT count(*) FROM memories WHERE extra = 'x'")
    assert stopped.code == 6, stopped.out
    assert "The migration lock" in stopped.err
    assert "was lost" in stopped.err
    assert isinstance(filled, int)
    assert 1_000 < filled < 5_000
    assert launcher.run("upgrade", "--url", postgres, history=history).code == 0
    assert value(postgres, "SELECT count(*) FROM memories WHERE extra IS NULL") == 0


@pytest.mark.parametrize(
    "match", [r"^INSERT INTO \"public\"\.\"diwa_schema_ledger\"", "FROM pg_index i JOIN pg_class"]
)
def test_a_lock_that_is_lost_stops_the_run_before_it_builds_an_index(launcher, postgres, match):
    registry = next(one for one in manifest.load() if one.slug == "registry_context_index")
    assert launcher.run("upgrade", str(registry.down_revision), "--url", postgres).code == 0
    run = launcher.start("upgrade", "--url", postgres, how="pause", match=match, at=1).pauses()
    terminate(postgres, LOCK)
    stopped = run.go().wait()
    assert stopped.code == 6, stopped.out
    assert "The migration lock" in stopped.err
    assert "was lost" in stopped.err
    assert value(postgres, "SELECT to_regclass('context_registry_context_id_index') IS NULL")
    assert launcher.run("upgrade", "--url", postgres).code == 0


def test_a_lock_file_that_is_replaced_stops_the_run(launcher, sqlite, tmp_path):
    run = launcher.start(
        "upgrade", "--url", sqlite, "--replay", how="pause", match="CREATE TABLE plans", at=1
    )
    run.pauses()
    (file,) = tmp_path.glob("*.migration-lock")
    file.unlink()
    stopped = run.go().wait()
    assert stopped.code == 6, stopped.out
    assert "was lost" in stopped.err
    assert launcher.run("upgrade", "--url", sqlite).code == 0
    assert applied_twice(sqlite) == 0


def test_no_run_begins_while_one_without_its_lock_is_inside_a_transaction(launcher, postgres):
    first = launcher.start("upgrade", "--url", postgres, "--replay", how="pause", match="TABLE plans", at=1)
    first.pauses()
    terminate(postgres, LOCK)
    refused = launcher.run("upgrade", "--url", postgres, "--lock-wait", "0")
    waiting = launcher.start("upgrade", "--url", postgres)
    stopped = first.go().wait()
    assert refused.code == 5, refused.err
    assert "application 'diwa-schema diwa/" in refused.err
    assert stopped.code == 6, stopped.err
    assert waiting.wait().code == 0
    assert value(postgres, "SELECT version_num FROM diwa_schema_version") == HEAD
    assert applied_twice(postgres) == 0


def test_no_transaction_goes_on_while_another_run_is_inside_one(launcher, postgres):
    fence = r"^BEGIN .*; SELECT pg_try_advisory_xact_lock\('"
    first = launcher.start("upgrade", "--url", postgres, "--replay", how="pause", match=fence, at=2)
    first.pauses()  # its lock is proved
    terminate(postgres, LOCK)
    second = launcher.start("upgrade", "--url", postgres, how="pause", match="tsv_content", at=1).pauses()
    stopped = first.go().wait()
    assert second.go().wait().code == 0
    assert stopped.code == 6, stopped.err
    assert "The migration lock" in stopped.err
    assert "was lost" in stopped.err
    assert applied_twice(postgres) == 0


def leave_a_transaction_open(engine: sa.Engine) -> None:
    """Let each new connection of an Engine set something, as applications do, and not commit that."""

    @sa.event.listens_for(engine, "connect")
    def setting(connection: psycopg.Connection, _: object) -> None:
        connection.execute("SET statement_timeout = '1min'")
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS


@pytest.mark.usefixtures("owner_directory")
@pytest.mark.parametrize("given", ["engine", "connection"])
def test_a_transaction_that_an_application_left_open_does_not_take_the_run_with_it(postgres, given):
    engine = sa.create_engine(postgres.replace("postgresql://", "postgresql+psycopg://"))
    leave_a_transaction_open(engine)
    api.migrate(engine, SECOND)
    with engine.connect() as connection:
        api.migrate(connection if given == "connection" else engine)
        connection.rollback()
    engine.dispose()
    assert value(postgres, "SELECT version_num FROM diwa_schema_version") == HEAD


@pytest.mark.parametrize(
    "upgrade",
    [
        "op.execute('CREATE TABLE half (n integer)')\nop.execute('COMMIT')",
        "with op.get_context().autocommit_block():\n    op.execute('CREATE TABLE half (n integer)')",
    ],
    ids=["COMMIT", "autocommit_block"],
)
def test_a_revision_that_ends_its_transaction_is_not_recorded(launcher, postgres, tmp_path, upgrade):
    assert launcher.run("upgrade", "--url", postgres).code == 0
    history = extended(tmp_path / "history", upgrade)
    failed = launcher.run("upgrade", "--url", postgres, history=history)
    assert failed.code == 6, failed.out
    assert str(FIRST) in failed.err
    assert "transaction" in failed.err
    assert "Traceback" not in failed.err
    assert value(postgres, "SELECT version_num FROM diwa_schema_version") == HEAD
    assert value(postgres, "SELECT count(*) FROM diwa_schema_ledger WHERE outcome = 'applied'") == len(
        manifest.load().ids
    )


@pytest.mark.parametrize("edit", ["# a comment\n", "\n"])
def test_an_edited_revision_stops_every_further_run(launcher, database, tmp_path, dump, edit):
    history = extended(tmp_path / "history", "pass", "pass")
    assert launcher.run("upgrade", "--url", database).code == 0
    assert launcher.run("upgrade", str(FIRST), "--url", database, history=history).code == 0
    path = history / "versions" / f"{FIRST}_test.py"
    path.write_text(path.read_text() + edit)
    document = json.loads((history / "manifest.json").read_text())
    document["revisions"][-2]["sha256"] = manifest.checksum(path)
    (history / "manifest.json").write_text(json.dumps(document))
    before = dump(database)
    refused = launcher.run("upgrade", "--url", database, history=history)
    assert refused.code == 7, refused.err
    assert path.name in refused.err
    assert dump(database) == before
    path.write_bytes(path.read_bytes().removesuffix(edit.encode()).replace(b"\n", b"\r\n"))
    document["revisions"][-2]["sha256"] = manifest.checksum(path)
    (history / "manifest.json").write_text(json.dumps(document))
    assert launcher.run("upgrade", "--url", database, history=history).code == 0


def test_an_invalid_index_is_built_anew(launcher, postgres):
    assert launcher.run("upgrade", BEFORE_INDEX, "--url", postgres).code == 0
    seeds.fill(postgres)
    build = "^CREATE INDEX CONCURRENTLY memories_sync_origin_index"
    run = launcher.start("upgrade", INDEX, "--url", postgres, match=build, at=1, how="pause").pauses()
    with psycopg.connect(postgres) as writer:
        writer.execute("UPDATE memories SET content = 'in a transaction'")
        run.go()
        until(postgres, "SELECT count(*) FROM pg_stat_progress_create_index")
        os.kill(run.pid, signal.SIGKILL)
        terminate(postgres, WORK)
    index = "FROM pg_index WHERE indexrelid = 'memories_sync_origin_index'::regclass"
    assert value(postgres, f"SELECT indisvalid {index}") is False
    assert launcher.run("upgrade", INDEX, "--url", postgres).code == 0
    assert value(postgres, f"SELECT indisvalid {index}") is True
    assert value(postgres, "SELECT count(*) FROM pg_index WHERE NOT indisvalid") == 0


DISCARD = {
    "postgresql": "CREATE RULE discard AS ON UPDATE TO diwa_schema_ledger DO INSTEAD NOTHING",
    "sqlite": "CREATE TRIGGER discard BEFORE UPDATE ON diwa_schema_ledger BEGIN SELECT RAISE(IGNORE); END",
}


def test_what_a_database_does_not_keep_is_noticed(launcher, database):
    assert launcher.run("upgrade", SECOND, "--url", database).code == 0
    execute(database, DISCARD[database.partition(":")[0]])
    noticed = launcher.run("upgrade", "--url", database)
    assert noticed.code == 6, noticed.out
    assert "A fresh connection" in noticed.err
    assert "diwa-schema check" in noticed.err


@pytest.fixture
def pooler(postgres: str) -> Iterator[Callable[[str], str]]:
    """Puts PgBouncer in front of the test's database, in the given mode, and returns the URL through it."""
    made: list[Pooler] = []

    def start(mode: str) -> str:
        made.append(Pooler(postgres, mode))
        return made[-1].url(postgres.rpartition("/")[2])

    yield start
    for one in made:
        one.close()


def test_a_pooler_that_changes_sessions_is_refused(launcher, postgres, pooler, dump):
    url = pooler("transaction")
    before = dump(postgres)
    refused = launcher.run("upgrade", "--url", url)
    assert refused.code == 7, refused.err
    assert "pooler" in refused.err
    assert "DIWA_MIGRATION_DATABASE_URL" in refused.err
    assert dump(postgres) == before
    # Nor is a lock left in a session that the pooler keeps.
    variables = {"DATABASE_URL": url, "DIWA_MIGRATION_DATABASE_URL": postgres}
    assert launcher.run("upgrade", "--lock-wait", "0", env=variables).code == 0


def test_a_pooler_is_recognised_among_other_clients(launcher, postgres, pooler):
    url = pooler("transaction")
    over = threading.Event()

    def ask() -> None:
        with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
            while not over.is_set():
                connection.execute("SELECT 1")

    clients = [threading.Thread(target=ask) for _ in range(4)]
    for client in clients:
        client.start()
    try:
        codes = {launcher.run("upgrade", "--url", url).code for _ in range(10)}
    finally:
        over.set()
        for client in clients:
            client.join()
    assert codes == {7}


def test_a_pooler_that_keeps_sessions_is_none(launcher, postgres, pooler, tmp_path):
    url = pooler("session")
    assert launcher.run("upgrade", "--url", url).code == 0
    history = extended(tmp_path / "history", ADD_COLUMN)
    with Reader(postgres, 3):
        outcome = launcher.run("upgrade", "--url", url, history=history)
    assert outcome.code == 0, outcome.err
    assert "application 'report'" in outcome.err


def test_a_table_in_use_is_tried_for_again(launcher, postgres, tmp_path):
    assert launcher.run("upgrade", "--url", postgres).code == 0
    history = extended(tmp_path / "history", ADD_COLUMN)
    with Reader(postgres, 3):
        outcome = launcher.run("upgrade", "--url", postgres, history=history)
    assert outcome.code == 0, outcome.err
    assert "a table is in use by pid" in outcome.err
    waits = value(postgres, "SELECT lock_waits FROM diwa_schema_ledger ORDER BY id DESC LIMIT 1")
    assert isinstance(waits, int)
    assert waits > 0


def test_a_table_that_stays_in_use_is_named_and_left_alone(launcher, postgres, tmp_path, dump):
    assert launcher.run("upgrade", "--url", postgres).code == 0
    history = extended(tmp_path / "history", ADD_COLUMN)
    with Reader(postgres, 3):
        outcome = launcher.run("upgrade", "--url", postgres, "--lock-budget", "1", history=history)
    assert outcome.code == 5, outcome.out
    assert "application 'report'" in outcome.err
    assert "transaction open for" in outcome.err
    assert value(postgres, "SELECT version_num FROM diwa_schema_version") == HEAD
    assert (
        value(postgres, "SELECT error_class FROM diwa_schema_ledger ORDER BY id DESC LIMIT 1")
        == "TableLockBusy"
    )


def test_nobody_waits_behind_a_change_for_as_long_as_it_waits_itself(launcher, postgres, tmp_path, measured):
    # How long exactly is measured elsewhere; here the difference is between a part of a second and all three.
    assert launcher.run("upgrade", "--url", postgres).code == 0
    seeds.fill(postgres)
    history = extended(tmp_path / "history", ADD_COLUMN)
    with Stalls(postgres) as stalls, Traffic(postgres), Reader(postgres, 3):
        outcome = launcher.run("upgrade", "--url", postgres, history=history)
    assert outcome.code == 0, outcome.err
    assert 0 < stalls.longest(postgres) < 1_000
    measured(f"stalled for {stalls.longest(postgres):.0f} ms at most behind a reader of 3 s")
