"""The start of an application leaves a note of its release, waits for nothing, and never fails because of it."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

import diwa_schema
from diwa_schema import __version__, errors
from diwa_schema.database.seen import SETTING
from tests.fixtures_roles import Site
from tests.run.asking import execute, value

COUNT = "SELECT count(*) FROM diwa_schema_releases"
AN_HOUR_EARLIER = {
    "postgresql": "UPDATE diwa_schema_releases SET seen_at = seen_at - interval '1 hour'",
    "sqlite": "UPDATE diwa_schema_releases SET seen_at = '2026-01-01T00:00:00Z'",
}


def alchemy(url: str, driver: str = "psycopg", **options: object) -> sa.Engine:
    return sa.create_engine(url.replace("postgresql:", f"postgresql+{driver}:"), **options)


def test_each_way_of_starting_is_noted_once(at_head):
    assert diwa_schema.status(at_head).seen == ()
    diwa_schema.ensure_current(at_head)
    (first,) = diwa_schema.status(at_head).seen or ()
    assert first["release"] == __version__
    engine, kind = alchemy(at_head), at_head.partition(":")[0]
    autocommit = alchemy(at_head, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection, autocommit.connect() as second:
        for database in (engine, connection, autocommit, second):
            execute(at_head, AN_HOUR_EARLIER[kind])
            diwa_schema.ensure_current(database)
            assert diwa_schema.status(at_head).seen[0]["seen_at"] >= first["seen_at"]  # type: ignore[index]
        before = value(at_head, "SELECT seen_at FROM diwa_schema_releases")
        diwa_schema.ensure_current(engine)  # the workers of one server start together
        assert value(at_head, "SELECT seen_at FROM diwa_schema_releases") == before
    assert value(at_head, COUNT) == 1
    for one in (engine, autocommit):
        one.dispose()


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_an_async_application_is_noted(new_database, head_template, driver):
    pytest.importorskip(driver)
    url = new_database(head_template)

    async def start() -> None:
        engine = create_async_engine(url.replace("postgresql:", f"postgresql+{driver}:"))
        await diwa_schema.aensure_current(engine)
        execute(url, AN_HOUR_EARLIER["postgresql"])
        async with engine.connect() as connection:
            await diwa_schema.aensure_current(connection)
        await engine.dispose()

    # In a thread of its own, which has no loop yet.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: asyncio.run(start())).result()
    assert (
        value(url, "SELECT count(*) FROM diwa_schema_releases WHERE seen_at > now() - interval '1 minute'")
        == 1
    )


def test_it_can_be_switched_off(at_head, monkeypatch):
    diwa_schema.ensure_current(at_head, note=False)
    monkeypatch.setenv(SETTING, "False")
    diwa_schema.ensure_current(at_head)
    assert value(at_head, COUNT) == 0
    diwa_schema.ensure_current(at_head, note=True)
    assert value(at_head, COUNT) == 1


def test_a_callers_transaction_has_no_part_in_it(at_head):
    engine = alchemy(at_head)
    with engine.connect() as connection, connection.begin():
        connection.execute(sa.text("CREATE TABLE mine (n integer)"))
        diwa_schema.ensure_current(connection)
        connection.execute(sa.text("INSERT INTO mine VALUES (1)"))
    assert value(at_head, "SELECT n FROM mine") == 1
    assert value(at_head, COUNT) == 0
    engine.dispose()


def test_a_start_waits_for_nobody(at_head):
    """Neither a lock on the whole table, nor another's note under way, nor another who writes the file."""
    diwa_schema.ensure_current(at_head)
    execute(at_head, AN_HOUR_EARLIER[at_head.partition(":")[0]])
    if at_head.startswith("sqlite"):
        with closing(sqlite3.connect(at_head.removeprefix("sqlite:///"))) as other:
            other.execute("BEGIN IMMEDIATE")
            started(at_head)
        assert value(at_head, "SELECT seen_at FROM diwa_schema_releases") == "2026-01-01T00:00:00Z"
        return
    for held in ("LOCK diwa_schema_releases", "SELECT FROM diwa_schema_releases FOR UPDATE"):
        with psycopg.connect(at_head) as other:
            other.execute(held)
            started(at_head)
    assert value(at_head, "SELECT seen_at < now() - interval '50 minutes' FROM diwa_schema_releases")


def started(url: str) -> None:
    patient = {"timeout": 30} if url.startswith("sqlite") else {"options": "-c statement_timeout=10s"}
    engine = alchemy(url, connect_args=patient)
    began = time.monotonic()
    diwa_schema.ensure_current(engine)
    assert time.monotonic() - began < 2
    with engine.connect() as connection:
        if connection.dialect.name == "postgresql":
            assert connection.scalar(sa.text("SHOW lock_timeout")) == "0"
        else:
            assert connection.scalar(sa.text("PRAGMA busy_timeout")) == 30_000
    engine.dispose()


def test_where_nothing_can_be_written_it_starts_all_the_same(migrated: Site, reader, app):
    diwa_schema.ensure_current(reader)
    assert diwa_schema.status(reader).seen == ()
    only_read = f"{app}?options=-cdefault_transaction_read_only%3Don"
    diwa_schema.ensure_current(only_read)
    diwa_schema.ensure_current(app)
    (noted,) = diwa_schema.status(reader).seen or ()
    assert f"/{noted['user']}:" in app
    findings = {one.code: one for one in diwa_schema.doctor(app)}
    assert "releases-not-noted" not in findings
    assert f"{__version__}, user {noted['user']}" in findings["releases-started"].reason
    migrated.run(f"REVOKE SELECT ON diwa_schema_releases FROM {migrated.names.reader}")
    migrated.run(f"REVOKE INSERT ON diwa_schema_releases FROM {migrated.names.app}")
    assert diwa_schema.status(reader).seen is None
    assert "releases-not-noted" in {one.code for one in diwa_schema.doctor(app)}
    migrated.run("DROP TABLE diwa_schema_releases")
    engine = alchemy(app)
    diwa_schema.ensure_current(engine)
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT 1")) == 1
    assert diwa_schema.status(app).seen == ()
    engine.dispose()


def test_what_an_application_wrote_there_is_not_obeyed(at_head):
    execute(
        at_head,
        "INSERT INTO diwa_schema_releases VALUES ('0.1', 'a', 'x' || char(27) || '[2J', CURRENT_TIMESTAMP)".replace(
            "char", "char" if at_head.startswith("sqlite") else "chr"
        ),
        "INSERT INTO diwa_schema_releases VALUES ('next', 'a', 'x', CURRENT_TIMESTAMP)",
    )
    (noted,) = diwa_schema.status(at_head).seen or ()
    assert noted["host"] == "x?[2J"


def test_old_notes_go_with_the_next_start(at_head):
    execute(at_head, "INSERT INTO diwa_schema_releases VALUES ('0.0.1', 'a', 'old', '2020-01-01T00:00:00Z')")
    diwa_schema.ensure_current(at_head)
    assert value(at_head, "SELECT count(*) FROM diwa_schema_releases WHERE host = 'old'") == 0
    assert value(at_head, COUNT) == 1


def test_a_time_that_cannot_be_asked_for_is_refused(at_head):
    for wrong in (timedelta(days=-1), timedelta(days=91), 7):
        with pytest.raises(errors.UsageError, match="from 0 to 90 days"):
            diwa_schema.plan(at_head, seen_within=wrong)  # type: ignore[arg-type]
