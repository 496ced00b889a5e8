"""A retype keeps every value and property, or is refused at once, whatever a database has beside our tables."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings, strategies as st

from diwa_schema import api
from diwa_schema.database.target import Target
from diwa_schema.errors import MigrationFailed
from diwa_schema.migrations import pgvector, steps
from diwa_schema.migrations.manifest import load
from diwa_schema.migrations.steps.dependents import dependents
from diwa_schema.models.types.erlang import encode_floats
from diwa_schema.names import literal, quoted
from tests.fixtures_server import Server
from tests.migrations.replaying import HISTORY, bound, paced, position, shape, transaction, up
from tests.migrations.rows import embeddings, floats, insert_memories, memory

BEFORE = "20260228000500"
AFTER = "20260228010000"

Connect = Callable[[str], sa.Connection]


@pytest.fixture(autouse=True)
def _needs_vector(server: Server):
    if not server.has_vector:
        pytest.skip("this server does not have pgvector")


def given_bytes() -> dict[UUID, bytes | None]:
    return {memory(number): encode_floats(floats(1536, number)) for number in range(12)}


@pytest.fixture
def before(postgres_at: Callable[[str], str], connect: Connect) -> sa.Connection:
    """A database with twelve memories that have an embedding as bytes."""
    connection = connect(postgres_at(BEFORE))
    insert_memories(connection, dict(given_bytes()))
    return connection


@pytest.fixture
def migrator(before: sa.Connection) -> Iterator[str]:
    """A login that owns the tables and is no superuser."""
    name = f"diwa_test_migrator_{uuid4().hex[:8]}"
    run = before.exec_driver_sql
    database = before.engine.url.database
    run(f"CREATE ROLE {name} LOGIN")
    run(f"GRANT ALL ON SCHEMA public TO {name}")
    run(f"GRANT ALL ON DATABASE {database} TO {name}")
    for table in run(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
    ):
        run(f"ALTER TABLE {table[0]} OWNER TO {name}")
    yield name
    run(f"REASSIGN OWNED BY {name} TO CURRENT_USER")
    run(f"DROP OWNED BY {name}")
    run(f"DROP ROLE {name}")


def to_vector() -> None:
    steps.retype_embedding("memories", to="vector")


def to_bytes() -> None:
    steps.retype_embedding("memories", to="bytes")


def url_of(connection: sa.Connection, role: str | None = None) -> str:
    url = connection.engine.url.set(drivername="postgresql")
    return (url.set(username=role) if role else url).render_as_string(hide_password=False)


def kind(connection: sa.Connection, schema: str = "public") -> str:
    return str(
        connection.exec_driver_sql(
            "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attname = 'embedding'"
            f" AND attrelid = to_regclass({literal(f'{quoted(schema)}.memories')})".replace("%", "%%")
        ).scalar_one()
    )


def numbers(value: object) -> list[float]:
    return [float(number) for number in str(value)[1:-1].split(",")]


@pytest.mark.parametrize(
    ("session", "statement"),
    [
        ("SET session_replication_role = replica", "UPDATE memories SET embedding = %s WHERE id = %s"),
        ("SET session_replication_role = replica", None),
        (
            # Somebody's trigger writes the column, which the statement does not name.
            (
                "CREATE FUNCTION takes() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                " NEW.embedding := decode(NEW.content, 'hex'); NEW.content := 'done'; RETURN NEW; END $$;"
                " CREATE TRIGGER takes BEFORE UPDATE OF content ON memories FOR EACH ROW EXECUTE FUNCTION takes()"
            ),
            "UPDATE memories SET content = encode(%s, 'hex') WHERE id = %s",
        ),
    ],
    ids=["replica updates", "replica inserts", "trigger of others"],
)
def test_no_way_of_writing_is_missed(before: sa.Connection, session: str, statement: str | None):
    wanted = {row: floats(1536, number) for number, row in enumerate(given_bytes())}
    with psycopg.connect(url_of(before), autocommit=True) as writer:
        writer.execute(session.encode())
        count = iter(range(100, 1000))

        def write() -> None:
            if kind(before) != "bytea":
                return
            number = next(count)
            value = encode_floats(floats(1536, number))
            row = memory(number) if statement is None else sorted(given_bytes())[number % 12]
            if statement is not None:
                writer.execute(statement.encode(), (value, row))
            else:
                writer.execute(
                    "INSERT INTO memories (id, context_id, content, embedding, inserted_at, updated_at)"
                    " SELECT %s, context_id, 'c', %s, now(), now() FROM memories LIMIT 1",
                    (row, value),
                )
            wanted[row] = floats(1536, number)

        paced(before, to_vector, between=write)
    assert next(count) > 108
    assert {row: numbers(value) for row, value in embeddings(before).items()} == wanted


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_what_is_committed_while_the_swap_waits_is_not_lost(before: sa.Connection, migrator: str, level: str):
    """The role's transactions would read as of their beginning, before the lock, were the level not said."""
    before.exec_driver_sql(f"ALTER ROLE {migrator} SET default_transaction_isolation = '{level}'")
    row, value = memory(3), encode_floats(floats(1536, 77))

    with psycopg.connect(url_of(before), autocommit=True) as watcher:
        _adopt_at(before, BEFORE)
        over = threading.Event()

        def write() -> None:
            with psycopg.connect(url_of(before)) as writer:
                # As soon as the new column is filled, the value is written and held until the swap waits for it.
                while not over.is_set():
                    try:
                        filled = writer.execute(
                            "SELECT count(*) FROM memories WHERE embedding_retyped IS NOT NULL"
                        ).fetchone()
                    except psycopg.errors.UndefinedColumn:
                        filled = (0,)
                    writer.rollback()
                    if filled and filled[0] == 12:
                        break
                    time.sleep(0.001)
                writer.execute("UPDATE memories SET embedding = %s WHERE id = %s", (value, row))
                waiting = (
                    "SELECT 1 FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'"
                    " AND relation = 'memories'::regclass"
                )
                while not over.is_set() and watcher.execute(waiting).fetchone() is None:
                    time.sleep(0.001)
                writer.commit()

        thread = threading.Thread(target=write)
        thread.start()
        try:
            api.migrate(url_of(before, migrator), AFTER)
        finally:
            over.set()
            thread.join()
    assert kind(before) == "vector(1536)"
    assert numbers(embeddings(before)[row]) == floats(1536, 77)


