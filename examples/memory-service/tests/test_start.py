"""The service as it is run: a server process that begins only on a schema that is current."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from fastapi.testclient import TestClient

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


def test_it_does_not_start_without_a_schema(tmp_path: Path) -> None:
    app = create_app(f"sqlite:///{tmp_path / 'none.db'}")
    with pytest.raises(SchemaEmpty, match="out of date: it is empty"), TestClient(app):
        pass
