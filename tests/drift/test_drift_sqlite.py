"""Drift of a SQLite database: found alone, in words, and fixed by what is printed, without losing a row."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from diwa_schema.database.link import Link
from diwa_schema.database.target import Target
from diwa_schema.drift.check import compare
from diwa_schema.drift.model import Catalog
from diwa_schema.drift.read import read
from diwa_schema.drift.report import Difference
from tests.drift import zoo
from tests.drift.drifts import DRIFTS_SQLITE, Drift, rewritten

ROWS = "SELECT id, keeper_id, partner_id, name, status, weight, tame FROM animals ORDER BY id"


def link_to(path: Path) -> Link:
    return Target.of(f"sqlite:///{path}").connect()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "zoo.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(zoo.SQLITE)
    return path


@pytest.fixture
def expected(path: Path) -> Catalog:
    with link_to(path) as link:
        return read(link)


@pytest.fixture
def live(path: Path, expected: Catalog, request: pytest.FixtureRequest) -> Iterator[Link]:
    """A link to the database after the test's drift."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(request.node.callspec.params["drift"].sql)
    with link_to(path) as link:
        yield link


def differences(link: Link, expected: Catalog) -> tuple[Difference, ...]:
    return compare(read(link, like=expected), expected)


def fix(link: Link, found: tuple[Difference, ...]) -> None:
    for difference in found:
        statements = difference.fix.statements or difference.fix.losing
        assert statements, difference.text
        for statement in statements:
            link.execute(statement)


@pytest.mark.parametrize("drift", DRIFTS_SQLITE, ids=lambda drift: drift.text[:60])
def test_a_drift_is_found_alone_and_fixed_by_what_is_printed(
    live: Link, expected: Catalog, drift: Drift
) -> None:
    rows = live.rows(ROWS)
    assert len(rows) == 2

    found = differences(live, expected)

    assert [one.text for one in found] == [drift.text]
    assert (found[0].safe, found[0].severity) == (drift.safe, drift.severity)
    assert ("statements" if found[0].statement else "losing" if found[0].losing else "") == drift.offered
    if not drift.offered:
        return
    fix(live, found)
    assert [one.text for one in differences(live, expected)] == []
    assert live.rows(ROWS) == rows
    assert live.rows("PRAGMA foreign_key_check") == []
    assert live.value("PRAGMA integrity_check") == "ok"


def test_a_shell_that_goes_on_after_an_error_loses_no_row(path: Path, expected: Catalog) -> None:
    script = rewritten("animals", "DEFAULT 'nobody' NOT NULL COLLATE", "DEFAULT 'nobody' COLLATE")
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE animals SET name = NULL WHERE id = 2")
        connection.commit()
    with link_to(path) as live:
        before, rows = read(live), live.rows(ROWS)
        (found,) = differences(live, expected)
        refused = []
        for statement in found.fix.statements:
            try:
                live.execute(statement)
            except sqlite3.Error as error:
                refused.append(str(error))

        assert refused[0] == "NOT NULL constraint failed: animals.name"
        assert live.rows(ROWS) == rows
        assert read(live) == before


def test_a_copy_leaves_alone_what_refers_to_the_table(path: Path, expected: Catalog) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(rewritten("keepers", "email TEXT", "email TEXT DEFAULT 'none'"))
    with link_to(path) as live:
        live.execute("PRAGMA foreign_keys = ON")
        rows = live.rows(ROWS)
        fix(live, differences(live, expected))
        assert differences(live, expected) == ()
        assert live.rows(ROWS) == rows
        assert live.value("SELECT count(*) FROM keepers") == 2


def test_several_drifts_of_a_table_are_fixed_together(path: Path, expected: Catalog) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(rewritten("animals", "DEFAULT ('pending')", "DEFAULT 'completed'"))
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "ALTER TABLE animals DROP COLUMN tags; ALTER TABLE animals DROP COLUMN shout;"
            "ALTER TABLE animals ADD COLUMN age INTEGER; CREATE UNIQUE INDEX aged ON animals (age);"
            "DROP INDEX animals_live_index; DROP TRIGGER animals_touch"
        )
    with link_to(path) as live:
        rows = live.rows(ROWS)
        found = differences(live, expected)
        assert len(found) == 7
        fix(live, found)
        assert [one.text for one in differences(live, expected)] == []
        assert live.rows(ROWS) == rows
        assert live.rows("SELECT DISTINCT tags FROM animals") == [('["a","b"]',)]
