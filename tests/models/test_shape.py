from __future__ import annotations

import asyncio
import re
import socket
import sqlite3
from contextlib import closing
from typing import Any
from uuid import uuid4

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Engine, create_engine, event, insert, inspect, select, text
from sqlalchemy.orm import Session, configure_mappers

from diwa_schema.errors import Blocked
from diwa_schema.migrations.ecto import LAST
from diwa_schema.migrations.manifest import load
from diwa_schema.models import Base, Context, Memory, searched
from diwa_schema.models.shapes import tables_for
from tests.kit import shapes
from tests.models.conftest import open_async_engine
from tests.models.rows import mappers, new_row, store

# What this package's own revisions have made of the columns, as they say: each comes, or goes for good.
LATER = [one for one in load() if one.revision > LAST]
RENAMED = [
    found
    for one in LATER
    for found in re.findall(
        r'op\.alter_column\("(\w+)", "(\w+)", new_column_name="(\w+)"\)',
        one.path.read_text(encoding="utf-8").partition("def downgrade")[0],
    )
]
ADDED = {"memories.organization_id", *(name for one in LATER for name in one.drops)}
ADDED |= {f"{table}.{new}" for table, _, new in RENAMED}
GONE = {name for one in LATER for name in one.forgets} - ADDED
GONE |= {f"{table}.{old}" for table, old, _ in RENAMED}


def is_modelled(name: str | None, kind: str, _: object = None) -> bool:
    """Tell tables of the models from what SQLite keeps to search the words of memories."""
    return kind != "table" or not str(name).startswith(searched.TABLES)


def modelled(connection: Connection) -> list[str]:
    """The tables of a database without those that belong to the search of words."""
    return [name for name in inspect(connection).get_table_names() if is_modelled(name, "table")]


def differences(engine: Engine) -> Any:
    with engine.connect() as connection:
        options = {"compare_type": True, "compare_server_default": True, "include_name": is_modelled}
        context = MigrationContext.configure(connection, opts=options)
        return compare_metadata(context, tables_for(Base.metadata, connection))


def test_what_is_created_is_what_is_compared(engine):
    assert set(Base.metadata.tables) == set(load().tables)
    assert differences(engine) == []


@pytest.mark.parametrize(
    "change",
    [
        "DROP INDEX tasks_status_index",
        "CREATE INDEX surplus ON tasks (title)",
        "ALTER TABLE tasks DROP COLUMN description",
        "ALTER TABLE tasks ADD COLUMN surplus text",
        "DROP TABLE checkpoints",
    ],
)
def test_a_difference_is_found(engine, change):
    with engine.begin() as connection:
        connection.execute(text(change))
    assert differences(engine)


@pytest.mark.parametrize("storage", ["vector", "bytea"], indirect=True)
@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE tasks ALTER title TYPE text",
        "ALTER TABLE tasks ALTER title DROP NOT NULL",
        "ALTER TABLE tasks ALTER status DROP DEFAULT",
        "ALTER TABLE contexts ALTER id DROP DEFAULT",
        "ALTER TABLE memories DROP COLUMN tsv_content",
        "ALTER TABLE tasks DROP CONSTRAINT tasks_context_id_fkey",
    ],
)
def test_a_difference_in_detail_is_found(engine, change):
    with engine.begin() as connection:
        connection.execute(text(change))
    assert differences(engine)


def test_every_table_has_one_class_with_a_docstring():
    documented = {mapper.class_.__tablename__: mapper.class_.__doc__ for mapper in mappers()}
    assert set(documented) == set(Base.metadata.tables)
    assert all(doc and doc.strip().endswith(".") for doc in documented.values())


def test_the_columns_are_those_of_the_ecto_migrations(engine, storage):
    expected = shapes.columns_of(
        shapes.SHAPES["head_fresh"], "sqlite" if storage == "sqlite" else "postgresql"
    )
    assert len(expected) == 30
    reader = inspect(engine)
    for table, columns in expected.items():
        named = ({f"{table}.{one.name}" for one in columns} | ADDED) - GONE
        there = {f"{table}.{column['name']}" for column in reader.get_columns(table)}
        assert there == {name for name in named if name.startswith(f"{table}.")}


def test_search_words_exist_on_postgresql_only(engine, storage):
    *needed, memory = new_row(Memory)
    memory.content = "The tides are high"
    with Session(engine) as session:
        store(session, *needed, memory)
        assert "tsv_content" not in str(select(Memory).compile(engine))
        read = session.scalars(select(Memory)).one()
        session.refresh(read)
        read.content = "The tides are low"
        session.commit()
        assert read.tsv_content == (None if storage == "sqlite" else "'low':4 'tide':2")
        assert len(session.execute(select(Memory.__table__)).one()) == 27


