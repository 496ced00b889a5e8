"""What the database fills in for writers that do not know it: the time of arrival, ids, and the search words."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import sqlalchemy as sa

from diwa_schema.migrations import steps
from diwa_schema.models.core import Memory
from tests.migrations.replaying import down, paced, shape, up
from tests.migrations.rows import CONTEXT, memory

BEFORE, ARRIVAL, IDS = "20260303000000", "20260303000100", "20260303000200"
Connect = Callable[[str], sa.Connection]
# As Ecto writes it: no column that it does not know, and one second for all of them.
INSERT = (
    "INSERT INTO memories (id, context_id, content, inserted_at, updated_at)"
    f" VALUES (:id, '{CONTEXT}', 'c', :now, :now)"
)


def ground(connection: sa.Connection) -> None:
    """Write a context, and what it belongs to."""
    times = "'2026-01-01 00:00:00', '2026-01-01 00:00:00'"
    connection.exec_driver_sql(
        f"INSERT INTO organizations (id, name, inserted_at, updated_at) VALUES ('{CONTEXT}', 'o', {times})"
    )
    connection.exec_driver_sql(
        "INSERT INTO contexts (id, organization_id, name, inserted_at, updated_at)"
        f" VALUES ('{CONTEXT}', '{CONTEXT}', 'c', {times})"
    )


def write(connection: sa.Connection, *ids: str, now: str = "2026-01-01 00:00:00") -> None:
    for one in ids:
        connection.execute(sa.text(INSERT), {"id": one, "now": now})


def newest(connection: sa.Connection) -> list[str]:
    found = connection.exec_driver_sql(
        "SELECT CAST(id AS text) FROM memories ORDER BY arrived_at DESC, id DESC"
    )
    return [row[0] for row in found]


@pytest.fixture
def lite(sqlite: str, connect: Connect) -> sa.Connection:
    """A connection to an empty SQLite database."""
    return connect(sqlite)


def test_rows_of_one_second_are_in_the_order_in_which_they_came(pg: sa.Connection):
    up(pg, BEFORE)
    ground(pg)
    there = [str(memory(0)), str(memory(1))]
    write(pg, *there)
    up(pg, IDS, BEFORE)
    written = [str(memory(number)) for number in (9, 5, 7, 3, 8)]
    write(pg, *written)
    assert newest(pg) == [*reversed(written), *sorted(there, reverse=True)]
    old = "SELECT count(*) FROM memories WHERE arrived_at = inserted_at"
    assert pg.exec_driver_sql(old).scalar() == 2
    pg.exec_driver_sql("UPDATE memories SET updated_at = now(), deleted_at = now()")
    assert newest(pg)[:5] == [*reversed(written)]


def test_sqlite_takes_the_time_that_a_writer_gives_to_the_microsecond(lite: sa.Connection):
    up(lite, IDS)
    ground(lite)
    written = [str(memory(number)) for number in (9, 5, 7)]
    for number, one in enumerate(written):
        write(lite, one, now=f"2026-01-01T00:00:00.00000{number}Z")
    given = INSERT.replace("updated_at)", "updated_at, arrived_at)").replace(":now)", ":now, 'z')")
    lite.execute(sa.text(given), {"id": str(memory(1)), "now": "2026-01-01T00:00:00.000000Z"})
    assert newest(lite) == [str(memory(1)), *reversed(written)]


def test_a_row_that_names_no_id_gets_one_in_every_table(pg: sa.Connection):
    up(pg, IDS)
    found = pg.exec_driver_sql(
        "SELECT c.table_name, column_default FROM information_schema.columns c JOIN information_schema.tables t"
        " USING (table_schema, table_name) WHERE table_schema = current_schema() AND column_name = 'id'"
        " AND data_type = 'uuid' AND table_type = 'BASE TABLE' AND c.table_name NOT LIKE 'diwa_schema%%'"
    ).all()
    assert len(found) > 25
    assert {default for _, default in found} == {"gen_random_uuid()"}


def test_an_older_function_of_an_extension_gives_way(pg: sa.Connection):
    up(pg, ARRIVAL)
    begun = shape(pg)
    pg.exec_driver_sql(
        "CREATE FUNCTION uuid_generate_v4() RETURNS uuid LANGUAGE sql AS 'SELECT gen_random_uuid()'"
    )
    pg.exec_driver_sql("ALTER TABLE contexts ALTER id SET DEFAULT uuid_generate_v4()")
    up(pg, IDS, ARRIVAL)
    pg.exec_driver_sql("DROP FUNCTION uuid_generate_v4")
    down(pg, ARRIVAL, IDS)
    assert shape(pg) == begun


@pytest.mark.parametrize(("statement", "made"), [("content = 'new'", True), ("actor = 'me'", False)])
def test_the_search_words_are_made_anew_only_with_the_content(pg: sa.Connection, statement: str, made: bool):
    up(pg, IDS)
    ground(pg)
    write(pg, str(memory(0)))
    pg.exec_driver_sql("ALTER TABLE memories DISABLE TRIGGER tsvectorupdate")
    pg.exec_driver_sql("UPDATE memories SET tsv_content = 'mark'")
    pg.exec_driver_sql("ALTER TABLE memories ENABLE TRIGGER tsvectorupdate")
    pg.exec_driver_sql(f"UPDATE memories SET {statement}")
    assert (pg.exec_driver_sql("SELECT tsv_content <> 'mark' FROM memories").scalar()) is made


def test_a_copied_table_keeps_its_triggers_and_its_indexes(lite: sa.Connection):
    up(lite)
    lite.exec_driver_sql("CREATE INDEX by_length ON memories (length(content))")
    listed = (
        "SELECT type, name, sql FROM sqlite_master WHERE tbl_name = 'memories' AND type <> 'table' ORDER BY 2"
    )
    before = lite.exec_driver_sql(listed).all()
    paced(lite, lambda: steps.set_not_null("memories", "arrived_at"))
    after = {row.name for row in lite.exec_driver_sql(listed)}
    assert {row.name for row in before} == after
    assert {"memories_arrived_at_filled", "by_length"} <= after


def test_the_models_leave_it_to_the_database():
    column = Memory.__table__.c.arrived_at
    assert column.default is None
    assert column.server_default is not None


def test_a_session_that_applies_the_changes_of_a_replica_fills_as_others_do(pg: sa.Connection):
    up(pg)
    pg.exec_driver_sql("SET session_replication_role = replica")
    ground(pg)
    write(pg, str(memory(1)))
    times = "'2026-01-01 00:00:00', '2026-01-01 00:00:00'"
    pg.exec_driver_sql(
        "INSERT INTO memory_versions (memory_id, content, operation, inserted_at, updated_at)"
        f" VALUES ('{memory(1)}', 'c', 'create', {times})"
    )
    pg.exec_driver_sql(
        "INSERT INTO usage_records (context_id, provider, model, operation, inserted_at, updated_at)"
        f" VALUES ('{CONTEXT}', 'p', 'm', 'o', {times})"
    )
    filled = (
        "SELECT (SELECT slug FROM organizations), (SELECT organization_id::text FROM memories),"
        " (SELECT version_number FROM memory_versions), (SELECT organization_id::text FROM usage_records)"
    )
    assert tuple(pg.exec_driver_sql(filled).one()) == ("o", str(CONTEXT), 1, str(CONTEXT))
