"""The agent's own buffer gets this history's shape where it stands, with its rows and all of its columns."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from tests.migrations.replaying import down, shape, up

BUFFER = "tala_operations"
BEFORE_BUFFER, AUDITED = "20260107203000", "20260119152124"
UNIFIED, BEFORE_UNIFIED = "20260302000300", "20260302000200"
SESSION, CONTEXT, ORGANIZATION = (f"00000000-0000-4000-8000-00000000000{number}" for number in range(3))
RECORD = (
    "CREATE TABLE schema_migrations (version bigint PRIMARY KEY)",
    "INSERT INTO schema_migrations VALUES (20260109204856)",
)

# The agent's own table, as a release of it with the audit columns makes it.
AGENTS = (
    f"CREATE TABLE {BUFFER} (id {{uuid}} NOT NULL PRIMARY KEY, context_id {{uuid}} NOT NULL CONSTRAINT"
    f" tala_operations_context_id_fkey REFERENCES contexts ON DELETE CASCADE, session_id {{uuid}} NOT NULL,"
    " tool_name varchar(255) NOT NULL, params {json} DEFAULT '{{}}' NOT NULL, actor varchar(255),"
    " status varchar(255) DEFAULT 'pending', inserted_at timestamp NOT NULL, capability_token text,"
    " phi_flag boolean DEFAULT false, merkle_root varchar(255), audit_hash varchar(255),"
    " degradation_tier varchar(255) DEFAULT 'online', of_the_agent text)"
)


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
        f"INSERT INTO {BUFFER} (id, context_id, session_id, tool_name, params, inserted_at, phi_flag, audit_hash,"
        f" of_the_agent) VALUES ('{SESSION}', '{CONTEXT}', '{SESSION}', 'store', '{{\"n\": [1, null]}}',"
        " '2026-01-01 00:00:00', true, 'abc', 'mine')"
    )
    for statement in RECORD:
        run(statement)
    return connection


def test_all_columns_of_the_agent_stay(agents: sa.Connection):
    up(agents, None, BEFORE_BUFFER)
    (row,) = texts(
        agents,
        "SELECT audit_hash, phi_flag, degradation_tier, tool_name, CAST(params AS text), CAST(context_id AS text),"
        f" of_the_agent FROM {BUFFER}",
    )
    assert row == ("abc", True, "online", "store", '{"n": [1, null]}', CONTEXT, "mine")
    now = "'2026-01-01 00:00:00'"
    agents.exec_driver_sql(f"INSERT INTO {BUFFER} (id, inserted_at) VALUES ('{CONTEXT}', {now})")


def test_no_row_is_written_on_postgresql(pg: sa.Connection):
    up(pg, BEFORE_BUFFER)
    pg.exec_driver_sql(AGENTS.format(uuid="uuid", json="jsonb"))
    place = f"SELECT oid, relfilenode FROM pg_class WHERE oid = '{BUFFER}'::regclass"
    before = texts(pg, place)
    up(pg, None, BEFORE_BUFFER)
    assert texts(pg, place) == before
    up_again = shape(pg)["constraints"]
    assert not [line for line in up_again if BUFFER in line and "FOREIGN KEY" in line]


def test_it_stays_on_the_way_down_until_base(agents: sa.Connection):
    up(agents, None, BEFORE_BUFFER)
    down(agents, "20251224044223")
    assert texts(agents, f"SELECT tool_name, of_the_agent FROM {BUFFER}") == [("store", "mine")]
    up(agents, None, "20251224044223")
    assert texts(agents, f"SELECT tool_name, of_the_agent FROM {BUFFER}") == [("store", "mine")]
    down(agents, None)
    tables = sa.inspect(agents).get_table_names()
    assert tables == ["schema_migrations"]


def test_a_view_of_the_agent_goes_on_with_it(agents: sa.Connection):
    agents.exec_driver_sql(f"CREATE VIEW waiting AS SELECT tool_name FROM {BUFFER} WHERE status = 'pending'")
    up(agents, None, BEFORE_BUFFER)
    assert texts(agents, "SELECT * FROM waiting") == [("store",)]


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


def test_without_a_kept_value_the_ids_stay_uuids(pg: sa.Connection):
    up(pg, BEFORE_UNIFIED)
    pg.exec_driver_sql(
        f"INSERT INTO {BUFFER} (id, session_id, inserted_at) VALUES ('{SESSION}', '{SESSION}', now())"
    )
    up(pg, UNIFIED, BEFORE_UNIFIED)
    down(pg, BEFORE_UNIFIED, UNIFIED)
    assert texts(pg, f"SELECT CAST(session_id AS text), pg_typeof(session_id)::text FROM {BUFFER}") == [
        (SESSION, "uuid")
    ]
    up(pg, UNIFIED, BEFORE_UNIFIED)
