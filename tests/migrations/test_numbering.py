"""The versions of a memory are numbered in the order of their times, by the database, whoever writes them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from uuid import uuid4

import psycopg
import pytest
import sqlalchemy as sa
import sqlalchemy.orm
from hypothesis import HealthCheck, given, settings, strategies as st

from diwa_schema import drop
from diwa_schema.models import Base, MemoryVersion, inherited
from diwa_schema.models.filled import FILLINGS
from tests.migrations.replaying import HISTORY, IDS, Stopped, down, kill_everywhere, paced, up
from tests.migrations.rows import memory
from tests.migrations.test_filled import ground, write

NUMBERED = "20260306000000"
BEFORE = IDS[IDS.index(NUMBERED) - 1]
(REVISION,) = (module for module in HISTORY if module.revision == NUMBERED)
Connect = Callable[[str], sa.Connection]
# As Ecto writes it, with or without the number.
VERSION = (
    "INSERT INTO memory_versions (id, memory_id, content, operation, inserted_at, updated_at{column}) VALUES "
)
ROW = "('{id}', '{memory}', 'c', 'update', '{at}', '{at}'{number})"


def version(of: int, number: object = "", at: str = "2026-01-01 00:00:00", id_: object = None) -> str:
    """Return the statement that writes a version; without a number the column is left out."""
    given_number = f", {number}" if number != "" else ""
    row = ROW.format(id=id_ or uuid4(), memory=memory(of), at=at, number=given_number)
    return VERSION.format(column=", version_number" if given_number else "") + row


# Memory, id, time and number of each version, as they are found: all say 1, or NULL, or what a writer has counted.
FOUND = [
    (0, "00000000-0000-4000-8000-00000000000b", "2026-01-01 00:00:03", 1),
    (0, "00000000-0000-4000-8000-00000000000a", "2026-01-01 00:00:03", 1),
    (0, "00000000-0000-4000-8000-00000000000c", "2026-01-01 00:00:01", 1),
    (0, "00000000-0000-4000-8000-00000000000d", "2026-01-01 00:00:04", "NULL"),
    (1, "00000000-0000-4000-8000-00000000000e", "2026-01-01 00:00:01", 1),
    (1, "00000000-0000-4000-8000-00000000000f", "2026-01-01 00:00:02", 2),
    (2, "00000000-0000-4000-8000-000000000010", "2026-01-01 00:00:02", 7),
]
IN_ORDER = {"c": 1, "a": 2, "b": 3, "d": 4, "e": 1, "f": 2, "0": 1}


def fill(connection: sa.Connection) -> None:
    ground(connection)
    write(connection, *(str(memory(number)) for number in range(5)))
    for of, id_, at, number in FOUND:
        connection.exec_driver_sql(version(of, number, at, id_))


def numbers(connection: sa.Connection) -> dict[str, int | None]:
    found = connection.exec_driver_sql("SELECT CAST(id AS text), version_number FROM memory_versions")
    return {id_[-1]: number for id_, number in found}


def numbers_of_ids(connection: sa.Connection) -> dict[str, int | None]:
    """The numbers of the versions that have an id, which SQLite does not ask for."""
    found = connection.exec_driver_sql("SELECT id, version_number FROM memory_versions WHERE id IS NOT NULL")
    return {id_[-1]: number for id_, number in found}


def of(connection: sa.Connection, one: int) -> list[int | None]:
    found = f"SELECT version_number FROM memory_versions WHERE memory_id = '{memory(one)}' ORDER BY 1"
    return list(connection.exec_driver_sql(found).scalars())


@pytest.fixture
def pg_before(postgres_at: Callable[[str], str], connect: Connect) -> sa.Connection:
    """A connection to a PostgreSQL database with versions as they are found."""
    connection = connect(postgres_at(BEFORE))
    fill(connection)
    return connection


@pytest.fixture
def lite_before(sqlite_at: Callable[[str], str], connect: Connect) -> sa.Connection:
    """The same on SQLite."""
    connection = connect(sqlite_at(BEFORE))
    fill(connection)
    return connection


@pytest.fixture(params=["pg_before", "lite_before"])
def before(request: pytest.FixtureRequest) -> sa.Connection:
    """The same on both."""
    connection: sa.Connection = request.getfixturevalue(request.param)
    return connection


def test_old_versions_are_numbered_by_their_times_and_get_their_numbers_back(before: sa.Connection):
    begun = numbers(before)
    up(before, NUMBERED, BEFORE)
    lite = before.dialect.name == "sqlite"
    # Within a second SQLite knows in which order they came; PostgreSQL goes by the id.
    assert numbers(before) == IN_ORDER | ({"b": 2, "a": 3} if lite else {})
    kept = "SELECT count(*), count(DISTINCT reason) FROM diwa_schema_kept_values"
    assert before.exec_driver_sql(kept).one() == (4, 1)
    down(before, BEFORE, NUMBERED)
    assert numbers(before) == begun
    assert before.exec_driver_sql(kept).one() == (0, 0)
    up(before, NUMBERED, BEFORE)
    assert sorted(filter(None, numbers(before).values())) == [1, 1, 1, 2, 2, 3, 4]


def test_the_database_numbers_what_comes_without_a_number_or_with_one_that_is_taken(before: sa.Connection):
    up(before, NUMBERED, BEFORE)
    for number in ("", "NULL", 1, 1, 9, "", 8):
        before.exec_driver_sql(version(1, number))
    assert of(before, 1) == [1, 2, 3, 4, 5, 6, 8, 9, 10]
    several = ", ".join(
        ROW.format(id=uuid4(), memory=memory(of_), at="2026-01-01 00:00:00", number="")
        for of_ in (3, 4, 3, 3)
    )
    before.exec_driver_sql(VERSION.format(column="") + several)
    assert (of(before, 3), of(before, 4)) == ([1, 2, 3], [1])


def test_what_a_writer_never_gave_stays_on_the_way_down(before: sa.Connection):
    up(before, NUMBERED, BEFORE)
    before.exec_driver_sql(version(2))
    down(before, BEFORE, NUMBERED)
    assert of(before, 2) == [2, 7]
    before.exec_driver_sql(version(2, "NULL"))
    assert None in of(before, 2)


def test_versions_that_come_while_the_old_ones_are_numbered_get_numbers(pg_before: sa.Connection):
    def come() -> None:
        for one in range(4):
            pg_before.exec_driver_sql(version(one, at="2026-01-01 00:00:09"))

    pace = paced(pg_before, REVISION.upgrade, size=2, between=come)
    come()
    assert pace.pieces > 8
    for one in range(4):
        found = of(pg_before, one)
        assert found == list(range(1, len(found) + 1))
        assert len(found) > pace.pieces


def test_killed_anywhere_on_the_way_up_it_is_finished_whatever_is_written_meanwhile(pg_before: sa.Connection):
    """Two versions of one second, whose ids are not in the order in which they came."""
    later = "2026-01-01 00:00:09"

    def attempt(piece: int, late: bool) -> bool:
        down(pg_before, BEFORE, NUMBERED)
        pg_before.exec_driver_sql(f"DELETE FROM memory_versions WHERE inserted_at = '{later}'")
        stopped = False
        try:
            paced(pg_before, REVISION.upgrade, size=2, stop_at=piece, late=late)
        except Stopped:
            stopped = True
            for end in ("1", "0"):
                pg_before.exec_driver_sql(version(1, "", later, f"ffffffff-0000-4000-8000-00000000000{end}"))
            paced(pg_before, REVISION.upgrade, size=2)
            assert of(pg_before, 1) == [1, 2, 3, 4]
        assert numbers(pg_before).items() >= {name: IN_ORDER[name] for name in "abcdef"}.items()
        return stopped

    assert kill_everywhere(attempt) > 8


def test_a_version_without_an_id_is_nobodys_to_number(lite_before: sa.Connection):
    row = f"INSERT INTO memory_versions (memory_id, content, operation, version_number, inserted_at, updated_at) VALUES ('{memory(4)}', 'c', 'update', 1, '2026-01-01', '2026-01-01')"
    for _ in range(2):
        lite_before.exec_driver_sql(row)
    up(lite_before, NUMBERED, BEFORE)
    assert of(lite_before, 4) == [1, 1]
    assert numbers_of_ids(lite_before) == IN_ORDER | {"b": 2, "a": 3}


def test_killed_anywhere_on_the_way_down_every_number_comes_back(pg_before: sa.Connection):
    begun = numbers(pg_before)

    def attempt(piece: int, late: bool) -> bool:
        up(pg_before, NUMBERED, BEFORE)
        assert numbers(pg_before) == IN_ORDER
        stopped = False
        try:
            paced(pg_before, REVISION.downgrade, size=2, stop_at=piece, late=late)
        except Stopped:
            stopped = True
            paced(pg_before, REVISION.downgrade, size=2)
        assert numbers(pg_before) == begun
        return stopped

    assert kill_everywhere(attempt) > 8


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    writers=st.lists(
        st.lists(st.tuples(st.integers(0, 1), st.sampled_from(["", "1", "NULL"])), min_size=1, max_size=5),
        min_size=2,
        max_size=4,
    )
)
def test_concurrent_writers_never_get_two_equal_numbers(numbered: str, writers: list[list[tuple[int, str]]]):
    begin = threading.Barrier(len(writers))
    failed: list[BaseException] = []

    def run(versions: list[tuple[int, str]]) -> None:
        try:
            with closing(psycopg.connect(numbered, autocommit=True)) as connection:
                begin.wait(10)
                for one, number in versions:
                    # In transactions that stay open for a moment, as an application's do.
                    with connection.transaction():
                        connection.execute(version(one, number).encode())
                        connection.execute("SELECT pg_sleep(0.002)")
        except BaseException as error:  # noqa: BLE001 - told to the test, whatever it is
            failed.append(error)

    with closing(psycopg.connect(numbered, autocommit=True)) as connection:
        connection.execute("TRUNCATE memory_versions")
        threads = [threading.Thread(target=run, args=(versions,)) for versions in writers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        found = connection.execute("SELECT memory_id, version_number FROM memory_versions").fetchall()
    for one in (0, 1):
        count = sum(given_ == one for versions in writers for given_, _ in versions)
        assert sorted(number for row, number in found if row == memory(one)) == list(range(1, count + 1))


@pytest.fixture
def numbered(pg_before: sa.Connection) -> str:
    """The URL of a database that numbers versions."""
    up(pg_before, NUMBERED, BEFORE)
    return pg_before.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)


def test_a_role_that_may_only_insert_gets_numbers_whatever_its_path_is(numbered: str):
    name = f"diwa_test_{uuid4().hex}"
    with closing(psycopg.connect(numbered, autocommit=True)) as connection:
        connection.execute(f"CREATE ROLE {name}".encode())
        try:
            connection.execute(f"GRANT INSERT ON memory_versions TO {name}".encode())
            connection.execute("CREATE SCHEMA elsewhere CREATE TABLE memory_versions (version_number int)")
            connection.execute(f"SET ROLE {name}".encode())
            connection.execute("SET search_path = elsewhere, pg_temp")
            statement = version(1).replace("memory_versions", "public.memory_versions", 1)
            connection.execute(statement.encode())
            connection.execute("RESET ROLE")
            found = connection.execute(
                f"SELECT max(version_number) FROM public.memory_versions WHERE memory_id = '{memory(1)}'".encode()
            ).fetchone()
            assert found == (3,)
        finally:
            connection.execute("RESET ROLE")
            connection.execute(f"DROP OWNED BY {name}".encode())
            connection.execute(f"DROP ROLE {name}".encode())


def test_a_table_of_somebody_else_cannot_make_the_function_run_his_code(numbered: str):
    """It runs with its owner's rights, and reads the tables that stand beside itself, not beside that table."""
    with closing(psycopg.connect(numbered, autocommit=True)) as connection:
        for statement in (
            "CREATE SCHEMA his",
            "CREATE FUNCTION his.code() RETURNS int LANGUAGE plpgsql AS 'BEGIN RAISE ''his code runs''; END'",
            "CREATE VIEW his.memory_versions AS SELECT gen_random_uuid() AS memory_id, his.code() AS version_number",
            "CREATE TABLE his.memories (id uuid)",
            "CREATE TABLE his.own (memory_id uuid, version_number int)",
            f"CREATE TRIGGER his BEFORE INSERT ON his.own FOR EACH ROW EXECUTE FUNCTION public.{FILLINGS[0].function}()",
            f"INSERT INTO his.own VALUES ('{memory(1)}')",
        ):
            connection.execute(statement.encode())
        assert connection.execute("SELECT version_number FROM his.own").fetchone() == (3,)


