"""No statement that is offered loses a value: what would is told apart, with how many values would be gone."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

import diwa_schema
from diwa_schema.database.target import Target
from diwa_schema.drift.check import compare, compare_at
from diwa_schema.drift.model import Catalog, Column, Origin, Table
from diwa_schema.drift.report import Difference
from diwa_schema.migrations.manifest import load
from tests.drift.drifts import rewritten
from tests.fixtures_checkout import Cli
from tests.fixtures_server import Server

pytestmark = pytest.mark.usefixtures("owner_directory")

LONG = "x" * 400
INSERT = (
    "INSERT INTO organizations (id, name, tier, inserted_at, updated_at)"
    " VALUES (gen_random_uuid(), %s, 'free', now(), now())"
)


@pytest.fixture
def too_long(new_database: Callable[..., str], head_template: str) -> str:
    """A database whose column has become wider, and holds one value that is longer than it should be."""
    url = new_database(head_template)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER TABLE organizations ALTER name TYPE text")
        connection.execute(INSERT, (LONG,))
        connection.execute(INSERT, ("short" + " " * 300,))
        connection.execute(INSERT, ("short",))
    return url


def names(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        return sorted(row[0] for row in connection.execute("SELECT name FROM organizations"))


def test_a_value_that_is_too_long_stops_the_statement_that_is_offered(too_long: str) -> None:
    before = names(too_long)
    (found,) = diwa_schema.check(too_long)
    assert not found.safe
    with psycopg.connect(too_long, autocommit=True) as connection:
        with pytest.raises(psycopg.errors.StringDataRightTruncation):
            connection.execute(found.statement.encode())
        assert names(too_long) == before
        connection.execute("UPDATE organizations SET name = 'short'")
        connection.execute(found.statement.encode())
    assert diwa_schema.check(too_long) == []


def test_what_would_cut_it_is_told_apart_with_the_number_of_values(too_long: str, cli: Cli) -> None:
    (found,) = diwa_schema.check(too_long)
    assert found.fix.lost == 2
    assert 'USING "name"::character varying(255)' in found.losing
    printed = cli("check", "--url", too_long, check=1).stdout.splitlines()
    at = printed.index("    this statement would lose 2 values; do not run it without a backup:")
    assert printed[at + 1] == f"        {found.losing}"
    (document,) = json.loads(cli("check", "--url", too_long, "--json", check=1).stdout)["differences"]
    assert (document["fix"], document["losing"], document["lost"]) == (found.statement, found.losing, 2)


def test_where_all_fit_nothing_that_loses_is_shown(too_long: str) -> None:
    with psycopg.connect(too_long) as connection:
        connection.execute("UPDATE organizations SET name = 'short'")
    (found,) = diwa_schema.check(too_long)
    assert (found.losing, found.fix.lost) == ("", 0)


def test_a_column_of_somebody_elses_is_dropped_by_nothing_that_is_offered(at_head: str) -> None:
    with Target.of(at_head).connect() as link:
        link.execute("ALTER TABLE tasks ADD COLUMN surplus text DEFAULT 'kept'")
        (found,) = compare_at(link, load().head)
        assert (found.statement, found.fix.lost) == ("", 0)
        assert "DROP COLUMN" in found.losing


def test_values_that_cannot_be_counted_are_told_so(too_long: str, cli: Cli) -> None:
    with psycopg.connect(too_long) as connection:
        connection.execute("ALTER TABLE organizations ALTER updated_at TYPE text")
        connection.execute("UPDATE organizations SET updated_at = 'never', name = 'short'")
    found = diwa_schema.check(too_long)[-1]
    assert found.losing
    assert found.fix.lost is None
    assert "lose an unknown number of values" in cli("check", "--url", too_long, check=1).stdout


def test_counting_sees_the_rows_that_a_policy_hides_or_says_nothing(too_long: str) -> None:
    name = "diwa_test_shy_counter"
    with psycopg.connect(too_long, autocommit=True) as connection:
        connection.execute(f"DROP ROLE IF EXISTS {name}")
        connection.execute(f"CREATE ROLE {name}")
        try:
            connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}")
            connection.execute("ALTER TABLE organizations ENABLE ROW LEVEL SECURITY")
            connection.execute(f"SET ROLE {name}")
            with Target.of(too_long).connect(settle=False) as link:
                link.execute(f"SET ROLE {name}")
                assert link.value("SELECT count(*) FROM organizations") == 0
                found = compare_at(link, load().head)
        finally:
            connection.execute("RESET ROLE")
            connection.execute(f"DROP OWNED BY {name}")
            connection.execute(f"DROP ROLE {name}")
    assert [one.fix.lost for one in found if one.losing] == [None]


# Types that somebody may have given a column, and values of each that another type may not hold.
TYPES = {
    "text": ("'007'", "'yes'", "repeat('x', 300)", "'12.50'", "'a   '", "'2024-01-02 03:04:05.678'"),
    "character varying(255)": ("'7'", "'t'", "'b' || repeat(' ', 20)"),
    "character varying(10)": ("'true'", "'1e3'"),
    "integer": ("7", "-2147483648"),
    "bigint": ("7", "9007199254740993"),
    "numeric(12,2)": ("7.00", "1234567.89"),
    "double precision": ("7", "0.1::float8 + 0.2::float8", "'infinity'"),
    "real": ("7", "0.1"),
    "boolean": ("true", "false"),
    "timestamp without time zone": ("'2024-01-02 03:04:05.678'", "'2024-01-02'", "'infinity'"),
    "timestamp(0) without time zone": ("'2024-01-02 03:04:05'",),
    "timestamp with time zone": ("'2024-01-02 03:04:05.5+02'", "'2024-01-02'"),
    "jsonb": ("'{\"a\": [1, 2]}'", "'7'", "'\"x\"'"),
    "uuid": ("'00000000-0000-0000-0000-000000000001'",),
    "character varying(255)[]": ("'{a,b}'", "'{}'"),
}
VALUES = "SELECT v::text FROM t ORDER BY id"


@pytest.fixture(scope="module")
def scratch(server: Server) -> Iterator[psycopg.Connection]:
    name = "diwa_test_losses"
    server.drop(name)
    with psycopg.connect(server.create(name), autocommit=True) as connection:
        connection.execute("SET TimeZone = 'Pacific/Auckland'")
        yield connection
    server.drop(name)


def retyped(found: str, expected: str) -> Difference:
    """What is offered to give a column of one type another."""
    origin = Origin("public", vector=True)
    live, wanted = (
        Catalog("postgresql", (Table("t", (Column("id", "integer"), Column("v", kind))),), origin=origin)
        for kind in (found, expected)
    )
    (difference,) = compare(live, wanted)
    return difference


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ("character varying(10)", "character varying(255)"),
        ("character varying(10)", "text"),
        ("timestamp(0) without time zone", "timestamp without time zone"),
        ("numeric(10,2)", "numeric(12,2)"),
        ("character varying(10)[]", "character varying(255)[]"),
        ("character varying(10)[]", "text[]"),
        ("integer", "bigint"),
    ],
)
def test_a_change_of_a_type_is_safe_where_the_server_rewrites_nothing(
    scratch: psycopg.Connection, found: str, expected: str
) -> None:
    files = []
    scratch.execute("DROP TABLE IF EXISTS t")
    scratch.execute(f"CREATE TABLE t (id integer, v {found})".encode())
    for statement in ("SELECT 1", f"ALTER TABLE t ALTER COLUMN v TYPE {expected}"):
        scratch.execute(statement.encode())
        files += scratch.execute("SELECT relfilenode FROM pg_class WHERE oid = 't'::regclass").fetchall()
    assert retyped(found, expected).safe == (files[0] == files[1])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_change_of_a_type_that_is_offered_changes_what_a_value_says(
    scratch: psycopg.Connection, data: st.DataObject
) -> None:
    found, expected = data.draw(st.permutations(sorted(TYPES)))[:2]
    values = data.draw(st.lists(st.sampled_from(TYPES[found]), max_size=3))
    offered = retyped(found, expected)
    scratch.execute("DROP TABLE IF EXISTS t")
    scratch.execute(f"CREATE TABLE t (id integer, v {found})".encode())
    for number, value in enumerate(values):
        scratch.execute(f"INSERT INTO t VALUES ({number}, {value})".encode())
    before = scratch.execute(VALUES).fetchall()
    with suppress(psycopg.errors.DataError, psycopg.errors.CannotCoerce):
        scratch.execute(offered.statement.encode())
    # Back again by the losing way: had a value been changed on the way there, it would not be the one that it was.
    (kind,) = scratch.execute(
        "SELECT format_type(atttypid, atttypmod) FROM pg_attribute"
        " WHERE attrelid = 't'::regclass AND attname = 'v'"
    ).fetchone() or ("",)
    if kind != found:
        assert kind == expected
        back = retyped(expected, found)
        scratch.execute((back.losing or back.statement).encode())
    assert scratch.execute(VALUES).fetchall() == before


@pytest.mark.parametrize("value", ["007", "1e3", "many"])
def test_a_value_of_sqlite_that_another_type_would_change_stops_the_copy(
    head_file: Path, tmp_path: Path, value: str
) -> None:
    path = tmp_path / "drifted.db"
    path.write_bytes(head_file.read_bytes())
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.executescript(
            rewritten("memory_versions", "version_number INTEGER", "version_number TEXT")
        )
    with Target.of(f"sqlite:///{path}").connect() as link:
        columns = [row[1] for row in link.rows("PRAGMA table_info(memory_versions)")]
        marks = ", ".join(f"'{value}'" for _ in columns)
        link.execute(f"INSERT INTO memory_versions VALUES ({marks})")
        (found,) = compare_at(link, load().head)
        refused = []
        for statement in found.fix.statements:
            try:
                link.execute(statement)
            except sqlite3.Error as error:
                refused.append(str(error))
        assert refused[0].startswith("CHECK constraint failed")
        assert link.rows("SELECT version_number FROM memory_versions") == [(value,)]
        assert [one.text for one in compare_at(link, load().head)] == [found.text]


def test_a_lost_table_comes_from_the_backup_and_never_empty(at_head: str, cli: Cli) -> None:
    sqlite_file = at_head.startswith("sqlite")
    with Target.of(at_head).connect() as link:
        for name in ("embedding_cache", "tasks"):
            link.execute(f"DROP TABLE {name}")
    found = {one.object: one for one in diwa_schema.check(at_head) if one.kind == "table"}
    assert set(found) == {"embedding_cache", "tasks"}
    for name, one in found.items():
        assert (one.statement, one.safe, one.fixable, one.fix.lost) == ("", False, False, None)
        first, second, *rest = one.way()
        assert first.startswith("Its rows are lost with it. Restore the table from the backup")
        assert ("after the extension vector" in first) is (name == "embedding_cache" and not sqlite_file)
        assert second == "only if it had no rows, or nobody needs them, create an empty one:"
        assert any("CREATE TABLE" in line for line in rest)
    printed = cli("check", "--url", at_head, check=1).stdout
    assert printed.index("Its rows are lost") < printed.index("CREATE TABLE")
    # The statement that gives the rows up is complete.
    with Target.of(at_head).connect() as link:
        for one in found.values():
            for statement in one.fix.losing:
                link.execute(statement)
    assert [one.text for one in diwa_schema.check(at_head) if one.kind == "table"] == []
