"""`mix`: a task of Ecto by this package, also for the test database of a repository that only uses the schema."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing

import psycopg
import pytest

from diwa_schema.database.lock import keys
from diwa_schema.database.url import parse
from diwa_schema.migrations.manifest import load
from tests.run.asking import execute, value

AGENT = ("mix", "--repo", "diwa-agent")
TESTING = (*AGENT, "--env", "test")
TABLES = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'"


@pytest.fixture
def at(postgres, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", postgres)
    return postgres


def silent(done: subprocess.CompletedProcess[str]) -> bool:
    return (done.stdout, done.stderr) == ("", "")


def test_a_database_that_was_empty_is_open_in_the_test_environment_and_stays_so(cli, at, server):
    name = dict(parse(at).parameters)["dbname"]
    assert cli(*AGENT, "ecto.migrate", check=3).stdout == ""
    assert value(at, TABLES) == 0
    assert silent(cli(*TESTING, "ecto.migrate", "--", "--quiet", check=0))
    assert "-> base" in cli(*TESTING, "ecto.rollback", "--", "--all", check=0).stdout
    shown = cli(*TESTING, "ecto.migrate", "--", "-n", "1", "--log-migrations-sql", check=0).stderr
    assert "CREATE TABLE" in shown
    assert f"({len(load().ids) - 1} revisions" in cli(*TESTING, "ecto.migrate", check=0).stdout
    # What the mark does not cover: the same database, asked for by somebody who does not run tests.
    assert "[SAFETY BLOCK]" in cli(*AGENT, "ecto.rollback", check=3).stderr
    with psycopg.connect(at):
        assert "is in use" in cli(*TESTING, "ecto.drop", check=5).stderr
        assert "is dropped" in cli(*TESTING, "ecto.drop", "--", "--force-drop", check=0).stdout
    with pytest.raises(Exception, match=f'"{name}" does not exist'):
        value(at, TABLES)
    gone = cli(*TESTING, "ecto.drop", check=0)
    assert (gone.stdout, gone.stderr) == (f"The database {parse(at).shown} is already down.\n", "")
    assert cli(*TESTING, "ecto.drop", "--", "--quiet", check=0).stdout == ""
    assert "already down" in cli("mix", "--repo", "diwa-cloud", "ecto.drop", check=0).stdout
    assert "[SAFETY BLOCK]" in cli(*AGENT, "ecto.drop", check=3).stderr
    assert "cannot be reached" in cli(*TESTING, "ecto.migrate", check=4).stderr
    server.create(name)


def test_a_server_that_does_not_answer_may_have_the_database(cli, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://127.0.0.1:1/test")
    assert "cannot be reached" in cli(*TESTING, "ecto.drop", check=4).stderr


@pytest.mark.parametrize("environment", ["dev", "test"])
def test_a_file_that_is_not_there_is_already_down(cli, tmp_path, monkeypatch, environment):
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'test.db'}")
    assert (
        "nothing to do"
        in cli("mix", "--repo", "diwa-cloud", "--env", environment, "ecto.drop", check=0).stdout
    )
    assert list(tmp_path.glob("*.db")) == []


def test_a_database_with_tables_is_not(cli, at):
    execute(at, "CREATE TABLE somebodys (id int)")
    told = cli(*TESTING, "ecto.migrate", check=3).stderr
    assert "[SAFETY BLOCK]" in told
    assert "Nothing was changed." in told
    assert "connected to" not in told
    parts = dict(parse(at).parameters)
    server = "".join(
        f" --{option}={parts[part]}"
        for part, option in {"host": "host", "port": "port", "user": "username"}.items()
        if part in parts
    )
    assert f"drop it: dropdb{server} {parts['dbname']}\n" in told
    assert "[SAFETY BLOCK]" in cli(*TESTING, "ecto.drop", check=3).stderr
    assert value(at, TABLES) == 1


def test_a_file_is_open_in_the_test_environment_as_a_database_is(cli, tmp_path, monkeypatch):
    file = tmp_path / "a test.db"
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{file}")
    assert "[SAFETY BLOCK]" in cli(*AGENT, "ecto.migrate", check=3).stderr
    assert not file.exists()
    assert silent(cli(*TESTING, "ecto.migrate", "--", "--quiet", check=0))
    assert "1 revision," in cli(*TESTING, "ecto.rollback", check=0).stdout
    assert "[SAFETY BLOCK]" in cli(*AGENT, "ecto.migrate", check=3).stderr
    assert "[SAFETY BLOCK]" in cli(*AGENT, "ecto.drop", check=3).stderr
    # A copy in another place may be a database that somebody uses.
    copy = tmp_path / "copy.db"
    copy.write_bytes(file.read_bytes())
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{copy}")
    assert f"drop it: rm {copy}\n" in cli(*TESTING, "ecto.migrate", check=3).stderr
    assert "[SAFETY BLOCK]" in cli(*TESTING, "ecto.drop", check=3).stderr
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{file}")
    assert "is dropped" in cli(*TESTING, "ecto.drop", check=0).stdout
    assert [path.name for path in tmp_path.glob("*.db*")] == [copy.name]


def test_a_file_that_cannot_be_a_test_database(cli, tmp_path, monkeypatch):
    """Another program's file stays as it is, and what is no database is an error in words."""
    file = tmp_path / "test.db"
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{file}")
    with closing(sqlite3.connect(file)) as lite:
        lite.execute("PRAGMA application_id = 7")
    before = file.read_bytes()
    assert "[SAFETY BLOCK]" in cli(*TESTING, "ecto.migrate", check=3).stderr
    assert file.read_bytes() == before
    file.write_text("no database " * 100)
    for task in ("ecto.migrate", "ecto.drop"):
        assert "is not a database" in cli(*TESTING, task, check=7).stderr


def test_a_run_ends_with_mix(at):
    """Neither Ctrl-C nor a signal for mix reaches the command, which mix starts in a session of its own."""
    run = [sys.executable, "-m", "diwa_schema", "mix", "--repo", "diwa-cloud", "ecto.migrate"]
    with psycopg.connect(at, autocommit=True) as holder:
        holder.execute("SELECT pg_advisory_lock(%s)", (keys("public")[0],))
        mix = subprocess.Popen(
            ["sh", "-c", '"$@" & wait', "sh", *run], stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        assert mix.stderr is not None
        assert "waiting for the migration lock" in mix.stderr.readline()
        mix.kill()
        # The pipe ends with the last process that has it, which is the run.
        assert "SIGTERM" in mix.communicate(timeout=60)[1]
    assert value(at, TABLES) == 0


def test_the_next_step_names_the_database(cli, at):
    told = cli("mix", "--repo", "diwa-cloud", "ecto.migrations", check=1).stdout
    assert f"upgrade --url {parse(at).shown}" in told
