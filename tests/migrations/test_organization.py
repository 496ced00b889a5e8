"""A memory says its organization: filled for writers that leave it out, never another one than its context's."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from diwa_schema.errors import MigrationFailed
from diwa_schema.models import inherited
from tests.migrations.replaying import (
    HISTORY,
    IDS,
    Stopped,
    down,
    kill_everywhere,
    paced,
    shape,
    up,
)
from tests.migrations.rows import CONTEXT, memory

REVISION = "20260307000000"
BEFORE = IDS[IDS.index(REVISION) - 1]
MODULE = HISTORY[IDS.index(REVISION)]
ONE, TWO = CONTEXT, "00000000-0000-4000-8000-00000000000a"
ELSEWHERE = "00000000-0000-4000-8000-00000000000b"
Connect = Callable[[str], sa.Connection]


def ground(connection: sa.Connection) -> None:
    """Write two organizations with a context each, under one id, and a second context of the second."""
    times = "'2026-01-01 00:00:00', '2026-01-01 00:00:00'"
    for one in (ONE, TWO):
        connection.exec_driver_sql(
            f"INSERT INTO organizations (id, name, slug, inserted_at, updated_at) VALUES ('{one}', 'o', '{one}', {times})"
        )
    for context, organization in ((ONE, ONE), (TWO, TWO), (ELSEWHERE, TWO)):
        connection.exec_driver_sql(
            "INSERT INTO contexts (id, organization_id, name, inserted_at, updated_at)"
            f" VALUES ('{context}', '{organization}', 'c', {times})"
        )


def write(connection: sa.Connection, number: int, context: str = ONE, **more: str | None) -> str:
    """Insert a memory as Ecto does, with the columns that it knows and those that are given."""
    values = {"id": str(memory(number)), "context_id": context, "content": "c", **more}
    times = dict.fromkeys(("inserted_at", "updated_at"), "2026-01-01 00:00:00")
    values |= times
    names = ", ".join(values)
    given = ", ".join("NULL" if value is None else f"'{value}'" for value in values.values())
    connection.exec_driver_sql(f"INSERT INTO memories ({names}) VALUES ({given})")
    return values["id"] or ""


def organization(connection: sa.Connection, number: int) -> str | None:
    found = connection.exec_driver_sql(
        f"SELECT CAST(organization_id AS text) FROM memories WHERE id = '{memory(number)}'"
    )
    value: str | None = found.scalar()
    return value


@pytest.fixture(params=["postgresql", "sqlite"])
def on(request: pytest.FixtureRequest, connect: Connect) -> sa.Connection:
    """A connection to an empty database of either kind."""
    if request.param == "postgresql":
        given: sa.Connection = request.getfixturevalue("pg")
        return given
    connection = connect(request.getfixturevalue("sqlite"))
    connection.exec_driver_sql("PRAGMA foreign_keys = ON")
    return connection


@pytest.fixture
def there(on: sa.Connection) -> sa.Connection:
    """The same at the revision, with contexts and one memory of before it in the first."""
    up(on, BEFORE)
    ground(on)
    write(on, 0)
    up(on, REVISION, BEFORE)
    return on


def test_who_leaves_it_out_or_says_null_gets_the_context_s(there: sa.Connection):
    write(there, 1, TWO)
    write(there, 2, TWO, organization_id=None)
    write(there, 3, TWO, organization_id=TWO)
    assert [organization(there, number) for number in range(4)] == [ONE, TWO, TWO, TWO]
    there.exec_driver_sql("UPDATE memories SET organization_id = NULL, actor = 'me'")
    assert [organization(there, number) for number in range(4)] == [ONE, TWO, TWO, TWO]


def test_a_contradiction_is_refused(there: sa.Connection):
    with pytest.raises(IntegrityError):
        write(there, 1, ONE, organization_id=TWO)
    for change in (f"organization_id = '{TWO}'", f"organization_id = '{ELSEWHERE}'"):
        with pytest.raises(IntegrityError):
            there.exec_driver_sql(f"UPDATE memories SET {change}")
    write(there, 2, TWO)
    with pytest.raises(IntegrityError):
        there.exec_driver_sql(f"UPDATE memories SET context_id = '{ONE}', organization_id = '{ELSEWHERE}'")
    assert [organization(there, number) for number in range(3)] == [ONE, None, TWO]


def test_a_context_that_moves_takes_its_memories_along(there: sa.Connection):
    write(there, 1, TWO)
    there.exec_driver_sql(f"UPDATE contexts SET organization_id = '{TWO}' WHERE id = '{ONE}'")
    assert (organization(there, 0), organization(there, 1)) == (TWO, TWO)
    there.exec_driver_sql(f"UPDATE contexts SET organization_id = '{ONE}'")
    assert (organization(there, 0), organization(there, 1)) == (ONE, ONE)


def test_a_memory_that_moves_gets_the_other_context_s(there: sa.Connection):
    there.exec_driver_sql(f"UPDATE memories SET context_id = '{TWO}'")
    assert organization(there, 0) == TWO
    there.exec_driver_sql(f"UPDATE memories SET context_id = '{ELSEWHERE}', organization_id = '{TWO}'")
    there.exec_driver_sql(f"UPDATE memories SET context_id = '{ONE}', organization_id = '{ONE}'")
    assert organization(there, 0) == ONE


def test_a_context_that_is_not_there_is_the_same_violation_as_before(pg: sa.Connection):
    up(pg, REVISION)
    with pytest.raises(IntegrityError) as raised:
        write(pg, 1)
    assert raised.value.orig.diag.constraint_name == "memories_context_id_fkey"  # type: ignore[union-attr]
    assert raised.value.orig.sqlstate == "23503"  # type: ignore[union-attr]


def test_deleting_a_context_or_an_organization_deletes_the_memories(there: sa.Connection):
    write(there, 1, TWO)
    there.exec_driver_sql(f"DELETE FROM contexts WHERE id = '{ONE}'")
    there.exec_driver_sql(f"DELETE FROM organizations WHERE id = '{TWO}'")
    assert there.exec_driver_sql("SELECT count(*) FROM memories").scalar() == 0


def test_there_and_back_and_there_again_keeps_every_value(on: sa.Connection):
    up(on, BEFORE)
    begun = shape(on)
    ground(on)
    for number in range(4):
        write(on, number, (ONE, TWO)[number % 2])
    rows = "SELECT * FROM memories ORDER BY id"
    first = on.exec_driver_sql(rows).all()
    up(on, REVISION, BEFORE)
    then, ends = on.exec_driver_sql(rows).all(), shape(on)
    down(on, BEFORE, REVISION)
    assert on.exec_driver_sql(rows).all() == first
    assert shape(on) == begun
    up(on, REVISION, BEFORE)
    assert on.exec_driver_sql(rows).all() == then
    assert shape(on) == ends


HOSTILE = """
CREATE SCHEMA hostile;
CREATE TABLE hostile.contexts (id uuid, organization_id uuid);
CREATE FUNCTION hostile.equal(uuid, uuid) RETURNS boolean LANGUAGE sql AS 'SELECT false';
CREATE OPERATOR hostile.= (LEFTARG = uuid, RIGHTARG = uuid, FUNCTION = hostile.equal);
CREATE FUNCTION hostile.concat(VARIADIC text[]) RETURNS text LANGUAGE sql AS $$ SELECT 'SELECT NULL' $$;
"""


def test_neither_the_path_nor_another_name_of_the_schema_matters(pg: sa.Connection):
    up(pg, REVISION)
    ground(pg)
    pg.exec_driver_sql(HOSTILE)
    try:
        for path in ("hostile, pg_catalog, public", "''"):
            pg.exec_driver_sql(f"SET search_path = {path}")
            pg.exec_driver_sql(
                "INSERT INTO public.memories (context_id, content, inserted_at, updated_at)"
                f" VALUES ('{TWO}', 'c', now(), now())"
            )
        pg.exec_driver_sql('ALTER SCHEMA public RENAME TO "It\'s \\ ""new"""')
        pg.exec_driver_sql('SET search_path = hostile, pg_catalog, "It\'s \\ ""new"""')
        pg.exec_driver_sql(
            'INSERT INTO "It\'s \\ ""new""".memories (context_id, content, inserted_at, updated_at)'
            f" VALUES ('{TWO}', 'c', now(), now())"
        )
        pg.exec_driver_sql('ALTER SCHEMA "It\'s \\ ""new""" RENAME TO public')
        pg.exec_driver_sql("SET search_path = public")
        found = pg.exec_driver_sql("SELECT organization_id::text FROM memories").scalars().all()
        assert found == [TWO] * 3
    finally:
        pg.exec_driver_sql("RESET search_path")
        pg.exec_driver_sql("DROP SCHEMA hostile CASCADE")


