"""The benchmarks run, and say of a row what was measured."""

from __future__ import annotations

import sqlite3
import sys
from importlib import import_module

import pytest

from benchmarks import __main__ as benchmarks
from benchmarks import growth, report
from benchmarks.measure import FEWEST_ROUNDS, Row, Sample, alternate
from tests.fixtures_checkout import run


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
    assert callable(import_module(f"benchmarks.rows.{name}").row)


def test_rows_are_printed_and_a_missed_one_is_the_exit_code(server, capsys, monkeypatch):
    monkeypatch.setenv("DIWA_TEST_DATABASE_URL", server.admin_url)
    code = benchmarks.main(["savepoints", "copies"])
    printed = capsys.readouterr().out
    assert "a session for a test" in printed
    assert code == int("**no**" in printed)


def test_a_longer_history_is_one_that_the_package_accepts(tmp_path):
    source = growth.longer(tmp_path / "longer", 60)
    database = tmp_path / "diwa.db"
    command = [sys.executable, "-m", "diwa_schema", "upgrade", "--embedded", str(database)]
    run(command, env={"PYTHONPATH": str(source)}, check=0)
    with sqlite3.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM diwa_schema_ledger").fetchone() == (60,)
    connection.close()
