"""The application writes embeddings of tenants whose columns are of different kinds, written by one engine."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from sqlalchemy import event, insert, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from diwa_schema.models import EmbeddingCache
from diwa_schema.models.types.erlang import encode_floats
from tests.models.rows import MOMENT, NUMBERS, new_row, store

pytestmark = pytest.mark.parametrize("storage", ["vector"], indirect=True)

TENANTS = {"t_bytes": "bytea", 'T "odd"': "vector", "t_other": "bytea"}


@pytest.fixture
def tenants(engine):
    """The engine of a database with a schema per tenant, which knows the kind of the table in public already."""
    with engine.begin() as connection:
        for schema, kind in TENANTS.items():
            quoted = '"' + schema.replace('"', '""') + '"'
            connection.exec_driver_sql(f"CREATE SCHEMA {quoted}")
            connection.exec_driver_sql(f"CREATE TABLE {quoted}.embedding_cache (LIKE public.embedding_cache)")
            if kind == "bytea":
                connection.exec_driver_sql(
                    f"ALTER TABLE {quoted}.embedding_cache ALTER embedding TYPE bytea USING NULL"
                )
    with Session(engine) as session:
        store(session, *new_row(EmbeddingCache))
    return engine


def check_stored(engine, rows: int) -> None:
    with engine.connect() as connection:
        for schema, kind in TENANTS.items():
            mapped = connection.execution_options(schema_translate_map={None: schema})
            found = mapped.execute(EmbeddingCache.__table__.select()).all()
            assert [row.embedding for row in found] == [pytest.approx(NUMBERS, abs=1e-6)] * rows
            if kind == "bytea":
                raw = connection.exec_driver_sql(
                    f'SELECT embedding FROM "{schema}".embedding_cache'
                ).scalars()
                assert {bytes(each) for each in raw} == {encode_floats(NUMBERS)}


def test_tenants_by_schema_translate_map(tenants):
    for _ in range(2):
        for schema in TENANTS:
            with Session(tenants.execution_options(schema_translate_map={None: schema})) as session:
                store(session, *new_row(EmbeddingCache))
    check_stored(tenants, rows=2)


def test_tenants_of_one_transaction(tenants):
    with tenants.begin() as connection:
        for schema in [*TENANTS, *TENANTS]:
            row = {
                "hash": schema,
                "model": "m",
                "embedding": NUMBERS,
                "inserted_at": MOMENT,
                "updated_at": MOMENT,
            }
            connection.execute(
                insert(EmbeddingCache), [row], execution_options={"schema_translate_map": {None: schema}}
            )
    check_stored(tenants, rows=2)


def test_tenants_by_a_search_path_that_is_set_at_checkout(tenants):
    wanted: list[str] = []

    @event.listens_for(tenants, "checkout")
    def choose(connection, _record, _proxy):
        cursor = connection.cursor()
        cursor.execute(f"SET search_path = {wanted[0]}, public")
        cursor.close()
        connection.commit()

    for _ in range(2):
        for schema in TENANTS:
            wanted[:] = ['"' + schema.replace('"', '""') + '"']
            with Session(tenants) as session:
                store(session, *new_row(EmbeddingCache))
    event.remove(tenants, "checkout", choose)
    tenants.dispose()
    check_stored(tenants, rows=2)


def test_tenants_by_search_paths_within_one_transaction(tenants):
    with Session(tenants) as session:
        for schema in [*TENANTS, *TENANTS]:
            session.execute(
                text("SELECT set_config('search_path', :path, true)"),
                {"path": '"' + schema.replace('"', '""') + '", public'},
            )
            session.add_all(new_row(EmbeddingCache))
            session.flush()
        session.commit()
    check_stored(tenants, rows=2)


def test_a_savepoint_that_is_rolled_back_takes_the_path_with_it(tenants):
    with Session(tenants) as session:
        session.execute(text("SET LOCAL search_path = t_other, public"))
        with session.begin_nested() as nested:
            session.execute(text('SET LOCAL search_path = "T ""odd""", public'))
            session.add_all(new_row(EmbeddingCache))
            session.flush()
            nested.rollback()
        session.add_all(new_row(EmbeddingCache))
        session.commit()
        raw = session.execute(text("SELECT embedding FROM t_other.embedding_cache")).scalars().all()
    assert [bytes(each) for each in raw] == [encode_floats(NUMBERS)]


def failures(tenants, how, times):
    """Count how many of many readings fail that take the tenants in turn."""
    found = 0
    schemas = [schema for schema in TENANTS if schema.isidentifier()] + ["public"]
    for number in range(times):
        schema = schemas[number % len(schemas)]
        with Session(tenants) as session:
            session.execute(
                text(f"SET {'LOCAL' if how == 'within' else 'SESSION'} search_path = {schema}, public")
            )
            if how == "before":
                session.commit()
                session.execute(text("SELECT 1"))
            try:
                session.execute(select(EmbeddingCache)).all()
                session.commit()
            except DBAPIError:
                found += 1
    with tenants.connect() as connection:
        connection.exec_driver_sql("SET SESSION search_path = public")
        connection.commit()
    return found


@pytest.mark.parametrize("how", ["within", "before"])
def test_reading_by_search_paths_does_not_go_on_failing(tenants, how):
    """A prepared statement is another one for each kind, and the path is set before the statement can be repeated."""
    assert failures(tenants, how, 120) <= 1


def test_an_engine_prepares_again_after_a_pause_and_not_once_more(tenants, monkeypatch):
    """One change ends; tenants of different kinds stay."""
    later = 0.0
    clock = SimpleNamespace(time=lambda: time.time() + later)
    monkeypatch.setattr("diwa_schema.models.engines.time", clock)
    first = failures(tenants, "within", 60)
    later += 301
    second = failures(tenants, "within", 60)
    later += 602
    assert (first, second, failures(tenants, "within", 120)) == (1, 1, 0)