def test_who_may_only_insert_needs_no_right_on_contexts(pg: sa.Connection):
    up(pg, REVISION)
    ground(pg)
    pg.exec_driver_sql("CREATE ROLE writes_memories")
    try:
        pg.exec_driver_sql("GRANT USAGE ON SCHEMA public TO writes_memories")
        pg.exec_driver_sql("GRANT INSERT ON memories TO writes_memories")
        pg.exec_driver_sql("SET ROLE writes_memories")
        write(pg, 1, TWO)
        pg.exec_driver_sql("RESET ROLE")
        assert organization(pg, 1) == TWO
        able = "SELECT has_function_privilege('writes_memories', 'diwa_schema_organization()', 'EXECUTE')"
        assert pg.exec_driver_sql(able).scalar() is False
    finally:
        pg.exec_driver_sql("RESET ROLE")
        pg.exec_driver_sql("DROP OWNED BY writes_memories")
        pg.exec_driver_sql("DROP ROLE writes_memories")


def test_writes_that_replicate_are_filled_too(pg: sa.Connection):
    up(pg, REVISION)
    ground(pg)
    pg.exec_driver_sql("SET session_replication_role = replica")
    write(pg, 1, TWO)
    assert organization(pg, 1) == TWO


def test_what_is_written_between_the_pieces_is_right(pg: sa.Connection, postgres: str, connect: Connect):
    """At each piece a memory comes in and an old one changes, and contexts move from one organization to the other."""
    up(pg, BEFORE)
    ground(pg)
    for number in range(40):
        write(pg, number, (ONE, TWO)[number % 2])
    other = connect(postgres)
    numbers = iter(range(100, 10_000))

    def meanwhile() -> None:
        number = next(numbers)
        write(other, number, (ONE, TWO, ELSEWHERE)[number % 3])
        other.exec_driver_sql(f"UPDATE memories SET actor = 'me' WHERE id = '{memory(number % 40)}'")
        to = (ONE, TWO)[number % 2]
        other.exec_driver_sql(f"UPDATE contexts SET organization_id = '{to}' WHERE id <> '{ELSEWHERE}'")

    pace = paced(pg, MODULE.upgrade, size=5, between=meanwhile)
    assert pace.pieces > 12
    wrong = f"SELECT count(*) FROM memories WHERE organization_id IS NULL OR {inherited.wrong('memories')}"
    assert pg.exec_driver_sql(wrong).scalar() == 0
    assert pg.exec_driver_sql("SELECT count(*) FROM memories").scalar() == 40 + pace.pieces
    back = paced(pg, MODULE.downgrade, size=5, between=meanwhile)
    assert back.pieces > 5


