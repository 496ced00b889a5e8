"""Every kind of drift is found, alone, in words; the statement that is printed makes it go away."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from diwa_schema.database.link import Link
from diwa_schema.database.target import Target
from diwa_schema.drift.check import compare
from diwa_schema.drift.model import Catalog
from diwa_schema.drift.read import read
from diwa_schema.drift.report import Difference
from diwa_schema.testing import embedded
from tests.drift import zoo
from tests.drift.drifts import DRIFTS, Drift
from tests.fixtures_databases import database_name
from tests.fixtures_server import Server


@pytest.fixture(scope="module")
def template(server: Server) -> Iterator[str]:
    name = database_name()
    with psycopg.connect(server.create(name), autocommit=True) as connection:
        connection.execute(zoo.POSTGRESQL.encode())
    yield name
    server.drop(name)


@pytest.fixture(scope="module")
def expected(server: Server, template: str) -> Catalog:
    with Target.of(server.url(template)).connect() as link:
        return read(link)


@pytest.fixture
def live(new_database: Callable[..., str], template: str) -> Iterator[Link]:
    with Target.of(new_database(template)).connect() as link:
        yield link


def differences(link: Link, expected: Catalog) -> tuple[Difference, ...]:
    return compare(read(link, like=expected), expected)


def fix(link: Link, found: tuple[Difference, ...]) -> None:
    for difference in found:
        statements = difference.fix.statements or difference.fix.losing
        assert statements, difference.text
        for statement in statements:
            link.execute(statement)


# What the schema has none of is compared, and nothing is offered to bring it back.
NOT_WRITTEN = {"check", "exclusion constraint", "policy", "row security", "unique constraint"}


def offered(difference: Difference) -> str:
    """Which statements are offered; a change of a type that may lose values has those that do beside those that fail."""
    return "statements" if difference.statement else "losing" if difference.losing else ""


def files(link: Link) -> list[tuple[object, ...]]:
    """The tables' files, with how many rows are in them: a table that is rewritten gets another."""
    return [
        (
            name,
            link.value("SELECT pg_relation_filenode(%s::regclass)", (name,)),
            link.rows(f"SELECT count(*) FROM {name}"),
        )
        for name in ("keepers", "animals")
    ]


@pytest.mark.parametrize("drift", DRIFTS, ids=lambda drift: drift.text[:60])
def test_a_drift_is_found_alone_and_fixed_by_what_is_printed(
    server: Server, live: Link, expected: Catalog, drift: Drift
) -> None:
    if server.version < drift.since:
        pytest.skip(f"PostgreSQL {server.version} does not know this")
    live.script(drift.sql)

    found = differences(live, expected)

    assert [one.text for one in found] == [drift.text]
    assert (found[0].safe, found[0].severity) == (drift.safe, drift.severity)
    assert drift.safe or found[0].fix.caution
    assert offered(found[0]) == drift.offered
    if not drift.offered:
        return
    before = files(live)
    fix(live, found)
    assert drift.safe is False or files(live) == before
    assert [one.text for one in differences(live, expected)] == []


def test_what_was_dropped_together_comes_back_together(live: Link, expected: Catalog) -> None:
    live.script("DROP TABLE animals, keepers CASCADE")

    found = differences(live, expected)

    assert [one.text for one in found] == [
        "table keepers is missing",
        "table animals is missing",
    ]
    fix(live, found)
    assert {one.kind for one in differences(live, expected)} <= NOT_WRITTEN


def test_a_view_in_the_place_of_a_table_is_set_aside(live: Link, expected: Catalog) -> None:
    live.script("ALTER TABLE keepers RENAME TO kept; CREATE VIEW keepers AS SELECT * FROM kept")

    found = differences(live, expected)

    assert [one.text for one in found] == [
        "table keepers is a view",
        (
            "foreign key animals_keeper_id_fkey on animals is"
            " (keeper_id) references kept (id) on delete cascade,"
            " should be (keeper_id) references keepers (id) on delete cascade"
        ),
    ]
    assert not found[0].safe
    live.script("ALTER TABLE kept DROP CONSTRAINT keepers_pkey CASCADE, DROP CONSTRAINT keepers_email_key")
    live.script("DELETE FROM animals")
    fix(live, tuple(one for one in differences(live, expected) if one.statement))
    assert {one.kind for one in differences(live, expected)} <= NOT_WRITTEN
    assert live.value("SELECT count(*) FROM keepers_aside") == 2


def test_psql_runs_what_is_printed(
    new_database: Callable[..., str], template: str, expected: Catalog, tmp_path: Path
) -> None:
    url = new_database(template)
    with Target.of(url).connect() as live:
        live.script(
            "DROP INDEX animals_status_index; ALTER TABLE animals DROP CONSTRAINT animals_keeper_id_fkey;"
            "ALTER TABLE animals ADD CONSTRAINT surplus UNIQUE (weight); ALTER TABLE animals RENAME COLUMN notes TO remarks;"
            "ALTER TABLE keepers DROP CONSTRAINT keepers_pkey; ALTER TABLE animals ALTER name DROP NOT NULL;"
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'animals_live_index'::regclass;"
            "ALTER TABLE animals DISABLE TRIGGER USER"
        )
        found = differences(live, expected)
        script = tmp_path / "fix.sql"
        script.write_text("\n".join(one.statement for one in found))
        psql = [str(embedded.programs() / "psql"), "-v", "ON_ERROR_STOP=1", "-q", "-f", str(script), url]
        subprocess.run(psql, check=True)

        assert len(found) == 9
        assert differences(live, expected) == ()


def test_a_schema_is_the_same_after_it_was_dumped_and_loaded(
    new_database: Callable[..., str], template: str, expected: Catalog
) -> None:
    first, second = new_database(template), new_database()
    dump = subprocess.run([embedded.programs() / "pg_dump", first], check=True, capture_output=True).stdout
    loaded = subprocess.run(
        [embedded.programs() / "psql", "-q", second], input=dump, capture_output=True, check=True
    )

    with Target.of(second).connect() as live:
        assert read(live) == expected, loaded.stderr
        assert differences(live, expected) == ()


def test_an_untouched_schema_has_no_difference(live: Link, expected: Catalog) -> None:
    assert len(expected.tables) == 3
    assert differences(live, expected) == ()
