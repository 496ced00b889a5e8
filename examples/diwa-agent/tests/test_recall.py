"""The agent's own test: it may have a database of its own, as long as nobody else sees it."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session

import diwa_schema
from diwa_agent.recall import newest
from diwa_schema.models import Context, Memory, Organization

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """The database that DATABASE_URL names, which its owner has migrated; else a private file."""
    url = os.environ.get("DATABASE_URL")
    if url is None:
        path = tmp_path / "agent.db"
        diwa_schema.migrate(embedded=path)
        url = f"sqlite:///{path}"
    made = create_engine(url)
    yield made
    made.dispose()


def test_newest_leaves_out_what_was_deleted(engine: Engine) -> None:
    diwa_schema.ensure_current(engine)
    with Session(engine) as session:
        context = Context(name="home", organization=Organization(name="me", slug="me"))
        session.add_all(
            Memory(
                context=context,
                content=f"memory {hour}",
                inserted_at=NOON + timedelta(hours=hour),
                deleted_at=NOON if hour == 2 else None,
            )
            for hour in range(4)
        )
        session.flush()
        assert [memory.content for memory in newest(session, context.id, limit=2)] == ["memory 3", "memory 1"]
