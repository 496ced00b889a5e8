"""The programs of docs/application.md run as they stand there."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from fastapi.testclient import TestClient
from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session

from diwa_schema.errors import SchemaEmpty
from diwa_schema.models import Context, Memory, Organization, Task
from tests.pages.reading import blocks, read

PAGE = read("application.md")
SYNC, ASYNC, FASTAPI, FLASK, WORKER = blocks(PAGE, "python")


@pytest.fixture
def url(head_file: Path, tmp_path: Path) -> str:
    """A database at head with one memory and one task."""
    url = f"sqlite:///{shutil.copy(head_file, tmp_path / 'app.db')}"
    engine = create_engine(url)
    with Session(engine) as session:
        context = Context(name="home", organization=Organization(name="me", slug="me"))
        task = Task(context=context, title="boil", status="pending")
        session.add_all([Memory(context=context, content="tea"), task])
        session.commit()
    engine.dispose()
    return url


@pytest.fixture(autouse=True)
def disposed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An engine of an application lives as long as its process; here it ends with the test."""
    made: list[Engine] = []
    create = sqlalchemy.create_engine

    def kept(*arguments: Any, **options: Any) -> Engine:
        made.append(create(*arguments, **options))
        return made[-1]

    monkeypatch.setattr(sqlalchemy, "create_engine", kept)
    yield
    for engine in made:
        engine.dispose()


def executed(program: str, url: str) -> dict[str, Any]:
    names: dict[str, Any] = {"url": url, "__name__": "page"}
    exec(compile(program, "application.md", "exec"), names)
    return names


def asynchronous(url: str) -> str:
    return url.replace("sqlite://", "sqlite+aiosqlite://")


def test_the_sync_program(url: str) -> None:
    names = executed(SYNC, url)
    assert [memory.content for memory in names["memories"]] == ["tea"]


def test_the_async_program(url: str) -> None:
    memories = asyncio.run(executed(ASYNC, asynchronous(url))["main"]())
    assert [memory.content for memory in memories] == ["tea"]


def test_the_web_service(url: str, tmp_path: Path) -> None:
    with TestClient(executed(FASTAPI, asynchronous(url))["app"]) as client:
        assert client.get("/memories/count").json() == 1
    empty = executed(FASTAPI, f"sqlite+aiosqlite:///{tmp_path / 'empty.db'}")["app"]
    with pytest.raises(SchemaEmpty), TestClient(empty):
        pass


def test_the_flask_application(url: str) -> None:
    pytest.importorskip("flask")
    client = executed(FLASK, url)["create_app"]().test_client()
    assert client.get("/memories/count").json == {"count": 1}


def test_the_worker(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert executed(WORKER, url)["main"]() == 0
    assert capsys.readouterr().out == "boil\n"
    assert executed(WORKER, f"sqlite:///{tmp_path / 'empty.db'}")["main"]() == 1
    assert "python -m diwa_schema upgrade" in capsys.readouterr().err
