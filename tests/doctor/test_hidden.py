"""What the version row alone does not tell: tables that are missing, row security, another schema, forked workers."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

import diwa_schema
from diwa_schema.database.search_path import passed_over
from diwa_schema.database.target import Target
from diwa_schema.errors import (
    DatabaseUnreachable,
    DriftFound,
    PermissionMissing,
    SchemaEmpty,
    SchemaForeign,
    SchemaOutOfDate,
    UsageError,
)
from diwa_schema.migrations.manifest import load
from tests.findings import found

pytestmark = pytest.mark.usefixtures("owner_directory")


def engine_of(url: str, **options: object) -> sa.Engine:
    return sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"), **options)


def execute(url: str, *statements: str) -> None:
    with Target.of(url).connect() as link:
        for statement in statements:
            link.execute(statement)


def test_missing_tables_are_told_by_every_look(database, cli):
    diwa_schema.migrate(database)
    cascade = " CASCADE" if database.startswith("postgresql") else ""
    execute(database, f"DROP TABLE memories{cascade}")
    for look in (diwa_schema.ensure_current, diwa_schema.migrate, diwa_schema.plan):
        with pytest.raises(DriftFound, match=r"missing: memories\.") as caught:
            look(database)
        assert caught.value.facts["missing"] == ["memories"]
    stands = diwa_schema.status(database)
    assert (stands.missing, stands.current) == (("memories",), False)
    assert "missing   1 table: memories" in cli("status", "--url", database, check=1).stdout
    assert "drift" in found(database)


def test_missing_tables_below_head_stop_the_run_before_its_first_revision(database):
    """As a restore of an older backup without pgvector leaves a database."""
    diwa_schema.migrate(database, "20260228000500")
    cascade = " CASCADE" if database.startswith("postgresql") else ""
    execute(database, f"DROP TABLE memories{cascade}")
    for look in (diwa_schema.ensure_current, diwa_schema.migrate, diwa_schema.plan):
        with pytest.raises(
            DriftFound, match=r"recorded at revision 20260228000500, .* missing: memories\."
        ) as caught:
            look(database)
        assert caught.value.facts["missing"] == ["memories"]
    stands = diwa_schema.status(database)
    assert (stands.missing, stands.revision) == (("memories",), "20260228000500")


def test_what_else_is_gone_is_told_by_the_doctor(postgres):
    diwa_schema.migrate(postgres)
    assert "drift" not in found(postgres)
    execute(postgres, "ALTER TABLE memories DROP COLUMN actor")
    assert "actor" in found(postgres)["drift"].reason


def test_row_security_on_the_version_table_is_called_what_it_is(migrated, app):
    migrated.run("ALTER TABLE diwa_schema_version ENABLE ROW LEVEL SECURITY")
    for look in (diwa_schema.ensure_current, diwa_schema.status):
        with pytest.raises(PermissionMissing, match="Row security on diwa_schema_version hides") as caught:
            look(app)
    told = [one for one in diwa_schema.doctor(app) if "Row security on diwa_schema_version" in one.reason]
    assert told
    assert all("CREATE POLICY" in one.command for one in told)
    statement = caught.value.next_step
    migrated.run(statement[statement.index("CREATE POLICY") :])
    diwa_schema.ensure_current(app)
    assert diwa_schema.status(app).current


def test_the_schema_that_was_said_is_looked_at_and_no_other(postgres):
    diwa_schema.migrate(postgres)
    execute(postgres, 'CREATE SCHEMA "50%off"')
    engine = engine_of(postgres)
    with pytest.raises(SchemaEmpty):
        diwa_schema.ensure_current(engine, schema="50%off")
    diwa_schema.ensure_current(engine, schema="public")
    elsewhere = f"{postgres}?options=-csearch_path%3D%2250%25off%22%2Cpublic"
    with pytest.raises(SchemaForeign, match="50%off"):
        diwa_schema.ensure_current(elsewhere)
    diwa_schema.ensure_current(elsewhere, schema="public")
    engine.dispose()


@pytest.mark.parametrize("first", ["tenant_b", '"Tenant ""B"""', "tenant_b,pg_temp"])
def test_a_tenant_that_is_not_there_is_not_taken_for_the_next_one_on_the_path(postgres, first):
    """The server passes over what is not there, and the next schema on the path is at head."""
    diwa_schema.migrate(postgres)
    path = f"{postgres}?options=-csearch_path%3D{quote(first.replace(' ', chr(92) + ' '))},public"
    named = 'Tenant "B"' if first[0] == '"' else "tenant_b"
    for call in (diwa_schema.ensure_current, diwa_schema.check, diwa_schema.migrate):
        with pytest.raises(PermissionMissing, match=f"Schema '{named}' of .* does not exist"):
            call(path)
    assert not diwa_schema.status(path).current
    assert "does not exist" in "".join(one.reason for one in diwa_schema.doctor(path))
    diwa_schema.ensure_current(path, schema="public")
    engine = engine_of(path)
    with engine.connect() as connection, pytest.raises(PermissionMissing):
        diwa_schema.ensure_current(connection)
    engine.dispose()


def test_a_tenant_that_the_role_may_not_use_is_not_taken_for_the_next_one(migrated, app):
    migrated.run("CREATE SCHEMA closed")
    with pytest.raises(PermissionMissing, match="Schema 'closed'"):
        diwa_schema.ensure_current(f"{app}?options=-csearch_path%3Dclosed,public")


