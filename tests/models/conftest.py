"""Engines over the databases of the common fixtures, with tables that come from the models.

A test that takes `engine` runs on each driver. The engine of an asynchronous driver is used as any other: the whole
test, fixtures included, runs in the greenlet in which SQLAlchemy awaits what the driver does.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from _pytest.runner import pytest_runtest_protocol as run_protocol
from sqlalchemy import Engine, create_engine, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.util import greenlet_spawn

from diwa_schema.models import Base, enforce_foreign_keys
from tests.fixtures_databases import database_name
from tests.fixtures_server import Server

COMBINATIONS = {
    "vector": ("psycopg", "asyncpg"),
    "bytea": ("psycopg_async", "asyncpg"),
    "sqlite": ("sqlite3", "aiosqlite"),
}
"""The drivers that a test runs on, by storage; both ways of psycopg share their code for values."""

ASYNCHRONOUS = {
    "psycopg_async": "postgresql+psycopg",
    "asyncpg": "postgresql+asyncpg",
    "aiosqlite": "sqlite+aiosqlite",
}
DRIVERS = ("psycopg", "sqlite3", *ASYNCHRONOUS)
RUNNER = pytest.StashKey[asyncio.Runner]()


ONE_DRIVER_EACH = pytest.mark.parametrize(
    ("storage", "driver"), [("bytea", "asyncpg"), ("vector", "psycopg"), ("sqlite", "sqlite3")], indirect=True
)
"""For what depends on the database and not on the driver."""


def sqlalchemy_url(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://")


def open_engine(url: str, driver: str = "psycopg", **options: Any) -> Engine:
    if driver in ASYNCHRONOUS:
        return open_async_engine(url, driver, **options).sync_engine
    engine = create_engine(sqlalchemy_url(url), **options)
    enforce_foreign_keys(engine)
    return engine


def open_async_engine(url: str, driver: str | None = None, **options: Any) -> AsyncEngine:
    parts = make_url(sqlalchemy_url(url))
    name = ASYNCHRONOUS[driver or ("aiosqlite" if parts.drivername == "sqlite" else "psycopg_async")]
    engine = create_async_engine(parts.set(drivername=name), **options)
    enforce_foreign_keys(engine.sync_engine)
    return engine


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what no application combines."""
    left_out = [item for item in items if not _combines(getattr(item, "callspec", None))]
    if left_out:
        items[:] = [item for item in items if item not in set(left_out)]
        config.hook.pytest_deselected(items=left_out)


def _combines(callspec: Any) -> bool:
    params = {} if callspec is None else callspec.params
    storage, driver = params.get("storage"), params.get("driver")
    return storage is None or driver is None or driver in COMBINATIONS[storage]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Run a test of an asynchronous driver where its engine can wait."""
    params = item.callspec.params if hasattr(item, "callspec") else {}
    if params.get("driver", params.get("client")) not in ASYNCHRONOUS:
        return None
    if RUNNER not in item.config.stash:
        item.config.stash[RUNNER] = asyncio.Runner()
        item.config.add_cleanup(item.config.stash[RUNNER].close)
    item.config.stash[RUNNER].run(greenlet_spawn(run_protocol, item, nextitem))
    return True


@pytest.fixture
def engine_for() -> Iterator[Callable[..., Engine]]:
    """Opens engines that are closed after the test."""
    engines: list[Engine] = []

    def open_one(url: str, driver: str = "psycopg", **options: Any) -> Engine:
        engines.append(open_engine(url, driver, **options))
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


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> str:
    """The driver of an engine."""
    if request.param == "asyncpg":
        pytest.importorskip("asyncpg")
    return str(request.param)


@pytest.fixture
def engine(tables_url: str, driver: str, engine_for: Callable[..., Engine]) -> Engine:
    """An engine on a database with the tables of the models and no rows."""
    return engine_for(tables_url, driver)
