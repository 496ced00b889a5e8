"""The words of memories on SQLite: in step with the memories whatever is done to them, on builds with FTS5 and without."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

import diwa_schema
from diwa_schema import queries
from diwa_schema.database.target import Target
from diwa_schema.guard import OwnDatabase
from diwa_schema.migrations import steps
from diwa_schema.models import searched
from tests.kit.modules import without_modules
from tests.migrations.replaying import paced, shape
from tests.migrations.rows import CONTEXT, memory

BEFORE, WORDS = "20260307000000", "20260308000000"
NOW = "'2026-01-01T00:00:00.000000Z'"
ONE, TWO, THREE = (str(memory(number)) for number in (1, 2, 3))


def row(key: str, content: str) -> str:
    return f"(id, context_id, content, inserted_at, updated_at) VALUES ('{key}', '{CONTEXT}', '{content}', {NOW}, {NOW})"


def ground(connection: sa.Connection) -> None:
    """Write a context, what it belongs to, and two memories."""
    for table, columns, values in (
        ("organizations", "id, name", f"'{CONTEXT}', 'o'"),
        ("contexts", "id, organization_id, name", f"'{CONTEXT}', '{CONTEXT}', 'c'"),
    ):
        connection.exec_driver_sql(
            f"INSERT INTO {table} ({columns}, inserted_at, updated_at) VALUES ({values}, {NOW}, {NOW})"
        )
    for key, content in ((ONE, "The harbours were empty"), (TWO, "A tide")):
        connection.exec_driver_sql(f"INSERT INTO memories {row(key, content)}")


def said(connection: sa.Connection, words: str) -> list[str]:
    """The ids of the memories that say it, the best first."""
    with Session(connection) as session:
        return [str(each.id) for each in session.scalars(queries.memories_saying(UUID(str(CONTEXT)), words))]


def assert_in_step(connection: sa.Connection) -> None:
    kept = (
        f"SELECT k.memory_id, w.content FROM {searched.WORDS} w LEFT JOIN {searched.KEYS} k ON k.n = w.rowid"
    )
    there = "SELECT id, content FROM memories WHERE id IS NOT NULL"
    assert sorted(connection.exec_driver_sql(kept)) == sorted(connection.exec_driver_sql(there))
    assert connection.exec_driver_sql(f"SELECT count(*) FROM {searched.KEYS}").scalar() == (
        connection.exec_driver_sql(f"SELECT count(*) FROM {searched.WORDS}").scalar()
    )
    connection.exec_driver_sql(f"INSERT INTO {searched.WORDS}({searched.WORDS}) VALUES ('integrity-check')")


def fix(url: str, connection: sa.Connection) -> None:
    """Run what `check` prints, after which it prints nothing."""
    found = diwa_schema.check(url)
    assert found
    assert all(one.safe for one in found)
    for one in found:
        for statement in one.fix.statements:
            connection.exec_driver_sql(statement)
    assert diwa_schema.check(url) == []


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite database at head with two memories."""
    path = tmp_path_factory.mktemp("words") / "head.db"
    url = f"sqlite:///{path}"
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with OwnDatabase(Target.of(url).identity), engine.connect() as connection:
        diwa_schema.migrate(url, BEFORE)
        ground(connection)
        before = shape(connection)
        diwa_schema.migrate(url, WORDS)
        assert_in_step(connection)
        diwa_schema.downgrade(url, BEFORE)
        assert shape(connection) == before
        diwa_schema.migrate(url)
    engine.dispose()
    return path


@pytest.fixture
def url(template: Path, tmp_path: Path) -> str:
    return f"sqlite:///{shutil.copy(template, tmp_path / 'words.db')}"