def test_a_context_that_is_moving_is_waited_for(pg: sa.Connection, postgres: str, connect: Connect):
    up(pg, REVISION)
    ground(pg)
    other = connect(postgres)
    pid = other.exec_driver_sql("SELECT pg_backend_pid()").scalar()
    waits = f"SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = {pid}"
    pg.exec_driver_sql("BEGIN")
    pg.exec_driver_sql(f"UPDATE contexts SET organization_id = '{TWO}' WHERE id = '{ONE}'")
    with ThreadPoolExecutor(1) as pool:
        written = pool.submit(write, other, 1)
        while not (written.done() or connect(postgres).exec_driver_sql(waits).scalar()):
            time.sleep(0.01)
        pg.exec_driver_sql("COMMIT")
        written.result()
    assert organization(pg, 1) == TWO


@pytest.mark.parametrize("way", ["upgrade", "downgrade"])
def test_killed_at_any_piece_it_is_finished_by_the_next_run(pg: sa.Connection, way: str):
    up(pg, BEFORE if way == "upgrade" else REVISION)
    begun = shape(pg)
    ends: Any = None

    def attempt(piece: int, late: bool) -> bool:
        nonlocal ends
        stopped = False
        try:
            paced(pg, getattr(MODULE, way), stop_at=piece, late=late)
        except Stopped:
            stopped = True
            paced(pg, getattr(MODULE, way))
        ends = ends or shape(pg)
        assert shape(pg) == ends
        paced(pg, MODULE.downgrade if way == "upgrade" else MODULE.upgrade)
        assert shape(pg) == begun
        return stopped

    assert kill_everywhere(attempt) > 10


