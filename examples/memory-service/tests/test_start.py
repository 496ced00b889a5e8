"""The service as it is run: a server process that begins only on a schema that is current."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import create_engine, make_url, text

import diwa_schema
from diwa_schema.errors import SchemaEmpty
from memory_service.app import create_app

SERVE = [sys.executable, "-m", "uvicorn", "--factory", "memory_service.app:create_app", "--port", "0"]


@contextmanager
def started(url: str) -> Iterator[tuple[subprocess.Popen[str], str | None]]:
    """Give the process and its address, or None where it has ended."""
    process = subprocess.Popen(
        SERVE, env=os.environ | {"DATABASE_URL": url}, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr
    try:
        said = ""
        for line in process.stderr:
            said += line
            if found := re.search(r"running on (http://[\d.:]+)", line):
                yield process, found[1]
                return
        process.args = said
        yield process, None
    finally:
        process.terminate()
        process.communicate(timeout=30)


def test_it_serves_over_a_socket(postgresql: str) -> None:
    with started(postgresql) as (_, address), httpx2.Client(base_url=address or "") as client:
        made = client.post("/contexts", json={"organization": "acme", "name": "Harbour"})
        assert made.status_code == 201
        assert client.get(f"/contexts/{made.json()['id']}").json() == made.json()
        assert "/contexts/{context_id}/memories/nearest" in client.get("/openapi.json").json()["paths"]
        assert client.get("/docs").status_code == 200


def test_it_does_not_start_on_a_schema_that_is_behind(postgresql: str) -> None:
    diwa_schema.downgrade(postgresql)
    with started(postgresql) as (process, address):
        assert address is None
        assert process.wait(30) == 3  # uvicorn's own, for an application that did not start
        said = str(process.args)
    assert "is out of date: it is at revision" in said
    assert "python -m diwa_schema upgrade" in said


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_a_database_that_goes_away_and_comes_back(postgresql: str, driver: str) -> None:
    """A restart of the server costs no request; while the database is not there, the answer is 503."""
    path = "/contexts/00000000-0000-0000-0000-000000000000"
    name = make_url(postgresql).database
    app = create_app(postgresql.replace("postgresql://", f"postgresql+{driver}://", 1))
    server = create_engine(
        make_url(postgresql).set(drivername="postgresql+psycopg", database="postgres"),
        isolation_level="AUTOCOMMIT",
    )
    end = text("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = :name")
    with TestClient(app, raise_server_exceptions=False) as client, server.connect() as other:
        assert client.get(path).status_code == 404
        other.execute(end, {"name": name})
        assert client.get(path).status_code == 404
        other.execute(text(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false'))
        other.execute(end, {"name": name})
        refused = client.get(path)
        assert (refused.status_code, refused.json()) == (
            503,
            {"detail": "The database is not available now."},
        )
        other.execute(text(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true'))
        assert client.get(path).status_code == 404
    server.dispose()


@pytest.mark.parametrize(
    "url",
    ["mysql://u:secret@h/d", "secret", "postgresql://u@h:secret/d", " "],
)
def test_a_wrong_setting_is_told_without_a_password(url: str) -> None:
    with pytest.raises(ValueError, match=r"DATABASE_URL is no URL of a database: write") as refused:
        create_app(url)
    assert "secret" not in "".join(traceback.format_exception(refused.value)).replace(f'"{url}"', "")


def test_it_does_not_start_without_a_schema(tmp_path: Path) -> None:
    app = create_app(f"sqlite:///{tmp_path / 'none.db'}")
    with pytest.raises(SchemaEmpty, match="out of date: it is empty"), TestClient(app):
        pass
