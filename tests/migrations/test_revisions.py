"""What single revisions do to rows that are there."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import sqlalchemy as sa

from diwa_schema.migrations.manifest import load
from tests.migrations.replaying import (
    HISTORY,
    IDS,
    bound,
    down,
    paced,
    position,
    shape,
    transaction,
    up,
)
from tests.migrations.rows import CONTEXT, insert_memories, memory
from tests.run.test_kill import kinds

Connect = Callable[[str], sa.Connection]

FULL_TEXT = "20251224053423"
SYNC_ORIGIN = "20260107203000"
VERSION_NUMBER = "20260227100000"
RETYPE = "20260228010000"
LOG = "20260301000000"


def before(revision: str) -> str:
    """Return the revision that comes before one."""
    return str(IDS[position(revision) - 2])


def module(revision: str) -> ModuleType:
    return HISTORY[position(revision) - 1]


def _insert_version(connection: sa.Connection, number: int) -> None:
    connection.execute(
        sa.text(
            "INSERT INTO memory_versions (id, memory_id, content, operation, inserted_at, updated_at)"
            " VALUES (:id, :memory, 'c', 'create', '2026-01-01 00:00:00', '2026-01-01 00:00:00')"
        ),
        {"id": str(memory(100 + number)), "memory": str(memory(0))},
    )


@pytest.fixture
def with_memory(connection: sa.Connection) -> Callable[[str], sa.Connection]:
    """A function that takes the database of either kind to a revision, with one memory in it."""

    def at(revision: str) -> sa.Connection:
        up(connection, revision)
        now = "'2026-01-01 00:00:00', '2026-01-01 00:00:00'"
        one = str(memory(0))
        connection.exec_driver_sql(
            f"INSERT INTO organizations (id, name, inserted_at, updated_at) VALUES ('{one}', 'o', {now})"
        )
        connection.exec_driver_sql(
            "INSERT INTO contexts (id, organization_id, name, inserted_at, updated_at)"
            f" VALUES ('{one}', '{one}', 'c', {now})"
        )
        connection.exec_driver_sql(
            "INSERT INTO memories (id, context_id, content, inserted_at, updated_at)"
            f" VALUES ('{one}', '{one}', 'some running words', {now})"
        )
        return connection

    return at


def test_the_words_of_memories_that_are_there_are_kept(pg: sa.Connection):
    up(pg, before(FULL_TEXT))
    pg.exec_driver_sql(
        "INSERT INTO organizations (id, name, inserted_at, updated_at) VALUES"
        f" ('{CONTEXT}', 'o', now(), now())"
    )
    pg.exec_driver_sql(
        "INSERT INTO contexts (id, organization_id, name, inserted_at, updated_at) VALUES"
        f" ('{CONTEXT}', '{CONTEXT}', 'c', now(), now())"
    )
    add = (
        "INSERT INTO memories (context_id, content, inserted_at, updated_at)"
        f" VALUES ('{CONTEXT}', '%s', now(), now())"
    )
    pg.exec_driver_sql(add % "running words")
    up(pg, FULL_TEXT, before(FULL_TEXT))
    pg.exec_driver_sql(add % "more running words")
    found = pg.exec_driver_sql(
        "SELECT tsv_content = to_tsvector('english', content), tsv_content FROM memories"
    ).all()
    assert [right for right, _ in found] == [True, True]
    assert all("'run'" in words for _, words in found)


def test_versions_that_are_there_are_number_one_and_new_ones_have_none(
    with_memory: Callable[[str], sa.Connection],
):
    connection = with_memory(before(VERSION_NUMBER))
    _insert_version(connection, 1)
    _insert_version(connection, 2)
    up(connection, VERSION_NUMBER, before(VERSION_NUMBER))
    _insert_version(connection, 3)
    found = connection.exec_driver_sql("SELECT version_number FROM memory_versions ORDER BY id").scalars()
    assert sorted(found, key=str) == [1, 1, None]


def test_numbering_versions_writes_no_row(postgres_at: Callable[[str], str], connect: Connect):
    connection = connect(postgres_at(before(VERSION_NUMBER)))
    insert_memories(connection, {memory(0): None})
    for number in range(50):
        _insert_version(connection, number)
    where = "SELECT array_agg(ctid || ' ' || xmin ORDER BY id), pg_relation_filenode('memory_versions')"
    places = connection.exec_driver_sql(f"{where} FROM memory_versions").one()
    up(connection, VERSION_NUMBER, before(VERSION_NUMBER))
    assert connection.exec_driver_sql(f"{where} FROM memory_versions").one() == places
    assert connection.exec_driver_sql(
        "SELECT DISTINCT version_number FROM memory_versions"
    ).scalars().all() == [1]


def test_contexts_and_memories_that_are_there_come_from_the_cloud(
    with_memory: Callable[[str], sa.Connection],
):
    connection = with_memory(before(SYNC_ORIGIN))
    paced(connection, module(SYNC_ORIGIN).upgrade)
    for table in ("contexts", "memories"):
        found = connection.exec_driver_sql(f"SELECT sync_origin, remote_id FROM {table}").all()
        assert [tuple(row) for row in found] == [("cloud", None)]


def tried() -> list[Any]:
    """Return the revisions of steps; of those that call the same steps, the matrix has all but the first."""
    return [
        pytest.param(revision, marks=[pytest.mark.matrix] if number else [])
        for alike in kinds().values()
        for number, revision in enumerate(alike)
    ]


@pytest.mark.parametrize("revision", tried())
def test_a_revision_of_steps_leads_to_the_same_schema_paced_and_plain(
    connection: sa.Connection, revision: str
):
    up(connection, before(revision))
    begun = shape(connection)
    up(connection, revision, before(revision))
    reached = shape(connection)
    down(connection, before(revision), revision)
    assert without_refusal(connection, revision) == begun
    paced(connection, module(revision).upgrade)
    assert shape(connection) == reached
    paced(connection, module(revision).downgrade)
    assert without_refusal(connection, revision) == begun


def without_refusal(connection: sa.Connection, revision: str) -> dict[str, list[str]]:
    """Return the schema below a revision without the check that bytes get which have been vectors."""
    found = shape(connection)
    checks = [line for line in found.get("constraints", ()) if "memories_embedding_not_text" in line]
    assert len(checks) == (connection.dialect.name == "postgresql" and _makes_bytes(connection, revision))
    for line in checks:
        found["constraints"].remove(line)
    return found


def _makes_bytes(connection: sa.Connection, revision: str) -> bool:
    """Return whether the way back from a revision makes bytes of the vectors that this server has."""
    available = "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'vector')"
    return "memories.embedding" in load().get(revision).retypes_back and bool(
        connection.exec_driver_sql(available).scalar()
    )


@pytest.mark.parametrize("revision", tried())
def test_a_revision_that_is_not_transactional_is_one_step(pg: sa.Connection, revision: str):
    up(pg, before(revision))
    counted: list[str] = []
    with bound(pg, steps=counted), transaction(pg):
        module(revision).upgrade()
    assert len(counted) == 1


def test_a_log_that_was_here_first_stays(with_memory: Callable[[str], sa.Connection]):
    connection = with_memory(before(LOG))
    one = memory(0)
    up(connection, LOG, before(LOG))
    at_log = shape(connection)
    connection.exec_driver_sql(
        "INSERT INTO idempotency_log (id, context_id, client_id, tool_name, status)"
        f" VALUES ('{one}', '{one}', 'c', 't', 's')"
    )
    down(connection, before(LOG), LOG)
    assert connection.exec_driver_sql("SELECT count(*) FROM idempotency_log").scalar() == 1
    up(connection, LOG, before(LOG))
    assert shape(connection) == at_log
    assert connection.exec_driver_sql("SELECT count(*) FROM idempotency_log").scalar() == 1
    down(connection, None, LOG)
    assert not any(shape(connection).values())


def test_an_extension_that_cannot_be_created_is_done_without(
    pg: sa.Connection,
):
    """A role that is no superuser may not create pgvector; the run goes on in the same transaction."""
    role = f"diwa_test_{pg.engine.url.database}"
    pg.exec_driver_sql(f"CREATE ROLE {role}")
    try:
        pg.exec_driver_sql(f"GRANT CREATE, USAGE ON SCHEMA public TO {role}")
        pg.exec_driver_sql(f"SET ROLE {role}")
        up(pg)
        assert pg.exec_driver_sql("SELECT count(*) FROM pg_extension WHERE extname = 'vector'").scalar() == 0
        kinds = {line for line in shape(pg)["columns"] if " embedding " in line}
        assert kinds == {"memories embedding bytea False None", "embedding_cache embedding bytea False None"}
        down(pg)
        assert shape(pg)["columns"] == []
    finally:
        pg.exec_driver_sql("RESET ROLE")
        pg.exec_driver_sql(f"DROP OWNED BY {role}")
        pg.exec_driver_sql(f"DROP ROLE {role}")


def test_the_history_stays_in_the_current_schema(pg: sa.Connection):
    """Tables of the same names in another schema of the search path are none of its business."""
    up(pg)
    there = shape(pg)
    pg.exec_driver_sql("CREATE SCHEMA mine")
    pg.exec_driver_sql("SET search_path = mine, public")
    up(pg)
    assert _tables(pg, "mine") == _tables(pg, "public")
    down(pg)
    assert _tables(pg, "mine") == set()
    pg.exec_driver_sql("RESET search_path")
    assert shape(pg) == there


def _tables(connection: sa.Connection, schema: str) -> set[str]:
    return set(
        connection.exec_driver_sql(
            f"SELECT relname FROM pg_class WHERE relnamespace = '{schema}'::regnamespace AND relkind = 'r'"
        ).scalars()
    )
