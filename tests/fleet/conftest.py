"""A database with tenants in it: a schema each, made once in a run and copied for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import diwa_schema
from tests.fixtures_databases import database_name
from tests.fixtures_server import Server, free_port
from tests.fleet.tenants import TENANTS, execute


@pytest.fixture(scope="session")
def tenants_template(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of a database with three tenants, two revisions behind."""
    name = database_name()
    url = server.create(name)
    execute(url, *(["CREATE EXTENSION vector"] if server.has_vector else []))
    for tenant in TENANTS:
        execute(url, f"CREATE SCHEMA {tenant}")
        diwa_schema.migrate(url, schema=tenant, repo="diwa-schema")
        diwa_schema.downgrade(url, "-2", schema=tenant, repo="diwa-schema")
        # What the way there has left is not what the tests look at.
        execute(url, f"DELETE FROM {tenant}.diwa_schema_ledger WHERE kind <> 'snapshot'")
    yield name
    server.drop(name)


@pytest.fixture
def tenants(new_database: Callable[..., str], tenants_template: str) -> str:
    """The URL of a database with three tenants, two revisions behind."""
    return new_database(tenants_template)


@pytest.fixture
def closed() -> str:
    """The URL of a server that nobody runs."""
    return f"postgresql://postgres:hunter2@127.0.0.1:{free_port()}/diwa"


@pytest.fixture
def listing(tmp_path: Path) -> Callable[..., Path]:
    """Writes a file of targets and returns its path."""

    def write(*lines: str) -> Path:
        path = tmp_path / "targets"
        path.write_text("\n".join(lines) + "\n")
        return path

    return write