def _adopt_at(connection: sa.Connection, revision: str) -> None:
    """Say that the database is at a revision, as its owner."""
    owner = connection.exec_driver_sql(
        "SELECT relowner::regrole FROM pg_class WHERE relname = 'memories'"
    ).scalar()
    connection.exec_driver_sql(f"SET ROLE {owner}")
    api.stamp(url_of(connection, str(owner)), revision)
    connection.exec_driver_sql("RESET ROLE")


def test_a_transaction_with_an_old_snapshot_is_refused(before: sa.Connection):
    before.exec_driver_sql("SET default_transaction_isolation = 'repeatable read'")
    with pytest.raises(MigrationFailed, match="REPEATABLE READ"):
        paced(before, to_vector)
    assert kind(before) == "bytea"


# What a database may have beside ours, and what the refusal names; every kind of it stands for its class.
IN_THE_WAY = {
    "view": ("CREATE VIEW seen AS SELECT embedding FROM memories", "view seen"),
    "materialized view": ("CREATE MATERIALIZED VIEW seen AS SELECT * FROM memories", "seen"),
    "rule": ("CREATE RULE quiet AS ON UPDATE TO memories DO INSTEAD NOTHING", "rule quiet"),
    "check": (
        "ALTER TABLE memories ADD CONSTRAINT small CHECK (length(embedding) < 99999)",
        "constraint small",
    ),
    "not null": ("ALTER TABLE memories ALTER embedding SET NOT NULL", "NOT NULL"),
    "default": ("ALTER TABLE memories ALTER embedding SET DEFAULT ''", "default value"),
    "generated": (
        "ALTER TABLE memories ADD size int GENERATED ALWAYS AS (length(embedding)) STORED",
        "column size",
    ),
    "statistics": ("CREATE STATISTICS told ON content, embedding FROM memories", "statistics object told"),
    "trigger": (
        (
            "CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
            "CREATE TRIGGER mine BEFORE UPDATE OF embedding ON memories FOR EACH ROW EXECUTE FUNCTION nothing()"
        ),
        "trigger mine",
    ),
    "policy": ("CREATE POLICY mine ON memories USING (embedding IS NOT NULL)", "policy mine"),
    "publication": ("CREATE PUBLICATION told FOR TABLE memories (id, embedding)", "publication told"),
    "publication of rows": (
        "CREATE PUBLICATION told FOR TABLE memories WHERE (embedding IS NOT NULL)",
        "publication told",
    ),
    "child": ("CREATE TABLE child () INHERITS (memories)", "table child inherits from memories"),
    "index of another kind": ("CREATE INDEX hashed ON memories USING hash (embedding)", "index hashed"),
    "index on an expression": ("CREATE INDEX sized ON memories (length(embedding))", "index sized"),
}