def test_no_statement_names_the_search_words_unasked(engine):
    sent: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *arguments: sent.append(arguments[2]))
    *needed, memory = new_row(Memory)
    with Session(engine) as session:
        store(session, *needed, memory)
        table: Any = Memory.__table__
        again = dict.fromkeys(("inserted_at", "updated_at"), memory.inserted_at)
        session.execute(insert(table).values(id=uuid4(), context_id=memory.context_id, content="x", **again))
        session.expire_all()
        session.scalars(select(Memory)).all()
        session.delete(memory)
        session.commit()
    assert len(sent) > 5
    assert not any("tsv_content" in statement for statement in sent)


def test_creating_twice_changes_nothing(engine, dump, tables_url, owner_directory):
    before = dump(tables_url)
    Base.metadata.create_all(engine)
    assert dump(tables_url) == before


def test_only_the_named_tables_are_created(sqlite, engine_for, owner_directory):
    engine = engine_for(sqlite)
    Base.metadata.create_all(engine, tables=[Base.metadata.tables["organizations"]])
    assert inspect(engine).get_table_names() == ["organizations"]


def test_dropping_leaves_tables_of_others(engine, owner_directory):
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE another (id integer)"))
    Base.metadata.drop_all(engine)
    assert inspect(engine).get_table_names() == ["another"]


def test_tables_can_be_created_from_asynchronous_code(sqlite, owner_directory):
    async def run():
        engine = open_async_engine(sqlite)
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
            names = await connection.run_sync(modelled)
        await engine.dispose()
        return names

    assert set(asyncio.run(run())) == set(load().tables)


@pytest.fixture
def listening():
    """A port that tells whether anybody connected to it."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        listener.settimeout(0.2)
        yield listener


@pytest.mark.parametrize("name", ["create_all", "drop_all"])
def test_a_consumer_is_blocked_before_anything_is_sent(listening, consumer_directory, monkeypatch, name):
    monkeypatch.setenv("DIWA_REPO", "diwa-cloud")
    engine = create_engine(
        f"postgresql+psycopg://nobody@127.0.0.1:{listening.getsockname()[1]}/diwa?connect_timeout=2"
    )
    with pytest.raises(Blocked, match="restricted"):
        getattr(Base.metadata, name)(engine)
    with pytest.raises(TimeoutError):
        listening.accept()


def test_a_consumer_is_blocked_from_a_file(sqlite, engine_for, consumer_directory, tmp_path):
    with pytest.raises(Blocked):
        Base.metadata.create_all(engine_for(sqlite))
    assert not list(tmp_path.glob("*.db"))


def test_sqlite_in_memory_is_nobody_elses_affair(consumer_directory, engine_for):
    engine = engine_for("sqlite://")
    Base.metadata.create_all(engine)
    with engine.connect() as connection:
        assert set(modelled(connection)) == set(load().tables)
    Base.metadata.drop_all(engine)
    assert inspect(engine).get_table_names() == []


def test_a_file_behind_a_url_in_memory_is_not_taken_for_memory(tmp_path, consumer_directory):
    engine = create_engine("sqlite://", creator=lambda: sqlite3.connect(tmp_path / "file.db"))
    with pytest.raises(Blocked):
        Base.metadata.create_all(engine)
    engine.dispose()


def test_the_column_named_metadata_is_not_lost_by_mistake():
    with pytest.raises(AttributeError, match="metadata_"):
        Memory(metadata={"a": 1})
    with pytest.raises(AttributeError, match="metadata_"):
        Memory().metadata = {"a": 1}  # type: ignore[misc, assignment]


def test_every_foreign_key_can_be_walked_both_ways():
    configure_mappers()
    walked = 0
    for mapper in mappers():
        table: Any = mapper.local_table
        for key in table.foreign_key_constraints:
            # The organization of a memory's key goes along with its context.
            first = key.elements[0].parent
            there = [
                one for one in mapper.relationships if {first} == one.local_columns and one.uselist is False
            ]
            if not there:
                continue  # a later key may do without
            assert len(there) == 1, first
            back = there[0].mapper.relationships[there[0].back_populates]
            assert back.mapper is mapper
            assert back.passive_deletes == "all"
            walked += 1
    assert walked >= 29


def test_shape_of_a_context_in_the_database(engine, storage):
    if storage == "sqlite":
        with engine.connect() as connection:
            keys = connection.execute(text("PRAGMA table_info(contexts)")).mappings().all()
        assert (keys[0]["notnull"], keys[0]["dflt_value"]) == (0, "NULL")
    else:
        columns = {column["name"]: column for column in inspect(engine).get_columns("contexts")}
        assert columns["id"]["default"] == "gen_random_uuid()"
    assert Context.__table__.c.id.default is not None
