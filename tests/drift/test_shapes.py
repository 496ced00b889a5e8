"""Schemas that are read together: two have the same mark exactly where a reading of each finds the same catalog."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest

from diwa_schema.database.link import Link
from diwa_schema.database.target import Target
from diwa_schema.drift.postgresql.shapes import marks
from diwa_schema.drift.read import read
from diwa_schema.names import quoted
from tests.drift import zoo
from tests.drift.drifts import DRIFTS, Drift
from tests.fixtures_databases import database_name
from tests.fixtures_server import Server

TABLES = ("animals", "keepers", "diwa_schema_version")
# One is a word of SQL, one has all that a name can have, and one begins as another one ends.
SCHEMAS = ("zoo", "select", "an \"odd\", 50%off 'name'", "old_zoo")
LIVE = "zoo"
ELSEWHERE = (
    "ALTER TABLE animals DROP CONSTRAINT animals_keeper_id_fkey, ADD CONSTRAINT animals_keeper_id_fkey"
    " FOREIGN KEY (keeper_id) REFERENCES old_zoo.keepers (id) ON DELETE CASCADE"
)


@pytest.fixture(scope="module")
def template(server: Server) -> Iterator[str]:
    name = database_name()
    with psycopg.connect(server.create(name), autocommit=True) as connection:
        for schema in SCHEMAS:
            connection.execute(f"CREATE SCHEMA {quoted(schema)}".encode())
            connection.execute("SELECT set_config('search_path', %s, false)", (quoted(schema),))
            connection.execute(zoo.POSTGRESQL.encode())
    yield name
    server.drop(name)


@pytest.fixture
def live(new_database: Callable[..., str], template: str) -> Iterator[Link]:
    """A connection in the schema that is changed, in a transaction."""
    with Target.of(new_database(template)).in_schema(LIVE).connect() as link, link.transaction():
        yield link


def test_schemas_of_one_shape_have_one_mark_whatever_they_are_called(live):
    found = marks(live, SCHEMAS, TABLES)
    assert set(found) == set(SCHEMAS)
    assert len(set(found.values())) == 1
    assert len({repr(read(live, one, tables=TABLES).tables) for one in SCHEMAS}) == 1


@pytest.mark.parametrize("drift", DRIFTS, ids=lambda drift: drift.text[:60])
def test_whatever_changes_a_catalog_changes_the_mark(server, live, drift: Drift):
    if server.version < drift.since:
        pytest.skip(f"PostgreSQL {drift.since}")
    live.script(drift.sql)
    # What hardly any schema has is left to a reading of that schema alone.
    found = marks(live, SCHEMAS, TABLES)
    assert found.get(LIVE) != found["select"]
    assert read(live, LIVE, tables=TABLES) != read(live, "select", tables=TABLES)


@pytest.mark.parametrize(
    "change",
    [
        ELSEWHERE,
        "ALTER TABLE animals DISABLE TRIGGER ALL",
        "ALTER TABLE keepers OWNER TO pg_monitor",
        "ALTER TABLE keepers REPLICA IDENTITY FULL",
        "CREATE RULE nothing AS ON DELETE TO animals DO INSTEAD NOTHING",
        "CREATE TABLE more () INHERITS (animals)",
    ],
)
def test_what_a_neighbour_or_an_owner_has_to_do_with_it_is_seen(live, change):
    live.script(change)
    found = marks(live, SCHEMAS, TABLES)
    assert found.get(LIVE) != found["select"]


def test_an_order_of_columns_may_be_another_mark_of_the_same_catalog(live):
    for schema in (LIVE, '"select"'):
        live.script(f"ALTER TABLE {schema}.animals DROP COLUMN seen_at, ADD COLUMN seen_at timestamp")
    found = marks(live, SCHEMAS, TABLES)
    assert found[LIVE] == found["select"] != found["old_zoo"]
    assert read(live, LIVE, tables=TABLES) == read(live, "old_zoo", tables=TABLES)


def test_one_owner_of_all_of_a_tenant_is_no_difference(live):
    for table in TABLES:
        live.script(f"ALTER TABLE {table} OWNER TO pg_monitor")
    live.script("ALTER VIEW busy_animals OWNER TO pg_monitor")
    assert len(set(marks(live, SCHEMAS, TABLES).values())) == 1


def test_a_schema_without_any_of_the_tables_has_no_mark(live):
    live.execute("CREATE SCHEMA empty")
    assert "empty" not in marks(live, ["empty", LIVE], TABLES)
