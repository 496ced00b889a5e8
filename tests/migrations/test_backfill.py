"""Many rows are filled or copied in the order of the key, and a killed run is taken up where it stopped."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
import sqlalchemy as sa

from diwa_schema.migrations import steps
from tests.migrations.replaying import Stopped, bound, kill_everywhere, paced, shape, transaction
from tests.run.asking import until


def create(connection: sa.Connection, key: str = "integer") -> None:
    connection.exec_driver_sql("DROP TABLE IF EXISTS things")
    connection.exec_driver_sql(
        f"CREATE TABLE things (id {key} PRIMARY KEY, name text, slug text, writes integer DEFAULT 0)"
    )
    # Inserted in another order than that of the key.
    rows = ", ".join(f"('{number * 37 % 100 + 1:0>36}', 'N{number}')" for number in range(100))
    if key == "integer":
        rows = rows.replace("'0", "'")
    connection.exec_driver_sql(f"INSERT INTO things (id, name) VALUES {rows}")


def fill() -> None:
    steps.backfill("things", "slug = lower(name), writes = writes + 1", where="name <> 'N5'")


def filled(connection: sa.Connection) -> set[tuple[object, ...]]:
    found = connection.exec_driver_sql("SELECT slug = lower(name), writes FROM things WHERE name <> 'N5'")
    return {(bool(right), writes) for right, writes in found}


@pytest.mark.parametrize("key", ["integer", "bigint", "text", "varchar(255)"])
def test_fills_every_row_once(pg: sa.Connection, key: str):
    create(pg, key)
    pace = paced(pg, fill, size=7)
    assert pace.told.count("things.slug") == 15
    assert filled(pg) == {(True, 1)}
    assert pg.exec_driver_sql("SELECT slug, writes FROM things WHERE name = 'N5'").one() == (None, 0)


def test_fills_in_one_go_where_nobody_waits(connection: sa.Connection):
    create(connection, "text")
    with bound(connection), transaction(connection):
        fill()
    assert filled(connection) == {(True, 1)}


def test_leaves_nothing_behind(pg: sa.Connection):
    create(pg)
    before = shape(pg)
    paced(pg, fill, size=30)
    assert shape(pg) == before


def test_killed_anywhere_it_goes_on_where_it_stopped(pg: sa.Connection):
    """No row is written twice: not one is visited again after its batch was committed."""

    def attempt(piece: int, late: bool) -> bool:
        create(pg)
        stopped = False
        try:
            paced(pg, fill, size=20, stop_at=piece, late=late)
        except Stopped:
            stopped = True
            paced(pg, fill, size=20)
        assert filled(pg) == {(True, 1)}
        assert "diwa_schema" not in str(shape(pg))
        return stopped

    assert kill_everywhere(attempt) > 14


def test_a_table_of_less_than_one_batch_is_filled_in_one_piece(pg: sa.Connection):
    """Nothing is stored about its progress: a killed run has filled all rows or none."""
    create(pg)
    assert paced(pg, fill, size=1_000).pieces == 1
    assert filled(pg) == {(True, 1)}


def test_a_column_that_was_dropped_meanwhile_is_filled_from_the_first_row(pg: sa.Connection):
    create(pg)
    with pytest.raises(Stopped):
        paced(pg, fill, size=20, stop_at=5)
    pg.exec_driver_sql("ALTER TABLE things DROP COLUMN slug")
    pg.exec_driver_sql("ALTER TABLE things ADD COLUMN slug text")
    paced(pg, fill, size=20)
    assert {right for right, _ in filled(pg)} == {True}


def test_the_place_that_an_earlier_release_left_is_not_trusted(pg: sa.Connection):
    create(pg)
    pg.exec_driver_sql("CREATE TABLE diwa_schema_position (step text PRIMARY KEY, reached text)")
    step = "backfill things slug = lower(name), writes = writes + 1"
    pg.exec_driver_sql(f"INSERT INTO diwa_schema_position VALUES ('{step}', '50')")
    paced(pg, fill, size=20)
    assert filled(pg) == {(True, 1)}
    assert "diwa_schema" not in str(shape(pg))


def test_two_backfills_do_not_share_their_place(pg: sa.Connection):
    create(pg)
    with pytest.raises(Stopped):
        paced(pg, fill, size=20, stop_at=5)
    paced(pg, lambda: steps.backfill("things", "writes = 9"), size=20)
    paced(pg, fill, size=20)
    assert pg.exec_driver_sql("SELECT count(*) FROM things WHERE slug IS NULL").scalar() == 1


def create_both(connection: sa.Connection) -> None:
    """Make the table, and one that has a part of its rows already, one of them with an older value."""
    create(connection)
    connection.exec_driver_sql("DROP TABLE IF EXISTS parts")
    connection.exec_driver_sql(
        "CREATE TABLE parts (thing integer PRIMARY KEY, name text, own text DEFAULT 'own')"
    )
    connection.exec_driver_sql("INSERT INTO parts SELECT id, 'older', 'kept' FROM things WHERE id <= 10")


def copy() -> None:
    steps.copy_rows("things", "parts", {"thing": "id", "name": "lower(name)"}, where="name <> 'N5'")


COPIED = """SELECT count(*) FROM things t LEFT JOIN parts p ON p.thing = t.id
    WHERE (p.name = lower(t.name) AND p.own = CASE WHEN t.id <= 10 THEN 'kept' ELSE 'own' END) = (t.name <> 'N5')"""


@pytest.mark.parametrize("whole", [False, True])
def test_copies_rows_and_brings_those_that_are_there_up_to_date(connection: sa.Connection, whole: bool):
    create_both(connection)
    if whole or connection.dialect.name == "sqlite":
        with bound(connection), transaction(connection):
            copy()
    else:
        assert paced(connection, copy, size=7).told.count("parts") == 15
    assert connection.exec_driver_sql("SELECT count(*) FROM parts").scalar() == 99
    assert connection.exec_driver_sql(COPIED).scalar() == 99


def test_a_copy_that_is_killed_anywhere_goes_on_where_it_stopped(pg: sa.Connection):
    def attempt(piece: int, late: bool) -> bool:
        create_both(pg)
        stopped = False
        try:
            paced(pg, copy, size=20, stop_at=piece, late=late)
        except Stopped:
            stopped = True
            paced(pg, copy, size=20)
        assert pg.exec_driver_sql(COPIED).scalar() == 99
        assert "diwa_schema" not in str(shape(pg))
        return stopped

    assert kill_everywhere(attempt) > 14


def test_a_copy_does_not_bring_back_what_a_writer_of_both_tables_changes_meanwhile(
    pg: sa.Connection, postgres: str
):
    create_both(pg)
    waits = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')"
    with psycopg.connect(postgres) as writer:
        writer.execute("UPDATE things SET name = 'NEW' WHERE id = 3")
        writer.execute("UPDATE parts SET name = 'new' WHERE thing = 3")
        with ThreadPoolExecutor(1) as pool:
            copied = pool.submit(paced, pg, copy)
            until(postgres, waits)
            writer.commit()
            copied.result()
    assert pg.exec_driver_sql("SELECT name FROM parts WHERE thing = 3").scalar() == "new"
    assert pg.exec_driver_sql(COPIED).scalar() == 99


def test_a_table_of_keys_alone_is_filled_with_what_it_lacks(connection: sa.Connection):
    create_both(connection)
    connection.exec_driver_sql("DROP TABLE IF EXISTS keys")
    connection.exec_driver_sql("CREATE TABLE keys (thing integer PRIMARY KEY)")
    with bound(connection), transaction(connection):
        steps.copy_rows("parts", "keys", {"thing": "thing"}, key="thing")
        steps.copy_rows("things", "keys", {"thing": "id"})
    assert connection.exec_driver_sql("SELECT count(*) FROM keys").scalar() == 100
