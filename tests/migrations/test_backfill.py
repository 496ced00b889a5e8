"""A column of many rows is filled in the order of the key, and a killed run is taken up where it stopped."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from diwa_schema.migrations import steps
from tests.migrations.replaying import Stopped, bound, kill_everywhere, paced, shape, transaction


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


def test_two_backfills_do_not_share_their_place(pg: sa.Connection):
    create(pg)
    with pytest.raises(Stopped):
        paced(pg, fill, size=20, stop_at=5)
    paced(pg, lambda: steps.backfill("things", "writes = 9"), size=20)
    paced(pg, fill, size=20)
    assert pg.exec_driver_sql("SELECT count(*) FROM things WHERE slug IS NULL").scalar() == 1
