"""On Citus: against a real one where DIWA_TEST_CITUS_URL names its coordinator, else against what stands in for it.

The stand-in is a database that has the table by which Citus is known, and a driver that refuses what Citus refuses.
"""

from __future__ import annotations

import os
import re
from uuid import uuid4

import psycopg
import pytest

import diwa_schema
from diwa_schema import Settings
from diwa_schema.authoring.rules.citus import refused
from diwa_schema.cli import main
from diwa_schema.database.script import statements
from diwa_schema.errors import DatabaseRefused, TableLockBusy
from diwa_schema.fleet import Member, copy, create, drop
from tests.fleet.tenants import execute

STAND_IN = (
    "SET allow_system_table_mods = on",
    "CREATE TABLE pg_catalog.pg_dist_local_group (groupid int PRIMARY KEY)",
    "GRANT SELECT ON pg_catalog.pg_dist_local_group TO PUBLIC",
)
STRONG = re.compile(
    r"\s*(ALTER TABLE|DROP (TABLE|INDEX)|CREATE (UNIQUE )?INDEX (?!CONCURRENTLY))", re.IGNORECASE
)
TRIGGER = re.compile(r"(CREATE( OR REPLACE)?|DROP) TRIGGER", re.IGNORECASE)


@pytest.fixture
def node(postgres):
    """Makes the database a node of Citus with that number; 0 is the coordinator."""

    def make(number):
        execute(postgres, *STAND_IN, f"INSERT INTO pg_catalog.pg_dist_local_group VALUES ({number})")
        return postgres

    return make


class Strict:
    """Looks at each statement before it is sent, and refuses what Citus does."""

    def __init__(self, monkeypatch):
        self.sent = 0
        # What `SET LOCAL` has said in the open transaction of each connection.
        self.heard: dict[object, set[str]] = {}
        for kind in (psycopg.Cursor, psycopg.RawCursor):
            monkeypatch.setattr(kind, "execute", self.looking(kind.execute))

    def looking(self, execute):
        def looked(cursor, query, params=None, **options):
            text = query.decode() if isinstance(query, bytes) else str(query)
            self.look(cursor.connection, text)
            return execute(cursor, query, params, **options)

        return looked

    def look(self, connection, text):
        self.sent += 1
        parts = statements(text)
        assert len(parts) < 2, f"several statements in one message: {text}"
        assert [rule.id for rule in refused(text)] == [], text
        heard = self.heard.setdefault(connection, set())
        if text.startswith(("BEGIN", "COMMIT", "ROLLBACK")):
            heard.clear()
        elif text.startswith("SET LOCAL"):
            heard.add(text.split()[2])
        inside = connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE
        if TRIGGER.search(text):
            assert heard & {"citus.enable_unsafe_triggers", "citus.enable_schema_based_sharding"}, text
        if inside and STRONG.match(text):
            assert heard >= {"citus.propagate_set_commands", "lock_timeout"} or (
                "citus.enable_schema_based_sharding" in heard
            ), text


def test_a_worker_is_refused_before_anything_is_sent(node, capsys, owner_directory):
    url = node(2)
    with pytest.raises(DatabaseRefused, match="is a worker of Citus .group 2.") as refusal:
        diwa_schema.migrate(url)
    assert "coordinator" in refusal.value.next_step
    assert main(["fleet", "create", "tenant_1", "--url", url, "--no-roles"]) == 7
    assert "only the coordinator can change tables" in capsys.readouterr().err
    assert diwa_schema.status(url).kind == "empty"


def test_the_coordinator_gets_statements_that_citus_takes(node, monkeypatch, owner_directory):
    """The history up and down, a tenant from the snapshot, a check below head and a copy; each as on Citus."""
    url = node(0)
    strict = Strict(monkeypatch)
    execute(url, "CREATE SCHEMA one")
    diwa_schema.migrate(url, schema="one", settings=Settings(replay=True))
    assert diwa_schema.check(url, schema="one") == []
    diwa_schema.downgrade(url, "-1", schema="one")
    assert [one.text for one in diwa_schema.check(url, schema="one")] == []
    diwa_schema.downgrade(url, "base", schema="one", confirm="one")
    create(url, "two")
    copy(Member(url, "two"), Member(url, "three"))
    drop(url, "two", confirm="two")
    assert diwa_schema.check(url, schema="three") == []
    assert strict.sent > 1000


@pytest.fixture
def coordinator():
    """The URL of a real coordinator's database, and the name of a tenant that is dropped at the end."""
    url = os.environ.get("DIWA_TEST_CITUS_URL")
    if not url:
        pytest.skip("DIWA_TEST_CITUS_URL names no coordinator of Citus")
    name = f"diwa_test_{uuid4().hex[:8]}"
    yield url, name
    for one in (name, f"{name}_copy"):
        execute(url, f"DROP SCHEMA IF EXISTS {one} CASCADE")


