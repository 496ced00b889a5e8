"""What happens to a run when server, disk or role are against it: exit code, message, nothing half done."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from diwa_schema import api
from diwa_schema.migrations import manifest
from tests.fixtures_databases import database_name
from tests.run import seeds
from tests.run.asking import execute, value
from tests.run.fingerprint import fingerprint
from tests.run.histories import extended
from tests.run.launcher import Launcher
from tests.run.servers import OwnServer, Standby
from tests.run.traffic import Reader
from tests.sampling import sampled

HEAD = manifest.load().head
RETYPE, BEFORE_RETYPE = "20260228010000", "20260228000500"
ADD_COLUMN = "op.add_column('memories', sa.Column('extra', sa.Text()))"
BACKFILL = "steps.backfill('memories', \"extra = 'x'\", 'extra IS NULL')"
VERSION = "SELECT version_num FROM diwa_schema_version"
NOT_VALID = "SELECT count(*) FROM pg_index WHERE NOT indisvalid"


@pytest.fixture
def own(own_server: OwnServer) -> Iterator[Callable[[], str]]:
    """Creates a database on a server of the tests' own, and returns its URL."""
    names: list[str] = []

    def create() -> str:
        names.append(database_name())
        return own_server.create(names[-1])

    yield create
    for name in names:
        own_server.drop(name)


@pytest.fixture
def role(postgres: str) -> Iterator[Callable[..., str]]:
    """Makes a role that owns the test's database and is no superuser; returns the URL as that role."""
    name = postgres.rpartition("/")[2]
    execute(postgres, f"CREATE ROLE {name} LOGIN", f"ALTER DATABASE {name} OWNER TO {name}")
    execute(postgres, f"ALTER SCHEMA public OWNER TO {name}")

    def make(*settings: str) -> str:
        execute(postgres, *(f"ALTER ROLE {name} {setting}" for setting in settings))
        return postgres.replace("//postgres@", f"//{name}@")

    yield make
    execute(postgres, f"REASSIGN OWNED BY {name} TO postgres", f"DROP OWNED BY {name}", f"DROP ROLE {name}")


def paused(launcher: Launcher, url: str, scene: str):
    """Start a run that pauses in the middle of its work."""
    if scene == "replay":
        return launcher.start(
            "upgrade", "--url", url, "--replay", how="pause", match="tsv_content", at=2
        ).pauses()
    assert launcher.run("upgrade", BEFORE_RETYPE, "--url", url).code == 0
    seeds.fill(url, 40)
    moved = "^UPDATE diwa_schema_position"
    return launcher.start("upgrade", RETYPE, "--url", url, how="pause", match=moved, at=1).pauses()


def command(scene: str, url: str) -> list[str]:
    return ["upgrade", "--url", url] if scene == "replay" else ["upgrade", RETYPE, "--url", url]


@pytest.mark.parametrize("scene", ["replay", "retype"])
def test_the_server_stops_at_once_midway(launcher, own_server, own, scene):
    undisturbed, url = own(), own()
    finished = paused(launcher, undisturbed, scene).go().wait()
    assert finished.code == 0, finished.err
    run = paused(launcher, url, scene)
    own_server.crash()
    ended = run.go().wait()
    down = launcher.run(*command(scene, url))
    own_server.start()
    assert ended.code == 6, ended.err
    assert "connection" in ended.err
    assert "un the command again" in ended.err
    assert down.code == 4, down.err
    again = launcher.run(*command(scene, url))
    assert again.code == 0, again.err
    assert fingerprint(url) == fingerprint(undisturbed)


def test_a_process_of_the_server_is_killed_midway(launcher, own_server, own):
    undisturbed, url = own(), own()
    finished = paused(launcher, undisturbed, "replay").go().wait()
    assert finished.code == 0, finished.err
    run = paused(launcher, url, "replay")
    backend = "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'diwa-schema diwa/%' AND datname = current_database()"
    os.kill(value(url, backend), signal.SIGKILL)
    ended = run.go().wait()
    assert ended.code == 6, ended.err
    assert "un the command again" in ended.err
    while not own_server.answers():
        time.sleep(0.05)
    assert launcher.run(*command("replay", url)).code == 0
    assert fingerprint(url) == fingerprint(undisturbed)


