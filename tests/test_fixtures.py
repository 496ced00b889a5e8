"""What the other tests lean on."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from tests.fixtures_checkout import Cli
from tests.fixtures_server import Server

LEGACY = ("ecto_cloud_head", "ecto_no_vector", "ecto_mid_v384", "ecto_agent_local_tala", "ecto_dirty_data")


def test_server_takes_two_hundred_connections(server: Server) -> None:
    with psycopg.connect(server.admin_url) as connection:
        row = connection.execute("SELECT current_setting('max_connections')::int").fetchone()
    assert row is not None
    assert row[0] >= 100 if "DIWA_TEST_DATABASE_URL" in os.environ else row[0] >= 200


def test_database_is_empty_and_its_own(postgres: str, new_database, dump) -> None:
    other = new_database()
    assert dump(postgres) == dump(other)
    with psycopg.connect(postgres) as connection:
        connection.execute("CREATE TABLE t AS SELECT 1 AS n")
    assert dump(postgres) != dump(other)


def test_dump_sees_one_changed_value(database: str, dump) -> None:
    connect = sqlite3.connect if database.startswith("sqlite") else psycopg.connect
    connection = connect(database.removeprefix("sqlite:///"))
    connection.execute("CREATE TABLE t (n integer)")
    connection.execute("INSERT INTO t VALUES (1)")
    connection.commit()
    before = dump(database)
    assert dump(database) == before
    connection.execute("UPDATE t SET n = 2")
    connection.commit()
    connection.close()
    assert dump(database) != before


@pytest.mark.parametrize("name", LEGACY)
def test_legacy_postgres(name: str, legacy) -> None:
    first, second = legacy(name), legacy(name)
    assert first != second
    with psycopg.connect(second) as connection:
        assert connection.execute("SELECT 1 FROM schema_migrations LIMIT 1").fetchone()


def test_legacy_sqlite(legacy) -> None:
    connection = sqlite3.connect(legacy("sqlite_head").removeprefix("sqlite:///"))
    assert connection.execute("SELECT count(*) FROM schema_migrations").fetchone() == (32,)
    connection.close()


def test_at_head_has_nothing_to_do(at_head: str, cli: Cli) -> None:
    assert "nothing to do" in cli("status", "--url", at_head, check=0).stdout


def test_environment_is_clean(tmp_path: Path) -> None:
    assert os.environ["XDG_DATA_HOME"].startswith(str(tmp_path))
    assert not [name for name in os.environ if name.startswith(("ALLOW_CORE", "DIWA_REPO", "DATABASE_URL"))]


def test_own_server_ends_with_a_killed_run(tmp_path: Path) -> None:
    """A run that is killed leaves neither a server nor its data behind."""
    script = tmp_path / "run.py"
    script.write_text(
        "import time\n"
        "from tests.fixtures_server import Postmaster\n"
        "p = Postmaster()\n"
        "print(p.folder, flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    ) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        pid = int((folder / "data" / "postmaster.pid").read_text().split()[0])
        process.send_signal(signal.SIGKILL)
    give_up = time.monotonic() + 20
    while (folder.exists() or Path(f"/proc/{pid}").exists()) and time.monotonic() < give_up:
        time.sleep(0.1)
    assert not folder.exists()
    assert not Path(f"/proc/{pid}").exists()
