"""Databases as Ecto left them: every row is read, and one is written into each table."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from sqlalchemy import func, inspect, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from diwa_schema.models import Base, ConflictPerformance, EmbeddingCache, Memory, RawEmbedding
from diwa_schema.models.types.embeddings import Vector
from tests.models.conftest import open_async_engine, open_engine
from tests.models.rows import attributes, mappers, new_row, store

SHAPES = {  # and whether it is one of SQLite
    "head_fresh": ("head_fresh", False),
    "head_disabled": ("head_disabled", False),
    "head_dirty": ("head_dirty", False),
    "sqlite": ("head_fresh", True),
}


@pytest.fixture(params=SHAPES)
def legacy_url(request, legacy):
    name, lite = SHAPES[request.param]
    return with_later_columns(legacy(name, lite=lite))


def with_later_columns(url: str) -> str:
    """Add what the models ask for and Ecto never had."""
    engine = open_engine(url)
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.dialect.ischema_names.setdefault("vector", Vector)  # type: ignore[attr-defined]
        reader = inspect(connection)
        for table in Base.metadata.sorted_tables:
            if not reader.has_table(table.name):
                continue
            there = {column["name"] for column in reader.get_columns(table.name)}
            for column in table.columns:
                if column.name not in there and column.name != "tsv_content":
                    kind = column.type.compile(engine.dialect)
                    connection.execute(text(f"ALTER TABLE {table.name} ADD COLUMN {column.name} {kind}"))
    engine.dispose()
    return url


@pytest.fixture
def legacy_engine(legacy_url, engine_for):
    return engine_for(legacy_url)


def models_in(connection):
    there = set(inspect(connection).get_table_names())
    found = [mapper.class_ for mapper in mappers() if mapper.class_.__tablename__ in there]
    assert len(found) == 30
    return found


def test_every_row_of_every_table_is_read(legacy_engine):
    with Session(legacy_engine) as session:
        for model in models_in(session.connection()):
            expected = session.scalar(text(f"SELECT count(*) FROM {model.__tablename__}"))
            rows = session.scalars(select(model)).all()
            assert len(rows) == expected > 2
            for row in rows:
                for key, _ in attributes(row):
                    getattr(row, key)


def test_every_relationship_of_every_row_is_read(legacy_engine):
    with Session(legacy_engine) as session:
        loaded = 0
        for model in models_in(session.connection()):
            there = [one for one in model.__mapper__.relationships if one.key != "idempotency_entries"]
            for row in session.scalars(select(model)):
                for one in there:
                    getattr(row, one.key)
                    loaded += 1
        assert loaded > 100


def test_embeddings_are_numbers(legacy_engine):
    with Session(legacy_engine) as session:
        columns = (Memory.embedding, EmbeddingCache.embedding)
        found = [each for column in columns for each in session.scalars(select(column))]
    numbers = [each for each in found if each is not None]
    assert len(numbers) > 5
    assert all(isinstance(each, list) and len(each) == 1536 for each in numbers)
    assert not any(isinstance(each, RawEmbedding) for each in numbers)


def test_one_row_is_written_into_every_table(legacy_engine):
    with Session(legacy_engine) as session:
        for model in models_in(session.connection()):
            before = session.execute(select(func.count()).select_from(model)).scalar_one()
            *needed, row = new_row(model)
            store(session, *needed, row)
            assert session.scalar(select(func.count()).select_from(model)) == before + 1
            identity: Any = inspect(row).identity
            session.expire_all()
            again = session.get_one(model, identity)
            for key, _ in attributes(again):
                getattr(again, key)


def test_an_asynchronous_session_does_the_same(legacy_url):
    async def run():
        engine = open_async_engine(legacy_url)
        async with AsyncSession(engine, expire_on_commit=False) as session:
            models = await (await session.connection()).run_sync(models_in)
            for model in models:
                rows = (await session.scalars(select(model))).all()
                for new in new_row(model):
                    session.add(new)
                    await session.flush()
                await session.commit()
                assert len((await session.scalars(select(model))).all()) == len(rows) + 1
        await engine.dispose()
        return len(models)

    assert asyncio.run(run()) == 30


def test_what_is_written_to_sqlite_looks_like_what_elixir_wrote(legacy, engine_for):
    """Per column: the same storage class, and for times and ids the same spelling."""
    engine = engine_for(with_later_columns(legacy("head_fresh", lite=True)))
    shapes = {}
    with Session(engine) as session:
        for model in models_in(session.connection()):
            table = model.__table__
            key = next(iter(table.primary_key.columns)).name
            old = {each[0] for each in session.execute(text(f"SELECT {key} FROM {table.name}"))}
            *needed, row = new_row(model)
            store(session, *needed, row)
            for column in table.columns:
                if column.name == "tsv_content":
                    continue
                found = session.execute(
                    text(f"SELECT {key}, {column.name}, typeof({column.name}) FROM {table.name}")
                ).all()
                shapes[table.name, column.name] = (
                    {spelling(each[1], each[2]) for each in found if each[0] in old} - {"null"},
                    {spelling(each[1], each[2]) for each in found if each[0] not in old} - {"null"},
                )
    # Two models write Z after the seconds; the rows of the file, made for the tables, do not have it.
    ends_with_z = {("organizations", name) for name in ("inserted_at", "updated_at")} | {
        ("messages", name) for name in ("inserted_at", "updated_at")
    }
    compared = 0
    for where, (elixir, ours) in shapes.items():
        if elixir and where not in ends_with_z:
            compared += len(ours)
            assert ours <= elixir | equivalent(elixir), where
    assert compared > 150


def spelling(value, kind):
    if kind == "text" and len(value) >= 19 and value[4:5] == value[7:8] == "-" and value[10:11] == "T":
        return "time " + "".join("9" if each.isdigit() else each for each in value)
    if kind == "text" and len(value) == 36 and value.count("-") == 4:
        return "id"
    return kind


def equivalent(kinds):
    """What is of the same kind as what is there: any number, any text."""
    return {"integer", "real"} if kinds & {"integer", "real"} else {"id"} if "text" in kinds else set()


def test_double_encoded_resolutions_are_read_as_they_are(legacy, engine_for):
    with Session(engine_for(with_later_columns(legacy("head_fresh", lite=True)))) as session:
        found: Any = session.scalars(select(ConflictPerformance.resolutions)).all()
    texts = [each[0] for each in found if isinstance(each[0], str)]
    assert [json.loads(each)["result"] for each in texts] == ["accepted"]


def test_dirty_documents_are_read_as_they_are(legacy, engine_for):
    with Session(engine_for(with_later_columns(legacy("head_dirty")))) as session:
        assert {"a": 1} in session.scalars(select(ConflictPerformance.resolutions)).all()
        assert [1, 2] in session.scalars(select(Memory.metadata_)).all()


def test_vectors_of_384_numbers_are_read(legacy, engine_for):
    with Session(engine_for(legacy("mid_january_code"))) as session:
        found = session.scalars(select(Memory.embedding).where(Memory.embedding.is_not(None))).all()
    assert {isinstance(each, list) and len(each) for each in found} == {384}
