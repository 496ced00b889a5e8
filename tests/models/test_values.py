from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, get_args
from uuid import UUID

import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st
from sqlalchemy import JSON, Engine, all_, any_, insert, literal, null, select, text, type_coerce, update
from sqlalchemy.exc import CompileError, DBAPIError, StatementError
from sqlalchemy.orm import Session

from diwa_schema import queries
from diwa_schema.models import (
    Agent,
    Base,
    Checkpoint,
    ConflictPerformance,
    Context,
    Memory,
    OrphanReviewLog,
    Secret,
    Session as WorkSession,
    SyncQueue,
    TalaOperation,
    Task,
    UsageRecord,
    values,
)
from diwa_schema.models.types import Document, TextArray
from tests.models.conftest import ONE_DRIVER_EACH
from tests.models.rows import attributes as columns_of, new_row, store

# The words that Elixir code writes there; no constraint says so.
UPSTREAM = {
    "tasks.status": (values.TaskStatus, "pending completed"),
    "tasks.priority": (values.TaskPriority, "High Medium Low"),
    "plans.status": (values.PlanStatus, "Planning Implementation Testing Complete"),
    "hitl_escalations.status": (values.EscalationStatus, "pending resolved rejected"),
    "conflict_resolution_outcomes.outcome": (values.ConflictOutcome, "accepted rejected escalated"),
    "memory_versions.operation": (values.MemoryOperation, "create update delete restore rollback"),
    "memories.memory_class": (
        values.MemoryClass,
        "requirement design_decision architectural_pattern lesson_learned blocker handoff implementation_plan test_spec user_rule system_instruction progress_update technical_debt todo milestone constraint observation",
    ),
    "memories.priority": (values.MemoryPriority, "critical high medium low"),
    "memories.lifecycle": (values.MemoryLifecycle, "permanent session project ephemeral"),
    "contexts.sync_origin, memories.sync_origin": (values.SyncOrigin, "local cloud"),
    "sync_queue.type": (values.SyncType, "context memory"),
    "sync_queue.status": (values.SyncStatus, "pending processing failed completed"),
    "tala_operations.status": (values.OperationStatus, "pending committed discarded"),
    "orphan_review_logs.action": (values.OrphanAction, "commit discard recovered partial_commit"),
    "delegations.status": (values.DelegationStatus, "pending accepted rejected in_progress completed failed"),
    "ingest_jobs.status": (values.IngestStatus, "pending running completed failed"),
    "usage_records.operation": (values.UsageOperation, "complete embed"),
}


def test_value_sets_are_those_of_upstream():
    for where, (kind, words) in UPSTREAM.items():
        assert set(get_args(kind)) == set(words.split()), where
    assert set(values.VALUE_SETS) == {kind for kind, _ in UPSTREAM.values()}


def test_the_facts_know_no_other_words(shared):
    document = json.loads((shared / "upstream" / "extra" / "value_sets.json").read_text())
    listed = {entry["where"]: entry["values"] for entry in document["columns"]}
    for where, (_, words) in UPSTREAM.items():
        assert set(words.split()) == set(next(v for k, v in listed.items() if k.startswith(where))), where


def stored(engine: Engine, model, **attributes):
    *needed, row = new_row(model)
    for name, value in attributes.items():
        setattr(row, name, value)
    with Session(engine, expire_on_commit=False) as session:
        store(session, *needed, row)
    return row


def read(engine: Engine, row):
    with Session(engine) as session:
        return session.get_one(type(row), row.id)


DOCUMENTS = [{"a": {"b": [1, 2.5, None, True]}}, [], ["x"], "text", 5, 2.5, True, {"größe": "Ünïcode 🌊"}]


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_any_document_comes_back(engine, document):
    assert read(engine, stored(engine, Memory, metadata_=document)).metadata_ == document
    assert read(engine, stored(engine, OrphanReviewLog, metadata_=document)).metadata_ == document


