"""Indexes on tables that are in use: valid at the end, whatever an earlier run left."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from diwa_schema.errors import MigrationFailed
from diwa_schema.migrations import steps
from tests.migrations.replaying import Stopped, bound, kill_everywhere, paced, shape, transaction

NAME = "things_color_index"


@pytest.fixture
def things(pg: sa.Connection) -> sa.Connection:
    """A PostgreSQL database with a table of a hundred things in ten colors."""
    _create_things(pg)
    return pg


def _create_things(connection: sa.Connection) -> None:
    connection.exec_driver_sql("CREATE TABLE things (id integer PRIMARY KEY, color text, size integer)")
    rows = ", ".join(f"({number}, 'color {number % 10}', {number})" for number in range(100))
    connection.exec_driver_sql(f"INSERT INTO things VALUES {rows}")


def create() -> None:
    steps.create_index_concurrently(NAME, "things", ["color"])


def index(connection: sa.Connection, name: str = NAME) -> tuple[int, bool] | None:
    """Return oid and validity of an index."""
    found = connection.exec_driver_sql(
        f"SELECT indexrelid::bigint, indisvalid FROM pg_index WHERE indexrelid = to_regclass('{name}')"
    ).first()
    return (found[0], found[1]) if found else None


def break_off(connection: sa.Connection, column: str = "color", name: str = NAME) -> int:
    """Leave an invalid index behind, as a build does that runs into a lock_timeout; return its oid."""
    with psycopg.connect(_url(connection)) as reader:
        reader.execute("SELECT count(*) FROM things")  # its transaction stays open
        reader.execute("LOCK TABLE things IN ROW EXCLUSIVE MODE")
        connection.exec_driver_sql("SET lock_timeout = '50ms'")
        with pytest.raises(sa.exc.OperationalError, match="lock timeout"):
            connection.exec_driver_sql(f"CREATE INDEX CONCURRENTLY {name} ON things ({column})")
        connection.exec_driver_sql("RESET lock_timeout")
    left = index(connection, name)
    assert left is not None
    assert not left[1]
    return left[0]


def _url(connection: sa.Connection) -> str:
    return connection.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)


def test_creates_an_index(things: sa.Connection):
    paced(things, create)
    assert index(things)[1]  # type: ignore[index]
    assert f"CREATE INDEX {NAME} ON public.things USING btree (color) True" in shape(things)["indexes"]


def test_writes_go_on_while_it_is_created(things: sa.Connection):
    """A plain CREATE INDEX would wait for this transaction, and every write after it for the index."""
    with psycopg.connect(_url(things)) as writer:
        writer.execute("UPDATE things SET size = 0 WHERE id = 1")
        builder = threading.Thread(target=paced, args=(things, create))
        builder.start()
        with psycopg.connect(_url(things), autocommit=True) as other:
            _wait_until(other, "SELECT count(*) FROM pg_stat_progress_create_index")
            other.execute("SET statement_timeout = '2s'")
            other.execute("UPDATE things SET size = 1 WHERE id = 2")
        writer.commit()
        builder.join()
    assert index(things)[1]  # type: ignore[index]


def _wait_until(connection: psycopg.Connection, query: str) -> None:
    deadline = time.monotonic() + 10
    while not connection.execute(query.encode()).fetchone()[0]:  # type: ignore[index]
        assert time.monotonic() < deadline, query
        time.sleep(0.02)


def test_leaves_a_valid_one_as_it_is(things: sa.Connection):
    paced(things, create)
    first = index(things)
    paced(things, create)
    assert index(things) == first


@pytest.mark.parametrize("live", [True, False], ids=["paced", "plain"])
def test_builds_an_invalid_one_anew(things: sa.Connection, live: bool):
    broken = break_off(things)
    if live:
        paced(things, create)
    else:
        with bound(things), transaction(things):
            create()
    oid, valid = index(things)  # type: ignore[misc]
    assert valid
    assert oid != broken


def test_waits_for_a_build_that_is_under_way(things: sa.Connection):
    """The server goes on building for a client that was killed."""
    with psycopg.connect(_url(things)) as writer, psycopg.connect(_url(things), autocommit=True) as killed:
        writer.execute("UPDATE things SET size = 0 WHERE id = 1")
        build = f"CREATE INDEX CONCURRENTLY {NAME} ON things (color)"
        builder = threading.Thread(target=killed.execute, args=(build.encode(),))
        builder.start()
        with psycopg.connect(_url(things), autocommit=True) as other:
            _wait_until(other, "SELECT count(*) FROM pg_stat_progress_create_index WHERE index_relid <> 0")
        oid, valid = index(things)  # type: ignore[misc]
        assert not valid
        threading.Timer(0.7, writer.commit).start()
        pace = paced(things, create)
        builder.join()
    assert any(f"{NAME} is being built by server process" in said for said in pace.told)
    assert index(things) == (oid, True)


def test_leaves_nothing_when_the_rows_break_it(things: sa.Connection):
    with pytest.raises(IntegrityError):
        paced(things, lambda: steps.create_index_concurrently(NAME, "things", ["color"], unique=True))
    assert index(things) is None


@pytest.mark.parametrize("other", ["things (size)", "things (lower(color))", "others (color)"])
def test_refuses_a_name_that_belongs_to_another_index(things: sa.Connection, other: str):
    things.exec_driver_sql("CREATE TABLE others (color text)")
    things.exec_driver_sql(f"CREATE INDEX {NAME} ON {other}")
    found = shape(things)
    with pytest.raises(MigrationFailed, match="belongs to another index"):
        paced(things, create)
    assert shape(things) == found


def test_looks_only_at_the_current_schema(things: sa.Connection):
    things.exec_driver_sql("CREATE SCHEMA other")
    things.exec_driver_sql("CREATE TABLE other.things (color text)")
    things.exec_driver_sql(f"CREATE INDEX {NAME} ON other.things (color)")
    things.exec_driver_sql("SET search_path = public, other")
    paced(things, create)
    assert index(things, f"public.{NAME}") is not None


def test_quotes_names(pg: sa.Connection):
    pg.exec_driver_sql('CREATE TABLE "Odd ""table" ("key" text)')
    paced(pg, lambda: steps.create_index_concurrently('an "index', 'Odd "table', ["key"]))
    assert index(pg, '"an ""index"') is not None
    paced(pg, lambda: steps.drop_index_concurrently('an "index', 'Odd "table'))
    assert index(pg, '"an ""index"') is None


def test_drops_an_index_and_passes_over_an_absent_one(things: sa.Connection):
    paced(things, create)
    for _ in range(2):
        paced(things, lambda: steps.drop_index_concurrently(NAME, "things"))
        assert index(things) is None


@pytest.fixture
def any_things(connection: sa.Connection) -> sa.Connection:
    """The things in a database of either kind."""
    _create_things(connection)
    return connection


def add() -> None:
    steps.add_indexed_columns(
        {
            "things": [
                sa.Column("origin", sa.String(20), server_default="cloud"),
                sa.Column("remote", sa.Integer()),
            ]
        },
        [("things_origin_index", "things", ["origin"]), ("things_remote_index", "things", ["remote"])],
    )


def drop() -> None:
    steps.drop_indexed_columns(
        {"things": ["remote", "origin"]},
        [("things_origin_index", "things"), ("things_remote_index", "things")],
    )


def test_indexed_columns_come_and_go(any_things: sa.Connection):
    before = shape(any_things)
    for _ in range(2):
        paced(any_things, add)
        assert set(any_things.exec_driver_sql("SELECT origin FROM things").scalars()) == {"cloud"}
        assert "things_remote_index" in str(shape(any_things))
    for _ in range(2):
        paced(any_things, drop)
        assert shape(any_things) == before


@pytest.mark.parametrize("work", [add, drop])
def test_killed_anywhere_indexed_columns_are_finished(any_things: sa.Connection, work: Callable[[], None]):
    opposite = drop if work is add else add
    if work is drop:
        paced(any_things, add)
    begun = shape(any_things)
    paced(any_things, work)
    wanted = shape(any_things)

    def attempt(piece: int, late: bool) -> bool:
        paced(any_things, opposite)
        assert shape(any_things) == begun
        try:
            paced(any_things, work, stop_at=piece, late=late)
        except Stopped:
            paced(any_things, work)
            assert shape(any_things) == wanted
            return True
        return False

    assert kill_everywhere(attempt) >= 8


def test_steps_are_counted_but_for_those_inside_a_step(things: sa.Connection):
    counted: list[str] = []
    with bound(things, steps=counted), transaction(things):
        add()
        drop()
    assert counted == ["add_indexed_columns", "drop_indexed_columns"]
