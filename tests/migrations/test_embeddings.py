"""An embedding column changes its kind without losing a value, whoever writes, whenever it is interrupted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from uuid import UUID

import psycopg
import pytest
import sqlalchemy as sa

from diwa_schema.errors import MigrationFailed
from diwa_schema.migrations import steps
from diwa_schema.models.types.erlang import decode_floats, encode_floats
from tests.fixtures_server import Server
from tests.migrations.replaying import Stopped, bound, down, kill_everywhere, paced, shape, transaction
from tests.migrations.rows import (
    archive,
    embeddings,
    floats,
    found_bytes,
    insert_memories,
    insert_memory,
    memory,
)

BEFORE = "20260228000500"
INDEX = "memories_embedding_idx"

Connect = Callable[[str], sa.Connection]
Values = dict[UUID, object]


@pytest.fixture(autouse=True)
def _needs_vector(server: Server):
    if not server.has_vector:
        pytest.skip("this server does not have pgvector")


@pytest.fixture
def before(postgres_at: Callable[[str], str], connect: Connect) -> sa.Connection:
    """A database whose memories have bytes of every kind."""
    connection = connect(postgres_at(BEFORE))
    insert_memories(connection, dict(found_bytes()))
    return connection


@pytest.fixture
def january(postgres_at: Callable[[str], str], connect: Connect) -> sa.Connection:
    """A database as code of January left it: vectors of 384 numbers, with an index."""
    connection = connect(postgres_at(BEFORE))
    connection.exec_driver_sql("ALTER TABLE memories DROP COLUMN embedding")
    connection.exec_driver_sql("ALTER TABLE memories ADD COLUMN embedding vector(384)")
    insert_memories(
        connection, {memory(n): str(floats(384, n)) if n % 5 else None for n in range(25)}, "vector"
    )
    connection.exec_driver_sql(
        f"CREATE INDEX {INDEX} ON memories USING hnsw (embedding vector_cosine_ops)"
        " WITH (m = 16, ef_construction = 64)"
    )
    return connection


def to_vector() -> None:
    steps.retype_embedding("memories", to="vector")


def to_bytes() -> None:
    steps.retype_embedding("memories", to="bytes")


def as_vectors(values: Mapping[UUID, bytes | None]) -> Values:
    """Return what a vector column holds of bytes: lists of 1536 numbers."""
    decoded = {row: decode_floats(value) if value is not None else None for row, value in values.items()}
    return {
        row: numbers if numbers and len(numbers) == 1536 and max(numbers) < 1e38 else None
        for row, numbers in decoded.items()
    }


def numbers_in(connection: sa.Connection) -> Values:
    """Return a vector column's values as lists."""
    return {
        row: [float(number) for number in value[1:-1].split(",")] if isinstance(value, str) else value
        for row, value in embeddings(connection).items()
    }


def kind(connection: sa.Connection) -> str:
    """Return the type of the column."""
    found = connection.exec_driver_sql(
        "SELECT format_type(atttypid, atttypmod) FROM pg_attribute"
        " WHERE attrelid = 'memories'::regclass AND attname = 'embedding'"
    )
    return str(found.scalar_one())


def index(connection: sa.Connection) -> tuple[str, bool] | None:
    """Return the definition of the vector index, and whether it is valid."""
    found = connection.exec_driver_sql(
        "SELECT pg_get_indexdef(indexrelid), indisvalid FROM pg_index"
        f" WHERE indexrelid = to_regclass('{INDEX}')"
    ).first()
    return (found[0], found[1]) if found else None


def check_vectors(connection: sa.Connection, given: dict[UUID, bytes | None]) -> None:
    """Assert that all values given as bytes are there as vectors, or in the archive."""
    wanted = as_vectors(given)
    assert kind(connection) == "vector(1536)"
    assert numbers_in(connection) == wanted
    assert archive(connection) == {
        row: ("bytea", value) for row, value in given.items() if value is not None and wanted[row] is None
    }


