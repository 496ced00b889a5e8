"""What docs/queries.md says is so: its programs run, and its table names every query and only indexes that are there."""

from __future__ import annotations

import re
import shutil
import uuid
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

import diwa_schema
from diwa_schema import queries
from diwa_schema.drift.read import path as catalog_path
from diwa_schema.models import Context, Memory, Organization

PAGE = (Path(__file__).parents[2] / "docs" / "queries.md").read_text()


def test_the_programs_run(
    head_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    (tmp_path / "diwa").mkdir()
    shutil.copy(head_file, tmp_path / "diwa" / "diwa.db")
    organization, context = Organization(name="One", tier="free"), Context(name="harbour")
    memories = [
        Memory(
            content=f"Lesson {number}",
            metadata_={"type": "decision"} if number == 3 else {},
            inserted_at=datetime(2026, 3, 1, second=number, tzinfo=UTC),
            memory_class="user_rule" if number == 4 else None,
        )
        for number in range(5)
    ]
    engine = create_engine(diwa_schema.embedded_url())
    with Session(engine, expire_on_commit=False) as session:
        organization.id = uuid.uuid4()
        session.add(organization)
        session.flush()
        context.organization_id = organization.id
        session.add(context)
        session.flush()
        for memory in memories:
            memory.context_id = context.id
        session.add_all(memories)
        session.commit()
    engine.dispose()
    names: dict[str, object] = {"organization_id": organization.id, "context_id": context.id}
    for program in re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL):
        exec(program, names)
    names["engine"].dispose()  # type: ignore[attr-defined]
    *contents, decisions, by_ada, rules = capsys.readouterr().out.splitlines()
    assert contents == [f"Lesson {number}" for number in range(4, -1, -1)]
    assert decisions.count("Memory") == rules.count("Memory") == 1
    assert by_ada == "[]"


def test_the_table_names_every_query_and_only_indexes_that_are_there() -> None:
    rows = re.findall(r"^\| `(\w+)` \|(.*)\|$", PAGE, flags=re.MULTILINE)
    assert sorted(name for name, _ in rows) == sorted(queries.__all__)
    there = catalog_path("postgresql").read_text() + catalog_path("sqlite").read_text()
    named = {index for _, row in rows for index in re.findall(r"`(\w+_(?:index|idx))`", row)}
    assert len(named) == 14
    assert all(f'"{index}"' in there for index in named)
