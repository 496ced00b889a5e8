"""What the queries give on both databases, and which index each of them reads: the plan says it."""

from __future__ import annotations

import asyncio
import gc
import re
import shutil
import time
import uuid
import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings, strategies as st
from sqlalchemy import Connection, Engine, Select, create_engine, event, insert, select, text
from sqlalchemy.exc import CompileError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from diwa_schema import queries
from diwa_schema.errors import UsageError
from diwa_schema.models import (
    Context,
    ContextBinding,
    Memory,
    MemoryVersion,
    Organization,
    SyncQueue,
    Task,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ORGANIZATION, CONTEXT, OTHER = (uuid.UUID(int=number) for number in (1, 2, 3))
# Both are looked up in the one index: another one would be read for all of a large context.
SEARCHED = "Bitmap Index Scan on memories_search_index"
TOGETHER = r"Index Cond: \(\(ARRAY\[context_id\] @> .*\) AND \((tags|tsv_content) @"
DRIVERS = {"postgresql": "asyncpg", "sqlite": "aiosqlite"}
STAMPS = {"inserted_at": NOON, "updated_at": NOON}
NEAR = [1.0] + [0.0] * 1535


@pytest.fixture
def session(at_head: str) -> Any:
    engine = create_engine(at_head.replace("postgresql://", "postgresql+psycopg://"))
    with Session(engine) as opened:
        fill(opened)
        opened.commit()
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if at_head.startswith("sqlite"):
            connection.execute(text("ANALYZE"))
        else:
            clean(connection)
    with Session(engine) as opened:
        yield opened
    engine.dispose()


def clean(connection: Connection) -> None:
    """Let an index alone be read: while a session somewhere on the server is just beginning, VACUUM may leave that out."""
    left = text("SELECT relpages - relallvisible FROM pg_class WHERE oid = 'memories'::regclass")
    for _ in range(100):
        connection.execute(text("VACUUM ANALYZE"))
        if not connection.scalar(left):
            return
        time.sleep(0.05)
    raise AssertionError("something on this server keeps rows from being seen by all")


def fill(session: Session) -> None:
    """Store 6,000 memories, 500 tasks, 500 bindings and 500 rows of the queue; a few of each are what is asked for."""
    times = {"inserted_at": NOON, "updated_at": NOON}
    owners = [ORGANIZATION, *(uuid.UUID(int=number) for number in range(1000, 1009))]
    session.execute(
        insert(Organization), [{"id": one, "name": f"{one}", "tier": "free", **times} for one in owners]
    )
    contexts = [CONTEXT, OTHER, *(uuid.UUID(int=number) for number in range(100, 128))]
    named = [
        {"id": one, "organization_id": owners[place % 10], "name": f"Name {one.int}", **times}
        for place, one in enumerate(contexts)
    ]
    named += [
        {"id": uuid.uuid4(), "organization_id": ORGANIZATION, "name": f"Name {number}", **times}
        for number in range(1000, 1500)
    ]
    session.execute(insert(Context), named)
    session.execute(insert(Memory), [memory(number, contexts) for number in range(6000)])
    session.execute(insert(Task), [task(number, contexts) for number in range(500)])
    session.execute(insert(ContextBinding), [
        {"context_id": contexts[number % 30], "binding_type": "path", "value": f"/{number // 2}",
         "inserted_at": NOON + timedelta(seconds=number), "updated_at": NOON}
        for number in range(500)
    ])  # fmt: skip
    session.execute(insert(MemoryVersion), [
        {"memory_id": uuid.UUID(int=number // 4), "content": "", "operation": "update", "version_number": number % 4 + 1, **times}
        for number in range(4000)
    ])  # fmt: skip
    session.execute(insert(SyncQueue), [
        {"type": "memory", "payload": {}, "status": "completed" if number % 50 else ("pending", "failed")[number % 100 // 50],
         "attempts": number % 12, "priority": number % 3, "scheduled_at": NOON, **times,
         "inserted_at": NOON + timedelta(seconds=number)}
        for number in range(500)
    ])  # fmt: skip


def memory(number: int, contexts: list[uuid.UUID]) -> dict[str, Any]:
    at = NOON + timedelta(seconds=number // 20)
    return {
        "id": uuid.UUID(int=number),
        "context_id": contexts[0 if number < 3000 else number % 30],
        "content": f"Lesson {number} about tides",
        "parent_id": uuid.UUID(int=7) if number == 8 else None,
        "metadata_": {"type": "decision" if number % 7 == 0 else "note", "number": number},
        "tags": ["rare"] if number % 500 == 0 else ["common"],
        "memory_class": "user_rule" if number % 300 == 0 else "observation",
        "expires_at": NOON if number % 300 == 1 else None,
        "deleted_at": NOON if number % 10 == 3 else None,
        "inserted_at": at,
        "updated_at": at,
    }


def task(number: int, contexts: list[uuid.UUID]) -> dict[str, Any]:
    return {
        "context_id": contexts[0 if number < 250 else number % 30],
        "title": f"Task {number}",
        "priority": ("Low", "High", "Medium", None)[number % 4],
        "status": "pending" if number % 5 == 0 else "completed",
        "inserted_at": NOON + timedelta(seconds=number // 10),
        "updated_at": NOON,
    }


def plan_of(session: Session, query: Select[Any]) -> str:
    """Execute a query, and return the plan that it has whatever its parameters are."""
    plans: list[str] = []

    def explain(_: Any, cursor: Any, statement: str, parameters: Any, *__: Any) -> None:
        beside = cursor.connection.cursor()
        if session.get_bind().dialect.name == "sqlite":
            beside.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
        elif cursor.connection.info.server_version >= 160000:
            names: list[str] = []

            def number(found: re.Match[str]) -> str:
                names.append(found[1])
                return f"${len(names)}"

            beside.execute("SET enable_seqscan = off")
            generic = re.sub(r"%\((\w+)\)s", number, statement).replace("%%", "%")
            beside.execute(f"EXPLAIN (GENERIC_PLAN) {generic}")
        else:
            beside.execute("SET enable_seqscan = off")
            beside.execute(f"EXPLAIN {statement}", parameters)
        plans.append("\n".join(str(row[-1]) for row in beside.fetchall()))

    engine: Engine = session.get_bind()  # type: ignore[assignment]
    event.listen(engine, "before_cursor_execute", explain)
    try:
        session.execute(query).all()
    finally:
        event.remove(engine, "before_cursor_execute", explain)
    (plan,) = plans
    return plan


def asked(session: Session) -> dict[str, tuple[Select[Any], str, str]]:
    """Every query that both databases answer, with the index that each of them reads for it."""
    page = session.scalars(queries.newest_memories(CONTEXT, limit=5)).all()
    tasks = session.scalars(queries.pending_tasks(CONTEXT, limit=5)).all()
    in_context = "memories_context_live_index"
    return {
        "newest": (queries.newest_memories(CONTEXT), in_context, in_context),
        "next page": (queries.newest_memories(CONTEXT, before=page[-1]), in_context, in_context),
        "newest of all": (queries.newest_memories(), "memories_live_index", "memories_live_index"),
        "count": (
            queries.count_memories(CONTEXT),
            "Index Only Scan using memories_context_",
            "memories_context_",
        ),
        "type": (queries.memories_of_type(CONTEXT, "decision"), "memories_context_type_index", in_context),
        "tag": (queries.memories_tagged(CONTEXT, "rare"), SEARCHED, in_context),
        "alike": (
            queries.memories_alike(CONTEXT, "Lesson 7 about tides"),
            "memories_content_index",
            "context_",
        ),
        "rules": (queries.rules_of(CONTEXT), "memories_rules_index", "memories_rules_index"),
        "expired": (queries.expired_memories(), "memories_expiring_index", "memories_expiring_index"),
        "refined by": (
            select(Memory).where(Memory.parent_id == uuid.UUID(int=7)),
            "memories_children_index",
            "memories_children_index",
        ),
        "words": (
            queries.memories_saying(CONTEXT, "lesson 77"),
            SEARCHED,
            "SCAN w VIRTUAL TABLE INDEX",
        ),
        "tasks": (queries.pending_tasks(CONTEXT), "tasks_pending_index", "tasks_"),
        "next tasks": (queries.pending_tasks(CONTEXT, after=tasks[-1]), "tasks_pending_index", "tasks_"),
        "binding": (
            queries.bound_context("path", "/7"),
            "context_bindings_lookup_index",
            "context_bindings_lookup_index",
        ),
        "name": (
            queries.context_named(ORGANIZATION, "NAME 2"),
            "contexts_organization_id_lower_name_index",
            "contexts_organization_id_index",
        ),
        "history": (
            queries.versions_of(uuid.UUID(int=7)),
            "memory_versions_memory_id_version_number_index",
            "memory_versions_memory_id_index",
        ),
        "queue": (queries.ready_to_sync(), "sync_queue_ready_index", "sync_queue_status"),
    }


def test_each_query_reads_the_index_that_was_made_for_it(session: Session) -> None:
    on_sqlite = session.get_bind().dialect.name == "sqlite"
    wrong = {}
    for name, (query, on_postgresql, lite) in asked(session).items():
        plan = plan_of(session, query)
        index = lite if on_sqlite else on_postgresql
        ordered = (
            on_sqlite or name in {"tag", "words", "alike", "rules", "name", "history"} or "Sort" not in plan
        )
        apart = on_postgresql == SEARCHED and not on_sqlite and not re.search(TOGETHER, plan)
        if index not in plan or not ordered or apart:
            wrong[name] = plan
    assert not wrong, "\n\n".join(f"{name}:\n{plan}" for name, plan in wrong.items())


def test_each_query_gives_its_rows(session: Session) -> None:
    def numbers(query: Select[Memory]) -> list[int]:
        return [each.metadata_["number"] for each in session.scalars(query)]

    everything = numbers(queries.newest_memories(CONTEXT, limit=10_000))
    assert len(everything) == session.scalar(queries.count_memories(CONTEXT)) == 2800
    paged: list[int] = []
    last = None
    while page := session.scalars(queries.newest_memories(CONTEXT, limit=700, before=last)).all():
        paged += [each.metadata_["number"] for each in page]
        last = page[-1]
    assert paged == everything
    assert numbers(queries.memories_tagged(CONTEXT, limit=10_000)) == everything
    assert [one // 20 for one in paged] == sorted((one // 20 for one in paged), reverse=True)

    assert set(numbers(queries.memories_of_type(CONTEXT, "decision", limit=999))) == {
        one for one in everything if one % 7 == 0
    }
    long = "x" * 254 + "y" * 9000
    for number, kind in enumerate((long, long[:255], f"{long[:255]}z"), 1):
        held = {"number": -number, "type": kind}
        session.execute(
            insert(Memory), {"context_id": CONTEXT, "content": f"{number}", "metadata_": held, **STAMPS}
        )
        assert numbers(queries.memories_of_type(CONTEXT, kind)) == [-number]
    session.rollback()
    for kind_held, asked_for in ((True, "true"), (False, "false"), (5, "5"), (1.5, "1.5"), (["a"], '["a"]')):
        document: Any = {"number": -9, "type": kind_held}
        session.execute(
            insert(Memory), {"context_id": CONTEXT, "content": "", "metadata_": document, **STAMPS}
        )
        assert numbers(queries.memories_of_type(CONTEXT, asked_for)) == [-9]
    session.rollback()
    rare = {one for one in everything if one % 500 == 0}
    assert set(numbers(queries.memories_tagged(CONTEXT, "rare"))) == rare
    assert numbers(queries.memories_tagged(CONTEXT, "rare", "common")) == []
    assert numbers(queries.memories_alike(CONTEXT, "Lesson 77 about tides")) == [77]
    assert numbers(queries.memories_alike(CONTEXT, "Lesson 13 about tides")) == []
    assert set(numbers(queries.rules_of(CONTEXT))) == {one for one in everything if one % 300 == 0}
    assert len(numbers(queries.expired_memories(NOON + timedelta(days=1)))) == 20
    assert numbers(queries.expired_memories(NOON)) == []
    assert numbers(queries.memories_saying(CONTEXT, "lesson 1234 TIDES")) == [1234]
    assert numbers(queries.memories_saying(CONTEXT, "lesson\0 1234")) == [1234]
    assert numbers(queries.memories_saying(CONTEXT, " \0 ")) == []
    assert numbers(queries.memories_saying(CONTEXT, "lessons 123 tide")) == []
    assert numbers(queries.memories_saying(CONTEXT, "lessons 1230 tide - !")) == [1230]

    tasks = session.scalars(queries.pending_tasks(CONTEXT, limit=999)).all()
    order = ["High", "Medium", "Low", None]
    assert [order.index(each.priority) for each in tasks] == sorted(
        order.index(each.priority) for each in tasks
    )
    assert len(tasks) == 50 + 8
    follows = session.scalars(queries.pending_tasks(CONTEXT, limit=999, after=tasks[20])).all()
    assert follows == tasks[21:]

    bound = session.scalars(queries.bound_context("path", "/7")).one()
    assert bound.id.int == 100 + 15 - 2
    assert [each.id for each in session.scalars(queries.context_named(ORGANIZATION, "nAME 2"))] == [CONTEXT]
    first = session.scalars(queries.ready_to_sync(limit=4)).all()
    assert [each.priority for each in first] == [2, 2, 2, 1]
    assert session.scalars(queries.ready_to_sync(NOON - timedelta(days=1))).all() == []


# What means something to FTS5 or to PostgreSQL's parser, and words.
TYPED = st.lists(
    st.sampled_from([
        '"', "'", "-", "*", "^", "+", ":", "(", ")", "{", "NEAR(", "AND", "or", "NOT", "content:", "-w", "w*", '"w', "%", "\\",
    ]) | st.text(max_size=8)
).map(" ".join)  # fmt: skip


def test_words_as_a_person_types_them_are_never_an_error_and_the_best_memories_come_first(
    at_head: str,
) -> None:
    engine = create_engine(at_head.replace("postgresql://", "postgresql+psycopg://"))
    times = {"inserted_at": NOON, "updated_at": NOON}
    said = {"context_id": CONTEXT, **times}
    texts = ["a harbour, and much else that was said on that day", "harbours, a harbour", "no such place"]
    with Session(engine) as session:
        session.execute(insert(Organization), {"id": ORGANIZATION, "name": "one", "slug": "one", **times})
        session.execute(
            insert(Context), {"id": CONTEXT, "organization_id": ORGANIZATION, "name": "one", **times}
        )
        session.execute(insert(Memory), [{"content": each, **said} for each in texts])
        found = session.scalars(queries.memories_saying(CONTEXT, "harbour")).all()
        assert [each.content for each in found] == [texts[1], texts[0]]
        narrowed = queries.memories_saying(CONTEXT, "harbour", limit=1).where(Memory.content.startswith("a"))
        assert [each.content for each in session.scalars(narrowed)] == [texts[0]]

        @settings(max_examples=60, deadline=None, database=None)
        @given(TYPED)
        @example("lesson " * 3000)
        @example("or \u1c90")
        @example("lesson \ud800")
        @example(" ".join(f"w{number}" for number in range(3000)))
        def typed(words: str) -> None:
            query = queries.memories_saying(CONTEXT, words, limit=999)
            session.scalars(query).all()
            if engine.dialect.name == "sqlite" and re.search("[a-z]", words):
                # Whatever it means to anybody, it is found in a memory that says just this.
                session.execute(
                    insert(Memory),
                    {"id": (one := uuid.uuid4()), "content": re.sub("[\0\ud800]", " ", words), **said},
                )
                assert one in {each.id for each in session.scalars(query)}

        typed()
    engine.dispose()


@pytest.mark.parametrize(
    "query",
    [
        lambda: queries.newest_memories(CONTEXT, limit=-1),
        lambda: queries.memories_saying(CONTEXT, "harbour", limit=-1),
        lambda: queries.nearest_memories(NEAR, limit=-1),
        lambda: queries.expired_memories(limit=-1),
        lambda: queries.pending_tasks(CONTEXT, limit=-1),
        lambda: queries.ready_to_sync(limit=-1),
    ],
)
def test_a_negative_limit_is_refused_and_does_not_return_everything(query: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="not -1"):
        query()


def test_an_asynchronous_driver_gets_the_same_rows(session: Session, at_head: str) -> None:
    every = [query for query, *_ in asked(session).values()]
    if not at_head.startswith("sqlite"):
        memory = session.scalars(queries.newest_memories(CONTEXT, limit=1)).one()
        memory.embedding = NEAR
        session.commit()
        every += [
            queries.memories_containing(CONTEXT, {"number": 77}),
            queries.nearest_memories(NEAR, CONTEXT),
        ]
    wanted = [[getattr(each, "id", each) for each in session.scalars(query)] for query in every]
    assert all(wanted)
    session.rollback()  # the rows of the queue are locked

    async def read() -> list[list[Any]]:
        engine = create_async_engine(
            re.sub("^(postgresql|sqlite):", lambda found: f"{found[1]}+{DRIVERS[found[1]]}:", at_head)
        )
        async with AsyncSession(engine) as opened:
            found = [[getattr(each, "id", each) for each in await opened.scalars(query)] for query in every]
        await engine.dispose()
        return found

    assert asyncio.run(read()) == wanted


def test_the_history_of_a_memory_begins_with_its_last_change(session: Session) -> None:
    memory_id = session.scalars(queries.newest_memories(CONTEXT, limit=1)).one().id
    changes: list[tuple[int | None, int]] = [(None, 0), (2, 1), (3, 1), (4, 2)]
    session.add_all(
        MemoryVersion(memory_id=memory_id, content="", operation="update", version_number=number,
                      inserted_at=NOON + timedelta(seconds=second))
        for number, second in changes
    )  # fmt: skip
    session.flush()
    found = session.scalars(queries.versions_of(memory_id)).all()
    assert [each.version_number for each in found] == [4, 3, 2, 1]


def test_a_row_that_an_asynchronous_session_has_not_read_is_no_place_to_go_on_from(at_head: str) -> None:
    async def go_on(url: str) -> None:
        engine = create_async_engine(url.replace("sqlite:", "sqlite+aiosqlite:"))
        async with AsyncSession(engine, expire_on_commit=False) as session:
            context = Context(name="one", organization=Organization(name="one", slug="one"))
            session.add(new := Memory(context=context, content="new"))
            await session.commit()
            with pytest.raises(UsageError, match=r"await session\.refresh\(row, \[\"arrived_at\"\]\)"):
                queries.newest_memories(context.id, before=new)
            await session.refresh(new, ["arrived_at"])
            assert (await session.scalars(queries.newest_memories(context.id, before=new))).all() == []
        await engine.dispose()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the driver's coroutine that nobody may await
        asyncio.run(go_on(at_head))
        gc.collect()


WRITTEN = (
    "2026-03-01T12:00:00",
    "2026-03-01 12:00:00",
    "2026-03-01T12:00:00Z",
    "2026-03-01T14:00:00.5+02:00",
)


@pytest.mark.parametrize("written", WRITTEN)
def test_pages_have_each_row_once_however_its_time_is_spelled(
    head_file: Path, tmp_path: Path, written: str
) -> None:
    engine = create_engine(f"sqlite:///{shutil.copy(head_file, tmp_path / 'head.db')}")
    with Session(engine) as session:
        context = Context(name="one", organization=Organization(name="one", slug="one"))
        rows = [*(Memory(context=context, content=f"{number}") for number in range(5)),
                *(Task(context=context, title=f"{number}", priority="High") for number in range(5))]  # fmt: skip
        session.add_all(rows)
        session.commit()
        for table, column in (("memories", "arrived_at"), ("tasks", "inserted_at")):
            session.execute(text(f"UPDATE {table} SET {column} = :written"), {"written": written})
        session.commit()
        for query, last in ((queries.newest_memories, "before"), (queries.pending_tasks, "after")):
            seen: list[Any] = []
            page = session.scalars(query(context.id, limit=2)).all()
            while page and len(seen) < 10:
                seen += page
                page = session.scalars(query(context.id, limit=2, **{last: page[-1]})).all()
            assert sorted(map(id, seen)) == sorted(id(row) for row in rows if isinstance(row, type(seen[0])))
    engine.dispose()


def test_a_row_that_is_no_more_is_no_place_to_go_on_from(head_file: Path, tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{shutil.copy(head_file, tmp_path / 'head.db')}")
    with Session(engine) as session:
        context = Context(name="one", organization=Organization(name="one", slug="one"))
        session.add_all(Memory(context=context, content=f"{number}") for number in range(4))
        session.commit()
        closed, deleted, last, rest = session.scalars(queries.newest_memories(context.id)).all()
        session.execute(text("DELETE FROM memories WHERE id = :id"), {"id": str(last.id)})
        assert session.scalars(queries.newest_memories(context.id, before=last)).all() == [rest]
        session.execute(text("DELETE FROM memories WHERE id = :id"), {"id": str(deleted.id)})
        session.commit()
        session.expunge(closed)
        for row in (deleted, closed):
            with pytest.raises(UsageError, match="is not known any more"):
                queries.newest_memories(before=row)
    engine.dispose()


def test_a_context_is_found_by_its_name_in_any_case(at_head: str) -> None:
    engine = create_engine(at_head.replace("postgresql://", "postgresql+psycopg://"))
    names = ["Ärger STRASSE", "ÄRGER strasse", "Änderung", "ΟΔΟΣ", "straße", "İstanbul", "ärger_strasse"]
    with Session(engine) as session:
        session.add(organization := Organization(name="one", slug="one"))
        session.add_all(Context(name=name, organization=organization) for name in names)
        session.flush()
        for asked_for, expected in {
            "äRGER strassE": names[:2],
            "ÄNDERUNG": names[2:3],
            "οδοσ": names[3:4],
            "STRAßE": names[4:5],
            "İstanbul": names[5:6],
            "%": [],
        }.items():
            found = session.scalars(queries.context_named(organization.id, asked_for)).all()
            assert sorted(each.name for each in found) == sorted(expected), asked_for
    engine.dispose()


def test_workers_share_the_queue_and_documents_and_places_are_asked_for_on_postgresql(
    session: Session,
) -> None:
    engine: Engine = session.get_bind()  # type: ignore[assignment]
    holding = queries.memories_containing(CONTEXT, {"number": 77})
    if engine.dialect.name == "sqlite":
        with pytest.raises(CompileError, match="has no operator"):
            session.execute(holding)
        with pytest.raises(CompileError, match="has no distance"):
            session.execute(queries.nearest_memories(NEAR, CONTEXT))
        return
    assert [each.content for each in session.scalars(holding)] == ["Lesson 77 about tides"]
    with Session(engine) as other:
        mine = {each.id for each in session.scalars(queries.ready_to_sync(limit=3))}
        assert mine.isdisjoint({each.id for each in other.scalars(queries.ready_to_sync(limit=3))})
    found = session.scalars(queries.newest_memories(CONTEXT, limit=2)).all()
    found[0].embedding, found[1].embedding = NEAR, NEAR[::-1]
    session.commit()
    assert session.scalars(queries.nearest_memories(NEAR, CONTEXT)).all() == found
    assert "memories_embedded_index" in plan_of(session, queries.nearest_memories(NEAR, CONTEXT))
