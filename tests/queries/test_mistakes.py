"""An argument of another kind is named by its kind, wherever the value meets a column."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import create_engine, select
from sqlalchemy.exc import StatementError

from diwa_schema import queries
from diwa_schema.models import Context, Memory, TalaOperation

ID: Any = UUID(int=1)
NUMBER: Any = 5
TAGS: Any = ["a"]
TEXT: Any = "2"
NEW: Any = Context(name="not flushed")
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
    (lambda _: queries.newest_memories(limit=TEXT), "A limit is a whole number, not str"),
]


@pytest.mark.parametrize(("mistake", "message"), MISTAKES, ids=[message for _, message in MISTAKES])
def test_an_argument_of_another_kind_is_named(mistake, message):
    engine = create_engine("sqlite://")
    with engine.connect() as connection, pytest.raises((TypeError, StatementError), match=message) as raised:
        connection.execute(mistake(Memory(id=ID)))
    engine.dispose()
    assert isinstance(getattr(raised.value, "orig", raised.value), TypeError)