def test_sql_null_and_json_null_are_none(engine):
    row = stored(engine, ConflictPerformance, resolutions=null())
    other = stored(engine, ConflictPerformance, resolutions=JSON.NULL)
    assert read(engine, row).resolutions is None
    assert read(engine, other).resolutions is None
    with Session(engine) as session:
        nulls = session.scalars(
            select(ConflictPerformance.id).where(text("conflict_performance.resolutions IS NULL"))
        )
        assert nulls.all() == [row.id]


def test_documents_can_be_searched(engine):
    row = stored(engine, Memory, metadata_={"type": "decision", "depth": {"n": 3}})
    stored(engine, Memory, metadata_={"type": "lesson"})
    with Session(engine) as session:
        by_text = select(Memory.id).where(Memory.metadata_["type"].as_string() == "decision")
        by_number = select(Memory.id).where(Memory.metadata_["depth", "n"].as_integer() == 3)
        assert session.scalars(by_text).all() == session.scalars(by_number).all() == [row.id]
        assert session.scalars(select(Memory.metadata_["depth"])).all() == [{"n": 3}, None]


DEEP: list[Any] = []
DEEP.append(DEEP)
REFUSED = {
    "memories.metadata['x'][1] is nan, which": {"x": [0, float("nan")]},
    "memories.metadata['x'] is -inf, which": {"x": float("-inf")},
    "memories.metadata['x'] is of type set, which": {"x": {1}},
    "memories.metadata['x'] is of type UUID, which JSON does not have. Write it as a text.": {
        "x": UUID(int=1)
    },
    "memories.metadata['x'] is of type datetime, which JSON": {"x": datetime(2026, 1, 2, tzinfo=UTC)},
    "memories.metadata[0] is of type bytes, which": [b"x"],
    "memories.metadata['x'] has half of a surrogate pair (\\ud800)": {"x": "a\ud800"},
    "memories.metadata['x'][0] has a NUL character": {"x": ["a\0"]},
    "A key of memories.metadata['x'] has a NUL character": {"x": {"a\0": 1}},
    "memories.metadata['x'] is a whole number beyond eight bytes": {"x": 2**63},
    "memories.metadata is a whole number beyond eight bytes": -(10**40),
    "memories.metadata['x'] is 1e+23, which PostgreSQL returns as another number": {"x": 1e23},
    "memories.metadata['x'] has the key 1, which is of type int": {"x": {1: "a"}},
    "memories.metadata has the key None, which is of type NoneType": {None: "a"},
    "is deeper than 500 levels, or the document contains itself": DEEP,
}


@ONE_DRIVER_EACH
@pytest.mark.parametrize("said", REFUSED)
def test_json_that_one_database_would_not_keep_is_refused_with_its_place(engine, said):
    """In the words of the models, whatever the driver says of it, and whichever way it is written."""
    with pytest.raises(StatementError) as refused, Session(engine) as session:
        session.execute(insert(Memory).values(id=UUID(int=2), metadata_=REFUSED[said]))
    assert not isinstance(refused.value, DBAPIError)
    assert said in str(refused.value.orig)
    assert "Nothing was sent." in str(refused.value.orig)
    row = stored(engine, Memory, metadata_={})
    with Session(engine) as session, pytest.raises(StatementError, match="Nothing was sent"):
        session.get_one(Memory, row.id).metadata_ = REFUSED[said]
        session.flush()


def test_half_of_a_surrogate_pair_is_refused_in_every_text(engine):
    for attributes in ({"content": "a\ud800"}, {"tags": ["\udfff"]}, {"actor": "\ud83c"}):
        with pytest.raises(StatementError, match="half of a surrogate pair"):
            stored(engine, Memory, **attributes)


@ONE_DRIVER_EACH
def test_a_document_of_many_levels_comes_back(engine):
    deep: Any = 1
    for _ in range(240):
        deep = {"a": [deep]}
    row = stored(engine, Memory, metadata_=deep)
    with Session(engine) as session:
        found = session.get_one(Memory, row.id).metadata_
        for _ in range(240):
            found = found["a"][0]
        assert found == 1