def check_clean(connection: sa.Connection, *, archived: bool) -> None:
    """Assert that nothing of the change is left but, perhaps, the archive."""
    left = {
        name
        for kind in shape(connection).values()
        for line in kind
        for name in line.split()
        if "diwa_" in name
    }
    assert {name.split(".")[-1] for name in left} <= (
        {"diwa_schema_embedding_archive", "diwa_schema_embedding_archive_pkey"} if archived else set()
    )
    assert not [line for line in shape(connection)["columns"] if "_retyped" in line]
    assert not [line for line in shape(connection)["indexes"] if "_retyped" in line]


@pytest.fixture(params=["plain", "paced"])
def run(request: pytest.FixtureRequest) -> Callable[..., None]:
    """A function that runs a step, in one transaction or piece by piece in small batches."""

    def plainly(connection: sa.Connection, work: Callable[[], None]) -> None:
        with bound(connection), transaction(connection):
            work()

    def in_pieces(connection: sa.Connection, work: Callable[[], None]) -> None:
        assert paced(connection, work, size=200).pieces > 10

    return plainly if request.param == "plain" else in_pieces


def test_bytes_become_vectors_and_bytes_again(before: sa.Connection, run: Callable[..., None]):
    given = found_bytes()
    assert sum(value is not None for value in as_vectors(given).values()) == 41
    run(before, to_vector)
    check_vectors(before, given)
    check_clean(before, archived=True)
    run(before, to_bytes)
    assert kind(before) == "bytea"
    assert embeddings(before) == _as_rewritten(given)
    assert archive(before) == {row: ("bytea", value) for row, value in given.items() if value == CHARACTERS}
    check_clean(before, archived=True)
    assert refuses_characters(before)


CHARACTERS = b"[0.1,0.2]"


def _as_rewritten(given: dict[UUID, bytes | None]) -> dict[UUID, bytes | None]:
    """Return the bytes that come back: what Erlang had packed like a string as floats, and no characters."""
    packed = bytes([131, 107])
    return {
        row: encode_floats(decode_floats(value) or []) if value and value[:2] == packed else value
        for row, value in given.items()
        if value != CHARACTERS
    } | {row: None for row, value in given.items() if value == CHARACTERS}


def refuses_characters(connection: sa.Connection) -> bool:
    """Return whether the column has the check that refuses characters, which waits for no old row."""
    checks = [line for line in shape(connection)["constraints"] if "memories_embedding_not_text" in line]
    assert all(line.endswith("NOT VALID False") for line in checks)
    return bool(checks)


def test_short_vectors_come_back_as_bytes_and_their_index_is_kept(
    january: sa.Connection, run: Callable[..., None]
):
    given = numbers_in(january)
    defined = index(january)
    assert defined is not None
    filled = {row for row, value in given.items() if value is not None}
    assert len(filled) == 20
    run(january, to_vector)
    assert set(numbers_in(january).values()) == {None}
    assert {row: decode_floats(value) for row, (_, value) in archive(january).items()} == {
        row: given[row] for row in filled
    }
    assert {kept for kept, _ in archive(january).values()} == {"vector(384)"}
    assert index(january) == defined
    check_clean(january, archived=True)
    run(january, to_bytes)
    assert {
        row: decode_floats(value) for row, value in embeddings(january).items() if isinstance(value, bytes)
    } == {row: given[row] for row in filled}
    assert index(january) is None
    check_clean(january, archived=False)


def test_what_was_written_since_is_not_overwritten_from_the_archive(january: sa.Connection):
    paced(january, to_vector)
    replaced, emptied = sorted(archive(january))[:2]
    january.execute(
        sa.text("UPDATE memories SET embedding = CAST(:v AS vector) WHERE id = :id"),
        {"v": str(floats(1536, 1)), "id": replaced},
    )
    kept = archive(january)
    paced(january, to_bytes)
    assert decode_floats(embeddings(january)[replaced]) == floats(1536, 1)  # type: ignore[arg-type]
    assert embeddings(january)[emptied] == kept[emptied][1]
    assert archive(january) == {replaced: kept[replaced]}


def test_running_it_again_changes_nothing(before: sa.Connection, run: Callable[..., None]):
    run(before, to_vector)
    first = (embeddings(before), archive(before), shape(before))
    paced(before, to_vector)
    assert (embeddings(before), archive(before), shape(before)) == first


