"""Bad input: its exit code, one clear message with the next step, no traceback, and the database as it was."""

from __future__ import annotations

import json
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

import diwa_schema
from diwa_schema.errors import InvalidDatabase
from diwa_schema.migrations.manifest import load
from tests.sampling import sampled

pytestmark = pytest.mark.usefixtures("owner_directory")


def refused(done, code: int, *words: str) -> None:
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    for word in words:
        assert word in done.stderr, done.stderr
    assert done.stdout == ""


def test_an_unknown_revision(database, cli, dump):
    cli("upgrade", "--url", database, check=0)
    before = dump(database)
    refused(
        cli("upgrade", "20990101", "--url", database),
        2,
        "20990101",
        "Nothing was changed",
        "diwa-schema history",
    )
    refused(cli("downgrade", "nowhere", "--url", database), 2, "nowhere")
    assert dump(database) == before


@pytest.mark.parametrize(
    "url", ["diwa", "mysql://db/x", "postgresql://app:se@cret@db/diwa", "postgresql://u:pw@h:po/x"]
)
def test_a_malformed_url(cli, url):
    done = cli("upgrade", "--url", url)
    refused(done, 2, "Nothing was changed")
    assert "cret" not in done.stderr


def test_no_database(cli):
    refused(cli("upgrade"), 2, "--url", "DATABASE_URL", "--embedded")


def test_an_unreachable_server(cli):
    done = cli("upgrade", "--url", "postgresql://app:topsecret@127.0.0.1:9/diwa")
    refused(done, 4, "cannot be reached", "app:***@")
    assert "topsecret" not in done.stderr


def test_an_unreachable_server_for_machines(cli):
    done = cli("status", "--json", "--url", "postgresql://app:topsecret@127.0.0.1:9/diwa")
    document = json.loads(done.stdout)
    assert (done.returncode, document["exit_code"]) == (4, 4)
    assert "topsecret" not in done.stdout + done.stderr


def test_a_directory_as_sqlite_file(cli, tmp_path):
    refused(cli("upgrade", "--url", f"sqlite:///{tmp_path}"), 2, "is a directory")
    refused(cli("upgrade", "--embedded", str(tmp_path)), 2, "is a directory")


@pytest.mark.parametrize("verb", ["upgrade", "status", "drop", "doctor", "plan"])
@pytest.mark.parametrize("how", ["--embedded", "--url"])
def test_a_path_that_the_file_system_refuses(tmp_path, monkeypatch, how, verb):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("loop").symlink_to("loop")
    before = sorted(tmp_path.rglob("*"))
    for path, reason in {
        "x" * 300: "File name too long",
        f"{'x' * 300}/x.db": "File name too long",
        "file/x.db": "Not a directory",
        "file/x/x.db": "Not a directory",
        "loop": "symbolic links",
        "loop/x.db": "symbolic links",
    }.items():
        with pytest.raises(InvalidDatabase, match=reason) as caught:
            _call(verb, path if how == "--embedded" else f"sqlite:///{path}", how)
        assert "server" not in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_an_sqlite_file_that_cannot_be_made(cli):
    done = cli("upgrade", "--url", "sqlite:////proc/x.db")
    refused(done, 4, "no file can be made in its folder")
    assert "server" not in done.stderr
    done = cli("upgrade", "--url", "sqlite:///nofolder/x.db")
    refused(done, 4, "its folder does not exist")
    refused(cli("upgrade", "--embedded", "x" * 300), 2, "File name too long")
    # SQLite's own file would fit, the lock's beside it does not.
    refused(cli("upgrade", "--embedded", "x" * 250), 2, "lock file", "File name too long")


def _call(name: str, database: str, how: str) -> object:
    named: dict[str, Any] = {"embedded": database} if how == "--embedded" else {"database": database}
    change: dict[str, Any] = {} if name in ("status", "plan") else {"repo": "diwa-cloud"}
    function = diwa_schema.migrate if name == "upgrade" else getattr(diwa_schema, name)
    return function(**named, **change)


