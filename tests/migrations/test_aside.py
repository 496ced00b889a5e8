"""A table that is set aside keeps its rows and names; what means it by its name goes on with its successor."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import op
from sqlalchemy.exc import IntegrityError

from diwa_schema.errors import MigrationFailed
from diwa_schema.migrations import steps
from diwa_schema.migrations.steps import aside
from tests.migrations.replaying import bound, down, shape, transaction, up

BUFFER = "tala_operations"
KEPT = "diwa_schema_kept_tala_operations"
BEFORE_BUFFER, AUDITED, LOG = "20260107203000", "20260119152124", "20260301000000"
UNIFIED, BEFORE_UNIFIED = "20260302000300", "20260302000200"
SESSION, CONTEXT, ORGANIZATION = (f"00000000-0000-4000-8000-00000000000{number}" for number in range(3))

# The agent's own table, as a release of it with the audit columns makes it.
AGENTS = (
    f"CREATE TABLE {BUFFER} (id {{uuid}} NOT NULL PRIMARY KEY, context_id {{uuid}} NOT NULL CONSTRAINT"
    f" tala_operations_context_id_fkey REFERENCES contexts ON DELETE CASCADE, session_id {{uuid}} NOT NULL,"
    " tool_name varchar(255) NOT NULL, params {json} DEFAULT '{{}}' NOT NULL, actor varchar(255),"
    " status varchar(255) DEFAULT 'pending', inserted_at timestamp NOT NULL, capability_token text,"
    " phi_flag boolean DEFAULT false, merkle_root varchar(255), audit_hash varchar(255),"
    " degradation_tier varchar(255) DEFAULT 'online', of_the_agent text)"
)


def in_one(connection: sa.Connection, work: Callable[[], Any]) -> None:
    with bound(connection), transaction(connection):
        work()


def texts(connection: sa.Connection, query: str) -> list[tuple[object, ...]]:
    return [tuple(row) for row in connection.exec_driver_sql(query)]


@pytest.fixture
def agents(connection: sa.Connection) -> sa.Connection:
    """A database of either kind with the agent's own buffer, and an operation in it."""
    up(connection, BEFORE_BUFFER)
    lite = connection.dialect.name == "sqlite"
    kinds = {"uuid": "TEXT", "json": "TEXT"} if lite else {"uuid": "uuid", "json": "jsonb"}
    run = connection.exec_driver_sql
    run(AGENTS.format(**kinds))
    run(f"CREATE INDEX tala_operations_session_id_index ON {BUFFER} (session_id)")
    run(f"INSERT INTO organizations VALUES ('{ORGANIZATION}', 'o', 'free', '2026-01-01', '2026-01-01')")
    run(
        "INSERT INTO contexts (id, organization_id, name, inserted_at, updated_at)"
        f" VALUES ('{CONTEXT}', '{ORGANIZATION}', 'c', '2026-01-01', '2026-01-01')"
    )
    run(
        f"INSERT INTO {BUFFER} (id, context_id, session_id, tool_name, params, inserted_at, phi_flag, audit_hash)"
        f" VALUES ('{SESSION}', '{CONTEXT}', '{SESSION}', 'store', '{{\"n\": [1, null]}}', '2026-01-01 00:00:00',"
        " true, 'abc')"
    )
    return connection


def test_all_columns_that_both_tables_have_are_copied(agents: sa.Connection):
    up(agents, None, BEFORE_BUFFER)
    (row,) = texts(
        agents,
        f"SELECT audit_hash, phi_flag, degradation_tier, tool_name, CAST(params AS text) FROM {BUFFER}",
    )
    assert row == ("abc", True, "online", "store", '{"n": [1, null]}')


def test_the_agents_own_buffer_stays_after_a_way_back_to_base_and_the_way_up_is_free(agents: sa.Connection):
    up(agents, None, BEFORE_BUFFER)
    down(agents, None)
    assert texts(agents, f"SELECT audit_hash FROM {BUFFER}") == [("abc",)]
    assert not [line for line in shape(agents).get("constraints", []) if "FOREIGN KEY" in line]
    if agents.dialect.name == "postgresql":
        up(agents)
        assert texts(agents, f"SELECT audit_hash FROM {BUFFER}") == [("abc",)]
        assert texts(agents, f"SELECT audit_hash FROM {KEPT}") == [("abc",)]


