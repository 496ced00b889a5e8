"""What adoption takes for ours, what it refuses and fixes, and what it leaves to others."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

import diwa_schema
from diwa_schema import api
from diwa_schema.database.target import Target
from diwa_schema.errors import DatabaseRefused, SchemaEmpty
from diwa_schema.migrations.ecto import AGENT
from diwa_schema.migrations.manifest import load
from tests.fixtures_roles import as_user

pytestmark = pytest.mark.usefixtures("owner_directory")

HEAD = load().head


def test_ecto_beside_it_sees_nothing_pending(legacy):
    url = legacy("head_fresh", lite=True)
    with Target.of(url).connect() as link:
        link.execute("DELETE FROM schema_migrations WHERE version > 20260119152124")
        link.script(
            "ALTER TABLE memory_versions DROP COLUMN version_number;"
            "DROP INDEX organizations_slug_index; DROP INDEX organizations_custom_domain_index;"
            "ALTER TABLE organizations DROP COLUMN slug; ALTER TABLE organizations DROP COLUMN custom_domain;"
        )
    assert api.adopt(url).after == "20260119152124"
    api.migrate(url)
    with Target.of(url).connect() as link:
        recorded = [str(row[0]) for row in link.rows("SELECT version FROM schema_migrations ORDER BY 1")]
    assert recorded == sorted([*load().ids[:32], str(AGENT)])
    api.downgrade(url, "20260227100000", confirm=Path(url).name)
    with Target.of(url).connect() as link:
        assert link.value("SELECT max(version) FROM schema_migrations") == 20260227100000


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_a_database_of_the_community_edition(legacy, journal):
    url = legacy("head_fresh", lite=True)
    path = url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA journal_mode = {journal}")
        before = _lite(connection)
    assert api.adopt(embedded=path).after == "20260228010000"
    assert api.migrate(embedded=path).after == HEAD
    assert api.check(url) == []
    with closing(sqlite3.connect(path)) as connection:
        after = _lite(connection)
    assert {table: [row for row in after[table] if row[0] != AGENT] for table in before} == before


def _lite(connection: sqlite3.Connection) -> dict[str, list[tuple[object, ...]]]:
    names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return {
        name: sorted(
            connection.execute(f"SELECT {_ectos(connection, name)} FROM {name}").fetchall(), key=repr
        )
        for name in names
        if not name.startswith("diwa_schema_")
    }


def _ectos(connection: sqlite3.Connection, table: str) -> str:
    """Return the columns that a table has without those that later revisions add or fill."""
    later = {
        ("memories", "arrived_at"),
        ("memories", "organization_id"),
        ("memory_versions", "version_number"),
        ("organizations", "slug"),
        ("usage_records", "organization_id"),
    }
    names = (row[1] for row in connection.execute(f"PRAGMA table_info({table})"))
    return ", ".join(name for name in names if (table, name) not in later)


V1_ROWS = """
INSERT INTO organizations (id, name, inserted_at, updated_at) VALUES
  ('00000000-0000-4000-8000-000000000001', 'Acme', '2026-01-05T10:00:00.123456', '2026-01-05T10:00:00.123456');
INSERT INTO contexts (id, name, organization_id, inserted_at, updated_at) VALUES
  ('00000000-0000-4000-8000-000000000011', 'one', '00000000-0000-4000-8000-000000000001', '2026-01-05T10:00:00', '2026-01-05T10:00:00'),
  ('00000000-0000-4000-8000-000000000012', 'two', NULL, '2026-01-05T10:00:00', '2026-01-05T10:00:00');
INSERT INTO memories (id, content, tags, metadata, context_id, parent_id, inserted_at, updated_at) VALUES
  ('00000000-0000-4000-8000-000000000022', 'child', '["a","b, c"]', '{"type": "lesson"}', '00000000-0000-4000-8000-000000000011',
   NULL, '2026-01-05T10:00:00', '2026-01-05T10:00:00'),
  ('00000000-0000-4000-8000-000000000021', 'parent', 'red, green', NULL, '00000000-0000-4000-8000-000000000011',
   '00000000-0000-4000-8000-000000000022', '2026-01-05T10:00:00', '2026-01-05T10:00:00'),
  ('00000000-0000-4000-8000-000000000023', 'odd', NULL, 'no json', '00000000-0000-4000-8000-000000000012', NULL,
   '2026-01-05T10:00:00', '2026-01-05T10:00:00');
