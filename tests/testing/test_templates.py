"""Templates and copies on a server: built by one, kept for all, dropped only when they are nobody's."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import psycopg
import pytest

USES_ONE = (
    "def test_it(diwa_database):\n    import diwa_schema\n\n    diwa_schema.ensure_current(diwa_database)\n"
)
OTHER_HEAD = """
from diwa_schema.migrations import manifest

changed = Path(__file__).with_name("manifest.json")
changed.write_text(manifest.PATH.read_text() + "\\n")
manifest.PATH = changed
"""
DIES_WHILE_BUILDING = """
import os

import psycopg

import diwa_schema.testing.template as template


def migrate(url):
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE organizations (number integer)")
    os.kill(os.getpid(), 9)


template.migrate = migrate
"""


def old(days: float) -> int:
    return int(time.time() - days * 86400)


def test_a_half_built_template_is_built_again(checkout, dsn, query, databases):
    checkout.write(USES_ONE, DIES_WHILE_BUILDING)
    assert checkout.run(dsn=dsn).ret == -9
    (half_built,) = databases("diwa_template_")
    assert query(f"SELECT datistemplate FROM pg_database WHERE datname = '{half_built}'") == [(False,)]
    checkout.write(USES_ONE)
    checkout.passes(1, dsn=dsn)
    assert databases("diwa_template_") == [half_built]


def test_a_failed_build_is_not_taken_for_a_template(checkout, dsn, databases):
    checkout.write(
        USES_ONE,
        """
import diwa_schema.testing.template as template
from diwa_schema.errors import MigrationFailed


def migrate(url):
    raise MigrationFailed("The disk is full.")


template.migrate = migrate
""",
    )
    result = checkout.run(dsn=dsn)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*The disk is full.*"])
    checkout.write(USES_ONE)
    checkout.passes(1, dsn=dsn)


def test_two_heads_are_tested_on_one_server_at_the_same_time(checkout, dsn, databases, pytester):
    """The second run comes while the first one works, and neither drops or uses what is the other's."""
    waits = """
import time
from pathlib import Path


def test_it(diwa_database, diwa_session):
    Path("ready").touch()
    give_up = time.monotonic() + 60
    while not Path("go").exists() and time.monotonic() < give_up:
        time.sleep(0.02)
    import diwa_schema

    diwa_schema.ensure_current(diwa_database)


def test_another(diwa_database):
    assert Path("go").exists()
"""
    checkout.write(waits)
    here = pytester.path
    command = [sys.executable, "-m", "pytest", "-pdiwa_schema.testing", "--diwa-dsn", dsn]
    first = subprocess.Popen(command, cwd=here, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    while not (here / "ready").exists():
        assert first.poll() is None
        time.sleep(0.02)
    (template,) = databases("diwa_template_")
    checkout.write(USES_ONE, OTHER_HEAD)
    checkout.passes(1, dsn=dsn)
    (here / "go").touch()
    printed, _ = first.communicate(timeout=60)
    assert b"2 passed" in printed, printed.decode()
    assert len(databases("diwa_template_")) == 2
    assert template in databases("diwa_template_")


def test_only_templates_that_nobody_uses_any_more_are_dropped(checkout, dsn, query, databases):
    comments = {"old": old(8), "used": old(8), "young": old(6)}
    names = {name: f"diwa_template_{name}{os.getpid()}" for name in comments}
    for name, moment in comments.items():
        query(f"CREATE DATABASE {names[name]} IS_TEMPLATE true")
        used = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(moment))
        query(f"COMMENT ON DATABASE {names[name]} IS 'last used {used}'")
    query(f"CREATE DATABASE diwa_templates_of_somebody{os.getpid()} IS_TEMPLATE true")
    query(f"COMMENT ON DATABASE diwa_templates_of_somebody{os.getpid()} IS 'last used 2020-01-01 00:00:00'")
    checkout.write(USES_ONE)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock_shared(hashtextextended(%s, 0))", (names["used"],))
        checkout.passes(1, dsn=dsn)
    left = databases("diwa_template")
    assert names["old"] not in left
    assert {names["used"], names["young"]} < set(left)
    assert f"diwa_templates_of_somebody{os.getpid()}" in left


