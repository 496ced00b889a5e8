"""Constraints on tables that are in use: new rows first, then the old ones; all or nothing."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from diwa_schema.errors import DatabaseRefused, MigrationFailed
from diwa_schema.migrations import steps
from tests.migrations.replaying import Stopped, T, TestPace, bound, kill_everywhere, paced, shape, transaction


@pytest.fixture
def parents(connection: sa.Connection) -> sa.Connection:
    """A database of either kind with two tables; one child has no name and no parent."""
    connection.exec_driver_sql("CREATE TABLE parents (id integer PRIMARY KEY, kind varchar(9))")
    connection.exec_driver_sql(
        "CREATE TABLE children"
        " (id integer PRIMARY KEY, parent_id integer, name varchar(9) DEFAULT 'x', kept jsonb)"
    )
    connection.exec_driver_sql("CREATE INDEX children_name_index ON children (name)")
    connection.exec_driver_sql("INSERT INTO parents VALUES (1, 'a'), (2, 'b')")
    connection.exec_driver_sql("INSERT INTO children VALUES (1, 1, 'one', '1'), (2, 7, NULL, '2')")
    return connection


@pytest.fixture
def fixed(parents: sa.Connection) -> sa.Connection:
    """The same with children that keep every rule."""
    parents.exec_driver_sql("UPDATE children SET parent_id = 2, name = 'two' WHERE id = 2")
    return parents


def foreign_key() -> None:
    steps.add_foreign_key("children_parent_id_fkey", "children", ["parent_id"], "parents", ondelete="CASCADE")


def check() -> None:
    steps.add_check("children_name_check", "children", "name <> 'nobody' AND name IS NOT NULL")


def not_null() -> None:
    steps.set_not_null("children", "name")


STEPS = pytest.mark.parametrize("work", [foreign_key, check, not_null])
BREAKS = {
    foreign_key: "INSERT INTO children VALUES (3, 9, 'three', '3')",
    check: "INSERT INTO children VALUES (3, 1, 'nobody', '3')",
    not_null: "INSERT INTO children VALUES (3, 1, NULL, '3')",
}


def rows(connection: sa.Connection) -> list[tuple[object, ...]]:
    return [tuple(row) for row in connection.exec_driver_sql("SELECT * FROM children ORDER BY id")]


@pytest.mark.parametrize("live", [True, False], ids=["paced", "plain"])
@STEPS
def test_holds_afterwards(fixed: sa.Connection, work: Callable[[], None], live: bool):
    before = rows(fixed)
    for _ in range(2 if fixed.dialect.name == "postgresql" else 1):
        if live:
            paced(fixed, work)
        else:
            with bound(fixed), transaction(fixed):
                work()
    assert rows(fixed) == before
    if fixed.dialect.name == "sqlite":
        fixed.exec_driver_sql("PRAGMA foreign_keys = ON")
    with pytest.raises(IntegrityError):
        fixed.exec_driver_sql(BREAKS[work])
    found = str(shape(fixed))
    assert "children_name_index" in found
    assert "jsonb" in found
    assert "diwa_schema" not in found
    assert "NOT VALID" not in found


@STEPS
def test_changes_nothing_when_rows_break_it(parents: sa.Connection, work: Callable[[], None]):
    before = shape(parents), rows(parents)
    with pytest.raises((IntegrityError, MigrationFailed)):
        paced(parents, work)
    assert (shape(parents), rows(parents)) == before


@STEPS
def test_killed_anywhere_it_is_finished_by_the_next_run(pg: sa.Connection, work: Callable[[], None]):
    pg.exec_driver_sql("CREATE TABLE parents (id integer PRIMARY KEY)")
    pg.exec_driver_sql("INSERT INTO parents VALUES (1)")

    def attempt(piece: int, late: bool) -> bool:
        pg.exec_driver_sql("DROP TABLE IF EXISTS children")
        pg.exec_driver_sql("CREATE TABLE children (id integer, parent_id integer, name text, kept jsonb)")
        pg.exec_driver_sql("INSERT INTO children VALUES (1, 1, 'one')")
        stopped = False
        try:
            paced(pg, work, stop_at=piece, late=late)
        except Stopped:
            stopped = True
        paced(pg, work)
        with pytest.raises(IntegrityError):
            pg.exec_driver_sql(BREAKS[work])
        assert "NOT VALID" not in str(shape(pg))
        assert "diwa_schema" not in str(shape(pg))
        return stopped

    assert kill_everywhere(attempt) > 6


class Busy(TestPace):
    """A pace during whose long pieces another transaction has written to both tables."""

    long_pieces = 0

    def long(self, work: Callable[[sa.Connection], T]) -> T:
        url = self.connection.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(url) as writer:
            writer.execute("UPDATE children SET name = name")
            writer.execute("UPDATE parents SET kind = kind")
            self.connection.exec_driver_sql("SET lock_timeout = '2s'")
            self.long_pieces += 1
            return super().long(work)


@STEPS
def test_rows_are_read_without_a_lock_that_stops_writers(pg: sa.Connection, work: Callable[[], None]):
    pg.exec_driver_sql("CREATE TABLE parents (id integer PRIMARY KEY, kind text)")
    pg.exec_driver_sql("CREATE TABLE children (id integer, parent_id integer, name text, kept jsonb)")
    pg.exec_driver_sql("INSERT INTO parents VALUES (1, 'a')")
    pg.exec_driver_sql("INSERT INTO children VALUES (1, 1, 'one')")
    statements: list[str] = []
    sa.event.listen(pg, "before_cursor_execute", lambda _c, _u, statement, *_: statements.append(statement))
    pace = Busy(pg)
    with bound(pg, pace=pace):
        work()
    assert pace.long_pieces == 1
    assert any("NOT VALID" in statement for statement in statements)
    assert any("VALIDATE CONSTRAINT" in statement for statement in statements)


def test_a_rebuilt_sqlite_table_has_its_indexes_in_one_order_in_every_process(sqlite: str, connect):
    """The script of an empty database is written in that order, and compared."""
    names = [f"by_{letter}" for letter in "hcfadgbe"]
    connection = connect(sqlite)
    connection.exec_driver_sql("CREATE TABLE things (id INTEGER PRIMARY KEY, name TEXT)")
    for name in names:
        connection.exec_driver_sql(f"CREATE INDEX {name} ON things (name, id)")
    connection.commit()
    paced(connection, lambda: steps.set_not_null("things", "name"))
    order = "SELECT name FROM sqlite_master WHERE type = 'index' ORDER BY rowid"
    assert [row.name for row in connection.exec_driver_sql(order)] == sorted(names)


def test_a_sqlite_table_is_not_rebuilt_where_that_would_delete_rows(sqlite: str, connect):
    connection = connect(sqlite)
    connection.exec_driver_sql("CREATE TABLE things (id integer PRIMARY KEY, name text)")
    connection.exec_driver_sql("PRAGMA foreign_keys = ON")
    before = shape(connection)
    with pytest.raises(DatabaseRefused, match="enforces foreign keys"):
        paced(connection, lambda: steps.set_not_null("things", "name"))
    assert shape(connection) == before


def test_what_was_added_goes_again_and_nothing_else_and_twice_is_once(fixed: sa.Connection):
    connection = fixed
    # SQLite writes the text of a table that it has copied in its own way.
    paced(connection, lambda: steps.drop_not_null("children", "name"))
    before = shape(connection)
    for work in (foreign_key, check, not_null):
        paced(connection, work)
    there = rows(connection)
    for _ in range(2):
        paced(connection, lambda: steps.drop_constraint("children_parent_id_fkey", "children", "foreignkey"))
        paced(connection, lambda: steps.drop_constraint("children_name_check", "children", "check"))
        paced(connection, lambda: steps.drop_not_null("children", "name"))
        assert shape(connection) == before
    paced(connection, lambda: steps.set_default("children", "name", sa.text("'y'")))
    connection.exec_driver_sql("INSERT INTO children (id) VALUES (5)")
    paced(connection, lambda: steps.set_default("children", "name", None))
    connection.exec_driver_sql("INSERT INTO children (id) VALUES (6)")
    assert [row[2] for row in rows(connection)[-2:]] == ["y", None]
    assert rows(connection)[:-2] == there
