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
from diwa_schema.errors import DatabaseRefused
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
    assert "through the coordinator alone" in capsys.readouterr().err
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
