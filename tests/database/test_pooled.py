"""Reading through an Engine costs no connection where its pool has one, and looks at what a new one would look at."""

from __future__ import annotations

import psycopg
import pytest
import sqlalchemy as sa

import diwa_schema
from diwa_schema.migrations.manifest import load
from tests.run.asking import execute

HEAD = load().head


@pytest.fixture
def made(postgres, owner_directory):
    """Makes engines of a database at head that count the connections they open, also those of pools made like theirs."""
    diwa_schema.migrate(postgres)
    engines = []

    def make(hook=None, **options):
        engine = sa.create_engine(postgres.replace("postgresql://", "postgresql+psycopg://"), **options)
        engines.append(engine)
        opened = []

        @sa.event.listens_for(engine, "connect")
        def count(raw, _):
            opened.append(raw)
            if hook:
                raw.execute(hook)
                raw.commit()

        return engine, opened

    yield make
    for engine in engines:
        engine.dispose()


def ask(engine, statement, commit=False):
    with engine.connect() as connection:
        found = connection.exec_driver_sql(statement)
        value = found.scalar() if found.returns_rows else None
        if commit:
            connection.commit()
    return value


def test_a_connection_of_the_pool_serves_the_first_check_and_the_tenth(made):
    engine, opened = made()
    ask(engine, "SELECT 1")
    before = ask(engine, "SELECT pg_backend_pid()")
    settings = ask(engine, "SELECT string_agg(name || setting, ',' ORDER BY name) FROM pg_settings")
    for _ in range(10):
        assert diwa_schema.check(engine) == []
    assert len(opened) == 1
    assert diwa_schema.status(engine, schema="public").revision == HEAD
    assert len(opened) == 1
    assert ask(engine, "SELECT pg_backend_pid()") == before
    assert ask(engine, "SELECT string_agg(name || setting, ',' ORDER BY name) FROM pg_settings") == settings


def test_a_pool_that_was_empty_stays_empty(made):
    engine, opened = made()
    assert diwa_schema.check(engine) == []
    assert len(opened) == 1
    assert engine.pool.checkedin() == 0


def test_what_the_application_has_set_on_its_connection_decides_nothing_and_stays(made, postgres):
    execute(postgres, "CREATE SCHEMA tenant_1", "CREATE ROLE diwa_test_nobody")
    engine, opened = made()
    try:
        for change, back in (
            ("SET search_path = tenant_1", "SHOW search_path"),
            ("SET ROLE diwa_test_nobody", "SELECT current_user"),
            ("SET statement_timeout = 1", "SHOW statement_timeout"),
        ):
            ask(engine, change, commit=True)
            left = ask(engine, back)
            before = len(opened)
            found = diwa_schema.status(engine)
            assert (found.schema, found.revision) == ("public", HEAD)
            assert len(opened) == before + 1
            assert ask(engine, back) == left
            ask(engine, "RESET ALL", commit=True)
            ask(engine, "RESET ROLE", commit=True)
    finally:
        execute(postgres, "DROP ROLE diwa_test_nobody")


def test_what_the_engine_sets_on_each_connection_counts_and_costs_one(made, postgres):
    execute(postgres, "CREATE SCHEMA tenant_1")
    engine, opened = made("SET search_path = tenant_1")
    ask(engine, "SELECT 1")
    for _ in range(3):
        found = diwa_schema.status(engine)
        assert (found.schema, found.revision) == ("tenant_1", None)
    assert len(opened) == 2


def test_neither_a_dead_connection_nor_a_full_pool_nor_an_open_transaction_is_in_the_way(made, postgres):
    engine, _ = made(pool_size=1, max_overflow=0, pool_timeout=1)
    execute(postgres, f"SELECT pg_terminate_backend({ask(engine, 'SELECT pg_backend_pid()')})")
    assert diwa_schema.check(engine) == []
    with engine.connect():
        assert diwa_schema.check(engine) == []
    engine, _ = made(pool_reset_on_return=None)
    raw = engine.raw_connection()
    raw.driver_connection.execute("CREATE TABLE unfinished (n int)")
    status = raw.driver_connection.info
    raw.close()
    assert diwa_schema.check(engine) == []
    assert status.transaction_status == psycopg.pq.TransactionStatus.INTRANS