KEPT_NUMBERS = [2**63 - 1, -(2**63), 2**53 + 1, 0.1, -0.0, 5e-324, 1e16, 9007199254740993.0, 1e15 + 0.5]
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(-1e16, 1e16, exclude_min=True, exclude_max=True)
    | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6),
    lambda held: (
        st.lists(held, max_size=3)
        | st.dictionaries(
            st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6), held, max_size=3
        )
    ),
    max_leaves=8,
)


@ONE_DRIVER_EACH
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(documents=st.lists(JSON_VALUES.filter(lambda one: one is not None), min_size=1, max_size=20))
@example(documents=KEPT_NUMBERS)
@example(documents=[KEPT_NUMBERS, ["\u2028", "\x7f", "\ue000", "\U0010ffff"], {"": {"": []}}])
def test_all_other_json_comes_back_equal(engine, documents):
    """Also alone in a column of SQLite whose affinity is NUMERIC."""
    row, other = stored(engine, Memory, metadata_={}), stored(engine, Checkpoint)
    for document in documents:
        with Session(engine) as session:
            session.get_one(Memory, row.id).metadata_ = document
            session.get_one(Checkpoint, other.id).buffer_snapshot = document
            session.commit()
        assert read(engine, row).metadata_ == document
        assert read(engine, other).buffer_snapshot == document


@pytest.mark.parametrize("storage", ["sqlite"], indirect=True)
def test_json_is_written_to_sqlite_as_elixir_writes_it(engine):
    stored(engine, Memory, metadata_={"a": ["ü", 1]}, tags=["b", "ü"])
    with engine.connect() as connection:
        written = connection.execute(text("SELECT metadata, tags FROM memories")).one()
    assert written == ('{"a":["ü",1]}', '["b","ü"]')


@pytest.mark.parametrize("storage", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("content", "document"),
    [
        ('["{\\"a\\": 1}"]', ['{"a": 1}']),
        ("not json", "not json"),
        ("", ""),
        ("5", 5),
        (b"\xff\x00", b"\xff\x00"),
    ],
    ids=str,
)
def test_whatever_lies_in_a_document_of_sqlite_is_read(engine, content, document):
    performance, snapshot = stored(engine, ConflictPerformance), stored(engine, Checkpoint)
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE conflict_performance SET resolutions = :content"), {"content": content}
        )
        connection.execute(text("UPDATE checkpoints SET buffer_snapshot = :content"), {"content": content})
    assert read(engine, performance).resolutions == document
    assert read(engine, snapshot).buffer_snapshot == document


@pytest.mark.parametrize("tags", [[], ["a"], ["with, comma", 'with "quotes"', "ü", ""]], ids=str)
def test_a_list_of_texts_comes_back(engine, tags):
    assert read(engine, stored(engine, Memory, tags=tags)).tags == tags


@pytest.mark.parametrize("storage", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("content", "tags"),
    [("one, two", ["one", "two"]), ("", []), ("null", None), ('["a",1]', ["a", "1"]), ('"a"', ['"a"'])],
)
def test_old_spellings_of_a_list_are_read(engine, content, tags):
    row = stored(engine, Memory)
    with engine.begin() as connection:
        connection.execute(text("UPDATE memories SET tags = :content"), {"content": content})
    assert read(engine, row).tags == tags


def test_one_text_is_no_list_of_texts(engine):
    with pytest.raises(StatementError, match="takes a list"):
        stored(engine, Memory, tags="decision")


def test_rows_are_found_by_their_tags(engine):
    row = stored(engine, Memory, tags=["one", "two", "ü"])
    stored(engine, Memory, tags=["one"])
    stored(engine, Memory, tags=null())
    with Session(engine) as session:

        def found(wanted):
            return session.scalars(select(Memory.id).where(Memory.tags.contains(wanted))).all()

        assert found(["ü", "one"]) == [row.id]
        assert len(found(["one"])) == len(found([])) == 2
        assert found(["three"]) == found(["one", "three"]) == []


@pytest.mark.parametrize("storage", ["sqlite"], indirect=True)
def test_an_old_spelling_of_tags_is_not_found_and_no_error(engine):
    stored(engine, Memory)
    with engine.begin() as connection:
        connection.execute(text("UPDATE memories SET tags = 'one, two'"))
    with Session(engine) as session:
        assert session.scalars(select(Memory.id).where(Memory.tags.contains(["one"]))).all() == []


