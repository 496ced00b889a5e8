"""Each organization has a slug, made of its name by the database where nobody gives one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from uuid import UUID, uuid4

import psycopg
import pytest
import sqlalchemy as sa
import sqlalchemy.orm

from diwa_schema.errors import MigrationFailed
from diwa_schema.models import Organization
from tests.migrations.replaying import HISTORY, IDS, Stopped, down, kill_everywhere, paced, up

SLUGS = "20260306000400"
BEFORE = IDS[IDS.index(SLUGS) - 1]
(REVISION,) = (module for module in HISTORY if module.revision == SLUGS)
Connect = Callable[[str], sa.Connection]
MADE = {
    "Default": "default",
    "  Ünïcode  GmbH 🌊!": "n-code-gmbh",
    "東京": "organization",
    "a_b--C 9": "a-b-c-9",
    "x" * 255: "x" * 200,
    f"{'y' * 199} z": "y" * 199,
    "2024": "2024",
    "O'Neill: 100% $do$ \\": "o-neill-100-do",
}


def statement(name: str, slug: str | None = None, at: str = "2026-01-01 00:00:00") -> sa.TextClause:
    """Return how Ecto writes an organization, with or without a slug."""
    given = (", slug", ", :slug") if slug is not None else ("", "")
    return sa.text(
        f"INSERT INTO organizations (id, name, inserted_at, updated_at{given[0]})"
        f" VALUES ('{uuid4()}', :name, '{at}', '{at}'{given[1]})"
    ).bindparams(name=name, **({"slug": slug} if slug is not None else {}))


def slugs(connection: sa.Connection) -> list[str | None]:
    return list(
        connection.exec_driver_sql("SELECT slug FROM organizations ORDER BY inserted_at, slug").scalars()
    )


@pytest.fixture(params=["postgres_at", "sqlite_at"])
def before(request: pytest.FixtureRequest, connect: Connect) -> sa.Connection:
    """A database before the revision, on PostgreSQL and on SQLite."""
    return connect(request.getfixturevalue(request.param)(BEFORE))


def test_a_slug_is_made_of_the_name(before: sa.Connection):
    for name in MADE:
        before.execute(statement(name))
    up(before, SLUGS, BEFORE)
    found = before.exec_driver_sql("SELECT name, slug FROM organizations")
    assert dict(map(tuple, found)) == MADE
    before.exec_driver_sql("DELETE FROM organizations")
    for name in MADE:
        before.execute(statement(name))
    found = before.exec_driver_sql("SELECT name, slug FROM organizations")
    assert dict(map(tuple, found)) == MADE


def test_slugs_that_are_there_stay_and_the_older_of_two_has_no_number(before: sa.Connection):
    if before.dialect.name == "postgresql":
        # As where a row breaks the rule, which waits then.
        before.exec_driver_sql("ALTER TABLE organizations DROP CONSTRAINT organizations_slug_check")
    for name, slug, at in (
        ("Acme", None, "2026-01-03"),
        ("ACME", None, "2026-01-02"),
        ("Acme!", None, "2026-01-04"),
        ("Other", "Not A Slug!", "2026-01-05"),
        ("Another", "acme-3", "2026-01-06"),
    ):
        before.execute(statement(name, slug, f"{at} 00:00:00"))
    up(before, SLUGS, BEFORE)
    assert slugs(before) == ["acme", "acme-2", "acme-4", "Not A Slug!", "acme-3"]
    before.execute(statement("acme", at="2026-01-07 00:00:00"))
    assert slugs(before)[-1] == "acme-5"
    before.exec_driver_sql("UPDATE organizations SET slug = NULL WHERE slug = 'acme-2'")
    assert slugs(before)[1] == "acme-2"
    before.exec_driver_sql("UPDATE organizations SET slug = 'mine' WHERE slug = 'acme-4'")
    down(before, BEFORE, SLUGS)
    # What nobody has changed since is as it was; what came meanwhile stays.
    assert slugs(before) == [None, None, "mine", "Not A Slug!", "acme-3", "acme-5"]
    assert before.exec_driver_sql("SELECT count(*) FROM diwa_schema_kept_values").scalar() == 0


def test_the_table_is_sorted_once_for_many_batches(before: sa.Connection):
    """No index has that order, so with a sort for each batch the time would grow with the square of the rows."""
    sorts = []

    def count(_: object, __: object, sent: str, *___: object) -> None:
        if "ORDER BY inserted_at, id LIMIT" in sent:
            sorts.append(sent)

    for number in range(60):
        before.execute(statement(f"Of {number}"))
    sa.event.listen(before, "before_cursor_execute", count)
    pace = paced(before, REVISION.upgrade, size=5)
    assert pace.pieces > 12
    assert len(sorts) == 2
    assert None not in slugs(before)


def test_many_kept_values_come_back_without_statistics_of_their_table(
    postgres_at: Callable[[str], str], connect: Connect
):
    """The table has just been filled; with an estimate of a few rows, a join would read all of it for each row."""
    connection = connect(postgres_at(SLUGS))
    connection.exec_driver_sql(
        """INSERT INTO organizations (id, name, slug, inserted_at, updated_at)
        SELECT gen_random_uuid(), 'many', 'many-' || n, now(), now() FROM generate_series(1, 20000) n"""
    )
    connection.exec_driver_sql(
        """INSERT INTO diwa_schema_kept_values (table_name, row_id, column_name, value, reason, kept_at)
        SELECT 'organizations', id, 'slug', slug, '', now() FROM organizations"""
    )
    connection.exec_driver_sql("SET statement_timeout = '2s'")
    paced(connection, REVISION.downgrade, size=1_000)
    assert slugs(connection) == [None] * 20_000


def test_after_a_hundred_of_one_name_comes_the_id(before: sa.Connection):
    up(before, SLUGS, BEFORE)
    for _ in range(102):
        before.execute(statement("Global"))
    found = {slug or "" for slug in slugs(before)}
    assert {"global", *(f"global-{number}" for number in range(2, 101))} < found
    others = [slug for slug in found if len(slug) > len("global-100")]
    assert len(others) == 2
    assert all(UUID(slug.removeprefix("global-")) for slug in others)


def test_an_organization_without_an_id_stays_without_a_slug(
    sqlite_at: Callable[[str], str], connect: Connect
):
    lite = connect(sqlite_at(BEFORE))
    lite.exec_driver_sql(
        "INSERT INTO organizations (name, inserted_at, updated_at) VALUES ('o', '2026-01-01', '2026-01-01')"
    )
    lite.execute(statement("Acme"))
    up(lite, SLUGS, BEFORE)
    assert set(slugs(lite)) == {None, "acme"}


def test_rows_that_a_trigger_keeps_from_being_written_are_told(
    postgres_at: Callable[[str], str], connect: Connect
):
    pg = connect(postgres_at(BEFORE))
    for number in range(3):
        pg.execute(statement(f"o {number}"))
    pg.exec_driver_sql(
        "CREATE FUNCTION stopped() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        "CREATE TRIGGER stopped BEFORE UPDATE ON organizations FOR EACH ROW EXECUTE FUNCTION stopped()"
    )
    with pytest.raises(MigrationFailed, match="2 rows of organizations got no value in slug"):
        paced(pg, REVISION.upgrade, size=2)
    pg.exec_driver_sql("DROP TRIGGER stopped ON organizations")
    paced(pg, REVISION.upgrade, size=2)
    assert slugs(pg) == ["o-0", "o-1", "o-2"]


def test_many_organizations_in_one_transaction_take_few_locks(
    postgres_at: Callable[[str], str], connect: Connect
):
    pg = connect(postgres_at(SLUGS))
    pg.exec_driver_sql(
        "BEGIN; INSERT INTO organizations (name, slug, inserted_at, updated_at)"
        " SELECT 'o', 'o-' || md5(n::text), now(), now() FROM generate_series(1, 2000) n"
    )
    locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
    assert 200 < (pg.exec_driver_sql(locks).scalar() or 0) <= 256
    pg.exec_driver_sql("ROLLBACK")


def test_killed_anywhere_it_ends_as_an_undisturbed_run(postgres_at: Callable[[str], str], connect: Connect):
    pg = connect(postgres_at(BEFORE))
    for number in range(7):
        pg.execute(statement(f"o {number % 3}", at=f"2026-01-0{number + 1} 00:00:00"))

    def attempt(piece: int, late: bool) -> bool:
        stopped = False
        for work in (REVISION.upgrade, REVISION.downgrade):
            try:
                paced(pg, work, size=2, stop_at=piece, late=late)
            except Stopped:
                stopped = True
                paced(pg, work, size=2)
            made = ["o-0", "o-1", "o-2", "o-0-2", "o-1-2", "o-2-2", "o-0-3"]
            assert slugs(pg) == (made if work is REVISION.upgrade else [None] * 7)
        return stopped

    assert kill_everywhere(attempt) > 8


def test_concurrent_writers_get_different_slugs_and_none_fails(postgres_at: Callable[[str], str]):
    """Also one that gives a slug, one that ends in a number, and one that sets a slug to NULL."""
    url = postgres_at(SLUGS)
    texts = [
        "INSERT INTO organizations (name, inserted_at, updated_at) VALUES ('Acme', now(), now())",
        "INSERT INTO organizations (name, inserted_at, updated_at) VALUES ('Acme 2', now(), now())",
        "UPDATE organizations SET slug = NULL WHERE name = 'Old'",
    ]
    failed: list[BaseException] = []
    begin = threading.Barrier(6)

    def run(text: str) -> None:
        try:
            with closing(psycopg.connect(url, autocommit=True)) as connection:
                begin.wait(10)
                for _ in range(4):
                    with connection.transaction():
                        connection.execute(text.encode())
                        connection.execute("SELECT pg_sleep(0.002)")
        except BaseException as error:  # noqa: BLE001 - told to the test, whatever it is
            failed.append(error)

    with closing(psycopg.connect(url, autocommit=True)) as connection:
        old = "INSERT INTO organizations (name, slug, inserted_at, updated_at) VALUES ('Old', 'acme', now(), now())"
        connection.execute(old.encode())
        connection.execute("UPDATE organizations SET name = 'Old'")
        threads = [threading.Thread(target=run, args=(text,)) for text in texts * 2]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        count = connection.execute("SELECT count(*), count(DISTINCT slug) FROM organizations").fetchone()
    assert count == (17, 17)


def test_the_models_read_the_slug_when_it_is_asked_for(at_head: str):
    engine = sa.create_engine(at_head.replace("postgresql://", "postgresql+psycopg://"))
    with sa.orm.Session(engine) as session:
        rows = [Organization(name="Acme"), Organization(name="Acme"), Organization(name="Acme", slug="own")]
        for row in rows:
            session.add(row)
            session.flush()
        assert [row.slug for row in rows] == ["acme", "acme-2", "own"]
    engine.dispose()
