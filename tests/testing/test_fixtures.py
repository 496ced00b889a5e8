"""What the plugin's fixtures give to the tests of a consumer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pages.reading import blocks, read

STATEMENTS = """
import sqlalchemy as sa

COUNT = sa.text("SELECT count(*) FROM organizations")
ADD = sa.text(
    "INSERT INTO organizations (id, name, slug, inserted_at, updated_at) VALUES"
    " ('00000000-0000-0000-0000-000000000001', 'a', 'a', '2026-01-01 00:00:00', '2026-01-01 00:00:00')"
)
"""


def test_every_test_has_a_database_of_its_own_at_head(checkout, place):
    checkout.write(
        STATEMENTS
        + """
import diwa_schema
import pytest

seen = []


@pytest.mark.parametrize("number", range(3))
def test_writes(diwa_database, diwa_engine, number):
    assert diwa_database not in seen
    seen.append(diwa_database)
    diwa_schema.ensure_current(diwa_database)
    with diwa_engine.begin() as connection:
        assert connection.scalar(COUNT) == 0
        connection.execute(ADD)
    with diwa_engine.connect() as connection:
        assert connection.scalar(COUNT) == 1
"""
    )
    checkout.passes(3, dsn=place)


def test_what_a_session_commits_is_undone(checkout, place):
    checkout.write(
        STATEMENTS
        + """
import pytest


@pytest.mark.parametrize("number", range(3))
def test_commits(diwa_session, number):
    assert diwa_session.scalar(COUNT) == 0
    diwa_session.execute(ADD)
    diwa_session.commit()
    with pytest.raises(sa.exc.IntegrityError):
        diwa_session.execute(ADD)
    diwa_session.rollback()
    assert diwa_session.scalar(COUNT) == 1


def test_leaves_a_failed_transaction(diwa_session):
    with pytest.raises(sa.exc.DatabaseError):
        diwa_session.execute(sa.text("SELECT nonsense"))


def test_sees_nothing_of_it(diwa_session):
    assert diwa_session.scalar(COUNT) == 0
"""
    )
    checkout.passes(5, dsn=place)


def test_a_session_survives_the_end_of_its_connection(checkout, dsn):
    checkout.write(
        STATEMENTS
        + """
import pytest


def test_ends_it(diwa_session):
    with pytest.raises(sa.exc.OperationalError):
        diwa_session.execute(sa.text("SELECT pg_terminate_backend(pg_backend_pid())"))


def test_has_another(diwa_session):
    assert diwa_session.scalar(COUNT) == 0
"""
    )
    checkout.passes(2, dsn=dsn)


def test_beside_a_database_of_its_own_a_session_really_commits(checkout, place):
    checkout.write(
        STATEMENTS
        + """
import asyncio


def test_commits(diwa_session, diwa_engine):
    diwa_session.execute(ADD)
    diwa_session.commit()
    with diwa_engine.connect() as connection:
        assert connection.scalar(COUNT) == 1


def test_commits_as_well(diwa_engine, diwa_async_session):
    async def commit():
        await diwa_async_session.execute(ADD)
        await diwa_async_session.commit()

    asyncio.run(commit())
    with diwa_engine.connect() as connection:
        assert connection.scalar(COUNT) == 1
"""
    )
    checkout.passes(2, dsn=place)


def test_what_an_async_session_commits_is_undone(checkout, place):
    checkout.write(
        STATEMENTS
        + """
import asyncio
import gc

import pytest


async def work(session):
    assert await session.scalar(COUNT) == 0
    await session.execute(ADD)
    await session.commit()
    with pytest.raises(sa.exc.IntegrityError):
        await session.execute(ADD)
    await session.rollback()
    connection = await session.connection()
    assert await connection.scalar(COUNT) == 1
    found = await session.stream(COUNT)
    assert [number async for number in found.scalars()] == [1]


@pytest.mark.parametrize("number", range(2))
def test_commits(diwa_async_session, number):
    asyncio.run(work(diwa_async_session))


def test_needs_no_loop_where_it_is_not_used(diwa_async_session):
    gc.collect()


def test_leaves_it_to_whom_it_was_begun_by(diwa_async_session):
    asyncio.run(diwa_async_session.execute(ADD))
    asyncio.run(asyncio.sleep(0))
    gc.collect()
"""
    )
    checkout.passes(4, dsn=place)


def test_an_async_session_writes_and_reads_models(checkout, place):
    checkout.write(
        """
import asyncio

import pytest
import sqlalchemy as sa
from diwa_schema.models import EmbeddingCache, Organization


def test_it(diwa_async_session):
    async def work():
        session = diwa_async_session
        session.add(Organization(name="A"))
        session.add(EmbeddingCache(hash="h", model="m", embedding=[0.5] * 1536))
        await session.commit()
        with pytest.raises(sa.exc.DBAPIError):
            await session.execute(sa.select(Organization).where(sa.text("nonsense")))
        await session.rollback()
        assert (await session.scalars(sa.select(Organization.name))).all() == ["A"]
        assert (await session.scalars(sa.select(EmbeddingCache.embedding))).one()[0] == 0.5

    asyncio.run(work())


def test_nothing_is_left(diwa_async_session):
    assert asyncio.run(diwa_async_session.scalar(sa.select(sa.func.count(Organization.id)))) == 0
