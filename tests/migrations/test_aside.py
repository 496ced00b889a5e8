"""A table that is set aside keeps its rows; what means it by its name goes on with its successor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import op
from sqlalchemy.exc import IntegrityError

from diwa_schema.errors import MigrationFailed
from diwa_schema.migrations.steps import aside
from tests.migrations.replaying import bound, shape, transaction


def in_one(connection: sa.Connection, work: Callable[[], Any]) -> None:
    with bound(connection), transaction(connection):
        work()


def texts(connection: sa.Connection, query: str) -> list[tuple[object, ...]]:
    return [tuple(row) for row in connection.exec_driver_sql(query)]


THINGS = "CREATE TABLE things (id integer PRIMARY KEY, color text)"
TIED = {
    "view": ("CREATE VIEW red AS SELECT id FROM things", "view red"),
    "rule": ("CREATE RULE quiet AS ON DELETE TO things DO INSTEAD NOTHING", "rule quiet"),
    "publication": ("CREATE PUBLICATION told FOR TABLE things", "publication told"),
    "child": ("CREATE TABLE child () INHERITS (things)", "table child inherits"),
    "row security": ("ALTER TABLE things ENABLE ROW LEVEL SECURITY", "row security of table"),
}


@pytest.mark.parametrize("what", TIED)
def test_what_would_go_on_with_the_old_table_is_named_first(pg: sa.Connection, what: str):
    pg.exec_driver_sql(THINGS)
    statement, named = TIED[what]
    pg.exec_driver_sql(statement)
    found = shape(pg)
    with pytest.raises(MigrationFailed, match=named):
        in_one(pg, lambda: _replace("things"))
    assert shape(pg) == found


def test_who_may_use_a_table_may_use_its_successor(pg: sa.Connection):
    run = pg.exec_driver_sql
    run("CREATE TABLE things (id integer PRIMARY KEY, color text, old text)")
    run("DROP ROLE IF EXISTS diwa_test_agent")
    run("CREATE ROLE diwa_test_agent")
    try:
        run("GRANT SELECT, INSERT ON things TO diwa_test_agent")
        run("GRANT UPDATE (color), UPDATE (old) ON things TO diwa_test_agent WITH GRANT OPTION")
        in_one(pg, lambda: _replace("things"))
        allowed = {
            right: run(f"SELECT has_table_privilege('diwa_test_agent', 'things', '{right}')").scalar()
            for right in ("SELECT", "INSERT", "DELETE", "UPDATE")
        }
        assert allowed == {"SELECT": True, "INSERT": True, "DELETE": False, "UPDATE": False}
        grant = "UPDATE WITH GRANT OPTION"
        assert run(f"SELECT has_column_privilege('diwa_test_agent', 'things', 'color', '{grant}')").scalar()
    finally:
        run("DROP OWNED BY diwa_test_agent")
        run("DROP ROLE diwa_test_agent")


def _replace(table: str, copy: bool = True) -> None:
    """Set a table aside, make its successor, and let the others follow, as an adoption does."""
    others = aside.others([table])
    aside.set_aside(table)
    op.execute(f"CREATE TABLE {table} (id integer PRIMARY KEY, color text)")
    if copy:
        op.execute(f"INSERT INTO {table} SELECT id, color FROM {aside.kept_name(table)}")
    others.follow()


@pytest.fixture
def things(connection: sa.Connection) -> sa.Connection:
    """A table that another one, and the other's view on SQLite, refers to."""
    run = connection.exec_driver_sql
    run("CREATE TABLE things (id integer PRIMARY KEY, color text)")
    run('CREATE TABLE "my parts" (thing integer CONSTRAINT "of: it" REFERENCES things ON DELETE CASCADE)')
    run("INSERT INTO things VALUES (1, 'red')")
    run('INSERT INTO "my parts" VALUES (1)')
    return connection


def test_foreign_keys_of_other_tables_follow_to_the_successor(things: sa.Connection):
    before = shape(things)
    if things.dialect.name == "sqlite":
        things.exec_driver_sql("CREATE VIEW red AS SELECT id FROM things WHERE color = 'red'")
    in_one(things, lambda: _replace("things"))
    if things.dialect.name == "sqlite":
        things.exec_driver_sql("PRAGMA foreign_keys = ON")
        things.exec_driver_sql("DROP TABLE diwa_schema_kept_things")
        assert texts(things, "SELECT id FROM red") == [(1,)]
        things.exec_driver_sql("DROP VIEW red")
        assert texts(things, "PRAGMA integrity_check") == [("ok",)]
    things.exec_driver_sql("DELETE FROM things")
    assert texts(things, 'SELECT thing FROM "my parts"') == []
    with pytest.raises(IntegrityError):
        things.exec_driver_sql('INSERT INTO "my parts" VALUES (5)')
    if things.dialect.name == "postgresql":
        things.exec_driver_sql("DROP TABLE diwa_schema_kept_things")
        assert shape(things)["constraints"] == before["constraints"]


def test_a_row_that_the_successor_does_not_have_stops_the_change(pg: sa.Connection):
    pg.exec_driver_sql("CREATE TABLE things (id integer PRIMARY KEY, color text)")
    pg.exec_driver_sql("CREATE TABLE parts (thing integer REFERENCES things)")
    pg.exec_driver_sql("INSERT INTO things VALUES (1, 'red')")
    pg.exec_driver_sql("INSERT INTO parts VALUES (1)")
    found = shape(pg)
    with pytest.raises(IntegrityError, match="parts_thing_fkey"):
        in_one(pg, lambda: _replace("things", copy=False))
    assert shape(pg) == found


# As long as the server takes it; alike in more letters than a prefix leaves room for, and of letters of several bytes.
LONG = "tala_operations_by_the_name_of_the_tool_that_the_agent_"
INDEXES = [f"{LONG}one", f"{LONG}two", "größe_" * 7 + "a", "größe_" * 7 + "b", "short :index"]


def test_long_names_of_indexes_stay_apart(connection: sa.Connection):
    connection.exec_driver_sql(THINGS)
    for name in INDEXES:
        connection.exec_driver_sql(
            f"CREATE UNIQUE INDEX \"{name}\" ON things (color) WHERE color <> ' ON (x'"
        )
    in_one(connection, lambda: aside.set_aside("things"))
    for name in INDEXES:
        assert f'INDEX "{name}"' not in str(shape(connection))
    kept = aside.kept_name("things")
    count = (
        f"SELECT count(*) FROM sqlite_master WHERE type = 'index' AND tbl_name = '{kept}' AND sql IS NOT NULL"
        if connection.dialect.name == "sqlite"
        else f"SELECT count(*) FROM pg_index WHERE indrelid = '{kept}'::regclass AND NOT indisprimary"
    )
    assert texts(connection, count) == [(len(INDEXES),)]
