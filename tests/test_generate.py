"""What is generated is fresh, and snapshot, replay and models are one and the same."""

from __future__ import annotations

from importlib import import_module

import pytest
import sqlalchemy as sa

import diwa_schema
from diwa_schema import api, generate
from diwa_schema.database.target import Target
from diwa_schema.drift.check import compare
from diwa_schema.drift.read import at_head, read
from diwa_schema.drift.rules import waiting
from diwa_schema.errors import MigrationFailed, UsageError
from diwa_schema.migrations import manifest, pgvector
from diwa_schema.migrations.manifest import load
from diwa_schema.models import Base

pytestmark = pytest.mark.usefixtures("owner_directory")


def test_the_generated_files_are_fresh(postgres, server, capsys):
    # Where there is no pgvector, or an older server writes some things otherwise, SQLite's files are checked alone.
    newest = ["--postgresql", postgres] if server.has_vector and server.version >= 18 else []
    assert generate.main(["--check", *newest]) == 0, capsys.readouterr().err


def test_a_stale_file_is_told(tmp_path, capsys):
    stale = tmp_path / "manifest.json"
    stale.write_text("{}")
    assert generate._update(stale, "{ }", check=True)
    assert stale.read_text() == "{}"
    assert "stale" in capsys.readouterr().err


@pytest.mark.parametrize("way", ["snapshot", "replay", "models"])
def test_every_way_to_head_ends_in_the_catalog_that_ships(database, way):
    if way == "models":
        engine = sa.create_engine(database.replace("postgresql://", "postgresql+psycopg://"))
        with engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql(pgvector.CREATE)
            Base.metadata.create_all(connection)
        engine.dispose()
    else:
        report = api.migrate(database, settings=diwa_schema.Settings(replay=way == "replay"))
        assert report.kind == ("migrate" if way == "replay" else "snapshot")
    with Target.of(database).connect() as link:
        expected = at_head(link.dialect)
        live = read(link, tables=[table.name for table in expected.tables])
        assert waiting(link, "public") == ()
    found = [one.text for one in compare(live, expected)]
    if way == "models":  # which have no class for the two tables of kept values
        found = [
            text
            for text in found
            if not any(table in text for table in load().leftovers - set(load().tables))
        ]
    assert found == []
    assert len(live.tables) >= len(load().tables)


@pytest.mark.parametrize("file", ["manifest", "catalog"])
def test_a_file_with_the_marks_of_a_conflict_is_an_error_in_words(tmp_path, monkeypatch, file):
    broken = tmp_path / "broken.json"
    broken.write_text("{\n<<<<<<< HEAD\n")
    at_head = import_module("diwa_schema.drift.read")
    monkeypatch.setattr(manifest, "PATH", broken)
    monkeypatch.setattr(at_head, "path", lambda _dialect: broken)
    with pytest.raises(UsageError, match=r"^broken\.json of this package cannot be read") as caught:
        manifest.load.__wrapped__() if file == "manifest" else at_head.at_head.__wrapped__("sqlite")
    assert "revision --rebase" in caught.value.next_step


def test_a_revision_that_fails_is_to_be_fixed_and_not_only_run_again(monkeypatch, capsys):
    def fails(*_: object) -> None:
        raise MigrationFailed("Revision 1 failed.", next_step="Run the command again; it resumes there.")

    monkeypatch.setattr(generate, "listing", fails)
    assert generate.main(["--check"]) == 6
    assert capsys.readouterr().err.endswith("Fix the revision, then run: python -m diwa_schema.generate\n")
