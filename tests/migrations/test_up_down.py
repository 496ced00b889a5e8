"""Every revision can be applied, reversed and applied again, on PostgreSQL and on SQLite."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext

from diwa_schema.migrations import manifest
from tests.migrations.replaying import HISTORY, IDS, down, shape, up

Connect = Callable[[str], sa.Connection]


def test_to_head_to_base_and_to_head_again(connection: sa.Connection):
    empty = shape(connection)
    up(connection)
    at_head = shape(connection)
    assert sum(map(len, at_head.values())) > 60
    down(connection)
    assert shape(connection) == empty
    up(connection)
    assert shape(connection) == at_head


def test_the_manifest_knows_the_tables_of_each_revision(sqlite: str, connect: Connect):
    connection, history = connect(sqlite), manifest.load()
    for revision, before in zip(IDS, (None, *IDS[:-1]), strict=True):
        up(connection, revision, before)
        there = set(sa.inspect(connection).get_table_names()) & set(history.tables)
        assert set(history.tables_at(revision)) == there, revision


def test_each_revision_leads_back_to_where_it_began(connection: sa.Connection):
    for revision, before in zip(IDS, (None, *IDS[:-1]), strict=True):
        began = shape(connection)
        up(connection, revision, before)
        reached = shape(connection)
        down(connection, before, revision)
        assert _either_kind(shape(connection)) == _either_kind(began), revision
        up(connection, revision, before)
        assert shape(connection) == reached, revision


def _either_kind(found: dict[str, list[str]]) -> dict[str, list[str]]:
    """Return a shape in which both kinds are at home: of the buffer's ids, and of bytes, which may refuse characters."""
    ids = ("tala_operations session_id", "tala_operations context_id")
    return {
        kind: sorted(
            line.replace(" uuid ", " character varying(255) ") if line.startswith(ids) else line
            for line in lines
            if "_embedding_not_text " not in line
        )
        for kind, lines in found.items()
    }


ENVIRONMENT = """
import sqlalchemy as sa
from alembic import context

metadata = sa.MetaData(naming_convention={
    "pk": "%(table_name)s_key_of_theirs",
    "fk": "%(table_name)s_%(column_0_name)s_of_theirs",
    "ix": "%(table_name)s_index_of_theirs",
})

if context.is_offline_mode():
    context.configure(url=context.config.get_main_option("sqlalchemy.url"), target_metadata=metadata)
    with context.begin_transaction():
        context.run_migrations()
else:
    engine = sa.create_engine(context.config.get_main_option("sqlalchemy.url"))
    with engine.connect() as connection:
        context.configure(connection=connection, target_metadata=metadata, transaction_per_migration=True)
        with context.begin_transaction():
            context.run_migrations()
        connection.commit()
    engine.dispose()
"""


@pytest.fixture
def foreign(tmp_path: Path, database: str) -> tuple[Config, io.StringIO]:
    """An Alembic environment of another application over this history."""
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "env.py").write_text(ENVIRONMENT)
    written = io.StringIO()
    config = Config(output_buffer=written)
    config.set_main_option("script_location", str(tmp_path / "foreign"))
    config.set_main_option("version_locations", str(manifest.VERSIONS))
    config.set_main_option("path_separator", "os")
    config.set_main_option("sqlalchemy.url", database.replace("postgresql://", "postgresql+psycopg://"))
    return config, written


@pytest.fixture
def expected(connection: sa.Connection) -> dict[str, list[str]]:
    """The shape at head; the database is empty again afterwards."""
    up(connection)
    reached = shape(connection)
    down(connection)
    return reached


def test_runs_under_another_alembic_environment(
    foreign: tuple[Config, io.StringIO], connection: sa.Connection, expected: dict[str, list[str]]
):
    command.upgrade(foreign[0], "head")
    assert _without_alembic(shape(connection)) == expected
    command.downgrade(foreign[0], "base")
    assert not any(_without_alembic(shape(connection)).values())


def test_written_as_sql_it_leads_to_the_same_schema_and_back(
    foreign: tuple[Config, io.StringIO], connection: sa.Connection, expected: dict[str, list[str]]
):
    config, written = foreign
    empty = shape(connection)
    command.upgrade(config, "head", sql=True)
    _run(connection, written.getvalue())
    assert _without_alembic(shape(connection)) == expected
    written.truncate(0)
    written.seek(0)
    command.downgrade(config, "head:base", sql=True)
    _run(connection, written.getvalue())
    assert _without_alembic(shape(connection)) == empty


@pytest.mark.parametrize("dialect", ["postgresql", "sqlite"])
@pytest.mark.parametrize("module", HISTORY, ids=IDS)
def test_each_revision_can_be_written_as_sql(module, dialect: str):
    written = io.StringIO()
    context = MigrationContext.configure(
        dialect_name=dialect, opts={"as_sql": True, "output_buffer": written}
    )
    with Operations.context(context):
        module.upgrade()
        module.downgrade()
    assert "%%" not in written.getvalue()


def _run(connection: sa.Connection, script: str) -> None:
    if connection.dialect.name == "sqlite":
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.executescript(script)
    else:
        connection.exec_driver_sql(script.replace("%", "%%"))


def _without_alembic(found: dict[str, list[str]]) -> dict[str, list[str]]:
    return {kind: [line for line in lines if "alembic_version" not in line] for kind, lines in found.items()}


def test_applied_in_one_transaction_nothing_is_left_when_it_is_rolled_back(pg: sa.Connection):
    """A shadow is built this way."""
    pg.exec_driver_sql("BEGIN")
    _replay_here(pg)
    assert len(shape(pg)["columns"]) > 250
    pg.exec_driver_sql("ROLLBACK")
    assert shape(pg)["columns"] == []
    assert pg.exec_driver_sql("SELECT count(*) FROM pg_extension WHERE extname = 'vector'").scalar() == 0


def _replay_here(connection: sa.Connection) -> None:
    context = MigrationContext.configure(connection=connection, opts={"shadow": True})
    with Operations.context(context):
        for module in HISTORY:
            module.upgrade()
