"""What is not in the schema and changes how it works is seen: at head and below, on our tables and beside them."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import pytest

import diwa_schema
from diwa_schema.database.target import Target
from diwa_schema.drift.check import compare
from diwa_schema.drift.compare import Finding
from diwa_schema.drift.model import Catalog, Column, Index, Key, Origin, Table
from diwa_schema.drift.read import read
from diwa_schema.drift.report import Difference, Fix, difference
from diwa_schema.migrations.manifest import load
from diwa_schema.names import LONGEST, quoted
from diwa_schema.run.script import render
from tests.run.asking import execute

pytestmark = pytest.mark.usefixtures("owner_directory")

IDS = load().ids
SEEN = {
    "ALTER TABLE tasks ENABLE ROW LEVEL SECURITY": ["row security of table tasks is on, should be off"],
    "ALTER TABLE tasks FORCE ROW LEVEL SECURITY, ENABLE ROW LEVEL SECURITY": [
        "row security of table tasks is forced, should be off"
    ],
    "CREATE POLICY mine ON tasks USING (title <> 'x')": ["policy mine is not part of the schema on tasks"],
    "CREATE RULE quiet AS ON DELETE TO tasks DO INSTEAD NOTHING": [
        "rule quiet is not part of the schema on tasks"
    ],
    "CREATE TABLE older (CHECK (title = 'old')) INHERITS (tasks)": [
        "inheriting table older is not part of the schema on tasks"
    ],
    "ALTER TABLE tasks ADD CONSTRAINT short CHECK (length(title) < 9)": [
        "check short is not part of the schema on tasks"
    ],
    "ALTER TABLE tasks ADD CONSTRAINT alone EXCLUDE (title WITH =)": [
        "exclusion constraint alone is not part of the schema on tasks"
    ],
    "ALTER TABLE tasks ADD CONSTRAINT alone UNIQUE (title)": [
        "unique constraint alone is not part of the schema on tasks"
    ],
    "ALTER TABLE memories DISABLE TRIGGER tsvectorupdate": [
        "trigger tsvectorupdate is disabled on memories, should be enabled"
    ],
    "ALTER TABLE memories ENABLE REPLICA TRIGGER tsvectorupdate": [
        "trigger tsvectorupdate is replica on memories, should be enabled"
    ],
    "ALTER TABLE memories ENABLE ALWAYS TRIGGER tsvectorupdate": [
        "trigger tsvectorupdate is always on memories, should be enabled"
    ],
}


@pytest.fixture(scope="module", params=["head", IDS[-2]])
def revision(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def migrated(postgres: str, revision: str) -> str:
    diwa_schema.migrate(postgres, revision)
    return postgres


def said(url: str) -> list[str]:
    return [one.text for one in diwa_schema.check(url)]


def test_what_changes_how_a_table_works_is_seen_and_goes_by_what_is_offered(migrated: str) -> None:
    with Target.of(migrated).connect() as link:
        for statement, expected in SEEN.items():
            link.execute(statement)
            found = diwa_schema.check(migrated)
            assert [one.text for one in found] == expected, statement
            for one in found:
                link.script(one.statement or "DROP TABLE older")
            assert said(migrated) == [], statement


def test_foreign_keys_whose_triggers_are_disabled_are_seen(migrated: str) -> None:
    with Target.of(migrated).connect() as link:
        link.execute("ALTER TABLE plans DISABLE TRIGGER ALL")
        found = diwa_schema.check(migrated)
        assert found
        assert all(one.kind == "foreign key" and "not enforced" in one.text for one in found)
        for statement in (statement for one in found for statement in one.fix.statements):
            link.execute(statement)
    assert said(migrated) == []


def test_kinds_that_the_schema_has_none_of_are_none_of_our_business_beside_it(migrated: str) -> None:
    with Target.of(migrated).connect() as link:
        link.script(
            "CREATE TYPE mood AS ENUM ('calm'); CREATE DOMAIN share AS int CHECK (VALUE < 101);"
            "CREATE SEQUENCE numbers; CREATE VIEW titles AS SELECT title FROM tasks;"
            "CREATE TABLE theirs (id int GENERATED ALWAYS AS IDENTITY, task uuid REFERENCES tasks);"
            "CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'"
        )
    assert said(migrated) == []


def test_a_key_of_somebody_elses_table_that_followed_one_set_aside_is_a_finding(migrated: str) -> None:
    """What an adoption does to a table that it sets aside, where somebody else refers to it."""
    with Target.of(migrated).connect() as link:
        link.script(
            'CREATE SCHEMA "Their own"; CREATE TABLE aside (id uuid PRIMARY KEY);'
            "CREATE TABLE among_ours (id uuid REFERENCES aside);"
            'CREATE TABLE "Their own".invoices (task uuid CONSTRAINT ours REFERENCES aside ON DELETE CASCADE);'
            "ALTER TABLE aside RENAME TO diwa_schema_kept_tasks;"
            "ALTER TABLE among_ours RENAME TO diwa_schema_kept_versions"
        )
        (found,) = diwa_schema.check(migrated)
        assert found.text == (
            'foreign key ours of "Their own".invoices, a table of another application, refers to diwa_schema_kept_tasks,'
            " the old table that a revision set aside: the key followed its rename"
        )
        assert (found.severity, found.safe) == ("drift", False)
        link.script(found.statement)
        target = link.value("SELECT confrelid::regclass::text FROM pg_constraint WHERE conname = 'ours'")
        assert target == "tasks"
    assert said(migrated) == []


def test_it_is_on_sqlite_too(sqlite: str) -> None:
    diwa_schema.migrate(sqlite)
    with Target.of(sqlite).connect() as link:
        link.script(
            "CREATE TABLE aside (id TEXT PRIMARY KEY); CREATE TABLE invoices (task TEXT REFERENCES aside (id));"
            "ALTER TABLE aside RENAME TO diwa_schema_kept_tasks;"
        )
    (found,) = diwa_schema.check(sqlite)
    assert found.text.startswith(
        "foreign key invoices_task_fkey of invoices, a table of another application, refers to"
    )
    assert (found.statement, found.safe) == ("", False)


ALIKE = tuple("ü" * 28 + f"_of_on{letter}" for letter in "xy")  # 63 bytes each, alike but for the last


def test_names_that_are_made_stay_apart_within_63_bytes(postgres: str) -> None:
    """Two indexes alike in all that fits are both built anew, and a long column is demanded to be filled."""
    first, second = ALIKE
    column = "ä" * 31
    assert len(first.encode()) == LONGEST
    with Target.of(postgres).connect() as link:
        link.script(
            f"CREATE TABLE t (id int PRIMARY KEY, {quoted(column)} int);"
            f"CREATE INDEX {quoted(first)} ON t USING hash (id); CREATE INDEX {quoted(second)} ON t USING hash (id)"
        )
        indexes = tuple(Index(name, ("id",)) for name in (first, second))
        columns = (Column("id", "integer", nullable=False), Column(column, "integer", nullable=False))
        expected = Catalog(
            "postgresql", (Table("t", columns, Key("t_pkey", ("id",)), indexes=indexes),), origin=Origin()
        )
        found = compare(read(link, like=expected), expected)
        made = made_names(found)
        assert len(made) == 3
        assert all(len(name.encode()) <= LONGEST for name in made)
        for statement in (statement for one in found for statement in one.fix.statements):
            link.execute(statement)
        assert compare(read(link, like=expected), expected) == ()


def made_names(found: tuple[Difference, ...]) -> set[str]:
    """The names that statements give to something only for a while."""
    pieces = [piece for one in found for statement in one.fix.statements for piece in statement.split('"')]
    return {piece for piece in pieces if piece.endswith(("_new", "_is_filled"))}


RUN_ID = re.compile(r"VALUES \('[0-9a-f-]{36}'")


def test_sql_is_printed_while_another_thread_migrates(tmp_path: Path) -> None:
    """Alembic's `op` is one for the whole process: without a lock, one thread's statements go where the other's do."""

    def script() -> str:
        return RUN_ID.sub("", render("postgresql", "head", "upgrade"))

    wanted = script()
    printed: list[bool] = []
    ended = threading.Event()

    def printing() -> None:
        while not ended.wait(0.01):
            printed.append(script() == wanted)

    thread = threading.Thread(target=printing)
    thread.start()
    try:
        for number in range(3):
            url = f"sqlite:///{tmp_path / f'{number}.db'}"
            diwa_schema.migrate(url, settings=diwa_schema.Settings(replay=True))
            assert diwa_schema.check(url) == []
    finally:
        ended.set()
        thread.join()
    assert printed
    assert all(printed)