INSERT INTO memory_versions (id, content, tags, metadata, memory_id, inserted_at, updated_at) VALUES
  ('00000000-0000-4000-8000-000000000031', 'v', NULL, '{}', '00000000-0000-4000-8000-000000000021', '2026-01-05T10:00:00', '2026-01-05T10:00:00');
INSERT INTO shortcut_aliases (id, alias_name, target_tool, args_schema, inserted_at, updated_at) VALUES
  ('00000000-0000-4000-8000-000000000041', 'x', 'y', '["q"]', '2026-01-05T10:00:00', '2026-01-05T10:00:00');
"""


@pytest.fixture(params=["postgresql", "sqlite"])
def first_lineage(request, legacy):
    """A database of the agent's first lineage, with rows."""
    url = legacy("agent_v1", lite=request.param == "sqlite", rows=False)
    with Target.of(url).connect() as link:
        link.script(V1_ROWS)
    return url


def test_the_agents_first_lineage_is_built_anew(first_lineage):
    url = first_lineage
    told: list[str] = []

    class Told:
        def say(self, line: str) -> None:
            told.append(line)

    assert api.examine(url).variant.reshape
    report = api.adopt(url, progress=Told())  # type: ignore[arg-type]
    assert report.after == "20260107000000"
    assert api.check(url) == []
    assert api.migrate(url).after == HEAD
    assert api.check(url) == []
    assert any("metadata stays in diwa_schema_kept_memories" in line for line in told)
    assert any("had no organization" in line for line in told)
    lite = url.startswith("sqlite")
    with Target.of(url).connect() as link:
        tags = dict(link.rows("SELECT content, tags FROM memories"))
        split = {name: json.loads(value) if lite else value for name, value in tags.items()}
        assert split == {"child": ["a", "b, c"], "parent": ["red", "green"], "odd": []}
        assert link.value("SELECT count(*) FROM memories WHERE parent_id IS NOT NULL") == 1
        assert link.value("SELECT metadata FROM diwa_schema_kept_memories WHERE content = 'odd'") == "no json"
        assert (
            link.value(
                "SELECT o.name FROM organizations o JOIN contexts c ON c.organization_id = o.id WHERE c.name = 'two'"
            )
            == "Default"
        )
        assert link.value("SELECT count(*) FROM memory_versions") == 1
    with pytest.raises(DatabaseRefused, match="first lineage"):
        api.downgrade(url, "20251231080526")
    name = Path(url).name
    assert api.downgrade(url, "20260107000000", confirm=name).after == "20260107000000"


def test_a_row_of_sqlite_without_an_id_is_taken_along(legacy):
    """SQLite takes NULL in a primary key that is a text, even twice."""
    url = legacy("agent_v1", lite=True, rows=False)
    with Target.of(url).connect() as link:
        link.script(V1_ROWS)
        columns = "content, tags, metadata, context_id, parent_id, inserted_at, updated_at"
        for _ in range(2):
            link.execute(
                f"INSERT INTO memories ({columns}) SELECT {columns} FROM memories WHERE id IS NOT NULL"
            )
    api.adopt(url)
    with Target.of(url).connect() as link:
        assert link.rows("SELECT content, count(*) FROM memories WHERE id IS NULL GROUP BY 1 ORDER BY 1") == [
            ("child", 2), ("odd", 2), ("parent", 2),
        ]  # fmt: skip


def test_the_seven_rows_alone_are_not_the_first_lineage(legacy, dump):
    url = legacy("head_fresh", lite=True)
    with Target.of(url).connect() as link:
        for version in range(20250101000001, 20250101000008):
            link.execute("INSERT INTO schema_migrations (version) VALUES (%s)", (version,))
    assert not api.examine(url).variant.reshape
    assert api.adopt(url).after == "20260228010000"


