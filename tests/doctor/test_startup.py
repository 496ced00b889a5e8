"""The start-up check: silent when current, plain words for every other state, and the caller's transaction unharmed."""

from __future__ import annotations

import asyncio

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from diwa_schema import aensure_current, api, ensure_current
from diwa_schema.database.target import Target
from diwa_schema.database.url import embedded_url, parse
from diwa_schema.errors import (
    DatabaseUnreachable,
    InvalidDatabase,
    NotAdopted,
    SchemaEmpty,
    SchemaForeign,
    SchemaOutOfDate,
    SchemaTooNew,
    UnknownRevision,
    UsageError,
)
from diwa_schema.migrations.manifest import load

pytestmark = pytest.mark.usefixtures("owner_directory")

HEAD = load().head
ABOVE = "20990101000000"


def alchemy(url: str) -> sa.Engine:
    return sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))


def execute(url: str, *statements: str) -> None:
    with Target.of(url).connect() as link:
        for statement in statements:
            link.execute(statement)


def set_above(url: str, floor: str | None, *, in_ledger: bool) -> None:
    written = "NULL" if floor is None else f"'{floor}'"
    execute(url, f"UPDATE diwa_schema_version SET version_num = '{ABOVE}', floor = {written}")
    if in_ledger:
        execute(url, f"UPDATE diwa_schema_ledger SET revision = '{ABOVE}' WHERE revision = '{HEAD}'")


@pytest.fixture(params=["url", "engine", "connection"])
def named(request, database):
    """The database as each thing that the function takes."""
    if request.param == "url":
        yield database
        return
    engine = alchemy(database)
    if request.param == "engine":
        yield engine
    else:
        with engine.connect() as connection:
            yield connection
    engine.dispose()


def test_current(database, named):
    api.migrate(database)
    ensure_current(named)


def test_the_next_command_goes_to_the_checked_database(database, named, monkeypatch):
    with pytest.raises(SchemaEmpty) as empty:
        ensure_current(named)
    # An engine's URL has the name of its driver.
    said = empty.value.next_step.replace("+psycopg", "")
    assert said.endswith(f"run: python -m diwa_schema upgrade {parse(database).options()}")
    monkeypatch.setenv("DATABASE_URL", database)
    with pytest.raises(SchemaEmpty) as empty:
        ensure_current()
    assert empty.value.next_step.endswith(
        "run: python -m diwa_schema upgrade"
    )  # it reads the variable as well


def test_the_next_command_names_the_schema_and_the_file(tmp_path, postgres):
    execute(postgres, "CREATE SCHEMA tenant")
    with pytest.raises(SchemaEmpty) as empty:
        ensure_current(postgres, schema="tenant")
    assert empty.value.next_step.endswith(f"upgrade {parse(postgres).options('tenant')}")
    with pytest.raises(SchemaEmpty) as empty:
        ensure_current(embedded=tmp_path / "a b.db")
    assert empty.value.next_step.endswith(f"upgrade --embedded '{tmp_path}/a b.db'")
    with pytest.raises(UnknownRevision) as refused:
        api.migrate(postgres, revision="99", schema="tenant", repo="diwa-schema")
    assert refused.value.next_step.endswith(parse(postgres).options("tenant"))


def test_every_function_of_a_database_names_it_in_its_commands():
    functions = [getattr(api, name) for name in api.__all__ if name != "target_of"]
    assert [one.__name__ for one in (*functions, ensure_current) if not hasattr(one, "__wrapped__")] == []


def test_a_password_is_hidden_in_the_next_command_and_the_message_says_how_to_give_it(postgres):
    with pytest.raises(SchemaEmpty) as empty:
        ensure_current(postgres.replace("@", ":secret@"))
    assert "secret" not in str(empty.value)
    assert str(empty.value).endswith(
        "write the password instead of ***, or leave :*** out and set PGPASSWORD."
    )
    assert empty.value.as_dict()["next_step"].endswith("set PGPASSWORD.")


@pytest.mark.parametrize("driver", ["psycopg2", "pg8000", "PG8000"])
@pytest.mark.parametrize("kind", [str, sa.make_url])
def test_a_driver_that_the_models_refuse_is_refused_at_the_start(driver, kind, monkeypatch):
    url = f"postgresql+{driver}://app:secret@127.0.0.1:1/x"
    with pytest.raises(
        UsageError, match=f"The driver {driver.lower()} does not support the types"
    ) as refused:
        ensure_current(kind(url))
    assert refused.value.next_step == "Connect with postgresql+psycopg:// or postgresql+asyncpg://"
    monkeypatch.setenv("DATABASE_URL", url)
    with pytest.raises(UsageError, match="does not support the types"):
        ensure_current()


@pytest.mark.parametrize("driver", ["psycopg", "psycopg_async", "asyncpg"])
def test_a_driver_of_the_models_is_none_of_its_business(driver):
    with pytest.raises(DatabaseUnreachable):
        ensure_current(f"postgresql+{driver}://app@127.0.0.1:1/x")


