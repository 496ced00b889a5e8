"""An argument of another kind is named by its kind, wherever the value meets a column."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import create_engine, select
from sqlalchemy.exc import StatementError

from diwa_schema import queries
from diwa_schema.models import Context, Memory, TalaOperation, Task

ID: Any = UUID(int=1)
NUMBER: Any = 5
TAGS: Any = ["a"]
TEXT: Any = "2"
NEW: Any = Context(name="not flushed")
NOTHING: Any = None
MISTAKES: list[tuple[Callable[[Any], Any], str]] = [
    (
        queries.newest_memories,
        "An id is a uuid.UUID or its text, not Memory: pass its id",
    ),
    (lambda _: queries.count_memories(NUMBER), "An id is a uuid.UUID or its text, not int."),
    (lambda memory: queries.memories_tagged(memory, "a"), "not Memory: pass its id"),
    (lambda memory: queries.memories_saying(memory, "a"), "not Memory: pass its id"),
    (queries.versions_of, "not Memory: pass its id"),
    (
        lambda memory: select(TalaOperation).where(TalaOperation.session_id == memory),
        "not Memory: pass its id",
    ),
    (
        lambda _: queries.newest_memories(before=ID),
        "is continued after its last row, not after UUID",
    ),
    (lambda _: queries.pending_tasks(ID, after=ID), "after its last row, not after UUID"),
    (lambda _: queries.memories_tagged(ID, NUMBER), "Each tag is an argument of its own, and a text"),
    (lambda _: queries.memories_tagged(ID, TAGS), "write a star before it"),
    (lambda _: queries.newest_memories(NEW.id), "The context is None: flush its session"),
    (lambda _: queries.nearest_memories([0.0] * 1536, NEW.id), "The context is None: flush its session"),
    (lambda _: queries.nearest_memories(NOTHING), "A distance to None is no number"),
    (lambda memory: queries.newest_memories(before=memory), "The last row of the page has no arrived_at"),
    (lambda _: queries.pending_tasks(ID, after=Task()), "The last row of the page has no inserted_at"),
    (lambda _: queries.memories_of_type(ID, NOTHING), "The type is a text, not NoneType"),
    (lambda _: queries.memories_containing(ID, TAGS), "The metadata is a dict, not list"),
    (lambda _: queries.memories_alike(ID, NOTHING), "The content is a text, not NoneType"),
    (lambda _: queries.memories_saying(ID, NOTHING), "The input is a text, not NoneType"),
    (lambda _: queries.bound_context(NOTHING, TEXT), "The kind is a text, not NoneType"),
    (lambda _: queries.bound_context("path", NOTHING), "The value is a text, not NoneType"),
    (lambda _: queries.context_named(ID, NOTHING), "The name is a text, not NoneType"),
    (lambda _: queries.expired_memories(NUMBER - NUMBER), "A time is a datetime with a zone, not int"),
    (lambda _: queries.ready_to_sync(NUMBER - NUMBER), "A time is a datetime with a zone, not int"),
    (lambda _: queries.newest_memories(limit=TEXT), "A limit is a whole number, not str"),
]


@pytest.mark.parametrize(("mistake", "message"), MISTAKES, ids=[message for _, message in MISTAKES])
def test_an_argument_of_another_kind_is_named(mistake, message):
    engine = create_engine("sqlite://")
    with engine.connect() as connection, pytest.raises((TypeError, StatementError), match=message) as raised:
        connection.execute(mistake(Memory(id=ID)))
    engine.dispose()
    assert isinstance(getattr(raised.value, "orig", raised.value), TypeError)


OF_ONE_ROW: dict[str, tuple[Any, ...]] = {
    "count_memories": (),
    "memories_of_type": ("decision",),
    "memories_tagged": ("a",),
    "memories_containing": ({},),
    "memories_alike": ("said",),
    "rules_of": (),
    "memories_saying": ("said",),
    "versions_of": (),
    "context_named": ("said",),
    "pending_tasks": (),
    "newest_memories": (),
}


def test_an_id_that_is_none_is_refused_by_every_query() -> None:
    """It is the id of a row that was never flushed. Compared with NULL, it would find nothing, silently."""
    of_no_row = {"nearest_memories", "expired_memories", "ready_to_sync", "bound_context"}
    assert {*OF_ONE_ROW, *of_no_row} == {*queries.__all__}
    for name, others in OF_ONE_ROW.items():
        with pytest.raises(TypeError, match="is None: flush its session and pass its id"):
            getattr(queries, name)(NEW.id, *others)
