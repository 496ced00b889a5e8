"""Which release a connection says, and a change that breaks old code waits until nobody says an old one."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from sqlalchemy import create_engine, make_url, select, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

import diwa_schema
from diwa_schema import __version__, application_name, release
from diwa_schema.database.lock import holder_name
from diwa_schema.database.releases import UNSEEN
from diwa_schema.database.target import Target
from diwa_schema.models import Session
from tests.fixtures_roles import Site, name_of
from tests.run.asking import execute, value
from tests.run.histories import FIRST, extended
from tests.run.poolers import Pooler

OURS = f"diwa/{__version__}"
SHOWN = text("SHOW application_name")
STATEMENT = select(Session.id).where(Session.id.is_(None))  # its type has the engine watched


@pytest.fixture
def current(postgres: str, owner_directory: object) -> str:
    """A database at head."""
    diwa_schema.migrate(postgres)
    return postgres


@pytest.mark.parametrize(
    ("own", "whole"),
    [
        (None, OURS),
        ("  ", OURS),
        ("tell", f"tell {OURS}"),
        (f"tell {OURS}", f"tell {OURS}"),
        ("tell diwa/0.0.1", f"tell diwa/0.0.1 {OURS}"),
        ("x" * 80, f"{'x' * (62 - len(OURS))} {OURS}"),
    ],
)
def test_a_name_keeps_what_the_application_calls_itself(own, whole):
    assert application_name(own) == whole
    assert release.said(whole) == __version__


def test_releases_are_ordered_as_pep_440_says():
    oldest_first = [
        "0.9",
        "1.0.dev1",
        "1.0a1.dev2",
        "1.0a1",
        "1.0b2",
        "1.0rc1",
        "1",
        "1.0.post1",
        "1.0.1",
        "1.10",
    ]
    keys = [release.order(one) or () for one in oldest_first]
    assert keys == sorted(set(keys))
    assert release.order("1.0.0") == release.order("1")
    assert release.order("1.x") is None
    assert [release.said(name) for name in ("diwa/next", "mydiwa/1.0")] == [None, None]


def test_every_connection_of_the_models_engines_says_the_release(postgres, monkeypatch):
    url = make_url(postgres).set(drivername="postgresql+psycopg")
    execute(postgres, "CREATE TABLE sessions (id uuid)")
    monkeypatch.setenv("PGAPPNAME", "100% of o'tell é")
    # In a transaction, where what is undone must not undo the name; in AUTOCOMMIT; and one for each statement.
    for options in ({}, {"isolation_level": "AUTOCOMMIT"}, {"poolclass": NullPool}):
        engine = create_engine(url, **options)
        with engine.connect() as first, engine.connect() as second:
            for connection in (first, second):
                connection.execute(STATEMENT)
                connection.rollback()
                assert connection.scalar(SHOWN).startswith("100% of o'tell ")
                assert connection.scalar(SHOWN).endswith(f" {OURS}")
        engine.dispose()

    async def asyncpg_says(**options: object) -> str:
        engine = create_async_engine(url.set(drivername="postgresql+asyncpg"), **options)
        async with engine.connect() as connection:
            await connection.execute(STATEMENT)
            await connection.rollback()
            said = str(await connection.scalar(SHOWN))
        await engine.dispose()
        return said

    pytest.importorskip("asyncpg")
    named = {"connect_args": {"server_settings": {"application_name": "it's tell"}}}
    assert asyncio.run(asyncpg_says(**named)) == f"it's tell {OURS}"
    assert asyncio.run(asyncpg_says(isolation_level="AUTOCOMMIT")) == OURS


def test_behind_pgbouncer_an_engine_says_the_release_and_keeps_working(postgres):
    execute(postgres, "CREATE TABLE sessions (id uuid)")
    pooler = Pooler(postgres, "transaction")
    try:
        url = make_url(pooler.url(urlsplit(postgres).path[1:])).set(drivername="postgresql+psycopg")
        named = {"prepare_threshold": None, "application_name": "tell"}
        engine = create_engine(url, connect_args=named)
        with engine.connect() as first, engine.connect() as second:
            for connection in (first, second, first):
                assert connection.execute(STATEMENT).all() == []
                assert connection.scalar(SHOWN) == f"tell {OURS}"
                connection.commit()
        engine.dispose()
        with psycopg.connect(str(url).replace("+psycopg", ""), application_name="another") as other:
            assert other.execute("SHOW application_name").fetchone() == ("another",)
    finally:
        pooler.close()


def contract(folder: Path) -> Path:
    """Write a history whose last revision breaks all code before it."""
    path = extended(folder, "op.execute('SELECT 1')") / "manifest.json"
    document = json.loads(path.read_text())
    document["revisions"][-1] |= {"phase": "contract", "floor": str(FIRST)}
    path.write_text(json.dumps(document))
    return folder


def test_a_contract_waits_until_no_release_below_its_floor_is_connected(launcher, current, tmp_path, dump):
    history = contract(tmp_path / "history")
    with psycopg.connect(current, application_name="tell diwa/0.0.9"):
        with psycopg.connect(current, application_name=application_name("new")):
            before = dump(current)
            refused = launcher.run("upgrade", "--url", current, "--json", history=history)
            planned = launcher.run("plan", "--url", current, history=history)
            shown = launcher.run("status", "--url", current)
            assert dump(current) == before
        findings = {one.code: one for one in diwa_schema.doctor(current)}
        status = diwa_schema.status(current)
        # What is no contract is not kept waiting, neither is the way back.
        expand = launcher.run(
            "upgrade", "--url", current, history=extended(tmp_path / "expand", "op.execute('SELECT 1')")
        )
        back = launcher.run("downgrade", "-1", "--url", current, history=history)
    document = json.loads(refused.out or refused.err)
    assert (refused.code, document["error"], document["untouched"]) == (
        7,
        "ReleaseConnected",
        "Nothing was changed.",
    )
    old = {
        "release": "0.0.9",
        "application": "tell diwa/0.0.9",
        "user": "postgres",
        "host": "127.0.0.1",
        "count": 1,
    }
    assert document["outdated"] == [{"revision": str(FIRST), "needs": __version__} | old]
    said = "1 of 'tell diwa/0.0.9' (user postgres, host 127.0.0.1)"
    assert said in document["what"]
    assert f"Install diwa-schema {__version__} or newer in it" in document["next_step"]
    assert f"IN THE WAY: Revision {FIRST} breaks releases before {__version__}" in planned.out
    assert f"release   0.0.9 is connected: {said}" in shown.out
    assert f"release   {__version__} is connected: 1 of 'new {OURS}'" in shown.out
    assert status.releases == (old,)
    assert said in findings["releases"].reason
    assert (expand.code, back.code) == (0, 0), expand.err + back.err
    with psycopg.connect(current, application_name=application_name("new")):
        done = launcher.run("upgrade", "--url", current, history=history)
    assert done.code == 0, done.err
    assert value(current, "SELECT floor FROM diwa_schema_version") == str(FIRST)


def test_a_contract_waits_for_a_release_that_has_started_lately(launcher, current, tmp_path, dump):
    history = contract(tmp_path / "history")
    started = "INSERT INTO diwa_schema_releases VALUES ('{}', 'tell', '{}', now() - interval '{}')"
    execute(
        current,
        started.format("0.0.9", "web-1", "6 days"),
        started.format("0.0.8", "web-2", "8 days"),
        started.format(__version__, "web-3", "1 day"),
    )
    before = dump(current)
    refused = launcher.run("upgrade", "--url", current, "--json", history=history)
    planned = launcher.run("plan", "--url", current, history=history)
    wider = launcher.run("plan", "--url", current, "--seen-within", "9d", "--json", history=history)
    wrong = launcher.run("plan", "--url", current, "--seen-within", "7", history=history)
    assert dump(current) == before
    document = json.loads(refused.out or refused.err)
    assert (refused.code, document["error"]) == (7, "ReleaseConnected")
    (one,) = document["outdated"]
    at = one.pop("seen_at")
    assert one == {
        "revision": str(FIRST),
        "needs": __version__,
        "release": "0.0.9",
        "user": "tell",
        "host": "web-1",
    }
    assert f"0.0.9 has started lately: user tell, host web-1, at {at}" in document["what"]
    assert "--seen-within 0" in document["next_step"]
    assert f"IN THE WAY: Revision {FIRST}" in planned.out
    assert [one["host"] for one in json.loads(wider.out)["outdated"]] == ["web-1", "web-2"]
    assert (wrong.code, "is not a duration" in wrong.err) == (2, True)
    assert "seen      0.0.9 started: user tell, host web-1" in launcher.run("status", "--url", current).out
    done = launcher.run("upgrade", "--url", current, "--seen-within", "12h", history=history)
    assert done.code == 0, done.err


def test_a_role_that_may_not_look_says_so(launcher, site: Site, owner_directory, tmp_path):
    url = site.login()
    site.run(f"GRANT CREATE ON SCHEMA public TO {name_of(url)}")
    diwa_schema.migrate(url)
    with psycopg.connect(site.url, application_name="tell diwa/0.0.9"):
        # Another role's sessions show their name to everybody, and where they come from to few.
        (seen,) = diwa_schema.status(url).releases or ()
        assert (seen["release"], seen["user"], seen["host"]) == ("0.0.9", "postgres", None)
        site.run("REVOKE SELECT ON pg_stat_activity FROM PUBLIC")
        assert diwa_schema.status(url).releases is None
        assert UNSEEN in launcher.run("status", "--url", url).out
        assert {one.code: one.reason for one in diwa_schema.doctor(url)}["releases-not-seen"] == UNSEEN
        history = contract(tmp_path / "history")
        assert UNSEEN in launcher.run("plan", "--url", url, history=history).out
        done = launcher.run("upgrade", "--url", url, history=history)
    assert done.code == 0, done.err
    assert UNSEEN in done.out + done.err


def test_a_file_has_no_sessions(sqlite, owner_directory):
    diwa_schema.migrate(sqlite)
    assert diwa_schema.status(sqlite).releases == ()


def test_the_connections_of_a_run_say_the_release(postgres):
    engine = create_engine(postgres.replace("postgresql:", "postgresql+psycopg:"))
    for target in (Target.of(postgres), Target.of(engine)):
        with target.connect() as link:
            assert link.value("SHOW application_name") == f"diwa-schema {OURS}"
    with Target.of(postgres).connect(holder_name()) as link:
        assert str(link.value("SHOW application_name")).endswith(f"Z {OURS}")
    engine.dispose()
