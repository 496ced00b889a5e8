"""Databases at some revision, and connections to them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.fixtures_databases import database_name
from tests.fixtures_server import Server
from tests.migrations.replaying import engine_of, up

Connect = Callable[[str], sa.Connection]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """A function that opens an autocommit connection to a URL."""
    with ExitStack() as stack:

        def open_(url: str) -> sa.Connection:
            engine = engine_of(url)
            stack.callback(engine.dispose)
            return stack.enter_context(engine.connect())

        yield open_


@pytest.fixture
def connection(database: str, connect: Connect) -> sa.Connection:
    """A connection to an empty database; the test runs on PostgreSQL and on SQLite."""
    return connect(database)


@pytest.fixture
def pg(postgres: str, connect: Connect) -> sa.Connection:
    """A connection to an empty PostgreSQL database."""
    return connect(postgres)


@pytest.fixture(scope="session")
def templates(server: Server) -> Iterator[dict[str, str]]:
    """The databases that `postgres_at` has built, by their revision."""
    built: dict[str, str] = {}
    yield built
    for name in built.values():
        server.drop(name)


@pytest.fixture
def postgres_at(
    server: Server, templates: dict[str, str], new_database: Callable[..., str]
) -> Callable[[str], str]:
    """A function that returns the URL of a new PostgreSQL database at a revision."""

    def at(revision: str) -> str:
        if revision not in templates:
            name = database_name()
            engine = engine_of(server.create(name))
            with engine.connect() as connection:
                up(connection, revision)
            engine.dispose()
            templates[revision] = name
        return new_database(templates[revision])

    return at


@pytest.fixture(scope="session")
def sqlite_templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the SQLite databases that `sqlite_at` has built."""
    return tmp_path_factory.mktemp("revisions")


@pytest.fixture
def sqlite_at(sqlite_templates: Path, tmp_path: Path) -> Callable[[str], str]:
    """A function that returns the URL of a new SQLite database at a revision."""

    def at(revision: str) -> str:
        template = sqlite_templates / f"{revision}.db"
        if not template.exists():
            engine = engine_of(f"sqlite:///{template}")
            with engine.connect() as connection:
                up(connection, revision)
            engine.dispose()
        return f"sqlite:///{shutil.copy(template, tmp_path / 'copied.db')}"

    return at
