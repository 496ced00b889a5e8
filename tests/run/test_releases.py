"""Which release a connection says, and a change that breaks old code waits until nobody says an old one."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import create_engine, make_url, select, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

import diwa_schema
from diwa_schema import __version__, application_name, release
from diwa_schema.models import Session
from tests.run.asking import execute

OURS = f"diwa/{__version__}"
SHOWN = text("SHOW application_name")
STATEMENT = select(Session.id).where(Session.id.is_(None))  # its type has the engine watched


@pytest.fixture
def current(postgres: str, owner_directory: object) -> str:
    """A database at head."""
    diwa_schema.migrate(postgres)
    return postgres


@pytest.mark.parametrize(
    ("own", "whole"),
    [
        (None, OURS),
        ("  ", OURS),
        ("tell", f"tell {OURS}"),
        (f"tell {OURS}", f"tell {OURS}"),
        ("tell diwa/0.0.1", f"tell diwa/0.0.1 {OURS}"),
        ("x" * 80, f"{'x' * (62 - len(OURS))} {OURS}"),
    ],
)
def test_a_name_keeps_what_the_application_calls_itself(own, whole):
    assert application_name(own) == whole
    assert release.said(whole) == __version__


def test_releases_are_ordered_as_pep_440_says():
    oldest_first = [
        "0.9",
        "1.0.dev1",
        "1.0a1.dev2",
        "1.0a1",
        "1.0b2",
        "1.0rc1",
        "1",
        "1.0.post1",
        "1.0.1",
        "1.10",
    ]
    assert sorted(reversed(oldest_first), key=lambda one: release.order(one) or ()) == oldest_first
    assert release.order("1.0.0") == release.order("1")
    assert release.order("1.x") is release.said("diwa/next") is release.said("mydiwa/1.0") is None


def test_every_connection_of_the_models_engines_says_the_release(postgres, monkeypatch):
    url = make_url(postgres).set(drivername="postgresql+psycopg")
    execute(postgres, "CREATE TABLE sessions (id uuid)")
    monkeypatch.setenv("PGAPPNAME", "100% of o'tell é")
    # In a transaction, where what is undone must not undo the name; in AUTOCOMMIT; and one for each statement.
    for options in ({}, {"isolation_level": "AUTOCOMMIT"}, {"poolclass": NullPool}):
        engine = create_engine(url, **options)
        with engine.connect() as first, engine.connect() as second:
            for connection in (first, second):
                connection.execute(STATEMENT)
                connection.rollback()
                assert connection.scalar(SHOWN).startswith("100% of o'tell ")
                assert connection.scalar(SHOWN).endswith(f" {OURS}")
        engine.dispose()

    async def asyncpg_says(**options: object) -> str:
        engine = create_async_engine(url.set(drivername="postgresql+asyncpg"), **options)
        async with engine.connect() as connection:
            await connection.execute(STATEMENT)
            await connection.rollback()
            said = str(await connection.scalar(SHOWN))
        await engine.dispose()
        return said

    pytest.importorskip("asyncpg")
    named = {"connect_args": {"server_settings": {"application_name": "it's tell"}}}
    assert asyncio.run(asyncpg_says(**named)) == f"it's tell {OURS}"
    assert asyncio.run(asyncpg_says(isolation_level="AUTOCOMMIT")) == OURS