def test_an_agent_release_on_its_own(legacy):
    sqlite = legacy("agent_release", lite=True, rows=False)
    with Target.of(sqlite).connect() as link:
        link.execute(
            "INSERT INTO tala_operations (id, context_id, session_id, tool_name) VALUES ('not-a-uuid', 'c', 's', 't')"
        )
    assert api.adopt(sqlite).after is None
    assert api.migrate(sqlite).after == HEAD
    assert api.check(sqlite) == []
    with Target.of(sqlite).connect() as link:
        assert link.row("SELECT id, context_id, tool_name FROM tala_operations") == ("not-a-uuid", "c", "t")


def test_gaps_are_refused(legacy, dump):
    url = legacy("head_fresh", lite=True)
    with Target.of(url).connect() as link:
        link.execute("DELETE FROM schema_migrations WHERE version = 20260107000000")
    before = dump(url)
    for call in (api.examine, api.adopt):
        with pytest.raises(DatabaseRefused, match="not 20260107000000"):
            call(url)
    assert dump(url) == before


def test_versions_of_a_neighbour_are_left_alone(legacy):
    url = legacy("head_fresh", lite=True)
    with Target.of(url).connect() as link:
        link.execute("INSERT INTO schema_migrations (version) VALUES (20270101000000)")
    assert api.examine(url).variant.strange == (20270101000000,)
    assert api.adopt(url).after == "20260228010000"
    api.migrate(url)
    with Target.of(url).connect() as link:
        assert link.value("SELECT max(version) FROM schema_migrations") == 20270101000000


def test_what_differs_is_refused_listed_and_fixed(legacy, dump):
    url = legacy("head_fresh", lite=True)
    with Target.of(url).connect() as link:
        link.execute("DROP INDEX tasks_status_index")
    before = dump(url)
    with pytest.raises(DatabaseRefused, match="tasks_status_index") as caught:
        api.adopt(url)
    assert caught.value.exit_code == 7
    assert "--fix" in caught.value.next_step
    assert dump(url) == before
    assert api.adopt(url, fix=True).after == "20260228010000"
    # The fixes are their own transactions, so their start is recorded before them.
    (first,) = [one for one in api.history(url) if one["revision"] is None]
    assert (first["id"], first["kind"], first["outcome"]) == (1, "adopt", "applied")
    api.migrate(url)
    assert api.check(url) == []


def test_an_empty_database_has_nothing_to_adopt(database):
    with pytest.raises(SchemaEmpty, match="upgrade"):
        api.adopt(database)


@pytest.mark.parametrize("lite", [False, True])
@pytest.mark.parametrize("shape", ["agent_local", "head_disabled"])
def test_the_agents_own_migration_is_on_record_once_its_tables_are_there(legacy, cli, shape, lite):
    """Ecto asks its list which files of a folder are pending, whoever made the tables."""
    url = legacy(shape, lite=lite)
    api.adopt(url)
    api.migrate(url)
    with Target.of(url).connect() as link:
        listed = {version for (version,) in link.rows("SELECT version FROM schema_migrations")}
        assert {AGENT, *map(int, load().ids[:32])} <= listed
        diwa_schema.ensure_current(url)
        if lite:
            link.execute("DROP TRIGGER diwa_schema_keep_versions_delete")
        else:
            link.execute("ALTER TABLE schema_migrations DISABLE TRIGGER diwa_schema_keep_versions")
        link.execute("DELETE FROM schema_migrations WHERE version = %s", (AGENT,))
    assert str(AGENT) in cli("upgrade", "--url", url, check=7).stderr
    assert str(AGENT) in cli("check", "--url", url, check=1).stdout
    with pytest.raises(DatabaseRefused, match=str(AGENT)):
        diwa_schema.ensure_current(url)


def test_schema_migrations_of_another_application_is_no_database_of_ours(database):
    with Target.of(database).connect() as link:
        link.execute("CREATE TABLE schema_migrations (version bigint PRIMARY KEY, inserted_at timestamp)")
        link.execute("INSERT INTO schema_migrations (version) VALUES (20240101000000)")
    assert api.migrate(database).after == HEAD
    with Target.of(database).connect() as link:
        assert link.rows("SELECT version FROM schema_migrations") == [(20240101000000,)]