def test_a_file_that_is_no_database(cli, tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough to be read as a header of one\n" * 10)
    before = path.read_bytes()
    refused(cli("upgrade", "--url", f"sqlite:///{path}"), 7, "not an SQLite database")
    assert path.read_bytes() == before


def test_tables_of_another_tool(database, cli, dump):
    _execute(database, "CREATE TABLE memories (id integer)")
    before = dump(database)
    refused(cli("upgrade", "--url", database), 7, "memories", "another tool", "Nothing was changed")
    assert dump(database) == before


def test_a_read_only_sqlite_file(cli, sqlite, tmp_path, dump):
    cli("upgrade", "20251226000000", "--url", sqlite, check=0)
    before = dump(sqlite)
    done = cli("upgrade", "--url", f"sqlite:///file:{tmp_path / 'diwa.db'}?mode=ro&uri=true")
    refused(done, 7, "can only be read")
    assert dump(sqlite) == before
    assert list(tmp_path.glob("*.migration-lock")) == []


def test_a_read_only_server(cli, postgres, dump):
    before = dump(postgres)
    done = cli("upgrade", "--url", f"{postgres}?options=-cdefault_transaction_read_only%3Don")
    refused(done, 7, "can only be read")
    assert dump(postgres) == before


def test_a_version_table_that_names_an_unknown_revision(database, cli, dump):
    cli("upgrade", "--url", database, check=0)
    _execute(database, "UPDATE diwa_schema_version SET version_num = 'abc'")
    before = dump(database)
    refused(cli("upgrade", "--url", database), 7, "'abc'", "not in the installed history")
    done = cli("status", "--url", database)
    assert done.returncode == 1
    assert "unknown" in done.stdout
    assert dump(database) == before


def test_no_right_to_create_a_table(cli, postgres, dump):
    role = f"poor_{postgres.rpartition('/')[2].partition('?')[0]}"
    _execute(postgres, f"CREATE ROLE {role} LOGIN", "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    before = dump(postgres)
    try:
        done = cli("upgrade", "--url", _as(postgres, role))
        refused(done, 7, "lacks a right", "diwa-schema roles")
        assert dump(postgres) == before
    finally:
        _execute(postgres, f"DROP ROLE {role}")


def test_sqlite_locked_by_another_process(cli, sqlite, dump):
    cli("upgrade", "20251226000000", "--url", sqlite, check=0)
    with closing(sqlite3.connect(sqlite.removeprefix("sqlite:///"), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        refused(cli("upgrade", "--url", sqlite), 5, "is locked by another process")
    assert cli("upgrade", "--url", sqlite, check=0)


@pytest.mark.parametrize(
    "command",
    sampled(
        [
            "upgrade",
            "downgrade",
            "rollback",
            "stamp head",
            "drop",
            "drop --confirm diwa",
            "protect",
        ],
        "upgrade",
        "drop --confirm diwa",
    ),
)
def test_a_blocked_command_sends_not_one_byte(cli, consumer_directory, command):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        url = f"postgresql://app@127.0.0.1:{listener.getsockname()[1]}/diwa"
        done = cli(*command.split(), "--url", url, cwd=consumer_directory, env={"DIWA_REPO": "diwa-cloud"})
        with pytest.raises(TimeoutError):
            listener.accept()
        # The listener would have noticed: a command that is free for everyone does knock.
        cli("status", "--url", f"{url}?connect_timeout=1", cwd=consumer_directory, check=4)
        listener.accept()[0].close()
    refused(
        done, 3, "[SAFETY BLOCK] Database migrations in 'diwa-agent' are restricted", "connected to nothing"
    )


def test_no_right_to_read(cli, postgres):
    cli("upgrade", "--url", postgres, check=0)
    role = f"blind_{postgres.rpartition('/')[2].partition('?')[0]}"
    _execute(postgres, f"CREATE ROLE {role} LOGIN")
    try:
        for command in ("status", "check", "plan"):
            refused(cli(command, "--url", _as(postgres, role)), 7, "lacks a right")
    finally:
        _execute(postgres, f"DROP ROLE {role}")


def test_a_reader_that_stops_reading_gets_no_traceback():
    words = f"{sys.executable} -m diwa_schema history | head -n 1"
    done = subprocess.run(words, shell=True, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert len(done.stdout.splitlines()) == 1


def test_the_wrong_option(cli):
    refused(cli("upgrade", "--nonsense"), 2, "--nonsense", "--help")
    refused(cli("upgrade", "--lock-wait", "-1"), 2, "--lock-wait")
    refused(cli(), 2, "COMMAND")


def test_help_and_version_need_no_database(cli):
    assert "upgrade" in cli("--help", check=0).stdout
    assert cli("--version", check=0).stdout.startswith("diwa-schema ")
    assert load().head in cli("history", check=0).stdout


def _execute(url: str, *statements: str) -> None:
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as lite, lite:
            for statement in statements:
                lite.execute(statement)
        return
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


def _as(url: str, role: str) -> str:
    return (
        "postgresql://" + role + "@" + url.rpartition("@")[2]
        if "@" in url
        else url.replace("://", f"://{role}@")
    )
