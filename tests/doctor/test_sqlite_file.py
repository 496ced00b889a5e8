"""The doctor on SQLite: the file, and the connections that an application makes to it."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

import diwa_schema
from diwa_schema.errors import DatabaseRefused
from tests.findings import found, to_fix


@pytest.fixture
def lite(sqlite, owner_directory):
    """The URL of a SQLite database at head in write-ahead mode."""
    diwa_schema.migrate(sqlite)
    run_lite(sqlite, "PRAGMA journal_mode = WAL")
    return sqlite


def path_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


def run_lite(url: str, script: str) -> None:
    with closing(sqlite3.connect(path_of(url))) as connection:
        connection.executescript(script)


def test_a_sound_file_has_nothing_to_fix(lite, dump):
    before = dump(lite)
    assert found(lite) == {}
    assert dump(lite) == before


def test_a_missing_file_is_not_made(tmp_path, owner_directory):
    assert set(found(f"sqlite:///{tmp_path / 'none.db'}")) == {"schema-empty"}
    assert not (tmp_path / "none.db").exists()


async def checked(engine: AsyncEngine) -> None:
    try:
        await diwa_schema.aensure_current(engine)
    finally:
        await engine.dispose()


@pytest.mark.parametrize("made", [str, sa.create_engine, create_async_engine], ids=["url", "engine", "async"])
def test_a_file_that_is_no_database_is_named_by_every_check(tmp_path, owner_directory, made):
    path = tmp_path / "notes.db"
    path.write_text("not a database, but long enough to look like one" * 100)
    with pytest.raises(DatabaseRefused, match="is not an SQLite database") as said:
        diwa_schema.status(f"sqlite:///{path}")
    database = made(f"sqlite{'+aiosqlite' if made is create_async_engine else ''}:///{path}")
    with pytest.raises(DatabaseRefused, match="is not an SQLite database") as raised:
        if made is create_async_engine:
            asyncio.run(checked(database))
        else:
            diwa_schema.ensure_current(database)
    if made is sa.create_engine:
        database.dispose()
    assert raised.value.next_step == said.value.next_step


def test_an_engine_that_keeps_no_foreign_keys_is_told(lite):
    from diwa_schema.models import enforce_foreign_keys

    engine = sa.create_engine(lite)
    assert to_fix(engine) == {"foreign-keys-off"}
    enforce_foreign_keys(engine)
    assert to_fix(engine) == set()
    with engine.connect() as connection:
        assert to_fix(connection) == set()
    engine.dispose()


def test_orphans_are_told(lite):
    run_lite(
        lite,
        "INSERT INTO contexts (id, name, organization_id, inserted_at, updated_at)"
        f" VALUES ('{uuid4()}', 'x', '{uuid4()}', 'now', 'now')",
    )
    finding = found(lite)["foreign-keys-broken"]
    assert "1 of contexts" in finding.reason
    assert finding.command == f"sqlite3 {path_of(lite)} 'PRAGMA foreign_key_check'"


@pytest.mark.parametrize(("mode", "code"), [("delete", "journal-blocks"), ("truncate", "journal-blocks")])
def test_a_journal_that_blocks_is_noted(lite, mode, code):
    run_lite(lite, f"PRAGMA journal_mode = {mode}")
    if mode == "truncate":
        # The mode is the connection's own; only write-ahead is written to the file.
        engine = sa.create_engine(lite)
        sa.event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA journal_mode = off"))
        assert "journal-unsafe" in to_fix(engine)
        engine.dispose()
    assert found(lite)[code].severity == "note"


def test_a_file_that_cannot_be_written_is_told(lite):
    read_only = f"sqlite:///file:{path_of(lite)}?mode=ro&uri=true"
    assert to_fix(read_only) == {"file-not-writable"}


def test_a_file_that_somebody_else_keeps_locked_is_told(lite):
    engine = sa.create_engine(lite, connect_args={"timeout": 0.1})
    with closing(sqlite3.connect(path_of(lite), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert "file-busy" in to_fix(engine)
    engine.dispose()


def damage(file: Path, first: int) -> None:
    """Overwrite a file's pages from one on."""
    content = bytearray(file.read_bytes())
    size = int.from_bytes(content[16:18], "big")
    start = first * size % len(content)
    content[start:] = b"\xff" * (len(content) - start)
    file.write_bytes(content)


def test_a_damaged_file_is_told(lite):
    run_lite(lite, "PRAGMA journal_mode = DELETE")
    damage(path_of(lite), -1)
    assert "file-damaged" in to_fix(lite)


def test_a_file_whose_schema_is_damaged_is_refused(lite):
    run_lite(lite, "PRAGMA journal_mode = DELETE")
    damage(path_of(lite), 1)
    with pytest.raises(DatabaseRefused, match="damaged"):
        diwa_schema.doctor(lite)


def test_a_file_that_is_no_database_is_refused(tmp_path, owner_directory):
    (tmp_path / "text.db").write_text("no database " * 1000)
    with pytest.raises(DatabaseRefused):
        diwa_schema.doctor(f"sqlite:///{tmp_path / 'text.db'}")


def test_an_engine_in_memory_is_looked_at_where_it_is(owner_directory):
    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
    assert to_fix(engine) == {"schema-empty"}
    diwa_schema.migrate(engine)
    assert found(engine) == {}
    engine.dispose()