@pytest.mark.parametrize("what", IN_THE_WAY)
def test_what_cannot_be_carried_over_is_named_before_anything_is_changed(before: sa.Connection, what: str):
    statement, named = IN_THE_WAY[what]
    before.exec_driver_sql(statement)
    found = (shape(before), embeddings(before))
    with pytest.raises(MigrationFailed, match=named):
        paced(before, to_vector)
    assert (shape(before), embeddings(before)) == found


@pytest.mark.parametrize("what", [name for name in IN_THE_WAY if not name.startswith("index")])
def test_a_run_can_look_for_it_before_its_first_revision(before: sa.Connection, what: str):
    statement, named = IN_THE_WAY[what]
    pending = load().between(BEFORE, load().head)
    with Target.of(url_of(before)).connect() as link:
        assert dependents(link, pending) == ()
        before.exec_driver_sql(statement)
        found = dependents(link, pending)
        assert {(one.revision, one.column) for one in found} == {(AFTER, "memories.embedding")}
        assert any(named in one.what for one in found)
        assert dependents(link, pending, back=True) == ()


def test_a_column_that_has_its_type_already_has_no_dependents(before: sa.Connection):
    paced(before, to_vector)
    before.exec_driver_sql("CREATE VIEW seen AS SELECT embedding FROM memories")
    with Target.of(url_of(before)).connect() as link:
        assert dependents(link, load().between(BEFORE, load().head)) == ()
        (back,) = dependents(link, load().between(BEFORE, AFTER), back=True)
    assert "view seen" in back.what


def test_the_buffers_ids_are_looked_at_as_well(before: sa.Connection):
    before.exec_driver_sql("CREATE VIEW waiting AS SELECT session_id FROM tala_operations")
    with Target.of(url_of(before)).connect() as link:
        (found,) = dependents(link, load().between(BEFORE, load().head))
    assert (found.column, found.revision) == ("tala_operations.session_id", "20260302000300")


def test_row_security_that_hides_rows_is_refused_with_its_policies(
    before: sa.Connection, migrator: str, connect: Connect
):
    before.exec_driver_sql("CREATE POLICY own_rows ON memories USING (actor = current_user)")
    before.exec_driver_sql("ALTER TABLE memories ENABLE ROW LEVEL SECURITY")
    mine = connect(url_of(before, migrator))
    with Target.of(url_of(before, migrator)).connect() as link:
        assert dependents(link, load().between(BEFORE, AFTER)) == ()  # the owner sees all
        before.exec_driver_sql("ALTER TABLE memories FORCE ROW LEVEL SECURITY")
        (found,) = dependents(link, load().between(BEFORE, AFTER))
    assert "policy own_rows" in found.what
    stored = embeddings(before)
    with pytest.raises(MigrationFailed, match="policy own_rows on table memories, which hides rows"):
        paced(mine, to_vector)
    assert embeddings(before) == stored
    assert kind(before) == "bytea"
    mine.exec_driver_sql("SET row_security = off")
    with pytest.raises(sa.exc.ProgrammingError, match="row-level security"):
        mine.exec_driver_sql("UPDATE memories SET embedding = embedding")