def test_going_back_and_forth_archives_nothing_twice(before: sa.Connection):
    paced(before, to_vector)
    first = archive(before)
    paced(before, to_bytes)
    paced(before, to_vector)
    assert archive(before) == first
    check_vectors(before, {**found_bytes()})


@pytest.fixture
def copies(
    new_database: Callable[..., str], connect: Connect
) -> Callable[[sa.Connection], Callable[[], sa.Connection]]:
    """A function that turns a connection's database into a template, of which its result opens copies."""

    def of(connection: sa.Connection) -> Callable[[], sa.Connection]:
        name = connection.engine.url.database
        connection.close()
        return lambda: connect(new_database(name))

    return of


def killed(connection: sa.Connection, work: Callable[[], None], size: int, piece: int, late: bool) -> bool:
    """Run a step that is killed at some piece; return whether it came that far."""
    try:
        paced(connection, work, size=size, stop_at=piece, late=late)
    except Stopped:
        return True
    return False


@pytest.mark.parametrize(
    "write",
    [pytest.param(False, id="quiet", marks=pytest.mark.matrix), pytest.param(True, id="written to")],
)
def test_killed_anywhere_it_is_finished_by_the_next_run(before: sa.Connection, copies, write: bool):
    new: dict[UUID, bytes | None] = {memory(900): encode_floats(floats(1536, 900)), memory(901): b"no vector"}
    copy = copies(before)

    def attempt(piece: int, late: bool) -> bool:
        connection = copy()
        stopped = killed(connection, to_vector, 800, piece, late)
        given = dict(found_bytes())
        if write and kind(connection) == "bytea":
            given |= new
            for row, value in new.items():
                insert_memory(connection, row, value)
        paced(connection, to_vector, size=800)
        check_vectors(connection, given)
        check_clean(connection, archived=True)
        connection.close()
        return stopped

    assert kill_everywhere(attempt) > 16


DISTURBED = {
    "no triggers": "DROP TRIGGER diwa_schema_note ON memories; DROP TRIGGER diwa_schema_note_update ON memories",
    "one trigger": "DROP TRIGGER diwa_schema_note_update ON memories",
    "disabled": "ALTER TABLE memories DISABLE TRIGGER diwa_schema_note_update",
    "no column": "ALTER TABLE memories DROP COLUMN embedding_retyped",
    "nothing": "DROP TRIGGER diwa_schema_note ON memories; DROP TRIGGER diwa_schema_note_update ON memories;"
    " ALTER TABLE memories DROP COLUMN embedding_retyped; DROP TABLE diwa_schema_note_memories",
}


@pytest.mark.parametrize("what", DISTURBED)
def test_a_run_that_missed_writes_converts_every_row_again(before: sa.Connection, what: str):
    """Somebody removed what notes the writes of a killed run: values written since are not lost."""
    assert killed(before, to_vector, 800, 9, late=False)
    reached = before.exec_driver_sql("SELECT reached FROM diwa_schema_position").scalar_one()
    assert reached is not None
    before.exec_driver_sql(DISTURBED[what])
    given = dict(found_bytes())
    given |= {
        row: encode_floats(floats(1536, 500 + number))
        for number, row in enumerate(given)
        if str(row) <= reached
    }
    before.execute(
        sa.text("UPDATE memories SET embedding = :value WHERE id = :id"),
        [{"id": row, "value": value} for row, value in given.items()],
    )
    paced(before, to_vector, size=800)
    assert numbers_in(before) == as_vectors(given)
    check_clean(before, archived=True)


def test_an_undisturbed_run_goes_on_where_it_stopped(before: sa.Connection):
    reached = "SELECT reached FROM diwa_schema_position"
    assert killed(before, to_vector, 800, 9, late=False)
    stopped = before.exec_driver_sql(reached).scalar_one()
    assert stopped is not None
    for piece in range(2, 9):
        assert killed(before, to_vector, 800, piece, late=False)
        assert before.exec_driver_sql(reached).scalar_one() >= stopped