@pytest.fixture
def lite(url: str) -> Iterator[sa.Connection]:
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def test_words_are_in_step_with_the_memories_whatever_is_done_to_them(lite: sa.Connection):
    done = (
        f"INSERT INTO memories {row(THREE, 'Three tides')}",
        f"INSERT OR IGNORE INTO memories {row(THREE, 'ignored')}",
        f"INSERT INTO memories {row(THREE, 'Three ebbs')} ON CONFLICT (id) DO UPDATE SET content = excluded.content",
        f"INSERT OR REPLACE INTO memories {row(THREE, 'Three floods')}",
        f"UPDATE memories SET id = '{memory(4)}', content = 'Four' WHERE id = '{THREE}'",
        "UPDATE memories SET content = content || ' more', deleted_at = NULL",
        f"UPDATE OR REPLACE memories SET id = '{TWO}' WHERE id = '{memory(4)}'",
        f"INSERT INTO memories {row('x', 'nobody')}".replace("'x'", "NULL"),
        f"DELETE FROM memories WHERE id = '{TWO}'",
        "VACUUM",
    )
    for statement in done:
        lite.exec_driver_sql(statement)
        assert_in_step(lite)
    paced(lite, lambda: steps.set_not_null("memories", "arrived_at"))
    lite.exec_driver_sql(f"UPDATE memories SET content = 'The harbour is full' WHERE id = '{ONE}'")
    assert_in_step(lite)
    assert said(lite, "harbours") == [ONE]
    assert said(lite, "empty") == []
    lite.exec_driver_sql("PRAGMA foreign_keys = ON")
    lite.exec_driver_sql("DELETE FROM contexts")
    assert_in_step(lite)
    assert lite.exec_driver_sql(f"SELECT count(*) FROM {searched.WORDS}").scalar() == 0


def test_what_somebody_took_away_is_found_and_put_back_with_the_words_of_all_memories(
    url: str, lite: sa.Connection, owner_directory: Path
):
    assert diwa_schema.check(url) == []
    for harm in (
        "DROP TRIGGER memories_words_changed",
        f"DROP TABLE {searched.WORDS}",
        f"DROP TABLE {searched.KEYS}",
        f"DROP TABLE {searched.WORDS}; CREATE VIRTUAL TABLE {searched.WORDS} USING fts5(content)",
    ):
        for statement in harm.split("; "):
            lite.exec_driver_sql(statement)
        if "TRIGGER" in harm:
            lite.exec_driver_sql("UPDATE memories SET content = 'unnoticed'")
        fix(url, lite)
        assert_in_step(lite)
    diwa_schema.drop(url, confirm="words.db")
    left = "SELECT name FROM sqlite_master WHERE name LIKE '%word%'"
    assert lite.exec_driver_sql(left).all() == []


def test_a_connection_that_lets_no_trigger_write_there_gets_no_index(sqlite: str, owner_directory: Path):
    engine = sa.create_engine(sqlite, isolation_level="AUTOCOMMIT")
    sa.event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA trusted_schema = OFF"))
    with engine.connect() as connection:
        diwa_schema.migrate(connection)
        assert diwa_schema.check(connection) == []
        ground(connection)
        assert said(connection, "HARBOUR emp") == [ONE]
    engine.dispose()


@pytest.mark.parametrize("empty", [True, False], ids=["new", "there"])
def test_a_build_without_fts5_searches_as_before_until_one_that_has_it_fixes_it(
    empty: bool, sqlite: str, monkeypatch: pytest.MonkeyPatch, owner_directory: Path
):
    engine = sa.create_engine(sqlite, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with monkeypatch.context() as bare:
        without_modules(bare)
        if not empty:
            diwa_schema.migrate(sqlite, BEFORE)
        diwa_schema.migrate(sqlite)
        assert diwa_schema.check(sqlite) == []
        with engine.connect() as connection:
            ground(connection)
            connection.exec_driver_sql("UPDATE memories SET content = content || '.'")
            assert said(connection, "HARBOUR emp") == [ONE]
            assert said(connection, "") == []
            connection.exec_driver_sql(
                "UPDATE memories SET content = 'Ähre HARBOUR' WHERE id = ?", (str(ONE),)
            )
            assert said(connection, "Ähre harbour") == [ONE]
            connection.exec_driver_sql(
                "UPDATE memories SET content = 'a harbour, empty' WHERE id = ?", (str(ONE),)
            )
    with engine.connect() as connection:
        fix(sqlite, connection)
        assert_in_step(connection)
        assert said(connection, "harbour") == [ONE]
        assert said(connection, "emp") == []