@pytest.mark.parametrize("storage", ["sqlite"], indirect=True)
def test_a_document_that_is_not_json_has_no_parts_and_is_no_error(engine):
    """An early agent's text in one row must not stop a query over all rows."""
    row = stored(engine, Memory, metadata_={"type": "decision", "n": {"k": 1}})
    stored(engine, Memory)
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE memories SET metadata = 'no json' WHERE id <> :id"), {"id": str(row.id)}
        )
    with Session(engine) as session:
        for condition in (
            Memory.metadata_["type"].as_string() == "decision",
            Memory.metadata_["n"]["k"].as_integer() == 1,
            Memory.metadata_["n", "k"].as_integer() == 1,
        ):
            assert session.scalars(select(Memory.id).where(condition)).all() == [row.id]
        assert len(session.scalars(select(Memory.metadata_["type"])).all()) == 2


def test_documents_that_contain_another_are_found_or_refused(engine, storage):
    row = stored(engine, Memory, metadata_={"type": "decision", "depth": {"n": 3, "m": 4}})
    stored(engine, Memory, metadata_={"type": "lesson"})
    wanted = select(Memory.id).where(Memory.metadata_.contains({"depth": {"n": 3}}))
    with Session(engine) as session:
        if storage == "sqlite":
            with pytest.raises(CompileError, match=r"as_string\(\)"):
                session.scalars(wanted)
        else:
            assert session.scalars(wanted).all() == [row.id]


@pytest.fixture
def one_connection(engine):
    """Many examples of one test cost one database."""
    with engine.connect() as connection:
        yield connection


TAGS = st.lists(st.one_of(st.none(), st.sampled_from(["a", "b", "ü", ""])), max_size=3)


@ONE_DRIVER_EACH
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(held=st.none() | TAGS, wanted=TAGS)
def test_contains_means_the_same_on_both_databases(one_connection, held, wanted):
    """As an array of PostgreSQL: NULL equals nothing, and nothing is known about NULL instead of a list."""
    expected = None if held is None else None not in wanted and set(wanted) <= set(held)
    holds = literal(held, TextArray())
    probe = select(type_coerce(holds, TextArray()).contains(wanted))
    found = one_connection.scalar(probe)
    assert (found if found is None else bool(found)) is expected


OF_LISTS = {
    "+": lambda: Memory.tags + ["new"],  # noqa: RUF005
    "reverse +": lambda: ["new"] + Memory.tags,  # noqa: RUF005
    "concat": lambda: Memory.tags.concat(["new"]),
    "op": lambda: Memory.tags.op("||")(literal(["new"], TextArray())),
    "element": lambda: Memory.tags[1],
    "greater": lambda: Memory.tags > ["b"],
    "any": lambda: literal("one") == any_(Memory.tags),
    "any, other side": lambda: any_(Memory.tags) == "one",
    "all": lambda: literal("two") != all_(Memory.tags),
}
OF_DOCUMENTS = {
    "part": lambda: Memory.metadata_["type"] == "decision",
    "part of a part": lambda: Memory.metadata_["a", "b"] == 1,
    "reverse": lambda: literal("decision", Document()) == Memory.metadata_["type"],
    "not equal": lambda: Memory.metadata_["type"] != "x",
    "no part": lambda: Memory.metadata_["absent"].is_(None),
    "part in": lambda: Memory.metadata_["type"].in_(["decision", 1]),
    "whole": lambda: Memory.metadata_ == {"a": {"b": 1}, "type": "decision"},
    "op": lambda: Memory.metadata_.op("||")({"new": 1}),
    "key": lambda: Memory.metadata_.op("?")("type"),
    "columns": lambda: Memory.metadata_ == Memory.metadata_,
}