def test_a_run_whose_triggers_go_meanwhile_does_not_swap(before: sa.Connection):
    dropped: list[bool] = []

    def drop() -> None:
        if not dropped and before.exec_driver_sql("SELECT to_regclass('diwa_schema_position')").scalar():
            before.exec_driver_sql(DISTURBED["no triggers"])
            dropped.append(True)

    with pytest.raises(MigrationFailed, match="were dropped or disabled") as raised:
        paced(before, to_vector, size=800, between=drop)
    assert "Run the command again" in str(raised.value.next_step)
    assert kind(before) == "bytea"
    paced(before, to_vector, size=800)
    check_vectors(before, dict(found_bytes()))


@pytest.mark.matrix
def test_killed_anywhere_on_the_way_back_it_is_finished_by_the_next_run(january: sa.Connection, copies):
    paced(january, to_vector)
    kept = {row: value for row, (_, value) in archive(january).items()}
    assert len(kept) == 20
    copy = copies(january)

    def attempt(piece: int, late: bool) -> bool:
        connection = copy()
        stopped = killed(connection, to_bytes, 300, piece, late)
        paced(connection, to_bytes, size=300)
        found = embeddings(connection)
        assert {row: value for row, value in found.items() if value is not None} == kept
        check_clean(connection, archived=False)
        assert refuses_characters(connection)
        connection.close()
        return stopped

    assert kill_everywhere(attempt) > 16


def test_killed_anywhere_bytes_refuse_characters_and_vectors_have_no_check(january: sa.Connection, copies):
    paced(january, to_vector)
    copy = copies(january)

    def attempt(piece: int, late: bool) -> bool:
        connection = copy()
        stopped = False
        for work, wanted in ((to_bytes, "bytea"), (to_vector, "vector(1536)")):
            stopped |= killed(connection, work, 2000, piece, late)
            assert refuses_characters(connection) == (kind(connection) == "bytea")
            paced(connection, work, size=2000)
            assert kind(connection) == wanted
            assert refuses_characters(connection) == (wanted == "bytea")
        connection.close()
        return stopped

    assert kill_everywhere(attempt) > 10


@pytest.mark.matrix
def test_killed_on_the_way_it_can_be_turned_around(before: sa.Connection, copies):
    """An interrupted change leaves nothing in the way of the opposite one, nor of a downgrade below it."""
    given = found_bytes()
    copy = copies(before)

    def attempt(piece: int, late: bool) -> bool:
        connection = copy()
        stopped = killed(connection, to_vector, 2000, piece, late)
        if kind(connection) == "bytea":
            paced(connection, to_bytes)
            assert embeddings(connection) == given
            check_clean(connection, archived=False)
        connection.close()
        connection = copy()
        killed(connection, to_vector, 2000, piece, late)
        down(connection, None, BEFORE)
        assert not any(line for lines in shape(connection).values() for line in lines)
        connection.close()
        return stopped

    assert kill_everywhere(attempt) > 10


def test_what_is_written_meanwhile_arrives(before: sa.Connection, connect: Connect):
    """Between any two pieces a row is inserted, changed, emptied, filled or deleted."""
    given = found_bytes()
    other = connect(before.engine.url.render_as_string(hide_password=False))
    numbers = iter(range(1000, 1500))

    def write() -> None:
        if kind(other) != "bytea":
            return
        number = next(numbers)
        value: bytes | None = encode_floats(floats(99 if number % 7 else 1536, number))
        target = sorted(given)[number % len(given)]
        if number % 4 == 0:
            target = memory(number)
            insert_memory(other, target, value)
        elif number % 4 == 1:
            other.execute(sa.text("DELETE FROM memories WHERE id = :id"), {"id": target})
            del given[target]
            return
        else:
            value = value if number % 3 else (b"not a vector" if number % 2 else None)
            other.execute(
                sa.text("UPDATE memories SET embedding = :new WHERE id = :id"), {"new": value, "id": target}
            )
        given[target] = value

    pace = paced(before, to_vector, size=200, between=write)
    assert pace.pieces > 15
    assert next(numbers) > 1015
    wanted = as_vectors(given)
    assert numbers_in(before) == wanted
    # The archive may also hold what was overwritten meanwhile; what is the last word must be there.
    last = {row: value for row, value in given.items() if value is not None and wanted[row] is None}
    kept = before.exec_driver_sql("SELECT row_id, value FROM diwa_schema_embedding_archive").all()
    assert set(last.items()) <= {(row, value) for row, value in kept}
    check_clean(before, archived=True)