def test_what_an_interrupted_drop_has_left_of_a_template_stops_nobody(
    checkout, dsn, query, databases, server
):
    name = f"diwa_template_left{os.getpid()}"
    query(f"CREATE DATABASE {name}")
    with psycopg.connect(server.admin_url, autocommit=True) as connection:
        connection.execute("UPDATE pg_database SET datconnlimit = -2 WHERE datname = %s", (name,))
    checkout.write(USES_ONE)
    checkout.passes(1, dsn=dsn)
    assert name not in databases("diwa_template_")


def test_only_copies_of_dead_runs_are_dropped(checkout, dsn, query, databases):
    runs = {
        "dead": f"{old(0.1):x}_{os.urandom(4).hex()}",
        "alive": f"{old(0.1):x}_{os.urandom(4).hex()}",
        "young": f"{old(0):x}_{os.urandom(4).hex()}",
    }
    copies = {name: f"diwa_copy_{run}_1" for name, run in runs.items()} | {
        "other": f"diwa_copy_mine{os.getpid()}"
    }
    for name in copies.values():
        query(f"CREATE DATABASE {name}")
    checkout.write(USES_ONE)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", (runs["alive"],))
        checkout.passes(1, dsn=dsn)
    assert set(databases("diwa_copy_")) == set(copies.values()) - {copies["dead"]}


def test_no_copy_of_a_run_is_left(checkout, dsn, databases):
    checkout.write(
        """
import psycopg
import pytest

kept = []


@pytest.mark.parametrize("number", range(3))
def test_leaves_a_connection_open(diwa_database, diwa_session, number):
    kept.append(psycopg.connect(diwa_database))


def test_sees_it_ended():
    with pytest.raises(psycopg.OperationalError):
        kept[0].execute("SELECT 1")
    for connection in kept:
        connection.close()
"""
    )
    checkout.passes(4, dsn=dsn)
    assert databases("diwa_copy_") == []


@pytest.mark.parametrize("workers", ["0", "2"])
def test_without_createdb_every_test_gets_a_schema_and_that_is_said(checkout, new_role, postgres, workers):
    poor = new_role("NOSUPERUSER NOCREATEDB", database=postgres.rpartition("/")[2])
    role = poor.partition("//")[2].partition(":")[0]
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"GRANT CREATE ON DATABASE {postgres.rpartition('/')[2]} TO {role}".encode())
    checkout.write(
        """
import diwa_schema
import psycopg
import pytest
import sqlalchemy as sa


@pytest.mark.parametrize("number", range(4))
def test_it(diwa_database, diwa_engine, number):
    diwa_schema.ensure_current(diwa_database)
    with diwa_engine.begin() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM diwa_schema_version")) == 1
        connection.execute(sa.text("DROP TABLE diwa_schema_version"))


def test_session(diwa_session):
    assert diwa_session.scalar(sa.text("SELECT current_schema()")) != "public"
"""
    )
    printed = checkout.passes(5, "-n", workers, dsn=poor)
    assert printed.count(f'role "{role}" of') == 1
    assert f'ALTER ROLE "{role}" CREATEDB' in printed
    with psycopg.connect(postgres) as connection:
        left = connection.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'diwa%'").fetchall()
    assert left == []


def test_a_server_that_can_only_be_read_says_so(checkout, dsn, query):
    role = dsn.partition("//")[2].partition(":")[0]
    query(f"ALTER ROLE {role} SET default_transaction_read_only = on")
    checkout.write(USES_ONE)
    result = checkout.run(dsn=dsn)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*can only be read.*", "*Name the primary server*"])


def test_every_spelling_of_a_url_is_understood(checkout, dsn):
    checkout.write(
        "import psycopg\n\n\ndef test_it(diwa_database):\n    psycopg.connect(diwa_database).close()\n"
    )
    checkout.passes(1, dsn=dsn.replace("postgresql://", "postgresql+psycopg://"))


def test_without_any_right_the_grant_is_named(checkout, new_role, postgres):
    poor = new_role("NOSUPERUSER NOCREATEDB", database=postgres.rpartition("/")[2])
    checkout.write(USES_ONE)
    result = checkout.run(dsn=poor)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*may create neither databases nor schemas*", "*ALTER ROLE * CREATEDB*"])
    assert "not-to-be-shown" not in result.stdout.str()
