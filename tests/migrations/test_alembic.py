"""A plain `alembic` command pointed at the package: guarded, locked and recorded like any other way in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config

from diwa_schema import api
from diwa_schema.errors import Blocked
from diwa_schema.migrations.manifest import load
from tests.fixtures_checkout import checkout

HEAD = load().head


@pytest.fixture
def alembic(database, tmp_path):
    """Runs `alembic` with a configuration that names only the package's migrations and the database."""
    ini = tmp_path / "alembic.ini"
    ini.write_text(
        f"[alembic]\nscript_location = diwa_schema:migrations\nrevision_environment = true\n"
        f"sqlalchemy.url = {database.replace('%', '%%')}\n"
    )

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "alembic", "-c", str(ini), *words],
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.mark.usefixtures("owner_directory")
def test_the_owners_upgrade_takes_the_same_way(alembic, database):
    done = alembic("upgrade", "head")
    assert done.returncode == 0, done.stderr
    assert api.status(database).current
    assert {entry["outcome"] for entry in api.history(database)} == {"applied"}
    assert alembic("downgrade", "-1").returncode == 0
    assert api.status(database).revision == load().ids[-2]
    assert alembic("stamp", "head").returncode != 0 or api.status(database).current


@pytest.mark.usefixtures("consumer_directory")
@pytest.mark.parametrize("words", [("upgrade", "head"), ("downgrade", "-1"), ("stamp", "head")])
def test_a_consumer_is_blocked(alembic, dump, database, words):
    before = dump(database)
    done = alembic(*words)
    assert done.returncode == 3
    assert done.stderr.startswith("[SAFETY BLOCK] Database migrations in 'diwa-agent' are restricted")
    assert dump(database) == before


@pytest.mark.usefixtures("consumer_directory")
def test_what_changes_nothing_is_free(alembic, database, owner_directory, monkeypatch):
    monkeypatch.chdir(owner_directory)
    api.migrate(database)
    monkeypatch.chdir(owner_directory.parent / "diwa-agent")
    said = {
        "current": HEAD,
        "history": HEAD,
        "heads": HEAD,
        "upgrade head --sql": "CREATE TABLE organizations",
    }
    for words, expected in said.items():
        done = alembic(*words.split())
        assert done.returncode == 0, done.stderr
        assert expected in done.stdout


@pytest.mark.parametrize("words", [("ensure_version",), ("edit", "current")])
def test_what_the_history_does_not_support_is_refused_in_words(
    alembic, dump, database, owner_directory, monkeypatch, words
):
    before = dump(database)
    done = alembic(*words)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr
    assert "is not one the history of diwa-schema supports" in done.stderr
    monkeypatch.chdir(checkout(owner_directory, "diwa-agent"))
    assert alembic(*words).returncode == 3
    assert dump(database) == before


@pytest.mark.usefixtures("owner_directory")
def test_check_finds_nothing_at_head(alembic, database):
    api.migrate(database)
    done = alembic("check")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No new upgrade operations detected" in done.stdout + done.stderr


def test_a_program_that_calls_alembic_gets_the_exception(consumer_directory, sqlite):
    config = Config()
    config.set_main_option("script_location", "diwa_schema:migrations")
    config.set_main_option("sqlalchemy.url", sqlite)
    with pytest.raises(Blocked):
        command.upgrade(config, "head")
    assert not Path(sqlite.removeprefix("sqlite:///")).exists()