def functions(url: str) -> dict[str, str]:
    with closing(psycopg.connect(url)) as connection:
        found = connection.execute(
            "SELECT proname::text, pg_get_functiondef(oid) FROM pg_proc"
            " WHERE pronamespace = 'public'::regnamespace AND prolang ="
            " (SELECT oid FROM pg_language WHERE lanname = 'plpgsql')"
        )
        return dict(found.fetchall())


def test_history_snapshot_and_models_make_the_same_functions_and_dropping_leaves_none(
    postgres_at: Callable[[str], str],
    new_database: Callable[..., str],
    head_template: str,
    owner_directory: object,
):
    by_history = postgres_at(IDS[-1])
    snapshot, models = new_database(head_template), new_database()
    engine = sa.create_engine(models.replace("postgresql://", "postgresql+psycopg://"))
    Base.metadata.create_all(engine)
    expected = functions(by_history)
    assert set(expected) == {*(filling.function for filling in FILLINGS), inherited.FUNCTION}
    assert functions(snapshot) == functions(models) == expected
    drop(snapshot, confirm=snapshot.rpartition("/")[2])
    Base.metadata.drop_all(engine)
    engine.dispose()
    assert functions(snapshot) == functions(models) == {}


def test_the_models_leave_the_number_to_the_database(at_head: str):
    engine = sa.create_engine(at_head.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        ground(connection)
        write(connection, str(memory(0)))
    with sa.orm.Session(engine) as session:
        versions = [MemoryVersion(memory_id=memory(0), content="c", operation="update") for _ in range(3)]
        for one in versions:
            session.add(one)
            session.flush()
        assert [one.version_number for one in versions] == [1, 2, 3]
    engine.dispose()