def test_a_comment_that_is_gone_is_what_the_line_tells(postgres: str) -> None:
    diwa_schema.migrate(postgres)
    execute(
        postgres,
        "COMMENT ON COLUMN plans.status IS NULL",
        "COMMENT ON COLUMN plans.completion_pct IS NULL",
        "ALTER TABLE plans ALTER completion_pct TYPE bigint",
    )
    told = {one.object: one.text for one in diwa_schema.check(postgres)}
    assert told["status"] == "column status on plans has no comment, should have 'The stage of the work.'"
    assert told["completion_pct"].startswith("column completion_pct on plans is bigint")
    assert told["completion_pct"].endswith(
        "; it has no comment, should have 'How much of the work is done; PostgreSQL keeps the range whe…'"
    )


@pytest.mark.parametrize(("wanted", "said"), [("that", "'that'"), (None, "none")])
def test_a_comment_that_differs_is_told_with_both(wanted: str | None, said: str) -> None:
    """`check` leaves somebody's own comment alone; whoever compares two catalogs is told of it."""
    held, other = Column("a", "text", comment="this"), Column("a", "text", comment=wanted)
    line = difference(Finding("column", "changed", "t", held, other, ("comment",)), Fix()).text
    assert line == f"column a on t has the comment 'this', should have {said}"