def test_only_written_embeddings_are_noted(before: sa.Connection, connect: Connect):
    """A row without an embedding has nothing to transfer, however many of them are inserted."""
    other = connect(before.engine.url.render_as_string(hide_password=False))
    numbers = iter(range(1000, 3000))
    noted: list[str] = []

    def write() -> None:
        if other.scalar(sa.text("SELECT to_regclass('diwa_schema_note_memories') IS NULL")):
            return
        number = next(numbers)
        insert_memory(other, memory(number), None)
        insert_memory(other, memory(number + 5000), encode_floats(floats(1536, number)))
        rows = other.scalars(sa.text("SELECT row_id FROM diwa_schema_note_memories"))
        noted.extend(str(row) for row in rows)

    paced(before, to_vector, size=200, between=write)
    written = {str(memory(number + 5000)) for number in range(1000, next(numbers))}
    assert len(written) > 3
    assert set(noted) == written


def test_a_run_that_comes_no_nearer_gives_up(before: sa.Connection, connect: Connect, monkeypatch):
    """Each piece finds as many new rows as the one before; the next run takes up the converted values."""
    monkeypatch.setattr("diwa_schema.migrations.steps.retype.work._PATIENCE", 0.0)
    other = connect(before.engine.url.render_as_string(hide_password=False))
    value = encode_floats(floats(1536, 1))
    pieces: list[int] = []

    def write() -> None:
        pieces.append(1)
        other.execute(
            sa.text("UPDATE memories SET embedding = :new || CAST(:number AS text)::bytea"),
            {"new": value, "number": len(pieces)},
        )

    insert_memory(other, memory(1000), value)
    other.execute(
        sa.text(
            "INSERT INTO memories (id, context_id, content, embedding, inserted_at, updated_at)"
            " SELECT gen_random_uuid(), context_id, content, embedding, now(), now() FROM memories,"
            " generate_series(1, 300) WHERE id = :id"
        ),
        {"id": memory(1000)},
    )
    with pytest.raises(MigrationFailed, match="faster than the run converts them"):
        paced(before, to_vector, size=20_000, between=write)
    assert len(pieces) < 100
    paced(before, to_vector, size=20_000)
    assert kind(before) == "vector(1536)"


def test_no_write_of_real_traffic_is_lost(before: sa.Connection):
    """Writers in threads go on until the column has changed under them; the last committed value counts."""
    given: dict[UUID, bytes | None] = dict.fromkeys(found_bytes())
    url = before.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    rows = sorted(given)
    ready = threading.Barrier(4)

    def write(mine: list[UUID]) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            ready.wait()
            for number in range(10_000):
                row, value = mine[number % len(mine)], encode_floats(floats(1536, number))
                try:
                    connection.execute("UPDATE memories SET embedding = %s WHERE id = %s", (value, row))
                except psycopg.errors.DatatypeMismatch:
                    return
                given[row] = value
                time.sleep(0.02)
            raise AssertionError

    threads = [threading.Thread(target=write, args=(rows[part::3],)) for part in range(3)]
    for thread in threads:
        thread.start()
    ready.wait()
    paced(before, to_vector, size=200)
    for thread in threads:
        thread.join()
    written = {row: value for row, value in given.items() if value is not None}
    assert len(written) > 10
    assert {row: value for row, value in numbers_in(before).items() if row in written} == as_vectors(written)
    check_clean(before, archived=True)