def test_a_tenant_lives_on_citus(coordinator, owner_directory):
    url, name = coordinator
    execute(url, "SET citus.enable_schema_based_sharding = on", f"CREATE SCHEMA {name}")
    diwa_schema.migrate(url, schema=name, settings=Settings(replay=True))
    assert diwa_schema.check(url, schema=name) == []
    diwa_schema.downgrade(url, "-1", schema=name)
    diwa_schema.migrate(url, schema=name)
    copy(Member(url, name), Member(url, f"{name}_copy"))
    assert diwa_schema.status(url, schema=f"{name}_copy").current


def test_what_check_offers_there_is_taken_there(node, monkeypatch, owner_directory):
    """A key of another name gets its own by a second one, since Citus renames none; what cannot be had is said."""
    url = node(0)
    execute(url, "CREATE SCHEMA one")
    diwa_schema.migrate(url, schema="one")
    execute(
        url,
        "ALTER TABLE one.tasks RENAME CONSTRAINT tasks_context_id_fkey TO drifted",
        "ALTER TABLE one.plans RENAME CONSTRAINT plans_pkey TO mine",
        "ALTER TABLE one.sessions DROP CONSTRAINT sessions_context_id_fkey,"
        " ADD CONSTRAINT sessions_context_id_fkey FOREIGN KEY (context_id) REFERENCES one.contexts (id)",
    )
    found = {one.object: one for one in diwa_schema.check(url, schema="one")}
    assert set(found) == {"tasks_context_id_fkey", "plans_pkey", "sessions_context_id_fkey"}
    Strict(monkeypatch)
    for one in found.values():
        execute(url, *one.fix.statements)
    (left,) = diwa_schema.check(url, schema="one")
    assert (left.object, left.statement, left.safe) == ("plans_pkey", "", False)
    assert "Citus" in left.fix.caution


# What a coordinator tells of its nodes: each session of the database waits for one on the worker with the number 3.
NODE = 10000000000
LOCK_WAITS = f"""
CREATE TABLE pg_catalog.pg_dist_node (nodeid int, groupid int, nodename text, nodeport int);
INSERT INTO pg_catalog.pg_dist_node VALUES (1, 0, 'coordinator', 5432), (3, 2, 'worker-3', 5433);
CREATE FUNCTION pg_catalog.citus_backend_gpid() RETURNS bigint LANGUAGE sql AS 'SELECT {NODE} + pg_backend_pid()';
CREATE FUNCTION pg_catalog.citus_pid_for_gpid(bigint) RETURNS int LANGUAGE sql AS 'SELECT ($1 % {NODE})::int';
CREATE FUNCTION pg_catalog.citus_nodeid_for_gpid(bigint) RETURNS int LANGUAGE sql AS 'SELECT ($1 / {NODE})::int';
CREATE VIEW pg_catalog.citus_lock_waits AS
  SELECT {NODE} + pid AS waiting_gpid, 3 * {NODE} + 4711 AS blocking_gpid, 1 AS waiting_nodeid, 3 AS blocking_nodeid
  FROM pg_stat_activity WHERE datname = current_database();
CREATE VIEW pg_catalog.citus_stat_activity AS
  SELECT 3 * {NODE} + 4711 AS global_pid, false AS is_worker_query, 'reporter'::name AS usename,
    'nightly report' AS application_name, 'active' AS state, clock_timestamp() - interval '90 s' AS xact_start
"""
# On a worker a lock is not obtained, after as long as it is waited for; nothing of it is seen on the coordinator.
LOCKED = """
CREATE FUNCTION public.locked() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.1);
  RAISE EXCEPTION 'canceling statement due to lock timeout' USING ERRCODE = '55P03'; END $$;
CREATE TRIGGER locked BEFORE UPDATE ON one.diwa_schema_version EXECUTE FUNCTION public.locked();
ALTER TABLE one.diwa_schema_version ENABLE ALWAYS TRIGGER locked
"""


@pytest.mark.parametrize("known", [True, False], ids=["named", "on a Citus that cannot tell"])
def test_who_holds_a_lock_on_a_worker_is_named(node, known, owner_directory):
    url = node(0)
    execute(url, "CREATE SCHEMA one")
    diwa_schema.migrate(url, schema="one")
    execute(url, "SET allow_system_table_mods = on", *([LOCK_WAITS] if known else []), LOCKED)
    with pytest.raises(TableLockBusy) as refused:
        diwa_schema.downgrade(url, "-1", schema="one", settings=Settings(lock_budget=2))
    execute(url, "DROP TRIGGER locked ON one.diwa_schema_version")
    named = (
        "pid 4711 on worker-3:5433, user reporter, application 'nightly report', active, transaction open for"
    )
    assert (named in refused.value.what) is known
    diwa_schema.downgrade(url, "-1", schema="one")
