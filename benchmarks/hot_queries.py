"""python -m benchmarks.hot_queries: what the applications ask most often, at Ecto's last version and at head.

The same rows in two databases of one server: one is left as Ecto left it and asked as the applications ask today, one
is upgraded and asked with `diwa_schema.queries`. Both questions of a row are asked in turn, prepared, rows fetched; and
once more without the rows, for what the server alone takes. That is what an index can change, and what the goals are
for: a hundred rows with all their columns take the client longer than an index takes to find them. Then the indexes of
memories are weighed, and rows are inserted into both.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
from pgvector import Vector
from pgvector.psycopg import register_vector
from psycopg.types.json import Jsonb
from sqlalchemy import Engine, Select, create_engine, event
from sqlalchemy.orm import Session, defer

import diwa_schema
from benchmarks import large, report
from benchmarks.bench import Bench, server
from benchmarks.measure import Row, alternate, timed
from diwa_schema import queries
from diwa_schema.models import Memory
from diwa_schema.models.kinds import Undecided
from diwa_schema.run.settings import Settings

CONTEXTS = 2_000
LARGE = 5  # contexts that are asked about: the five with the most memories
# Thirty of 10,000 words, some of them far more often than others.
CONTENT = """(SELECT string_agg('w' || (10000 * power(random(), 2) + n * 0 * place)::int, ' ')
        FROM generate_series(1, 30) AS place)"""
WORD = "w400"  # in one memory of a hundred and fifty
NEAREST = "[" + ",".join(["1"] + ["0"] * 1535) + "]"
WITH_EMBEDDING = 50  # a memory in so many
NEIGHBOURS = "memories_embedding_idx"  # built on request
INSERTED = 500  # rows of one measurement, each row or each hundred with its commit
FEWER_INSERTS = 1 / 0.9  # the time of inserts may grow so much
LARGER_INDEXES = 1.25

MEMORIES = f"""
INSERT INTO memories (id, context_id, content, inserted_at, updated_at, deleted_at, expires_at, tags, actor, metadata,
                      memory_class, embedding)
SELECT gen_random_uuid(), lpad(to_hex(1 + floor(%s * power(random(), 3))::int), 32, '0')::uuid,
       {CONTENT},
       at, at, CASE WHEN n %% 10 = 3 THEN at END, CASE WHEN n %% 700 = 1 THEN at END,
       CASE WHEN n %% 1000 = 0 THEN ARRAY['rare'] ELSE ARRAY['common', 'tag' || n %% 50] END, 'actor ' || n %% 100,
       jsonb_build_object('type', (ARRAY['note','decision','plan','idea','log'])[1 + n %% 5], 'n', n),
       CASE WHEN n %% 100 = 7 THEN 'user_rule' ELSE 'observation' END,
       CASE WHEN n %% {WITH_EMBEDDING} = 0 THEN
           (SELECT array_agg(random() + n * 0 * place)::vector(1536) FROM generate_series(1, 1536) AS place) END
FROM (SELECT n, timestamp '2026-01-01' + n * interval '2 seconds' AS at FROM generate_series(1, %s) AS n) AS numbered
"""
OTHERS = (
    f"""
INSERT INTO tasks (id, context_id, title, priority, status, inserted_at, updated_at)
SELECT gen_random_uuid(), lpad(to_hex(1 + floor({CONTEXTS} * power(random(), 3))::int), 32, '0')::uuid, 'Task ' || n,
       (ARRAY['High','Medium','Low'])[1 + n %% 3], CASE WHEN n %% 2 = 0 THEN 'pending' ELSE 'completed' END,
       timestamp '2026-01-01' + n * interval '9 seconds', now()
FROM generate_series(1, %(memories)s / 5) AS n
""",
    """
INSERT INTO sync_queue (id, type, payload, status, priority, attempts, scheduled_at, inserted_at, updated_at)
SELECT gen_random_uuid(), 'memory', '{}', CASE WHEN n %% 100 = 0 THEN 'pending' ELSE 'completed' END, n %% 3, 0,
       timestamp '2026-01-01', timestamp '2026-01-01' + n * interval '7 seconds', now()
FROM generate_series(1, %(memories)s * 3 / 10) AS n
""",
    f"""