@ONE_DRIVER_EACH
def test_an_operator_that_sqlite_would_apply_to_texts_is_refused_there(engine, storage):
    stored(engine, Memory, tags=["one"], metadata_={"type": "decision", "a": {"b": 1}})
    with Session(engine) as session:
        for name, expression in {
            **OF_LISTS,
            **{f"documents, {k}": v for k, v in OF_DOCUMENTS.items()},
        }.items():
            if storage == "sqlite":
                with pytest.raises(CompileError, match=r"as_string\(\)|Memory.tags.contains"):
                    session.scalars(select(expression()))
            else:
                found = session.scalars(select(expression())).one()
                assert found in (True, "one", ["one", "new"], ["new", "one"]) or found["new"] == 1, name


@ONE_DRIVER_EACH
def test_a_list_or_document_that_is_assigned_an_operation_is_right_or_unchanged(engine, storage):
    row = stored(engine, Memory, tags=["one"], metadata_={"a": 1})
    longer, larger = Memory.tags + ["two"], Memory.metadata_.op("||")({"b": 2})  # noqa: RUF005
    with Session(engine) as session:
        for name, value in {"tags": longer, "metadata_": larger}.items():
            memory = session.get_one(Memory, row.id)
            setattr(memory, name, value)
            if storage == "sqlite":
                with pytest.raises(CompileError):
                    session.commit()
                session.rollback()
                with pytest.raises(CompileError):
                    session.execute(update(Memory).values({name: value}))
            session.commit()
    after = read(engine, row)
    expected = (["one"], {"a": 1}) if storage == "sqlite" else (["one", "two"], {"a": 1, "b": 2})
    assert (after.tags, after.metadata_) == expected


@ONE_DRIVER_EACH
@pytest.mark.parametrize("model", [Memory, ConflictPerformance])
def test_a_statement_returns_and_sets_whole_rows_with_documents(engine, model):
    """SQLAlchemy finds the columns of a statement in dicts, where it compares them with ``==``."""
    document = "metadata_" if model is Memory else "resolutions"
    *needed, row = new_row(model)
    with Session(engine) as session:
        store(session, *needed)
        values = {key: getattr(row, key) for key, column in columns_of(row) if column.nullable is False}
        values = {key: value for key, value in values.items() if value is not None} | {document: [1]}
        returned = session.scalars(insert(model).returning(model), [values]).one()
        session.execute(update(model).where(model.id == returned.id).values({document: [2]}))
        assert getattr(returned, document) == [2]
        getattr(returned, document).append(3)
        session.commit()
        assert getattr(returned, document) == [2, 3]


@ONE_DRIVER_EACH
def test_the_operators_of_both_databases_stay(engine):
    row = stored(engine, Memory, tags=["one", None], metadata_={"type": "decision"})
    stored(engine, Memory, tags=["two"], metadata_={})
    with Session(engine) as session:
        for condition in (
            Memory.tags == ["one", None],
            Memory.tags.in_([["one", None], ["x"]]),
            Memory.tags.is_distinct_from(["two"]),
            Memory.metadata_["type"].as_string() == "decision",
            Memory.metadata_["type"].as_string().is_not(None),
        ):
            assert session.scalars(select(Memory.id).where(condition)).all() == [row.id], condition
        assert session.scalars(select(Memory.id).where(Memory.metadata_ == None)).all() == []  # noqa: E711
        assert (
            len(session.scalars(select(Memory.id).order_by(Memory.tags.desc(), Memory.metadata_)).all()) == 2
        )
        assert session.scalars(select(Memory.metadata_).distinct()).all()