def test_who_may_use_the_buffer_may_use_its_successor(pg: sa.Connection):
    up(pg, BEFORE_BUFFER)
    run = pg.exec_driver_sql
    run(AGENTS.format(uuid="uuid", json="jsonb"))
    run("DROP ROLE IF EXISTS diwa_test_agent")
    run("CREATE ROLE diwa_test_agent")
    try:
        run(f"GRANT SELECT, INSERT ON {BUFFER} TO diwa_test_agent")
        run(f"GRANT UPDATE (status), UPDATE (of_the_agent) ON {BUFFER} TO diwa_test_agent WITH GRANT OPTION")
        up(pg, AUDITED, BEFORE_BUFFER)
        allowed = {
            right: pg.exec_driver_sql(
                f"SELECT has_table_privilege('diwa_test_agent', '{BUFFER}', '{right}')"
            ).scalar()
            for right in ("SELECT", "INSERT", "DELETE", "UPDATE")
        }
        assert allowed == {"SELECT": True, "INSERT": True, "DELETE": False, "UPDATE": False}
        grant = "UPDATE WITH GRANT OPTION"
        assert run(
            f"SELECT has_column_privilege('diwa_test_agent', '{BUFFER}', 'status', '{grant}')"
        ).scalar()
    finally:
        run("DROP OWNED BY diwa_test_agent")
        run("DROP ROLE diwa_test_agent")


TIED = {
    "view": ("CREATE VIEW waiting AS SELECT status FROM tala_operations", "view waiting"),
    "rule": ("CREATE RULE quiet AS ON DELETE TO tala_operations DO INSTEAD NOTHING", "rule quiet"),
    "publication": ("CREATE PUBLICATION told FOR TABLE tala_operations", "publication told"),
    "child": ("CREATE TABLE child () INHERITS (tala_operations)", "table child inherits"),
    "row security": ("ALTER TABLE tala_operations ENABLE ROW LEVEL SECURITY", "row security of table"),
    "foreign key": ("CREATE TABLE mine (operation uuid REFERENCES tala_operations)", "mine_operation_fkey"),
}


@pytest.mark.parametrize("what", TIED)
def test_what_would_go_on_with_the_old_buffer_is_named_first(pg: sa.Connection, what: str):
    up(pg, BEFORE_BUFFER)
    pg.exec_driver_sql(AGENTS.format(uuid="uuid", json="jsonb"))
    statement, named = TIED[what]
    pg.exec_driver_sql(statement)
    found = shape(pg)
    with pytest.raises(MigrationFailed, match=named):
        in_one(pg, lambda: steps.make_room(BUFFER))
    assert shape(pg) == found


def _replace(table: str, copy: bool = True) -> None:
    """Set a table aside, make its successor, and let the others follow, as an adoption does."""
    others = aside.others([table])
    aside.set_aside(table)
    op.execute(f"CREATE TABLE {table} (id integer PRIMARY KEY, color text)")
    if copy:
        op.execute(f"INSERT INTO {table} SELECT id, color FROM {aside.kept_name(table)}")
    others.follow()


@pytest.fixture
def things(connection: sa.Connection) -> sa.Connection:
    """A table that another one, and the other's view on SQLite, refers to."""
    run = connection.exec_driver_sql
    run("CREATE TABLE things (id integer PRIMARY KEY, color text)")
    run('CREATE TABLE "my parts" (thing integer CONSTRAINT "of: it" REFERENCES things ON DELETE CASCADE)')
    run("INSERT INTO things VALUES (1, 'red')")
    run('INSERT INTO "my parts" VALUES (1)')
    return connection