INSERT INTO context_bindings (id, context_id, binding_type, value, inserted_at, updated_at)
SELECT gen_random_uuid(), lpad(to_hex(1 + n %% {CONTEXTS}), 32, '0')::uuid, 'path', '/home/' || n, now(), now()
FROM generate_series(1, %(memories)s / 50) AS n
""",
)
# What an application writes that knows Ecto's columns alone.
WRITTEN = "id, context_id, content, inserted_at, updated_at, tags, actor, memory_class, metadata"
VALUES = "(%s, %s, %s, %s, %s, %s, %s, %s, %s)"
# What Ecto's schema of a memory has, without the embedding: thirty embeddings of text take a client longer than
# everything else, and no index changes that.
COLUMNS = (
    "id, context_id, content, metadata, actor, project, tags, parent_id, external_ref, severity, inserted_at,"
    " updated_at, deleted_at, memory_class, priority, lifecycle, confidence, source, occurrence_count,"
    " last_accessed_at, expires_at, sync_origin, remote_id"
)
LIVE = f"SELECT {COLUMNS} FROM memories WHERE deleted_at IS NULL"
IN_CONTEXT = f"{LIVE} AND context_id = %s"


@dataclass(frozen=True, slots=True)
class Question:
    """One thing that the applications ask.

    Args:
        what: What it is.
        today: The statement that is sent today, with the context and whatever else as its values.
        values: The values of that, for a context.
        builder: The statement of `diwa_schema.queries`, for a context.
        before: Milliseconds that the statement of today took where the goal was found.
        reachable: Milliseconds that an index that fits made of it there.
    """

    what: str
    today: str
    values: Callable[[UUID], Sequence[object]]
    builder: Callable[[UUID], Select[Any]]
    before: float
    reachable: float


def questions(page: Any, content: str) -> tuple[Question, ...]:
    """Return what is asked.

    Args:
        page: The last row of a first page, where the next one goes on.
        content: What a memory says, which is looked for once more.
    """
    now = datetime(2026, 6, 1, tzinfo=UTC)
    newest = f"{IN_CONTEXT} ORDER BY inserted_at DESC LIMIT 100"

    def only(context: UUID) -> Sequence[object]:
        return (context,)

    return (
        Question("newest 100 of a large context", newest, only, queries.newest_memories, 95, 1.6),
        Question(
            "the next page of it", f"{newest} OFFSET 100", only,
            lambda one: queries.newest_memories(one, before=page), 93, 1.4,
        ),
        Question(
            "count of a large context",
            "SELECT count(*) FROM memories WHERE deleted_at IS NULL AND context_id = %s", only,
            queries.count_memories, 67, 5,
        ),
        Question(
            "newest 50 of all contexts", f"{LIVE} ORDER BY inserted_at DESC LIMIT 50", lambda _: (),
            lambda _: queries.newest_memories(limit=50), 645, 0.7,
        ),
        Question(
            "by type, newest 50", f"{IN_CONTEXT} AND metadata->>'type' = %s ORDER BY inserted_at DESC LIMIT 50",
            lambda one: (one, "decision"), lambda one: queries.memories_of_type(one, "decision"), 98, 0.9,
        ),
        Question(
            "a rare tag, newest 50", f"{IN_CONTEXT} AND %s = ANY(tags) ORDER BY inserted_at DESC LIMIT 50",
            lambda one: (one, "rare"), lambda one: queries.memories_tagged(one, "rare"), 84, 2.3,
        ),
        Question(
            "the same content", f"{IN_CONTEXT} AND content = %s", lambda one: (one, content),
            lambda one: queries.memories_alike(one, content), 185, 0.2,
        ),
        Question(
            "rules of a context", f"{IN_CONTEXT} AND memory_class IN ('user_rule', 'system_instruction')", only,
            queries.rules_of, 17, 14,
        ),
        Question(
            "expired, next 500", f"{LIVE} AND expires_at < %s ORDER BY expires_at LIMIT 500", lambda _: (now,),
            lambda _: queries.expired_memories(now), 0.9, 0.9,
        ),
        Question(
            "pending tasks by priority",
            "SELECT * FROM tasks WHERE context_id = %s AND status = 'pending' ORDER BY CASE priority WHEN 'High' THEN 1"
            " WHEN 'Medium' THEN 2 WHEN 'Low' THEN 3 ELSE 4 END, inserted_at DESC LIMIT 50", only,
            queries.pending_tasks, 8.7, 0.4,
        ),
        Question(
            "binding of a path",
            "SELECT c.* FROM contexts c JOIN context_bindings b ON b.context_id = c.id"
            " WHERE b.binding_type = 'path' AND b.value = %s ORDER BY b.inserted_at DESC LIMIT 1",
            lambda _: ("/home/77",), lambda _: queries.bound_context("path", "/home/77"), 1.4, 0.5,
        ),
        Question(
            "next 10 to sync, locked",
            "SELECT * FROM sync_queue WHERE (status = 'pending' OR status = 'failed' AND attempts < 10)"
            " AND scheduled_at <= %s ORDER BY priority DESC, inserted_at LIMIT 10 FOR UPDATE SKIP LOCKED",
            lambda _: (now,), lambda _: queries.ready_to_sync(now), 33, 1,
        ),
        Question(
            "full text in a large context",
            f"{IN_CONTEXT} AND tsv_content @@ websearch_to_tsquery('english', %s)"
            " ORDER BY ts_rank(tsv_content, websearch_to_tsquery('english', %s)) DESC LIMIT 50",
            lambda one: (one, WORD, WORD), lambda one: queries.memories_saying(one, WORD), 11, 6,
        ),
    )  # fmt: skip


def neighbours() -> tuple[Question, ...]:
    """Return the questions about embeddings: of a context, which needs no index on request, and of all contexts."""
    nearest = " AND embedding IS NOT NULL ORDER BY embedding <=> %s::vector LIMIT 10"
    like = [1.0] + [0.0] * 1535
    return (
        Question(
            "10 nearest of a large context", f"{IN_CONTEXT}{nearest}", lambda one: (one, NEAREST),
            lambda one: queries.nearest_memories(like, one), 101, 10,
        ),
        Question(
            "10 nearest of all contexts", f"{LIVE}{nearest}", lambda _: (NEAREST,),
            lambda _: queries.nearest_memories(like), 550, 5,
        ),
    )  # fmt: skip


Asked = Callable[[UUID], object]
Statement = tuple[str, dict[str, Any]]


def sent(engine: Engine, query: Select[Any]) -> Statement:
    """Return the text of a statement and its values as an application sends them, by sending it once.

    Lists of memories are read without their embeddings, as docs/queries.md shows.
    """
    found: list[Statement] = []

    def note(_: object, __: object, text: str, values: dict[str, Any], *___: object) -> None:
        found.append((text, {name: _decided(value) for name, value in values.items()}))

    event.listen(engine, "before_cursor_execute", note)
    if query.column_descriptions[0]["entity"] is Memory:
        query = query.options(defer(Memory.embedding))
    try:
        with engine.connect() as connection:
            connection.execute(query)
    finally:
        event.remove(engine, "before_cursor_execute", note)
    return found[-1]


def _decided(value: Any) -> Any:
    return Vector(value.forms.as_vector()) if isinstance(value, Undecided) else value


def rows(before: psycopg.Connection, after: psycopg.Connection, url: str, rounds: int) -> Iterator[Row]:
    """Measure every question and inserts on both databases, then those whose index is built on request.

    Args:
        before: A connection to the one that was left as it was.
        after: A connection to the other.
        url: The URL of that.
        rounds: How often.
    """
    for connection in (before, after):
        register_vector(connection)
    contexts = [
        row[0]
        for row in before.execute(
            "SELECT context_id FROM memories GROUP BY 1 ORDER BY count(*) DESC LIMIT %s", (LARGE,)
        )
    ]
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with Session(engine) as session:
        page = session.scalars(queries.newest_memories(contexts[0])).all()[-1]

    def compared(question: Question) -> Iterator[Row]:
        statements = {one: sent(engine, question.builder(one)) for one in contexts}

        def ask_today(context: UUID) -> object:
            return before.execute(question.today.encode(), question.values(context), prepare=True).fetchall()

        def ask(context: UUID) -> object:
            text, values = statements[context]
            return after.execute(text.encode(), values, prepare=True).fetchall()

        def serve_today() -> float:
            return _served(before, [(question.today, question.values(one)) for one in contexts])

        def serve() -> float:
            return _served(after, list(statements.values()))

        asked = alternate(
            rounds, partial(_each, after, ask, contexts), partial(_each, before, ask_today, contexts)
        )
        yield Row(question.what, "as it was", None, *asked)
        goal = question.reachable / question.before
        yield Row(
            f"{question.what}, the server alone", "as it was", goal, *alternate(rounds, serve, serve_today)
        )

    for question in (*questions(page, page.content), neighbours()[0]):
        yield from compared(question)
    before.rollback()
    yield from inserts(before, after, rounds)
    after.rollback()
    diwa_schema.enable_index(NEIGHBOURS, url, settings=Settings(allow_stall=True))
    for question in neighbours():
        yield from compared(replace(question, what=f"{question.what}, with {NEIGHBOURS}"))
    engine.dispose()


def _each(connection: psycopg.Connection, ask: Asked, contexts: Sequence[UUID]) -> float:
    """Return how many milliseconds an answer takes, as the mean over the contexts; locks end with it."""
    took = timed(lambda: [ask(one) for one in contexts]) / len(contexts)
    connection.rollback()
    return took


def _served(connection: psycopg.Connection, statements: Sequence[tuple[str, Any]]) -> float:
    """Return how many milliseconds the server needs for an answer that it does not send, as the mean."""
    took = 0.0
    for text, values in statements:
        query = f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {text}".encode()
        row = connection.execute(query, values).fetchone()
        assert row is not None
        took += row[0][0]["Execution Time"]
    connection.rollback()
    return took / len(statements)


def inserts(before: psycopg.Connection, after: psycopg.Connection, rounds: int) -> Iterator[Row]:
    """Measure what inserts take on both: prepared, and committed one by one or a hundred at a time.

    Args:
        before: A connection to the database that was left as it was.
        after: A connection to the other.
        rounds: How often.
    """
    for many in (1, 100):
        text = f"INSERT INTO memories ({WRITTEN}) VALUES {', '.join([VALUES] * many)}".encode()

        def insert(connection: psycopg.Connection, text: bytes = text, many: int = many) -> float:
            sent = [[value for _ in range(many) for value in written()] for _ in range(INSERTED // many)]

            def send() -> None:
                for values in sent:
                    connection.execute(text, values, prepare=True)
                    connection.commit()

            return timed(send)

        samples = alternate(rounds, partial(insert, after), partial(insert, before))
        commits = "a commit each" if many == 1 else f"a commit for {many}"
        yield Row(f"{INSERTED:,} inserts, {commits}", "as it was", FEWER_INSERTS, *samples)


def written() -> Sequence[object]:
    """Return a row like the others, in a random context and as the columns of `WRITTEN`."""
    chance = random.random()
    at = datetime(2026, 11, 1, tzinfo=UTC).replace(tzinfo=None)
    context = UUID(int=1 + int(CONTEXTS * chance**3))
    content = " ".join(f"w{int(10_000 * random.random() ** 2)}" for _ in range(30))
    metadata = Jsonb({"type": "note", "n": int(chance * 1e6)})
    tags = ["common", f"tag{int(chance * 50)}"]
    return uuid4(), context, content, at, at, tags, "ada", "observation", metadata


def weighed(before: psycopg.Connection, after: psycopg.Connection) -> str:
    """Return how large the indexes of memories are on both."""
    sizes = []
    for connection in (before, after):
        row = connection.execute("SELECT pg_indexes_size('memories') / 1048576.0").fetchone()
        assert row is not None
        sizes.append(float(row[0]))
    was, now = sizes
    return f"Indexes of memories: {was:.0f} MB, now {now:.0f} MB ({now / was:.2f}; at most {LARGER_INDEXES:.2f})."


@contextmanager
def filled(bench: Bench) -> Iterator[tuple[str, str]]:
    """Give the URLs of the two databases."""
    with large.template(bench, bench.memories, CONTEXTS, inserting=MEMORIES) as template:
        with psycopg.connect(bench.server.database(template), autocommit=True) as connection:
            for statement in OTHERS:
                connection.execute(statement.encode(), {"memories": bench.memories})
            connection.execute("VACUUM ANALYZE")
        with bench.database(template) as before, bench.database(template) as after:
            diwa_schema.migrate(after, settings=Settings(allow_stall=True))
            for url in (before, after):
                with psycopg.connect(url, autocommit=True) as connection:
                    connection.execute("VACUUM ANALYZE")
            yield before, after


def main(argv: Sequence[str] | None = None) -> int:
    """Return 1 when a row misses its target."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hot_queries", description=__doc__)
    parser.add_argument("--memories", type=int, default=1_000_000, help="rows of the database (1000000)")
    parser.add_argument("--rounds", type=int, default=21, help="measure so often (21)")
    args = parser.parse_args(argv)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with server() as address:
        bench = Bench(address, Path(), args.rounds, args.memories)
        began = time.monotonic()
        with filled(bench) as (was, now), psycopg.connect(was) as before, psycopg.connect(now) as after:
            sys.stderr.write(f"filled in {time.monotonic() - began:.0f} s\n")
            heavy = weighed(before, after)
            found = list(rows(before, after, now, args.rounds))
            print(report.heading(was, args.rounds), report.table(found), heavy, sep="\n\n")
    return int(not all(row.holds for row in found))


if __name__ == "__main__":
    sys.exit(main())