def test_empty(named):
    with pytest.raises(SchemaEmpty, match="it is empty"):
        ensure_current(named)


@pytest.mark.parametrize("driver", ["sqlite", "sqlite+aiosqlite"])
def test_a_missing_file_is_empty_and_stays_missing(tmp_path, driver):
    url, file = f"{driver}:///{tmp_path / 'app.db'}", tmp_path / "app.db"

    async def check() -> None:
        await aensure_current(create_async_engine(url))

    with pytest.raises(SchemaEmpty, match="it is empty"):
        asyncio.run(check()) if "+" in driver else ensure_current(sa.create_engine(url))
    assert not file.exists()


def test_behind_names_the_pending_revisions_and_the_command(database, named):
    api.migrate(database, load().ids[-3])
    with pytest.raises(SchemaOutOfDate) as caught:
        ensure_current(named)
    message = str(caught.value)
    for word in (*load().ids[-2:], "python -m diwa_schema upgrade", "diwa-cloud"):
        assert word in message
    assert caught.value.facts["pending"] == list(load().ids[-2:])


def test_ahead_and_at_or_above_the_floor_is_fine(database, named):
    api.migrate(database)
    set_above(database, None, in_ledger=True)
    ensure_current(named)
    set_above(database, HEAD, in_ledger=False)
    ensure_current(named)


def test_below_the_floor_says_what_to_install(database, named):
    api.migrate(database)
    set_above(database, ABOVE, in_ledger=True)
    with pytest.raises(SchemaTooNew, match="pip install --upgrade diwa-schema"):
        ensure_current(named)


def test_above_head_and_not_in_the_ledger_is_unknown(database, named):
    api.migrate(database)
    set_above(database, None, in_ledger=False)
    with pytest.raises(SchemaForeign, match="ledger"):
        ensure_current(named)


def test_foreign(database, named):
    execute(database, "CREATE TABLE memories (id integer)")
    with pytest.raises(SchemaForeign, match="another tool"):
        ensure_current(named)


def test_made_by_ecto(legacy):
    with pytest.raises(NotAdopted, match="adopt"):
        ensure_current(legacy("sqlite_head"))


def test_one_query_when_current(database):
    api.migrate(database)
    engine = alchemy(database)
    engine.connect().close()  # what SQLAlchemy asks on its first connection
    sent: list[str] = []
    sa.event.listen(engine, "before_cursor_execute", lambda *args: sent.append(args[2]))
    ensure_current(engine)
    assert len(sent) == 1
    engine.dispose()


def test_a_callers_transaction_is_not_aborted(database):
    engine = alchemy(database)
    with engine.connect() as connection, connection.begin():
        connection.execute(sa.text("CREATE TABLE mine (n integer)"))
        with pytest.raises(SchemaEmpty):
            ensure_current(connection)
        connection.execute(sa.text("INSERT INTO mine VALUES (1)"))
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT n FROM mine")) == 1
    engine.dispose()


def test_nothing_is_written(database, dump):
    api.migrate(database, load().ids[5])
    before = dump(database)
    with pytest.raises(SchemaOutOfDate):
        ensure_current(database)
    assert dump(database) == before


def test_in_an_async_application(postgres):
    api.migrate(postgres)

    async def start() -> None:
        engine = create_async_engine(postgres.replace("postgresql://", "postgresql+psycopg://"))
        async with engine.connect() as connection:
            await connection.run_sync(ensure_current)
        await engine.dispose()

    asyncio.run(start())


@pytest.mark.parametrize(
    ("url", "way"),
    [
        ("sqlite://", "A database in memory begins empty. Call diwa_schema.migrate(engine)"),
        ("sqlite:///app.db", "In the diwa-cloud repository, run: {command} --url sqlite:///{here}/app.db"),
        (
            "sqlite:////nowhere/app.db",
            "In the diwa-cloud repository, run: {command} --url sqlite:////nowhere/",
        ),
        (None, "Run: python -m diwa_schema upgrade --embedded"),
    ],
)
def test_the_next_step_is_the_one_for_this_file(url, way, tmp_path, monkeypatch):
    """A relative path is another file in the repository of the owner, and a private file needs no owner."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "da ta"))
    monkeypatch.chdir(tmp_path)
    way = way.format(command="python -m diwa_schema upgrade", here=tmp_path)
    engine = sa.create_engine(url or embedded_url())
    with pytest.raises(SchemaEmpty) as caught:
        ensure_current(engine)
    engine.dispose()
    assert caught.value.next_step.startswith(way)
    if url is None:
        with pytest.raises(SchemaEmpty) as caught:
            ensure_current(embedded=True)
        assert caught.value.next_step == way


def test_a_directory_is_no_server_that_does_not_run(tmp_path):
    with pytest.raises(InvalidDatabase, match="is a directory") as caught:
        ensure_current(sa.create_engine(f"sqlite:///{tmp_path}"))
    assert caught.value.next_step == "Name a file in it."
