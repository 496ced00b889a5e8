"""An installation with its private database starts without naming a URL."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

import diwa_schema
from diwa_schema import queries
from diwa_schema.errors import UsageError


def test_the_embedded_database_is_checked_and_has_a_url(
    head_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data #1"))
    with pytest.raises(diwa_schema.DiwaSchemaError):
        diwa_schema.ensure_current(embedded=True)
    assert not (tmp_path / "data #1").exists()
    (tmp_path / "data #1" / "diwa").mkdir(parents=True)
    path = shutil.copy(head_file, tmp_path / "data #1" / "diwa" / "diwa.db")
    diwa_schema.ensure_current(embedded=True)
    diwa_schema.ensure_current(embedded=path)
    assert diwa_schema.embedded_url() == diwa_schema.embedded_url(path)
    engine = create_engine(diwa_schema.embedded_url())
    with Session(engine) as session:
        assert session.scalars(queries.newest_memories()).all() == []
    engine.dispose()
    with pytest.raises(UsageError, match="database and the embedded one"):
        diwa_schema.ensure_current("sqlite:///other.db", embedded=True)