UNSTORABLE: list[tuple[Any, str, Any, str]] = [
    (Memory, "tags", ["x" * 256], "too long"),
    (Memory, "tags", [1], "element 0 is not a text"),
    (Memory, "tags", [["a"]], "element 0 is not a text"),
    (Memory, "tags", 5, "takes a list"),
    (Memory, "tags", {"a": 1}, "takes a list"),
    (Memory, "tags", ["a\0"], "NUL"),
    (Memory, "content", "a\0b", "NUL"),
    (Memory, "metadata_", {"a": [{"b": "\0"}]}, "NUL"),
    (Memory, "metadata_", {"\0": 1}, "NUL"),
    (Task, "title", "x" * 256, "too long"),
    (Task, "title", 5, "A text is a str, not int"),
    (Memory, "content", 5, "A text is a str, not int"),
    (Task, "title", "\0", "NUL"),
    (UsageRecord, "total_tokens", 2**31, "too large.*-2,147,483,648 to 2,147,483,647, not 2,147,483,648"),
    (UsageRecord, "total_tokens", -(2**31) - 1, "too large"),
    (UsageRecord, "total_tokens", 10**30, "too large"),
    (UsageRecord, "total_tokens", 1.5, "whole numbers, not 1.5"),
    (UsageRecord, "total_tokens", Decimal("NaN"), "whole numbers, not NaN"),
    (UsageRecord, "total_tokens", float("inf"), "whole numbers, not inf"),
    (Memory, "confidence", float("nan"), "no number"),
    (Context, "conflict_auto_calibrate", 2, "True or False, not 2"),
    (Context, "conflict_auto_calibrate", "false", "True or False, not 'false'"),
    (UsageRecord, "cost_estimate", Decimal("9999.9999995"), "too large.*below 10,000, not 9999.9999995"),
    (UsageRecord, "cost_estimate", Decimal(-10000), "too large"),
    (UsageRecord, "cost_estimate", float("inf"), "too large"),
    (UsageRecord, "cost_estimate", Decimal("NaN"), "too large"),
]


@ONE_DRIVER_EACH
def test_what_one_database_cannot_keep_is_refused_by_both(engine):
    for model, name, value, message in UNSTORABLE:
        with pytest.raises(StatementError, match=message):
            stored(engine, model, **{name: value})
    assert read(engine, stored(engine, Memory, tags=["ü" * 255])).tags == ["ü" * 255]
    assert read(engine, stored(engine, Task, title="ü" * 255)).title == "ü" * 255
    harmless = {"a": "\\u0000 \x01 ü"}
    assert read(engine, stored(engine, Memory, metadata_=harmless)).metadata_ == harmless
    for most in (2**31 - 1, -(2**31), 7.0):
        assert read(engine, stored(engine, UsageRecord, duration_ms=most)).duration_ms == most
    with Session(engine) as session:
        assert session.scalars(select(Task).where(Task.title == "x" * 300)).all() == []
        assert session.scalars(select(UsageRecord).where(UsageRecord.total_tokens > 2**40)).all() == []
        assert session.scalars(select(UsageRecord).where(UsageRecord.total_tokens > 1e9 + 0.5)).all() == []
        with pytest.raises(StatementError, match="too large"):
            session.execute(update(UsageRecord).values(total_tokens=2**40))


@pytest.mark.parametrize("storage", ["sqlite"], indirect=True)
def test_what_was_kept_before_is_read_and_stays(engine):
    row = stored(engine, Memory)
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE memories SET content = 'a' || char(0), tags = :tags"),
            {"tags": json.dumps(["x" * 300])},
        )
    with Session(engine) as session:
        memory = session.get_one(Memory, row.id)
        memory.priority = "high"
        session.commit()
        assert (memory.content, memory.tags, memory.priority) == ("a\0", ["x" * 300], "high")


@pytest.mark.parametrize("amount", ["0.000001", "1234.567891", "9999.999999", "0"])
def test_costs_keep_six_places(engine, amount):
    cost = read(engine, stored(engine, UsageRecord, cost_estimate=Decimal(amount))).cost_estimate
    assert cost == Decimal(amount)
    assert str(cost) == str(Decimal(amount).quantize(Decimal("0.000001")))


def test_numbers_flags_bytes_and_ids_have_their_python_types(engine, storage):
    context = stored(engine, Context, conflict_base_threshold=1, conflict_auto_calibrate=False)
    threshold = read(engine, context).conflict_base_threshold
    assert (type(threshold), threshold) == (float, 1.0)
    assert read(engine, context).conflict_auto_calibrate is False
    assert isinstance(read(engine, context).id, UUID)
    assert read(engine, stored(engine, Secret, value_encrypted=b"\x00\xff")).value_encrypted == b"\x00\xff"
    with Session(engine) as session:
        assert session.scalars(select(Context.id).where(Context.conflict_auto_calibrate.is_(False))).all()
        assert session.scalars(select(Context.id).where(Context.id == str(context.id).upper())).all()
        if storage == "sqlite":
            assert str(context.id) in session.execute(text("SELECT id FROM contexts")).scalars().all()