def test_tables_in_a_schema_of_their_own(legacy, server):
    url = legacy("head_disabled")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER SCHEMA public RENAME TO diwa")
        connection.execute("CREATE SCHEMA public")
    inside = f"{url}?options=-csearch_path%3Ddiwa%2Cpublic"
    assert api.adopt(inside).after == "20260228010000"
    assert api.migrate(inside).after == HEAD
    assert api.check(inside) == []
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT to_regclass('public.diwa_schema_version')").fetchone() == (None,)


@pytest.mark.parametrize("name", ['$body$ $x $do$ it\'s %s "%(a)s" \\ {x} :y'])
def test_a_schema_and_an_owner_of_any_name(legacy, server, cli, name):
    """Names stand in code between dollar signs: that of the trigger that keeps Ecto's list, and that of a retype's."""
    url = legacy("agent_local")
    made, roles = sql.Identifier(name), [f"{name}_{what}" for what in ("owner", "app", "reader")]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("ALTER SCHEMA public RENAME TO {}").format(made))
        connection.execute("CREATE SCHEMA public")
        connection.execute(
            "CREATE EXTENSION IF NOT EXISTS vector SCHEMA public" if server.has_vector else "SELECT 1"
        )
        connection.execute(
            sql.SQL("CREATE ROLE {} LOGIN SUPERUSER PASSWORD 'p'").format(sql.Identifier(roles[0]))
        )
        try:
            as_owner = as_user(url, roles[0], "p")
            named = ("--url", as_owner, "--schema", name)
            cli("adopt", *named, check=0)
            connection.execute(sql.SQL("SET search_path = {}, public").format(made))
            for change in (
                "DELETE FROM schema_migrations",
                "INSERT INTO schema_migrations VALUES (1, now())",
            ):
                with pytest.raises(psycopg.errors.RaiseException, match="kept by diwa-schema"):
                    connection.execute(change)
            before = connection.execute("SELECT count(embedding) FROM memories").fetchone()
            cli("upgrade", *named, check=0)
            assert (
                connection.execute("SELECT count(*) FROM diwa_schema_embedding_archive").fetchone() == before
            )
            if server.has_vector:
                cli("disable-vector", *named, check=0)
                assert connection.execute("SELECT count(embedding) FROM memories").fetchone() == before
            taken = (
                "--apply",
                "--take-ownership",
                "--owner",
                roles[0],
                "--app",
                roles[1],
                "--reader",
                roles[2],
            )
            cli("roles", *named, *taken, check=0)
            cli("check", *named, check=0)
        finally:
            made_roles = "SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)"
            for (found,) in connection.execute(made_roles, (roles,)).fetchall():
                role = sql.Identifier(found)
                connection.execute(sql.SQL("REASSIGN OWNED BY {} TO CURRENT_USER").format(role))
                connection.execute(sql.SQL("DROP OWNED BY {}").format(role))
                connection.execute(sql.SQL("DROP ROLE {}").format(role))


def test_the_plan_says_what_the_upgrade_after_it_would_meet(legacy, cli):
    url = legacy("agent_local")
    with Target.of(url).connect("diwa-test application") as link:
        link.execute("CREATE VIEW mine AS SELECT id, embedding FROM memories")
        short = link.value("SELECT count(embedding) FROM memories")
        planned = cli("adopt", "--plan", "--url", url, check=0).stdout.splitlines()
        cli("adopt", "--url", url, check=0)
        said = cli("plan", "--url", url, check=0).stdout.splitlines()
    told = said[next(at for at, line in enumerate(said) if " -> " in line) :]
    assert [f"    {line}" for line in told] == planned[-len(told) :]
    text = "\n".join(told)
    assert "IN THE WAY of 20260228010000" in text
    assert "view mine" in text
    assert "Open connections: 1 of 'diwa-test application diwa/" in text
    assert short
    assert f"{short} values of memories.embedding with another length: the run moves them to" in text
    with Target.of(url).connect() as link:
        link.execute("DROP VIEW mine")
    api.migrate(url)
    with Target.of(url).connect() as link:
        assert link.value("SELECT count(*) FROM diwa_schema_embedding_archive") == short
