"""Usage survives its context and its organization, and stays known as the organization's."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import pytest
import sqlalchemy as sa
import sqlalchemy.exc

from tests.migrations.replaying import HISTORY, IDS, Stopped, down, kill_everywhere, paced, shape, up
from tests.migrations.rows import CONTEXT
from tests.migrations.test_filled import ground

COLUMN, OUTLIVES = "20260306000100", "20260306000300"
BEFORE = IDS[IDS.index(COLUMN) - 1]
(REVISION,) = (module for module in HISTORY if module.revision == OUTLIVES)
Connect = Callable[[str], sa.Connection]
OTHER = "00000000-0000-4000-8000-00000000000c"


def use(connection: sa.Connection, tokens: int, context: str = CONTEXT, **further: str) -> None:
    """Write a record as Ecto does, which knows nothing of organizations."""
    columns = "".join(f", {name}" for name in further)
    values = "".join(f", '{value}'" for value in further.values())
    connection.exec_driver_sql(
        "INSERT INTO usage_records (id, context_id, provider, model, operation, tokens_input, total_tokens,"
        f" cost_estimate, inserted_at, updated_at{columns}) VALUES ('{uuid4()}', '{context}', 'p', 'm', 'embed',"
        f" {tokens}, {tokens}, 0.123456, '2026-01-01', '2026-01-01'{values})"
    )


def records(connection: sa.Connection, column: str = "context_id") -> dict[int, str | None]:
    found = connection.exec_driver_sql(f"SELECT tokens_input, CAST({column} AS text) FROM usage_records")
    return dict(map(tuple, found))


@pytest.fixture(params=["postgres_at", "sqlite_at"])
def before(request: pytest.FixtureRequest, connect: Connect) -> sa.Connection:
    """A database with two contexts and usage of both, on PostgreSQL and on SQLite."""
    connection = connect(request.getfixturevalue(request.param)(BEFORE))
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA foreign_keys = ON")
    ground(connection)
    connection.exec_driver_sql(
        "INSERT INTO contexts (id, organization_id, name, inserted_at, updated_at)"
        f" VALUES ('{OTHER}', '{CONTEXT}', 'd', '2026-01-01', '2026-01-01')"
    )
    for tokens in range(5):
        use(connection, tokens, OTHER if tokens == 4 else CONTEXT)
    return connection


def test_usage_outlives_its_context_and_its_organization(before: sa.Connection):
    with pytest.raises(sqlalchemy.exc.IntegrityError):
        before.exec_driver_sql(f"DELETE FROM contexts WHERE id = '{CONTEXT}'")
    up(before, OUTLIVES, BEFORE)
    use(before, 5)
    use(before, 6, organization_id=OTHER)
    assert records(before, "organization_id") == dict.fromkeys(range(6), CONTEXT) | {6: OTHER}
    before.exec_driver_sql(f"DELETE FROM contexts WHERE id = '{CONTEXT}'")
    assert records(before) == dict.fromkeys((0, 1, 2, 3, 5, 6)) | {4: OTHER}
    before.exec_driver_sql("DELETE FROM organizations")
    assert records(before) == dict.fromkeys(range(7))
    assert records(before, "organization_id") == dict.fromkeys(range(6), CONTEXT) | {6: OTHER}
    with pytest.raises(sqlalchemy.exc.IntegrityError):
        use(before, 7)


def test_a_context_that_moves_takes_no_usage_along(before: sa.Connection):
    up(before, OUTLIVES, BEFORE)
    before.exec_driver_sql(
        f"INSERT INTO organizations (id, name, inserted_at, updated_at) VALUES ('{OTHER}', 'p', '2026-01-01', '2026-01-01')"
    )
    before.exec_driver_sql(f"UPDATE contexts SET organization_id = '{OTHER}' WHERE id = '{OTHER}'")
    use(before, 9, OTHER)
    found = records(before, "organization_id")
    assert (found[4], found[9]) == (CONTEXT, OTHER)


def test_on_the_way_down_records_without_a_context_are_set_aside_and_come_back(before: sa.Connection):
    begun, whole = shape(before), before.exec_driver_sql("SELECT * FROM usage_records ORDER BY id").all()
    up(before, OUTLIVES, BEFORE)
    down(before, BEFORE, OUTLIVES)
    assert before.exec_driver_sql("SELECT * FROM usage_records ORDER BY id").all() == whole
    up(before, OUTLIVES, BEFORE)
    before.exec_driver_sql(f"DELETE FROM contexts WHERE id = '{CONTEXT}'")
    reached, there = shape(before), before.exec_driver_sql("SELECT * FROM usage_records ORDER BY id").all()
    if before.dialect.name == "postgresql":
        before.exec_driver_sql("CREATE PUBLICATION everything FOR ALL TABLES")
    down(before, BEFORE, OUTLIVES)
    assert records(before) == {4: OTHER}
    assert before.exec_driver_sql("SELECT count(*) FROM diwa_schema_kept_usage_records").scalar() == 4
    before.exec_driver_sql("ALTER TABLE diwa_schema_kept_usage_records RENAME TO hidden")
    assert _without_quotes(shape(before), "hidden") == _without_quotes(begun)
    before.exec_driver_sql("ALTER TABLE hidden RENAME TO diwa_schema_kept_usage_records")
    up(before, OUTLIVES, BEFORE)
    assert before.exec_driver_sql("SELECT * FROM usage_records ORDER BY id").all() == there
    assert shape(before) == reached


def _without_quotes(found: dict[str, list[str]], passed: str = "\0") -> dict[str, list[str]]:
    """A copied table has its name in quotes on SQLite."""
    return {
        kind: sorted(line.replace('"', "") for line in lines if passed not in line)
        for kind, lines in found.items()
    }


def test_a_column_of_ones_own_and_its_index_stay(sqlite_at: Callable[[str], str], connect: Connect):
    lite = connect(sqlite_at(BEFORE))
    ground(lite)
    lite.exec_driver_sql("ALTER TABLE usage_records ADD COLUMN bill TEXT DEFAULT 'none'")
    lite.exec_driver_sql("CREATE INDEX by_bill ON usage_records (bill)")
    use(lite, 1, bill="mine")
    use(lite, 2)
    up(lite, OUTLIVES, BEFORE)
    use(lite, 3)
    assert records(lite, "bill") == {1: "mine", 2: "none", 3: "none"}
    assert "by_bill" in str(shape(lite))


def test_a_table_that_others_refer_to_is_not_copied_where_that_would_delete_their_rows(
    sqlite_at: Callable[[str], str], connect: Connect
):
    lite = connect(sqlite_at(BEFORE))
    ground(lite)
    use(lite, 1)
    lite.exec_driver_sql("CREATE TABLE bills (record TEXT REFERENCES usage_records (id) ON DELETE CASCADE)")
    lite.exec_driver_sql("INSERT INTO bills SELECT id FROM usage_records")
    lite.exec_driver_sql("PRAGMA foreign_keys = ON")
    with pytest.raises(Exception, match="enforces foreign keys"):
        up(lite, OUTLIVES, BEFORE)
    lite.exec_driver_sql("PRAGMA foreign_keys = OFF")
    up(lite, OUTLIVES, "20260306000200")
    assert lite.exec_driver_sql("SELECT count(*) FROM bills JOIN usage_records ON id = record").scalar() == 1
    assert lite.exec_driver_sql("PRAGMA foreign_key_check").all() == []


def test_killed_anywhere_no_record_is_lost(postgres_at: Callable[[str], str], connect: Connect):
    pg = connect(postgres_at(IDS[IDS.index(OUTLIVES) - 1]))
    ground(pg)
    for tokens in range(5):
        use(pg, tokens)
    up(pg, OUTLIVES, IDS[IDS.index(OUTLIVES) - 1])
    pg.exec_driver_sql("UPDATE usage_records SET context_id = NULL WHERE tokens_input < 4")
    reached, whole = shape(pg), records(pg)

    def attempt(piece: int, late: bool) -> bool:
        stopped = False
        for work in (REVISION.downgrade, REVISION.upgrade):
            try:
                paced(pg, work, size=2, stop_at=piece, late=late)
            except Stopped:
                stopped = True
                paced(pg, work, size=2)
            if work is REVISION.downgrade:
                assert records(pg) == {4: CONTEXT}
        assert records(pg) == whole
        assert shape(pg) == reached
        return stopped

    assert kill_everywhere(attempt) > 8


def test_a_trigger_that_was_dropped_meanwhile_leaves_no_record_without_its_organization(
    postgres_at: Callable[[str], str], connect: Connect
):
    pg = connect(postgres_at(BEFORE))
    ground(pg)
    for tokens in range(5):
        use(pg, tokens)
    module = HISTORY[IDS.index(COLUMN)]
    reached = "SELECT to_regclass('diwa_schema_position') IS NOT NULL"
    for piece in range(1, 30):
        with pytest.raises(Stopped):
            paced(pg, module.upgrade, size=2, stop_at=piece)
        if (
            pg.exec_driver_sql(reached).scalar()
            and pg.exec_driver_sql("SELECT reached IS NOT NULL FROM diwa_schema_position").scalar()
        ):
            break
    pg.exec_driver_sql("DROP TRIGGER usage_records_organization_id_filled ON usage_records")
    last = pg.exec_driver_sql("SELECT reached FROM diwa_schema_position").scalar_one()
    pg.exec_driver_sql(
        "UPDATE usage_records SET organization_id = NULL"  # as a record written meanwhile has none
        f" WHERE id <= '{last}'"
    )
    paced(pg, module.upgrade, size=2)
    assert None not in records(pg, "organization_id").values()