DISTURBED = {
    "trigger": "DROP TRIGGER memories_organization_id_filled ON memories",
    "triggers": "DROP TRIGGER memories_organization_id_filled ON memories;"
    " DROP TRIGGER memories_organization_id_moved ON memories",
    "column": "ALTER TABLE memories DROP COLUMN organization_id CASCADE",
}


@pytest.mark.parametrize("what", DISTURBED)
def test_what_was_dropped_after_a_kill_is_made_again(pg: sa.Connection, what: str):
    up(pg, BEFORE)
    begun = shape(pg)
    paced(pg, MODULE.upgrade)
    ends = shape(pg)
    for piece in (4, 6, 8, 10, 12):
        paced(pg, MODULE.downgrade)
        with pytest.raises(Stopped):
            paced(pg, MODULE.upgrade, stop_at=piece)
        if "memories_organization_id_filled" not in str(shape(pg)["triggers"]):
            continue
        pg.exec_driver_sql(DISTURBED[what])
        paced(pg, MODULE.upgrade)
        assert shape(pg) == ends
    paced(pg, MODULE.downgrade)
    assert shape(pg) == begun


def test_what_a_killed_run_left_goes_with_the_tables(pg: sa.Connection):
    up(pg)
    down(pg, BEFORE)
    with pytest.raises(Stopped):
        paced(pg, MODULE.upgrade, stop_at=8)
    assert pg.exec_driver_sql("SELECT to_regproc('diwa_schema_organization') IS NOT NULL").scalar()
    down(pg, None, BEFORE)
    assert shape(pg)["functions"] == []


OTHERS = {
    "column": "ALTER TABLE memories ADD COLUMN organization_id integer",
    "text": "ALTER TABLE memories ADD COLUMN organization_id text",
    "default": "ALTER TABLE memories ADD COLUMN organization_id uuid DEFAULT '00000000-0000-0000-0000-000000000000'",
    "function": "CREATE FUNCTION diwa_schema_organization() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'",
    "context": "ALTER TABLE contexts ALTER organization_id DROP NOT NULL; UPDATE contexts SET organization_id = NULL",
}


def test_a_context_that_is_not_there_is_no_circle_of_triggers(sqlite: str, connect: Connect):
    lite = connect(sqlite)
    up(lite)
    for setting in ("foreign_keys = OFF", "recursive_triggers = ON"):
        lite.exec_driver_sql(f"PRAGMA {setting}")
    write(lite, 0, ELSEWHERE)
    assert organization(lite, 0) is None


@pytest.mark.parametrize("what", OTHERS)
def test_something_else_of_that_name_is_refused_and_left(pg: sa.Connection, what: str):
    up(pg, BEFORE)
    ground(pg)
    write(pg, 0)
    pg.exec_driver_sql(OTHERS[what])
    begun = shape(pg)
    with pytest.raises(MigrationFailed) as raised:
        paced(pg, MODULE.upgrade)
    assert "then run the command again" in str(raised.value.next_step)
    assert shape(pg) == begun


def test_a_column_that_was_there_is_taken_over_and_given_back(on: sa.Connection):
    up(on, BEFORE)
    ground(on)
    for number, context in enumerate((ONE, TWO, TWO)):
        write(on, number, context)
    kind = "uuid" if on.dialect.name == "postgresql" else "TEXT"
    on.exec_driver_sql(
        f"ALTER TABLE memories ADD COLUMN organization_id {kind} REFERENCES organizations (id)"
    )
    on.exec_driver_sql(f"UPDATE memories SET organization_id = '{ONE}' WHERE id <> '{memory(2)}'")
    for _ in range(2):
        pace = paced(on, MODULE.upgrade)
        assert any("was there before" in line for line in pace.told)
        assert [organization(on, number) for number in range(3)] == [ONE, TWO, TWO]
        kept = on.exec_driver_sql(
            "SELECT CAST(row_id AS text), value FROM diwa_schema_kept_values WHERE value <> 'there'"
        )
        assert [tuple(row) for row in kept] == [(str(memory(1)), ONE)]
        paced(on, MODULE.downgrade)
        # What was left empty has been filled, and stays.
        assert [organization(on, number) for number in range(3)] == [ONE, ONE, TWO]
        assert on.exec_driver_sql("SELECT count(*) FROM diwa_schema_kept_values").scalar() == 0
