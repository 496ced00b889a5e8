"""Engines over the databases of the common fixtures, with tables that come from the models."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Engine, create_engine, make_url
from sqlalchemy.ext.asyncio import create_async_engine

from diwa_schema.models import Base, enforce_foreign_keys
from tests.fixtures_databases import database_name
from tests.fixtures_server import Server

ASYNC = {"postgresql+psycopg": "postgresql+psycopg", "sqlite": "sqlite+aiosqlite"}


def sqlalchemy_url(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://")


def open_engine(url: str) -> Engine:
    engine = create_engine(sqlalchemy_url(url))
    enforce_foreign_keys(engine)
    return engine


def open_async_engine(url: str):
    parts = make_url(sqlalchemy_url(url))
    engine = create_async_engine(parts.set(drivername=ASYNC[parts.drivername]))
    enforce_foreign_keys(engine.sync_engine)
    return engine


@pytest.fixture
def engine_for() -> Iterator[Callable[[str], Engine]]:
    """Opens engines that are closed after the test."""
    engines: list[Engine] = []

    def open_one(url: str) -> Engine:
        engines.append(open_engine(url))
        return engines[-1]

    yield open_one
    for engine in engines:
        engine.dispose()


@pytest.fixture(params=["vector", "bytea", "sqlite"])
def storage(request: pytest.FixtureRequest, server: Server) -> str:
    """How the database of a test keeps embeddings."""
    if request.param == "vector" and not server.has_vector:
        pytest.skip("this server has no pgvector")
    return str(request.param)


@pytest.fixture(scope="session")
def templates(server: Server) -> Iterator[dict[str, str]]:
    """PostgreSQL databases with the tables of the models, made once, by storage."""
    made: dict[str, str] = {}
    yield made
    for name in made.values():
        server.drop(name)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with the tables of the models."""
    path = tmp_path_factory.mktemp("models") / "template.db"
    create_tables(f"sqlite:///{path}")
    return path


def make_template(server: Server, storage: str) -> str:
    name = database_name()
    url = server.create(name)
    if storage == "vector":
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE EXTENSION vector")
    create_tables(url)
    return name


def create_tables(url: str) -> None:
    engine = open_engine(url)
    Base.metadata.create_all(engine)
    engine.dispose()


@pytest.fixture
def tables_url(request: pytest.FixtureRequest, storage: str, owner_directory: object) -> str:
    """The URL of a database with the tables of the models and no rows."""
    if storage == "sqlite":
        url = str(request.getfixturevalue("sqlite"))
        shutil.copy(request.getfixturevalue("sqlite_template"), url.removeprefix("sqlite:///"))
        return url
    templates = request.getfixturevalue("templates")
    if storage not in templates:
        templates[storage] = make_template(request.getfixturevalue("server"), storage)
    return str(request.getfixturevalue("new_database")(templates[storage]))


@pytest.fixture
def engine(tables_url: str, engine_for: Callable[[str], Engine]) -> Engine:
    """An engine on a database with the tables of the models and no rows."""
    return engine_for(tables_url)