# What stays as it is, whatever is retyped beside it.
HARMLESS = {
    "publication of all tables": "CREATE PUBLICATION everything FOR ALL TABLES",
    "publication of the table": "CREATE PUBLICATION told FOR TABLE memories",
    "replica identity": "ALTER TABLE memories REPLICA IDENTITY FULL",
    "event trigger": (
        "CREATE FUNCTION sees() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';"
        "CREATE EVENT TRIGGER sees ON ddl_command_end EXECUTE FUNCTION sees()"
    ),
    "trigger": (
        "CREATE FUNCTION touches() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN NEW.updated_at = now(); RETURN NEW; END';"
        "CREATE TRIGGER touches BEFORE UPDATE ON memories FOR EACH ROW EXECUTE FUNCTION touches()"
    ),
    "function of rows": "CREATE FUNCTION last() RETURNS SETOF memories LANGUAGE sql AS 'SELECT * FROM memories'",
    "view of other columns": "CREATE VIEW words AS SELECT content FROM memories",
}


@pytest.mark.parametrize("what", HARMLESS)
def test_what_is_harmless_stays(before: sa.Connection, what: str):
    before.exec_driver_sql(HARMLESS[what])
    writes = iter(range(12, 1000))

    def write() -> None:  # so that there are notes to delete
        if kind(before) == "bytea":
            before.exec_driver_sql(
                "UPDATE memories SET embedding = embedding || ''::bytea, content = 'n"
                f"{next(writes)}' WHERE id = '{memory(1)}'"
            )
            before.exec_driver_sql(f"UPDATE memories SET embedding = NULL WHERE id = '{memory(2)}'")

    paced(before, to_vector, between=write)
    assert kind(before) == "vector(1536)"
    found = embeddings(before)
    assert found[memory(2)] is None
    assert numbers(found[memory(1)]) == floats(1536, 1)


def test_a_trigger_that_stops_updates_is_noticed(before: sa.Connection):
    before.exec_driver_sql(
        "CREATE FUNCTION stops() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        "CREATE TRIGGER stops BEFORE UPDATE ON memories FOR EACH ROW EXECUTE FUNCTION stops()"
    )
    stored = embeddings(before)
    with pytest.raises(MigrationFailed, match="12 rows of memories got no value"):
        paced(before, to_vector)
    assert embeddings(before) == stored


def test_what_was_set_for_the_column_alone_is_kept(before: sa.Connection):
    for statement in (
        "COMMENT ON COLUMN memories.embedding IS 'it''s :mine, 50%%'",
        (
            "ALTER TABLE memories ALTER embedding SET STATISTICS 77, ALTER embedding SET STORAGE MAIN,"
            " ALTER embedding SET COMPRESSION pglz, ALTER embedding SET (n_distinct = -0.5)"
        ),
        "GRANT SELECT (embedding), UPDATE (embedding) ON memories TO PUBLIC",
        "CREATE INDEX there ON memories (context_id) WHERE embedding IS NOT NULL",
        "COMMENT ON INDEX there IS 'an index'",
    ):
        before.exec_driver_sql(statement)

    def properties() -> object:
        return before.exec_driver_sql(
            "SELECT col_description(attrelid, attnum), attstattarget, attcompression, attoptions, attacl::text,"
            " obj_description('there'::regclass), pg_get_indexdef('there'::regclass), attstorage FROM pg_attribute"
            " WHERE attrelid = 'memories'::regclass AND attname = 'embedding'"
        ).one()

    wanted = properties()
    paced(before, to_vector)
    assert properties() == wanted
    paced(before, to_bytes)
    assert properties() == wanted


