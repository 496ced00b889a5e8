"""Connections that one target after the other uses: each is like a new one, whatever the target before left on it."""

from __future__ import annotations

import time
from contextlib import suppress
from urllib.parse import quote, urlsplit

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from diwa_schema import application_name
from diwa_schema.database.reused import Reused
from diwa_schema.database.target import Target
from diwa_schema.fleet import Fleet, Schedule, Schemas
from tests.fleet.tenants import execute
from tests.run.poolers import Pooler

LEFT = (
    "SET search_path = nowhere",
    "SET statement_timeout = '77s'",
    "SET TimeZone = 'Asia/Tokyo'",
    "SET application_name = 'somebody else'",
    "SELECT set_config('diwa_schema.session', 'mine', false)",
    "SELECT pg_advisory_lock(4711)",
    "SELECT pg_advisory_lock_shared(4712)",
    "CREATE TEMP TABLE left_behind (id int)",
    "CREATE TEMP SEQUENCE counted; SELECT nextval('counted')",
    "PREPARE asked AS SELECT 1",
    "DECLARE rows CURSOR WITH HOLD FOR SELECT generate_series(1, 9)",
    "LISTEN heard",
    "SET ROLE pg_monitor",
    "SET SESSION AUTHORIZATION pg_monitor",
    "SET default_transaction_read_only = on",
)
# What a session holds, as the session itself sees it.
HELD = """
SELECT current_user::text, session_user::text, current_setting('application_name'),
  ARRAY(SELECT name || '=' || setting FROM pg_settings WHERE source = 'session' AND setting IS DISTINCT FROM reset_val
        ORDER BY name),
  (SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'),
  (SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema()),
  (SELECT count(*) FROM pg_prepared_statements), (SELECT count(*) FROM pg_cursors),
  (SELECT count(*) FROM pg_listening_channels()), coalesce(current_setting('diwa_schema.session', true), '')
"""


def reusing(url: str, reused: Reused) -> Target:
    target = Target.of(url)
    target.reused = reused
    return target


@pytest.fixture
def reused():
    made = Reused()
    yield made
    made.close()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(left=st.lists(st.sampled_from(LEFT), max_size=6), role=st.booleans())
def test_a_connection_is_like_a_new_one_whatever_was_left_on_it(postgres, left, role):
    url = f"{postgres}?options={quote('-c role=pg_monitor')}" if role else postgres
    reused = Reused()
    try:
        with psycopg.connect(url, autocommit=True, application_name=_named(url)) as new:
            expected = new.execute(HELD).fetchone()
        with reusing(url, reused).connect(settle=False) as link:
            first = link.server_process
            for statement in left:
                with suppress(psycopg.Error):  # a role that may not, or a name that is there
                    link.raw.execute(statement)
        with reusing(url, reused).connect(settle=False) as link:
            assert link.server_process == first
            assert link.raw.execute(HELD).fetchone() == expected
    finally:
        reused.close()


def _named(url: str) -> str:
    with Target.of(url).connect(settle=False) as link:
        return str(link.value("SELECT current_setting('application_name')"))


def test_a_session_that_the_server_has_ended_is_replaced(postgres, reused):
    target = reusing(postgres, reused)
    with target.connect() as link:
        first = link.server_process
    execute(postgres, f"SELECT pg_terminate_backend({first}, 5000)")
    with target.connect() as link:
        assert link.server_process != first


@pytest.mark.parametrize("failed", [False, True])
def test_one_with_an_open_transaction_is_closed(postgres, reused, failed):
    with reusing(postgres, reused).connect() as link:
        first = link.server_process
        link.raw.execute("BEGIN")
        if failed:
            with pytest.raises(psycopg.errors.DivisionByZero):
                link.raw.execute("SELECT 1/0")
    assert not _there(postgres, first)


def test_a_link_that_is_closed_twice_does_not_take_the_connection_from_the_next(postgres, reused):
    target = reusing(postgres, reused)
    first = target.connect()
    first.close()
    with target.connect() as second:
        first.close()
        with target.connect() as third:
            assert third.server_process != second.server_process


def test_a_connection_takes_the_name_of_its_next_use(postgres, reused):
    """A name that changes with the time, like that of the lock, opens no connection."""
    used = set()
    for purpose in (
        "diwa-schema",
        "diwa-schema migrate since 10:00:01",
        "diwa-schema migrate since 10:00:02",
    ):
        with reusing(postgres, reused).connect(purpose) as link:
            used.add(link.server_process)
            name = link.value("SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()")
            assert name == application_name(purpose)
    assert len(used) == 1


def test_a_connection_serves_one_database(postgres, reused):
    with reusing(postgres, reused).connect() as link:
        one = link.server_process
    elsewhere = urlsplit(postgres)._replace(path="/postgres").geturl()
    with reusing(elsewhere, reused).connect() as link:
        assert link.server_process != one
    assert not _there(postgres, one)


def test_after_many_uses_a_new_one_is_opened(postgres, reused):
    target, seen = reusing(postgres, reused), set()
    for _ in range(51):
        with target.connect(settle=False) as link:
            seen.add(link.server_process)
    assert len(seen) == 2


def test_a_pooler_gets_its_connection_back(postgres, reused):
    pooler = Pooler(postgres, "transaction")
    try:
        with reusing(pooler.url(urlsplit(postgres).path[1:]), reused).connect() as link:
            first = link.raw
        assert first.closed
    finally:
        pooler.close()


def test_another_tenant_of_a_fleet_costs_no_connection(tenants):
    """A run has a connection for the work and one for the lock; a third one looks at others in long work."""
    opened = []
    for only in ("tenant_1", "tenant_[23]"):
        before = _sessions(tenants)
        fleet = Fleet(Schemas(tenants, "tenant_*"), only=[only])
        report = fleet.upgrade(repo="diwa-schema", schedule=Schedule(jobs=1))
        assert {str(one.result) for one in report.outcomes} == {"done"}
        opened.append(_sessions(tenants) - before)
    assert opened[1] - opened[0] <= 1


def _sessions(url: str) -> int:
    """Return how many sessions the database has had; the server counts them when they begin."""
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(
            "SELECT sessions FROM pg_stat_database WHERE datname = current_database()"
        ).fetchone()
    assert row is not None
    return int(row[0])


def _there(url: str, process: int) -> bool:
    """Return whether a session still exists; its end takes the server a moment."""
    with psycopg.connect(url, autocommit=True) as connection:
        for _ in range(100):
            row = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE pid = %s", (process,)
            ).fetchone()
            if row == (0,):
                return False
            time.sleep(0.05)
    return True