@pytest.mark.parametrize(
    ("path", "role", "taken", "over"),
    [
        ('"$user", public', "ann", "public", None),
        ('"$user", public', "ann", "ann", None),
        ("$user,tenant,public", "ann", "public", "tenant"),
        ("Tenant , public", "ann", "tenant", None),
        ('"Tenant, ""x""" ,public', "ann", 'Tenant, "x"', None),
        ('"a,b",public', "ann", "public", "a,b"),
        ("pg_temp, pg_catalog, public", "ann", "public", None),
        ("pg_catalog, public", "ann", "pg_catalog", None),
        (f"{'é' * 40}, public", "ann", "é" * 31, None),
    ],
)
def test_what_a_search_path_passes_over(path, role, taken, over):
    assert passed_over(path, role, taken) == over


def test_an_empty_schema_beside_the_one_with_the_version_table_is_not_called_empty_alone(postgres, cli):
    execute(postgres, 'CREATE SCHEMA "Tenant$a"')
    diwa_schema.migrate(postgres, schema="Tenant$a")
    found = diwa_schema.status(postgres)
    assert (found.kind, found.elsewhere) == ("empty", ("Tenant$a",))
    assert "add --schema 'Tenant$a'" in cli("status", "--url", postgres, check=1).stdout
    with pytest.raises(SchemaEmpty) as caught:
        diwa_schema.ensure_current(postgres)
    assert "add --schema 'Tenant$a'" in caught.value.next_step
    # On the search path a run would be refused, and so status says the same.
    behind = f"{postgres}?options=-csearch_path%3Dpublic%2C%22Tenant%24a%22"
    with pytest.raises(SchemaForeign) as refused:
        diwa_schema.migrate(behind)
    assert diwa_schema.status(behind).refused == refused.value.what
    assert "--schema 'Tenant$a'" in cli("status", "--url", behind, check=1).stdout
    assert diwa_schema.status(postgres, schema="Tenant$a").current


def test_sqlite_has_no_schema_to_choose(sqlite):
    with pytest.raises(UsageError, match="no schemas"):
        diwa_schema.ensure_current(sqlite, schema="main")


def test_forked_workers_share_no_connection(postgres):
    diwa_schema.migrate(postgres)
    engine = engine_of(postgres)
    diwa_schema.ensure_current(engine)
    readers = []
    for _ in range(2):
        read, write = os.pipe()
        if os.fork() == 0:
            with engine.connect() as connection:
                os.write(write, str(connection.scalar(sa.text("SELECT pg_backend_pid()"))).encode())
            os._exit(0)
        os.close(write)
        readers.append(read)
    served = [os.read(read, 20) for read in readers]
    for read in readers:
        os.close(read)
        os.wait()
    assert all(served)
    assert len(set(served)) == 2
    engine.dispose()


def test_a_connection_that_was_there_before_stays(postgres):
    diwa_schema.migrate(postgres)
    engine = engine_of(postgres)
    with engine.connect() as connection:
        before = connection.scalar(sa.text("SELECT pg_backend_pid()"))
    diwa_schema.ensure_current(engine)
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT pg_backend_pid()")) == before
    engine.dispose()


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
def test_an_async_engine_has_a_check_of_its_own(postgres, driver):
    url = postgres.replace("postgresql://", f"postgresql+{driver}://")

    async def run() -> None:
        engine = create_async_engine(url)
        with pytest.raises(UsageError, match="AsyncEngine") as caught:
            diwa_schema.ensure_current(engine)  # type: ignore[arg-type]
        assert "await diwa_schema.aensure_current" in caught.value.next_step
        for _ in range(2):
            with pytest.raises(SchemaEmpty):
                await diwa_schema.aensure_current(engine)
        async with engine.connect() as connection:
            with pytest.raises(SchemaEmpty):
                await connection.run_sync(diwa_schema.ensure_current)
        await asyncio.to_thread(diwa_schema.migrate, postgres, load().ids[-2])
        with pytest.raises(SchemaOutOfDate):
            await diwa_schema.aensure_current(engine)
        await asyncio.to_thread(diwa_schema.migrate, postgres)
        await diwa_schema.aensure_current(engine)
        await diwa_schema.aensure_current(engine, schema="public")
        async with engine.connect() as connection:
            await diwa_schema.aensure_current(connection)
        await engine.dispose()
        nowhere = create_async_engine(f"postgresql+{driver}://nobody:s3cret@127.0.0.1:9/none")
        with pytest.raises(DatabaseUnreachable) as unreachable:
            await diwa_schema.aensure_current(nowhere)
        assert "s3cret" not in str(unreachable.value)
        await nowhere.dispose()

    # In a thread of its own: the tests of the models keep a loop in the main one.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, run()).result()


def test_an_autocommit_connection_after_a_statement(postgres):
    engine = engine_of(postgres, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text("SELECT 1"))
        with pytest.raises(SchemaEmpty):
            diwa_schema.ensure_current(connection)
    engine.dispose()


def test_the_next_command_goes_to_the_database_that_was_named(sqlite, cli, owner_directory):
    diwa_schema.migrate(sqlite, "20260228000500")
    told = cli("doctor", "--url", sqlite, check=1).stdout
    assert f"python -m diwa_schema upgrade --url {sqlite}" in told