schema_names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40).filter(
    lambda name: len(name.encode()) <= 60 and not name.startswith("pg_")
)


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=schema_names)
def test_any_schema_name_will_do(pg: sa.Connection, name: str):
    _in_schema(pg, name)


@pytest.mark.parametrize(
    "name", ["embedding", 'a"b', "50%off", "a:b {x} $do$", "it's \\:x", ":name", "$do$ \\:é"]
)
def test_odd_schema_names_will_do(pg: sa.Connection, name: str):
    _in_schema(pg, name)


def _in_schema(connection: sa.Connection, name: str) -> None:
    """Go to head in a schema of that name, with bytes that become vectors on the way, and an index on them."""

    def run(statement: str) -> sa.CursorResult[Any]:
        return connection.exec_driver_sql(statement.replace("%", "%%"))

    run(f"CREATE SCHEMA {quoted(name)}")
    run(f"SELECT set_config('search_path', {literal(quoted(name) + ', public')}, false)")
    try:
        up(connection, BEFORE, shadow=True)
        insert_memories(connection, dict(list(given_bytes().items())[:3]))
        run(
            "CREATE INDEX mine ON memories (context_id) WHERE embedding IS NOT NULL AND content <> 'embedding'"
        )
        defined = run("SELECT pg_get_indexdef('mine'::regclass)").scalar()
        run("CREATE EXTENSION IF NOT EXISTS vector SCHEMA public")
        paced(connection, to_vector)
        assert kind(connection, name) in ("vector(1536)", "public.vector(1536)")
        assert run("SELECT pg_get_indexdef('mine'::regclass)").scalar() == defined
        paced(connection, lambda: steps.backfill("memories", "actor = 'x'"))
        paced(connection, lambda: steps.set_not_null("memories", "actor"))
        up(connection, None, AFTER)
        assert numbers(embeddings(connection)[memory(0)]) == floats(1536, 0)
    finally:
        run(f"DROP SCHEMA {quoted(name)} CASCADE")
        run("RESET search_path")


def test_a_type_changes_only_where_a_revision_says_so(pg: sa.Connection):
    """From a database without pgvector, which gets it in the end: every change of a type there is."""

    def types() -> dict[str, str]:
        return {
            f"{table}.{column}": kind
            for table, column, kind in pg.exec_driver_sql(
                "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a JOIN pg_class c"
                " ON c.oid = a.attrelid WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0"
            )
        }

    changed: dict[str, set[str]] = {}
    for revision in load():
        before = types()
        number = position(revision.revision)
        with bound(pg, shadow=revision.revision <= AFTER), transaction(pg):
            HISTORY[number - 1].upgrade()
        after = types()
        if found := {name for name in before if name in after and after[name] != before[name]}:
            changed[revision.revision] = found
    declared = {revision.revision: set(revision.retypes) for revision in load() if revision.retypes}
    del declared[AFTER]  # what the next one does instead, where pgvector came later
    assert changed == declared


def test_an_extension_that_another_run_is_creating_is_waited_for(pg: sa.Connection):
    with psycopg.connect(url_of(pg)) as first, psycopg.connect(url_of(pg), autocommit=True) as second:
        first.execute(pgvector.CREATE.encode())
        with ThreadPoolExecutor(1) as pool:
            created = pool.submit(second.execute, pgvector.CREATE.encode())
            _until(pg, f"pid = {second.info.backend_pid} AND wait_event_type = 'Lock'")
            first.commit()
            created.result()
        assert second.execute(pgvector.TYPE.encode()).fetchone() == ("public.vector",)


def _until(connection: sa.Connection, what: str) -> None:
    deadline = time.monotonic() + 10
    while not connection.exec_driver_sql(f"SELECT count(*) FROM pg_stat_activity WHERE {what}").scalar():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)
