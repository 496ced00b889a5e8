"""What `check` says of a database at head: nothing of an untouched one, all that matters of others."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable

import pytest

import diwa_schema
from diwa_schema.database.target import Target
from diwa_schema.database.url import parse
from diwa_schema.drift import check
from diwa_schema.drift.optional import OPTIONAL
from diwa_schema.errors import NotAdopted, SchemaForeign
from diwa_schema.migrations.manifest import load
from diwa_schema.testing import embedded
from tests.fixtures_checkout import Cli
from tests.fixtures_server import Server

pytestmark = pytest.mark.usefixtures("owner_directory")


def run(url: str, *statements: str) -> None:
    with Target.of(url).connect() as link:
        for statement in statements:
            link.execute(statement)


def said(url: str) -> list[str]:
    return [one.text for one in diwa_schema.check(url)]


@pytest.fixture
def head(postgres: str) -> str:
    diwa_schema.migrate(postgres)
    return postgres


def test_nothing_is_said_of_an_untouched_database(database: str) -> None:
    diwa_schema.migrate(database)
    assert diwa_schema.check(database) == []


def test_nothing_is_said_after_it_was_dumped_and_loaded(head: str, new_database: Callable[..., str]) -> None:
    second = new_database()
    dumped = subprocess.run([embedded.programs() / "pg_dump", head], check=True, capture_output=True).stdout
    subprocess.run(
        [embedded.programs() / "psql", "-q", second], input=dumped, capture_output=True, check=True
    )
    assert diwa_schema.status(second).current
    assert diwa_schema.check(second) == []


def test_how_a_session_likes_its_output_makes_no_difference(head: str) -> None:
    with Target.of(head).connect() as link:
        link.script(
            "SET quote_all_identifiers = on; SET DateStyle = 'German'; SET IntervalStyle = 'iso_8601'"
        )
        assert check.check(link) == []
        assert link.value("SHOW quote_all_identifiers") == "on"


def test_nothing_is_changed_by_looking(database: str, dump: Callable[[str], str]) -> None:
    diwa_schema.migrate(database)
    run(database, "DROP INDEX tasks_status_index", "ALTER TABLE tasks ADD COLUMN surplus integer")
    before = dump(database)
    assert len(diwa_schema.check(database)) == 2
    assert dump(database) == before


def test_what_is_not_ours_is_none_of_our_business(head: str) -> None:
    run(
        head,
        "CREATE TABLE invoices (id int UNIQUE)",
        "CREATE VIEW open_tasks AS SELECT * FROM tasks WHERE status = 'pending'",
        "CREATE FUNCTION answer() RETURNS int LANGUAGE sql AS 'SELECT 42'",
        "CREATE TYPE colour AS ENUM ('red')",
        "CREATE SEQUENCE numbers",
        "CREATE SCHEMA other",
        "CREATE TABLE other.tasks (id int)",
    )
    assert said(head) == []


def test_defaults_that_yield_random_ids_are_the_same(head: str) -> None:
    run(
        head,
        "CREATE FUNCTION uuid_generate_v4() RETURNS uuid LANGUAGE sql AS 'SELECT gen_random_uuid()'",
        "ALTER TABLE contexts ALTER id SET DEFAULT uuid_generate_v4()",
        "ALTER TABLE memories ALTER id SET DEFAULT public.uuid_generate_v4()",
    )
    assert said(head) == []
    run(head, "ALTER TABLE contexts ALTER id SET DEFAULT '00000000-0000-0000-0000-000000000000'")
    assert len(said(head)) == 1


@pytest.mark.parametrize("table", ["memories", "embedding_cache"])
def test_embeddings_may_be_bytes_or_vectors_and_nothing_else(head: str, server: Server, table: str) -> None:
    retype = f"ALTER TABLE {table} ALTER COLUMN embedding TYPE {{}} USING NULL"
    run(head, retype.format("bytea"))
    assert said(head) == []
    run(head, retype.format("text"))
    wanted = "vector(1536)" if server.has_vector else "bytea"
    assert said(head) == [f"column embedding on {table} is text, should be {wanted}"]
    (found,) = diwa_schema.check(head)
    run(head, *(found.fix.statements or found.fix.losing))  # text to bytea may lose, text to vector not
    assert said(head) == []
    if server.has_vector:
        run(head, retype.format("vector(384)"))
        assert said(head) == [f"column embedding on {table} is vector(384), should be vector(1536)"]


def test_optional_indexes_may_be_there_or_not(head: str, server: Server) -> None:
    if not server.has_vector:
        pytest.skip("no pgvector here")
    index = OPTIONAL[0].index
    assert index.name == "memories_embedding_idx"
    run(head, "CREATE INDEX memories_embedding_idx ON memories USING hnsw (embedding vector_cosine_ops)")
    assert said(head) == []
    run(head, "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'memories_embedding_idx'::regclass")
    (found,) = diwa_schema.check(head)
    assert found.severity == "note"
    assert "INVALID" in found.text
    run(head, *(found.fix.statements or found.fix.losing))  # text to bytea may lose, text to vector not
    assert said(head) == []


def test_a_table_that_belongs_to_somebody_else_is_drift(head: str) -> None:
    run(head, "ALTER TABLE tasks OWNER TO pg_monitor")
    assert said(head) == ["table tasks is owned by pg_monitor, not by the owner of the version table"]
    run(head, "ALTER TABLE diwa_schema_version OWNER TO pg_monitor")
    assert len(said(head)) > 30


def test_a_database_that_is_at_no_revision_is_refused(legacy: Callable[[str], str], postgres: str) -> None:
    with pytest.raises(NotAdopted):
        diwa_schema.check(legacy("sqlite_head"))
    run(postgres, "CREATE TABLE tasks (id int)")
    with pytest.raises(SchemaForeign):
        diwa_schema.check(postgres)


def test_of_an_empty_database_nothing_is_compared_and_the_command_says_so(database: str, cli: Cli) -> None:
    said = (
        "note: the database has no part of the schema, so nothing was compared\n"
        f"    Run: diwa-schema upgrade {parse(database).options()}\n"
    )
    assert cli("check", "--url", database, check=0).stdout == said
    diwa_schema.migrate(database, repo="diwa-schema")
    diwa_schema.downgrade(database, "base", repo="diwa-schema")
    assert cli("check", "--url", database, check=0).stdout == said
    if database.startswith("postgresql"):
        assert "has no part" in cli("fleet", "check", "--url", database).stdout


def test_a_column_that_is_added_again_does_not_bring_its_values_back(database: str, cli: Cli) -> None:
    diwa_schema.migrate(database)
    run(database, "ALTER TABLE sessions DROP COLUMN summary")
    printed = cli("check", "--url", database, check=1).stdout
    assert "column summary is missing on sessions\n    ALTER TABLE" in printed
    assert (
        "    safe on a live table. The new column is empty: values that the lost one had are only in a backup.\n"
        in printed
    )


def test_the_command_says_what_and_how_and_ends_with_1(head: str, cli: Cli) -> None:
    last, before = load().head, load().ids[-2]
    said = cli("check", "--url", head, check=0).stdout
    assert said == f"No differences.\nCompared with revision {last}, the head.\n"

    run(head, "CREATE INDEX mine ON tasks (title)")
    noted = cli("check", "--url", head, check=0).stdout
    assert "note: index mine is not part of the schema on tasks" in noted

    run(head, "DROP INDEX tasks_status_index", "ALTER TABLE plans ADD surplus int")
    printed = cli("check", "--url", head, check=1).stdout
    assert "index tasks_status_index is missing on tasks\n" in printed
    assert (
        'CREATE INDEX CONCURRENTLY "tasks_status_index" ON "public"."tasks" USING btree ("status");'
        in printed
    )
    assert "safe on a live table" in printed
    assert (
        "column surplus is not part of the schema on plans\n"
        "    Dropping it loses its values: find out its purpose first.\n"
        "    this statement would lose 0 values; do not run it without a backup:\n"
        '        ALTER TABLE "public"."plans" DROP COLUMN "surplus";\n'
    ) in printed

    document = json.loads(cli("check", "--url", head, "--json", check=1).stdout)
    assert document["drift"] == 2
    assert [(one["object"], one["safe"], one["severity"]) for one in document["differences"]] == [
        ("mine", False, "note"),
        ("tasks_status_index", True, "drift"),
        ("surplus", False, "drift"),
    ]
    assert (document["revision"], document["head"], document["pending"]) == (last, last, [])
    for one in document["differences"]:
        run(head, one["fix"] or one["losing"])
    cli("check", "--url", head, check=0)

    diwa_schema.downgrade(head, "-1", repo="diwa-schema")
    behind = cli("check", "--url", head, check=0).stdout
    assert behind.startswith(
        f"No differences.\nCompared with revision {before}. The head, {last}, is 1 revision further"
    )
    assert "run: diwa-schema upgrade" in behind
    document = json.loads(cli("check", "--url", head, "--json", check=0).stdout)
    assert (document["revision"], document["head"], document["pending"]) == (before, last, [last])