def test_what_is_committed_is_said_where_it_cannot_be_read_back(launcher, postgres, server):
    name = postgres.rpartition("/")[2]
    run = paused(launcher, postgres, "replay")
    execute(server.admin_url, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    ended = run.go().wait()
    execute(server.admin_url, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    assert ended.code == 4, ended.err
    assert "not currently accepting connections" in ended.err
    assert "committed its changes" in ended.err
    assert "Nothing was changed" not in ended.err
    assert "diwa-schema status" in ended.err
    assert value(postgres, VERSION) == HEAD


def test_a_run_is_interrupted_from_the_keyboard(launcher, postgres):
    run = launcher.start("upgrade", "--url", postgres, "--replay", how="pause", match="TABLE plans", at=1)
    os.kill(run.pauses().pid, signal.SIGINT)
    ended = run.wait()
    assert ended.code == 130
    assert "rolled the revision back" in ended.err
    assert "Traceback" not in ended.err
    assert value(postgres, VERSION) == manifest.load().ids[1]
    assert launcher.run("upgrade", "--url", postgres, "--lock-wait", "0").code == 0


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A folder on a disk of 32 MB."""
    folder = Path(tempfile.mkdtemp(prefix="diwa-disk-"))
    folder.chmod(0o755)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", folder],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip(f"a disk cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)
    folder.rmdir()


def fill_up(disk: Path, leave: int) -> Path:
    """Fill a disk up to some bytes with a file, and return that."""
    ballast = disk / "ballast"
    free = os.statvfs(disk)
    ballast.write_bytes(b"\0" * max(0, free.f_bavail * free.f_bsize - leave))
    return ballast


@pytest.fixture
def cramped(own_server: OwnServer, small_disk: Path) -> Iterator[str]:
    """The URL of a database on the small disk."""
    place = small_disk / "space"
    place.mkdir()
    if own_server.user:
        subprocess.run(["chown", own_server.user, place], check=True)
    name = database_name()
    execute(own_server.admin_url, f"CREATE TABLESPACE {name} LOCATION '{place}'")
    execute(own_server.admin_url, f"CREATE DATABASE {name} TEMPLATE template0 TABLESPACE {name}")
    yield own_server.url(name)
    own_server.drop(name)
    execute(own_server.admin_url, f"DROP TABLESPACE {name}")


def test_the_disk_is_full_in_a_replay(launcher, cramped, small_disk, own):
    ballast = fill_up(small_disk, 600_000)
    full = launcher.run("upgrade", "--url", cramped, "--replay")
    assert full.code == 6, full.out
    assert "could not extend file" in full.err, full.err
    assert "un the command again" in full.err
    reached = value(cramped, VERSION)
    assert reached in manifest.load().ids[:-1]
    assert value(cramped, "SELECT count(*) FROM diwa_schema_ledger WHERE outcome = 'applied'") == len(
        manifest.load().until(reached)
    )
    ballast.unlink()
    assert launcher.run("upgrade", "--url", cramped).code == 0
    undisturbed = own()
    assert launcher.run("upgrade", "--url", undisturbed, "--replay").code == 0
    assert fingerprint(cramped) == fingerprint(undisturbed)


@pytest.mark.parametrize(
    "step",
    ["steps.create_index_concurrently('on_content', 'memories', ['content', 'id', 'context_id'])", BACKFILL],
    ids=["index", "backfill"],
)
def test_the_disk_is_full_in_a_step(launcher, cramped, small_disk, tmp_path, step):
    history = extended(tmp_path / "history", ADD_COLUMN, step)
    assert launcher.run("upgrade", "--url", cramped).code == 0
    seeds.fill(cramped)
    # Far more than fits, also when the server drops its cache of the catalog on that disk (160 kB) meanwhile.
    seeds.multiply(cramped, 16_000)
    execute(cramped, "CHECKPOINT")
    ballast = fill_up(small_disk, 400_000)
    full = launcher.run("upgrade", "--url", cramped, history=history)
    assert full.code == 6, full.out
    assert "could not extend file" in full.err, full.err
    ballast.unlink()
    assert value(cramped, NOT_VALID) == 0
    again = launcher.run("upgrade", "--url", cramped, history=history)
    assert again.code == 0, again.err
    assert value(cramped, NOT_VALID) == 0
    if step == BACKFILL:
        assert value(cramped, "SELECT count(*) FROM memories WHERE extra IS NULL") == 0


@pytest.mark.parametrize("options", [["--replay"], []], ids=["replay", "snapshot"])
def test_the_disk_of_a_sqlite_file_is_full(launcher, small_disk, tmp_path, options):
    url = f"sqlite:///{small_disk / 'diwa.db'}"
    ballast = fill_up(small_disk, 150_000)
    full = launcher.run("upgrade", "--url", url, *options)
    assert full.code == 6, full.out
    assert "full" in full.err
    assert "un the command again" in full.err
    ballast.unlink()
    assert launcher.run("upgrade", "--url", url, *options).code == 0
    undisturbed = f"sqlite:///{tmp_path / 'undisturbed.db'}"
    assert launcher.run("upgrade", "--url", undisturbed, *options).code == 0
    assert fingerprint(url) == fingerprint(undisturbed)


SLOW_CHECK = "steps.add_check('slow', 'memories', 'length(pg_sleep(0.002)::text) >= 0')"
TIMEOUTS = {
    "idle_in_transaction_session_timeout": "50ms",
    "idle_session_timeout": "200ms",
    "statement_timeout": "400ms",
    "transaction_timeout": "400ms",
    "lock_timeout": "1ms",
    "default_transaction_isolation": "serializable",
}
ALL_AT_ONCE = "all at once"


@pytest.mark.parametrize("name", sampled([*TIMEOUTS, ALL_AT_ONCE], ALL_AT_ONCE))
def test_what_a_role_has_set_does_not_stand_in_the_way(launcher, server, postgres, role, tmp_path, name):
    if name == "transaction_timeout" and server.version < 17:
        pytest.skip("this server does not have it")
    of_all = {one: TIMEOUTS[one] for one in TIMEOUTS if one != "transaction_timeout" or server.version >= 17}
    url = role(
        *(f"SET {one} = '{most}'" for one, most in of_all.items() if name in (one, ALL_AT_ONCE)),
    )
    history = extended(tmp_path / "history", ADD_COLUMN, BACKFILL, SLOW_CHECK)
    assert launcher.run("upgrade", "--url", url).code == 0
    seeds.fill(postgres)
    seeds.multiply(postgres, 300)
    # Another run is waited for, a transaction pauses, a table is in use, and a step takes its time.
    locked = 'INSERT INTO "public"."diwa_schema_ledger"'
    other = launcher.start(
        "upgrade", "--url", postgres, history=history, how="pause", match=locked, at=1
    ).pauses()
    run = launcher.start("upgrade", "--url", url, history=history, how="pause", match="ADD COLUMN", at=1)
    run.says("waiting for the migration lock")
    time.sleep(0.5)
    os.kill(other.pid, signal.SIGKILL)
    run.pauses()
    time.sleep(0.5)
    with Reader(postgres, 0.5):
        outcome = run.go().wait()
    assert outcome.code == 0, outcome.err
    assert value(postgres, "SELECT convalidated FROM pg_constraint WHERE conname = 'slow'")


@pytest.mark.usefixtures("owner_directory")
def test_a_callers_connection_keeps_its_settings(postgres):
    engine = sa.create_engine(postgres.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        for name, setting in (("lock_timeout", "7s"), ("statement_timeout", "1min")):
            connection.execute(sa.text(f"SET {name} = '{setting}'"))
        connection.commit()
        everything = sa.text("SELECT name, setting FROM pg_settings WHERE name !~ '[.]' ORDER BY 1")
        before = connection.execute(everything).all()
        connection.commit()
        api.migrate(connection, "20260107203000")
        assert connection.execute(everything).all() == before
    engine.dispose()


def test_a_role_that_may_not_create_an_extension_keeps_embeddings_as_bytes(launcher, postgres, role):
    outcome = launcher.run("upgrade", "--url", role(), "--replay")
    assert outcome.code == 0, outcome.err
    kind = "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'memories'::regclass"
    assert value(postgres, f"{kind} AND attname = 'embedding'") == "bytea"
    assert value(postgres, VERSION) == HEAD


def test_a_role_with_few_connections(launcher, postgres, role, tmp_path, dump):
    name = postgres.rpartition("/")[2]
    url = role("CONNECTION LIMIT 1")
    before = dump(postgres)
    refused = launcher.run("upgrade", "--url", url)
    assert refused.code == 4, refused.err
    assert "too many connections" in refused.err
    assert dump(postgres) == before
    # One to work on and one for the lock are enough, also where a table is in use.
    execute(postgres, f"ALTER ROLE {name} CONNECTION LIMIT 2")
    assert launcher.run("upgrade", "--url", url).code == 0
    with Reader(postgres, 1):
        outcome = launcher.run("upgrade", "--url", url, history=extended(tmp_path / "history", ADD_COLUMN))
    assert outcome.code == 0, outcome.err


@pytest.mark.parametrize("revision", ["base", "20260107201000"])
def test_a_database_that_is_read_only(launcher, postgres, dump, revision):
    if revision != "base":
        assert launcher.run("upgrade", revision, "--url", postgres).code == 0
    name = postgres.rpartition("/")[2]
    execute(postgres, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    before = dump(postgres)
    refused = launcher.run("upgrade", "--url", postgres)
    assert refused.code == 7, refused.err
    assert "can only be read" in refused.err
    assert "default_transaction_read_only" in refused.err
    assert dump(postgres) == before


def test_a_database_that_can_only_be_read_midway(launcher, postgres, tmp_path):
    reading = "op.execute('SET TRANSACTION READ ONLY'); " + ADD_COLUMN.replace("extra", "more")
    history = extended(tmp_path / "history", ADD_COLUMN, reading)
    assert launcher.run("upgrade", "--url", postgres).code == 0
    ended = launcher.run("upgrade", "--url", postgres, history=history)
    assert ended.code == 7, ended.err
    assert "can only be read" in ended.err
    assert "The run rolled back the step it had not finished" in ended.err
    assert "Nothing was changed" not in ended.err
    assert value(postgres, VERSION) == "29990101000000"


def test_a_replica(launcher, own_server, own, dump):
    url = own()
    assert launcher.run("upgrade", "20260107201000", "--url", url).code == 0
    before = dump(url)
    standby = Standby(own_server)
    try:
        there = standby.url(url.rpartition("/")[2])
        refused = launcher.run("upgrade", "--url", there)
        assert refused.code == 7, refused.err
        assert "can only be read" in refused.err
        assert "primary" in refused.err
        assert launcher.run("status", "--url", there).code == 1
    finally:
        standby.close()
    assert dump(url) == before


def test_a_sqlite_file_is_locked_by_another_process(launcher, sqlite, dump, tmp_path):
    assert launcher.run("upgrade", "20260107201000", "--url", sqlite).code == 0
    before = dump(sqlite)
    with closing(sqlite3.connect(sqlite.removeprefix("sqlite:///"), isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        refused = launcher.run("upgrade", "--url", sqlite)
        other.execute("ROLLBACK")
        assert refused.code == 5, refused.err
        assert dump(sqlite) == before
        other.execute("BEGIN EXCLUSIVE")
        assert "is locked by another process" in refused.err
        run = launcher.start("upgrade", "--url", sqlite)
        time.sleep(1)
        other.execute("ROLLBACK")
        assert run.wait().code == 0
    assert list(tmp_path.glob("*-lock")) == []


def test_another_schema_comes_first_on_the_search_path(launcher, postgres, role, dump):
    name = postgres.rpartition("/")[2]
    url = role()
    assert launcher.run("upgrade", "20260107201000", "--url", url).code == 0
    execute(postgres, f"CREATE SCHEMA {name} AUTHORIZATION {name}")  # as "$user" leads to
    before = dump(postgres)
    refused = launcher.run("upgrade", "--url", url)
    assert refused.code == 7, refused.err
    assert f"'{name}'" in refused.err
    assert "'public'" in refused.err
    assert "--schema" in refused.err
    assert dump(postgres) == before


def test_a_search_path_that_leads_nowhere(launcher, postgres, role, dump):
    url = role("SET search_path = nowhere")
    before = dump(postgres)
    refused = launcher.run("upgrade", "--url", url)
    assert refused.code == 7, refused.err
    assert "search_path" in refused.err
    assert "Nothing was changed" in refused.err
    assert dump(postgres) == before


def test_a_schema_of_its_own_that_sorts_before_everything(launcher, postgres, role):
    url = role('SET search_path = "My Schema", public')
    execute(postgres, 'CREATE SCHEMA "My Schema"', "CREATE TABLE public.memories (other text)")
    name = postgres.rpartition("/")[2]
    execute(postgres, f'ALTER SCHEMA "My Schema" OWNER TO {name}')
    assert launcher.run("upgrade", "20260228000500", "--url", url).code == 0
    assert launcher.run("upgrade", "--url", url).code == 0
    assert launcher.run("status", "--url", url).code == 0
    inside = "SELECT count(*) FROM pg_class WHERE relnamespace = '{}'::regnamespace AND relkind = 'r'"
    assert value(postgres, inside.format("public")) == 1
    assert value(postgres, inside.format('"My Schema"')) > 30
    with psycopg.connect(url) as connection:
        assert connection.execute(VERSION.encode()).fetchone() == (HEAD,)
