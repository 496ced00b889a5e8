"""The benchmarks run, and say of a row what was measured."""

from __future__ import annotations

import sqlite3
import sys
import time
from importlib import import_module
from pathlib import Path

import psycopg
import pytest

import diwa_schema
from benchmarks import __main__ as benchmarks, growth, hot_queries, large, live_upgrade, recording, report
from benchmarks.bench import Bench
from benchmarks.measure import FEWEST_ROUNDS, Row, Sample, alternate
from diwa_schema.migrations.ecto import LAST
from diwa_schema.migrations.manifest import load
from diwa_schema.testing.address import Address
from tests.fixtures_checkout import run
from tests.fixtures_databases import database_name
from tests.run.traffic import Stalls


def test_both_things_are_measured_in_turn():
    order: list[str] = []

    def thing(name: str, value: float) -> float:
        order.append(name)
        return value

    ours, theirs = alternate(1, lambda: thing("a", 1.0), lambda: thing("b", 2.0))
    assert (ours.median, theirs.median) == (1.0, 2.0)
    assert len(ours.values) == len(theirs.values) == FEWEST_ROUNDS
    pairs = [set(order[position : position + 2]) for position in range(0, len(order), 2)]
    assert pairs == [{"a", "b"}] * (FEWEST_ROUNDS + 1)
    assert {order[position] for position in range(2, len(order), 2)} == {"a", "b"}


@pytest.mark.parametrize(("at_most", "said"), [(0.5, "yes"), (0.4, "**no**"), (None, "")])
def test_a_row_says_whether_it_holds(at_most, said):
    row = Row("ours", "theirs", at_most, Sample((1.0, 2.0, 3.0)), Sample((4.0, 4.0, 4.0)))
    assert row.ratio == 0.5
    line = report.table([row]).splitlines()[-1]
    assert [cell.strip() for cell in line.split("|")][-2] == said


@pytest.mark.parametrize("name", benchmarks.ROWS)
def test_every_row_can_be_measured(name):
    assert callable(import_module(f"benchmarks.rows.{name}").rows)


def test_rows_are_printed_and_a_missed_one_is_the_exit_code(server, capsys, monkeypatch):
    monkeypatch.setenv("DIWA_TEST_DATABASE_URL", server.admin_url)
    code = benchmarks.main(["savepoints", "copies"])
    printed = capsys.readouterr().out
    assert "a session for a test" in printed
    assert code == int("**no**" in printed)


@pytest.mark.usefixtures("owner_directory")
def test_what_a_run_has_sent_does_the_same_through_psql(server, postgres, psql, tmp_path):
    diwa_schema.migrate(postgres, LAST)
    copy = server.create(database_name(), postgres.rpartition("/")[2])
    text, count = recording.script(lambda: diwa_schema.migrate(postgres))
    (tmp_path / "script.sql").write_text(text)
    done = psql(copy, "-v", "ON_ERROR_STOP=1", "-f", str(tmp_path / "script.sql"))
    assert done.returncode == 0, done.stderr
    assert count > len(load().between(LAST, load().head)) * 5
    assert diwa_schema.check(copy) == []
    with psycopg.connect(postgres) as first, psycopg.connect(copy) as second:
        for query in ("SELECT * FROM diwa_schema_version", "SELECT * FROM diwa_schema_ledger ORDER BY id"):
            assert first.execute(query).fetchall() == second.execute(query).fetchall()
    server.drop(copy.rpartition("/")[2])


def test_a_longer_history_is_one_that_the_package_accepts(tmp_path):
    source = growth.longer(tmp_path / "longer", 80)
    database = tmp_path / "diwa.db"
    command = [sys.executable, "-m", "diwa_schema", "upgrade", "--embedded", str(database)]
    run(command, env={"PYTHONPATH": str(source)}, check=0)
    with sqlite3.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM diwa_schema_ledger").fetchone() == (80,)
    connection.close()


@pytest.mark.usefixtures("owner_directory")
def test_every_kind_of_application_sends_every_request(postgres):
    """What `live_upgrade` calls a failure is none of the benchmark's own."""
    diwa_schema.migrate(postgres, LAST)
    with psycopg.connect(postgres) as connection:
        connection.execute(large.ORGANIZATIONS.encode(), (1,))
        connection.execute(large.CONTEXTS.encode(), (1, 1))
        connection.execute(large.MEMORIES, (1, 1))
    with live_upgrade.load_on(postgres) as answers, Stalls(postgres, application=live_upgrade.NAME) as stalls:
        time.sleep(0.4)
        with psycopg.connect(postgres, application_name="diwa-schema") as connection:
            connection.execute("LOCK TABLE memories")
            time.sleep(0.5)
    assert {(one.client, one.error) for one in answers} == {(name, None) for name in live_upgrade.CLIENTS}
    assert {one.kind for one in answers} == set(live_upgrade.STATEMENTS)
    assert stalls.longest(postgres) > 300


@pytest.mark.matrix
@pytest.mark.usefixtures("owner_directory")
def test_every_question_is_asked_of_both_databases(server):
    if not server.has_vector:
        pytest.skip("one question needs pgvector, which this server does not have")
    bench = Bench(Address(server.admin_url), Path(), memories=300)
    with (
        hot_queries.filled(bench) as (was, now),
        psycopg.connect(was) as before,
        psycopg.connect(now) as after,
    ):
        rows = hot_queries.rows(before, after, now, rounds=1)
        assert all(row.ours.median > 0 and row.theirs.median > 0 for row in rows)
        assert len([row.ratio for row in hot_queries.inserts(before, after, rounds=1)]) == 2
        assert "MB" in hot_queries.weighed(before, after)