def test_who_may_only_write_rows_is_not_hindered_meanwhile(before: sa.Connection):
    """Rows are noted with the rights of the owner, not of who writes them."""
    before.exec_driver_sql("DROP ROLE IF EXISTS diwa_test_writer")
    before.exec_driver_sql("CREATE ROLE diwa_test_writer")
    before.exec_driver_sql("GRANT SELECT, UPDATE ON memories TO diwa_test_writer")
    row = next(iter(found_bytes()))
    value = encode_floats(floats(1536, 5))
    try:
        with pytest.raises(Stopped):
            paced(before, to_vector, size=200, stop_at=8)
        before.exec_driver_sql("SET ROLE diwa_test_writer")
        before.execute(sa.text("UPDATE memories SET embedding = :v WHERE id = :id"), {"v": value, "id": row})
        before.exec_driver_sql("RESET ROLE")
        paced(before, to_vector)
        assert numbers_in(before)[row] == floats(1536, 5)
    finally:
        before.exec_driver_sql("RESET ROLE")
        before.exec_driver_sql("REVOKE ALL ON memories FROM diwa_test_writer")
        before.exec_driver_sql("DROP ROLE diwa_test_writer")


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("CREATE VIEW seen AS SELECT embedding FROM memories", "view seen"),
        (
            "ALTER TABLE memories ADD CONSTRAINT small CHECK (octet_length(embedding) < 99999)",
            "constraint small",
        ),
        ("CREATE STATISTICS told ON content, embedding FROM memories", "statistics object"),
    ],
)
def test_what_hangs_on_the_column_is_not_dropped_with_it(before: sa.Connection, statement: str, named: str):
    before.exec_driver_sql(statement)
    found = (shape(before), embeddings(before))
    with pytest.raises(MigrationFailed, match=named):
        paced(before, to_vector)
    assert (shape(before), embeddings(before)) == found


def test_other_indexes_and_rights_of_the_column_are_carried_over(before: sa.Connection):
    before.exec_driver_sql(
        "CREATE INDEX filled ON memories (context_id)"
        " WHERE embedding IS NOT NULL AND source <> 'embedding :x'"
    )
    before.exec_driver_sql("GRANT SELECT (embedding) ON memories TO PUBLIC")
    defined = before.exec_driver_sql("SELECT pg_get_indexdef('filled'::regclass)").scalar()
    paced(before, to_vector)
    assert before.exec_driver_sql("SELECT pg_get_indexdef('filled'::regclass)").scalar() == defined
    assert before.exec_driver_sql(
        "SELECT indisvalid FROM pg_index WHERE indexrelid = 'filled'::regclass"
    ).scalar()
    assert before.exec_driver_sql(
        "SELECT has_column_privilege('pg_read_all_settings', 'memories', 'embedding', 'SELECT')"
    ).scalar()


def test_a_column_of_a_third_kind_is_refused(before: sa.Connection):
    before.exec_driver_sql(
        "ALTER TABLE memories ALTER COLUMN embedding TYPE text USING encode(embedding, 'hex')"
    )
    found = shape(before)
    with pytest.raises(MigrationFailed, match="has the type text, which is neither bytea nor vector"):
        paced(before, to_vector)
    assert shape(before) == found


def test_without_pgvector_bytes_stay_bytes(before: sa.Connection):
    before.exec_driver_sql("DROP EXTENSION vector CASCADE")
    with bound(before, shadow=True), transaction(before):
        to_vector()
    assert kind(before) == "bytea"
    assert embeddings(before) == found_bytes()


def test_where_the_server_has_pgvector_by_now_it_is_created_first(before: sa.Connection):
    before.exec_driver_sql("DROP EXTENSION vector CASCADE")
    paced(before, to_vector)
    assert kind(before) == "vector(1536)"
    check_vectors(before, dict(found_bytes()))


@pytest.mark.parametrize("schema", ["elsewhere", '":name"', '"a%%s.b"'])
def test_pgvector_in_a_schema_off_the_search_path_is_found(before: sa.Connection, schema: str):
    before.exec_driver_sql(f"CREATE SCHEMA {schema}")
    before.exec_driver_sql(f"ALTER EXTENSION vector SET SCHEMA {schema}")
    paced(before, to_vector)
    assert kind(before) == f"{schema.replace('%%', '%')}.vector(1536)"
    assert sum(value is not None for value in embeddings(before).values()) == 41
    paced(before, to_bytes)
    assert embeddings(before) == _as_rewritten(found_bytes())