"""
    )
    checkout.passes(2, dsn=place)


@pytest.mark.parametrize("block", blocks(read("testing.md"), "python")[:-1])
def test_each_test_of_the_page_passes_as_it_is_printed(checkout, place, block):
    checkout.write(block)
    checkout.passes(1, dsn=place)


@pytest.mark.parametrize("absent", ["aiosqlite", "greenlet"])
def test_what_an_async_session_needs_is_named(checkout, absent):
    checkout.write(
        "def test_it(diwa_async_session):\n    pass\n", f"import sys\n\nsys.modules[{absent!r}] = None\n"
    )
    result = checkout.run(dsn="sqlite://")
    result.assert_outcomes(errors=1)
    printed = result.stdout.str()
    assert f"{absent} is not installed" in printed
    assert "pip install 'diwa-schema[async]' aiosqlite" in printed
    assert "Traceback" not in printed


def test_sqlite_keeps_foreign_keys(checkout):
    checkout.write(
        """
import sqlalchemy as sa


def test_session(diwa_session):
    assert diwa_session.scalar(sa.text("PRAGMA foreign_keys")) == 1


def test_engine(diwa_engine):
    with diwa_engine.connect() as connection:
        assert connection.scalar(sa.text("PRAGMA foreign_keys")) == 1
"""
    )
    checkout.passes(2, dsn="sqlite://")


def test_a_failing_test_shows_no_password(checkout, dsn):
    checkout.write("def test_fails(diwa_database):\n    assert diwa_database is None\n")
    result = checkout.run("--showlocals", dsn=dsn)
    result.assert_outcomes(failed=1)
    assert "not-to-be-shown" not in result.stdout.str()
    assert ":***@" in result.stdout.str()


def test_a_server_that_does_not_answer_is_named_without_its_password(checkout):
    checkout.write("def test_it(diwa_session):\n    pass\n")
    result = checkout.run(dsn="postgresql://tester:not-to-be-shown@127.0.0.1:1/postgres")
    result.assert_outcomes(errors=1)
    printed = result.stdout.str()
    assert "postgresql://tester:***@127.0.0.1:1/postgres cannot be reached" in printed
    assert "not-to-be-shown" not in printed
    assert "Traceback" not in printed


def test_the_plugin_costs_nothing_until_it_is_used(checkout):
    checkout.write(
        "def test_it():\n    pass\n",
        """
def pytest_unconfigure():
    import sys

    loaded = {name for name in sys.modules if name.startswith("diwa_schema")}
    assert loaded == {"diwa_schema", "diwa_schema.testing", "diwa_schema.testing.place", "diwa_schema.errors"}
    print("libraries", {"sqlalchemy", "psycopg", "alembic", "rich", "sqlite3"} & set(sys.modules))
""",
    )
    assert "libraries set()" in checkout.passes(1)
    assert not list(checkout.memory.iterdir())


@pytest.mark.parametrize("workers", ["0", "2"])
def test_the_template_is_built_once(checkout, place, workers, tmp_path):
    runs = tmp_path / "runs"
    checkout.write(
        f"""
from pathlib import Path

import diwa_schema
import pytest


@pytest.mark.parametrize("number", range(4))
def test_it(diwa_database, number):
    (run,) = {{entry["run_id"] for entry in diwa_schema.history(diwa_database)}}
    with Path({str(runs)!r}).open("a") as file:
        file.write(run + "\\n")
"""
    )
    for _ in range(2):
        checkout.passes(4, "-n", workers, dsn=place)
    written = runs.read_text().split()
    assert len(written) == 8
    assert len(set(written)) == 1


def test_no_file_of_a_run_is_left(checkout):
    checkout.write(
        "def test_it(diwa_database, diwa_session):\n    pass\n\n\ndef test_too(diwa_engine):\n    pass\n"
    )
    checkout.passes(2, dsn="sqlite://")
    names = [path.name for path in next(checkout.memory.iterdir()).joinpath("sqlite").iterdir()]
    assert sorted(name.partition("-")[0] for name in names) == ["lock", "template"]


def test_what_a_killed_run_left_is_removed(checkout):
    checkout.write("import os\n\n\ndef test_it(diwa_database):\n    os.kill(os.getpid(), 9)\n")
    assert checkout.run(dsn="sqlite://").ret == -9
    folder = next(checkout.memory.iterdir()) / "sqlite"
    assert list(folder.glob("run-*"))
    checkout.write("def test_it(diwa_database):\n    pass\n")
    checkout.passes(1, dsn="sqlite://")
    assert not list(folder.glob("run-*"))


def test_without_a_server_the_tests_run_on_sqlite_and_say_so(checkout):
    checkout.write(
        "def test_it(diwa_database):\n    assert diwa_database.startswith('sqlite:')\n",
        "from diwa_schema.testing import embedded\nembedded.installed = lambda: False\n",
    )
    assert "so the tests run on SQLite" in checkout.passes(1)


def test_an_old_template_file_is_removed(checkout):
    import os

    checkout.write("def test_it(diwa_database):\n    pass\n")
    checkout.passes(1, dsn="sqlite://")
    folder: Path = next(checkout.memory.iterdir()) / "sqlite"
    (template,) = folder.glob("template-*.db")
    for name, days in (("template-0.db", 8), ("template-1.db", 6)):
        (folder / name).touch()
        moment = template.stat().st_mtime - days * 86400
        os.utime(folder / name, (moment, moment))
    checkout.passes(1, dsn="sqlite://")
    assert {path.name for path in folder.glob("template-*.db")} == {template.name, "template-1.db"}