def test_foreign_keys_of_other_tables_follow_to_the_successor(things: sa.Connection):
    before = shape(things)
    if things.dialect.name == "sqlite":
        things.exec_driver_sql("CREATE VIEW red AS SELECT id FROM things WHERE color = 'red'")
    in_one(things, lambda: _replace("things"))
    if things.dialect.name == "sqlite":
        things.exec_driver_sql("PRAGMA foreign_keys = ON")
        things.exec_driver_sql("DROP TABLE diwa_schema_kept_things")
        assert texts(things, "SELECT id FROM red") == [(1,)]
        things.exec_driver_sql("DROP VIEW red")
        assert texts(things, "PRAGMA integrity_check") == [("ok",)]
    things.exec_driver_sql("DELETE FROM things")
    assert texts(things, 'SELECT thing FROM "my parts"') == []
    with pytest.raises(IntegrityError):
        things.exec_driver_sql('INSERT INTO "my parts" VALUES (5)')
    if things.dialect.name == "postgresql":
        things.exec_driver_sql("DROP TABLE diwa_schema_kept_things")
        assert shape(things)["constraints"] == before["constraints"]


def test_a_row_that_the_successor_does_not_have_stops_the_change(pg: sa.Connection):
    pg.exec_driver_sql("CREATE TABLE things (id integer PRIMARY KEY, color text)")
    pg.exec_driver_sql("CREATE TABLE parts (thing integer REFERENCES things)")
    pg.exec_driver_sql("INSERT INTO things VALUES (1, 'red')")
    pg.exec_driver_sql("INSERT INTO parts VALUES (1)")
    found = shape(pg)
    with pytest.raises(IntegrityError, match="parts_thing_fkey"):
        in_one(pg, lambda: _replace("things", copy=False))
    assert shape(pg) == found


# As long as the server takes it; alike in more letters than a prefix leaves room for, and of letters of several bytes.
LONG = "tala_operations_by_the_name_of_the_tool_that_the_agent_"
INDEXES = [f"{LONG}one", f"{LONG}two", "größe_" * 7 + "a", "größe_" * 7 + "b", "short :index"]


def test_long_names_of_indexes_stay_apart_and_come_back(connection: sa.Connection):
    connection.exec_driver_sql("CREATE TABLE things (id integer PRIMARY KEY, color text)")
    for name in INDEXES:
        connection.exec_driver_sql(
            f"CREATE UNIQUE INDEX \"{name}\" ON things (color) WHERE color <> ' ON (x'"
        )
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"COMMENT ON INDEX \"{INDEXES[0]}\" IS 'of mine'")
    before = shape(connection)
    in_one(connection, lambda: aside.set_aside("things"))
    for name in INDEXES:
        assert f'INDEX "{name}"' not in str(shape(connection))
    in_one(connection, lambda: aside.bring_back("things"))
    after = shape(connection)
    if connection.dialect.name == "sqlite":  # which writes the names of a renamed table in quotes
        before, after = (
            {"objects": [text.replace('"', "") for text in one["objects"]]} for one in (before, after)
        )
    assert after == before
    if connection.dialect.name == "postgresql":
        comments = texts(
            connection, "SELECT obj_description(indexrelid) FROM pg_index WHERE indrelid = 'things'::regclass"
        )
        assert sorted(comments, key=str) == [("of mine",)] + [(None,)] * 5


def test_what_was_written_since_wins_over_a_kept_value(pg: sa.Connection):
    up(pg, BEFORE_UNIFIED)
    spelled = "0A000000-0000-4000-8000-00000000000B"
    given = ["text of one", "text of two", spelled, spelled, None]
    now = datetime.now(UTC).replace(tzinfo=None)
    for number, text in enumerate(given):
        pg.execute(
            sa.text(f"INSERT INTO {BUFFER} (id, session_id, inserted_at) VALUES (:id, :session, :now)"),
            {"id": f"00000000-0000-4000-8000-0000000000{number:02}", "session": text, "now": now},
        )
    up(pg, UNIFIED, BEFORE_UNIFIED)
    for number in (1, 3):
        pg.exec_driver_sql(
            f"UPDATE {BUFFER} SET session_id = '{SESSION}' WHERE id = '00000000-0000-4000-8000-0000000000{number:02}'"
        )
    down(pg, BEFORE_UNIFIED, UNIFIED)
    found = [text for (text,) in texts(pg, f"SELECT session_id FROM {BUFFER} ORDER BY id")]
    assert found == ["text of one", SESSION, spelled, SESSION, None]