def test_defaults_are_the_same_from_the_client_and_from_the_server(engine, storage):
    row = stored(engine, Context)
    names = "health_score, conflict_domain, conflict_safety_level, conflict_base_threshold"
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO contexts (id, organization_id, name, inserted_at, updated_at)"
                " SELECT :id, organization_id, 'by SQL', inserted_at, updated_at FROM contexts"
            ),
            {"id": str(UUID(int=1)) if storage == "sqlite" else UUID(int=1)},
        )
        rows = connection.execute(text(f"SELECT {names}, conflict_auto_calibrate FROM contexts")).all()
    assert rows[0] == rows[1]
    assert row.health_score == 100


def test_what_no_writer_says_is_not_claimed(engine, storage):
    """SQLite's tables keep a default that says it; the models say that nobody knows."""
    assert stored(engine, Context).sync_origin is None
    assert stored(engine, Memory).sync_origin is None
    assert stored(engine, TalaOperation).phi_flag is None
    assert read(engine, stored(engine, TalaOperation, phi_flag=False)).phi_flag is False
    with engine.begin() as connection:
        connection.execute(text("UPDATE tala_operations SET phi_flag = NULL"))
        copy = (
            "INSERT INTO tala_operations (id, inserted_at) SELECT :id, max(inserted_at) FROM tala_operations"
        )
        connection.execute(text(copy), {"id": str(UUID(int=9)) if storage == "sqlite" else UUID(int=9)})
        found = connection.execute(text("SELECT phi_flag FROM tala_operations")).scalars().all()
    claimed = [0] if storage == "sqlite" else []
    assert [one for one in found if one is not None] == claimed


def test_text_that_only_looks_like_json_stays_text(engine):
    assert read(engine, stored(engine, Agent, capabilities="python, sql")).capabilities == "python, sql"


def test_a_buffered_operation_names_its_session_as_text(engine):
    wanted = UUID(int=7)
    row = stored(engine, TalaOperation, session_id=wanted, context_id=str(wanted))
    assert read(engine, row).session_id == read(engine, row).context_id == str(wanted)
    with Session(engine) as session:
        assert session.scalars(select(TalaOperation.id).where(TalaOperation.session_id == str(wanted))).all()


def test_an_engine_is_no_row_of_the_table_sessions():
    name: Any = WorkSession
    assert name(actor="ada").actor == "ada"
    with pytest.raises(TypeError, match=r"SQLAlchemy's Session is in sqlalchemy\.orm"):
        name("sqlite://")


def test_a_row_has_no_metadata_but_the_column():
    memory = Memory(metadata_={"a": 1})
    with pytest.raises(AttributeError, match="is the attribute 'metadata_'"):
        _ = memory.metadata
    assert Memory.metadata is Base.metadata


def test_the_total_of_tokens_is_their_sum_where_nobody_says_it(engine):
    """PostgreSQL refuses another one."""
    assert stored(engine, UsageRecord, tokens_input=2, tokens_output=3).total_tokens == 5
    assert stored(engine, UsageRecord, tokens_output=3).total_tokens == 3
    assert stored(engine, UsageRecord, tokens_input=2, tokens_output=3, total_tokens=5).total_tokens == 5
    changed = stored(engine, UsageRecord, tokens_input=2, tokens_output=3)
    with Session(engine) as session:
        record = session.get_one(UsageRecord, changed.id)
        record.tokens_input = 7
        session.commit()
        assert record.total_tokens == 10


def test_a_row_of_the_queue_is_sent_at_once_where_nobody_says_when(engine):
    row = stored(engine, SyncQueue, type="memory", payload={})
    with Session(engine) as session:
        assert [each.id for each in session.scalars(queries.ready_to_sync())] == [row.id]
