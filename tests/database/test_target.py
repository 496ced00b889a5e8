"""What a caller may name as a database, and that it is left in the mode it came in."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from types import SimpleNamespace

import psycopg
import pytest
import sqlalchemy as sa
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.ext.asyncio import create_async_engine

from diwa_schema.database.lock import acquire
from diwa_schema.database.target import Target
from diwa_schema.database.url import parse
from diwa_schema.errors import ConnectionInUse, DatabaseUnreachable, InvalidDatabase, MigrationLockBusy
from diwa_schema.testing.address import Address


def alchemy_url(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://")


def test_a_url_an_engine_and_a_connection_reach_the_same_database(database):
    engine = sa.create_engine(alchemy_url(database))
    question = (
        "SELECT current_database()"
        if engine.dialect.name == "postgresql"
        else "SELECT file FROM pragma_database_list"
    )
    with engine.connect() as connection:
        answers = set()
        for named in (database, sa.make_url(database), engine, connection):
            with Target.of(named).work() as link:
                answers.add(link.value(question))
    engine.dispose()
    assert len(answers) == 1


def test_a_full_pool_does_not_stop_a_run(postgres):
    engine = sa.create_engine(alchemy_url(postgres), pool_size=1, max_overflow=0, pool_timeout=1)
    with engine.connect(), Target.of(engine).work() as link:
        assert link.value("SELECT 1") == 1
    engine.dispose()


def test_a_callers_connection_is_handed_back_in_its_mode(database):
    engine = sa.create_engine(alchemy_url(database))
    with engine.connect() as connection:
        with Target.of(connection).work() as link, link.transaction():
            link.execute("CREATE TABLE made (n integer)")
        connection.execute(sa.text("INSERT INTO made VALUES (1)"))
        connection.rollback()
        assert connection.scalar(sa.text("SELECT count(*) FROM made")) == 0
    engine.dispose()


def test_a_connection_in_a_transaction_is_refused(database):
    engine = sa.create_engine(alchemy_url(database))
    with engine.connect() as connection, connection.begin():
        with pytest.raises(ConnectionInUse) as caught:
            Target.of(connection)
        assert caught.value.exit_code == 2
    engine.dispose()


def test_an_unreachable_server_is_said_without_the_password():
    with pytest.raises(DatabaseUnreachable) as caught:
        Target.of("postgresql://app:topsecret@127.0.0.1:9/diwa").connect()
    assert "topsecret" not in str(caught.value)
    assert "***" in str(caught.value)
    assert "topsecret" not in repr(caught.value.as_dict())


def test_a_directory_is_no_sqlite_database(tmp_path):
    with pytest.raises(InvalidDatabase):
        Target.of(f"sqlite:///{tmp_path}").connect()


def test_reading_does_not_make_a_file(sqlite, tmp_path):
    with Target.of(sqlite).connect(create=False) as link:
        assert link.rows("SELECT * FROM sqlite_master") == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("thing", [3, b"sqlite://", object()])
def test_anything_else_is_refused(thing):
    with pytest.raises(InvalidDatabase):
        Target.of(thing)


def test_a_failed_transaction_leaves_nothing(database):
    with Target.of(database).connect() as link:
        with pytest.raises((psycopg.Error, Exception), match="(?i)syntax|near"), link.transaction():
            link.execute("CREATE TABLE made (n integer)")
            link.execute("SELEC 1")
        with pytest.raises(Exception, match="made"):
            link.rows("SELECT * FROM made")


def test_an_engine_whose_url_says_memory_is_what_sqlite_says(tmp_path):
    path = tmp_path / "app.db"
    engine = sa.create_engine("sqlite://", creator=lambda: sqlite3.connect(path))
    target = Target.of(engine)
    assert (target.in_memory, target.identity) == (False, ("sqlite", str(path)))
    private = sa.create_engine("sqlite://")
    assert Target.of(private).in_memory
    engine.dispose()
    private.dispose()


def test_a_path_that_speaks_of_memory_opens_no_guard(cli, consumer_directory, tmp_path):
    (tmp_path / "mode=memory").mkdir()
    url = f"sqlite:///{tmp_path}/mode=memory/../app.db"
    with closing(sqlite3.connect(tmp_path / "app.db")) as made:
        made.execute("CREATE TABLE kept (n integer)")
    assert "[SAFETY BLOCK]" in cli("drop", "--url", url, cwd=consumer_directory, check=3).stderr


def test_two_names_of_one_file_have_one_lock(sqlite, tmp_path):
    path = sqlite.removeprefix("sqlite:///")
    (tmp_path / "link.db").symlink_to(path)
    held = acquire(Target.of(sqlite), "main", 0, print)
    try:
        with pytest.raises(MigrationLockBusy):
            acquire(Target.of(f"sqlite:///{tmp_path / 'link.db'}"), "main", 0, print)
    finally:
        held.release()


def test_an_async_engine_keeps_what_it_asks_its_driver_for(postgres):
    options = {"options": "-csearch_path=diwa_elsewhere,public", "prepare_threshold": None}
    engine = create_async_engine(alchemy_url(postgres), connect_args=options)
    with Target.of(engine).connect() as link:
        assert link.value("SHOW search_path") == "diwa_elsewhere,public"
    with pytest.raises(InvalidDatabase, match="AsyncEngine"):
        Target.of(engine.connect())


def test_an_async_engine_of_sqlite_reaches_the_same_file(tmp_path):
    path = tmp_path / "50%.db"
    engine = create_async_engine(
        sa.URL.create("sqlite+aiosqlite", database=str(path)), connect_args={"timeout": 7}
    )
    target = Target.of(engine)
    assert (target.url.file, target.url.parameters) == (str(path), (("timeout", 7.0),))
    with pytest.raises(InvalidDatabase, match="in memory"):
        Target.of(create_async_engine("sqlite+aiosqlite://"))


# What SQLAlchemy asks of the driver's module; nothing is sent through it, because nothing connects.
ASYNCPG = SimpleNamespace(paramstyle="numeric_dollar", Error=Exception, exceptions=SimpleNamespace())


def asyncpg_engine(url: str = "postgresql+asyncpg://app:pw@db/diwa", **connect_args: object):
    return create_async_engine(url, module=ASYNCPG, connect_args=connect_args)


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ({"ssl": "verify-full"}, {"sslmode": "verify-full"}),
        ({"ssl": True}, {"sslmode": "verify-full", "sslrootcert": "system"}),
        ({"ssl": False}, {"sslmode": "disable"}),
        ({"timeout": 0.2}, {"connect_timeout": "1"}),
        ({"host": ["a", "b"], "port": [1, 2]}, {"host": "a,b", "port": "1,2"}),
        (
            {"server_settings": {"search_path": "diwa, public", "jit": "off"}},
            {"options": "-csearch_path=diwa,\\ public -cjit=off"},
        ),
        ({"statement_cache_size": 0, "command_timeout": 3, "passfile": "/x"}, {"passfile": "/x"}),
    ],
)
def test_what_asyncpg_is_asked_for_libpq_is_asked_for(asked, given):
    parameters = dict(Target.of(asyncpg_engine(**asked)).url.parameters)
    assert parameters == {"host": "db", "user": "app", "password": "pw", "dbname": "diwa", **given}


def test_what_libpq_cannot_be_asked_for_is_refused_by_name(postgres):
    with pytest.raises(InvalidDatabase, match="'ssl'"):
        Target.of(asyncpg_engine(ssl=object()))
    with pytest.raises(InvalidDatabase, match="'krbthing'"):
        Target.of(asyncpg_engine(krbthing="x")).connect()
    with pytest.raises(InvalidDatabase, match="'pgbouncer'"):
        Target.of(f"{postgres}?pgbouncer=true").connect()


def test_looking_at_an_async_engine_leaves_it_as_it_was(postgres):
    async def asked():
        engine = create_async_engine(alchemy_url(postgres))
        async with engine.connect():
            Target.of(engine)
        async with engine.connect() as connection:
            answer = await connection.scalar(sa.text("SELECT 1"))
        await engine.dispose()
        return answer

    assert asyncio.run(asked()) == 1


@pytest.mark.parametrize("parameter", ["ssl=require", "ssl=verify-full", "sslmode=require"])
def test_encryption_that_is_asked_for_is_not_done_without(postgres, parameter):
    # The server of the tests has none.
    with pytest.raises(DatabaseUnreachable, match="SSL"):
        Target.of(f"{postgres}?{parameter}").connect()


def test_a_host_with_its_port_and_a_service_are_reached(postgres, tmp_path, monkeypatch):
    given = conninfo_to_dict(postgres)
    question = "SELECT current_database()"
    with Target.of(
        f"postgresql://{given['user']}@/{given['dbname']}?host={given['host']}:{given['port']}"
    ).connect() as link:
        assert link.value(question) == given["dbname"]
    (tmp_path / "services").write_text(
        "[shop]\n" + "".join(f"{name}={value}\n" for name, value in given.items())
    )
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
    with Target.of("postgresql://?service=shop").connect() as link:
        assert link.value(question) == given["dbname"]
    # A name that is said wins over that of the service, and so does that of a test database.
    address = Address.of(parse("postgresql:///elsewhere?service=shop&dbname=shared")).database("template1")
    with Target.of(address).connect() as link:
        assert link.value(question) == "template1"


def test_the_environment_means_what_libpq_means_by_it(postgres, monkeypatch):
    given = conninfo_to_dict(postgres)
    for variable, name in {
        "PGHOST": "host",
        "PGPORT": "port",
        "PGUSER": "user",
        "PGDATABASE": "dbname",
    }.items():
        monkeypatch.setenv(variable, str(given[name]))
    with Target.of("postgresql://").connect() as link:
        assert link.value("SELECT current_database()") == given["dbname"]


def test_a_wrong_parameter_is_wrong_usage(postgres):
    with pytest.raises(InvalidDatabase):
        Target.of(f"{postgres}?connect_timeout=soon").connect()
