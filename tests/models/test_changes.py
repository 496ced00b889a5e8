"""Documents and lists that are changed in place."""

from __future__ import annotations

import copy
import pickle
import uuid
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import StatementError
from sqlalchemy.orm import Session

from diwa_schema.models import Memory
from tests.models.conftest import ONE_DRIVER_EACH
from tests.models.rows import NUMBERS, new_row, store

DOCUMENT = {"a": {"b": [1, {"c": 2}]}, "list": []}


@pytest.fixture
def memory(engine):
    *needed, memory = new_row(Memory)
    memory.metadata_, memory.tags = copy.deepcopy(DOCUMENT), ["one"]
    with Session(engine, expire_on_commit=False) as session:
        store(session, *needed, memory)
    return memory


def change_all(memory):
    memory.metadata_["new"] = {"deep": []}
    memory.metadata_["new"]["deep"].append(1)
    memory.metadata_["a"]["b"][1]["c"] = 3
    memory.metadata_["list"] += ["x"]
    memory.tags.append("two")
    memory.tags.sort(reverse=True)


CHANGED = {"a": {"b": [1, {"c": 3}]}, "list": ["x"], "new": {"deep": [1]}}


def test_what_was_read_and_changed_is_saved(engine, memory):
    with Session(engine) as session:
        change_all(session.get_one(Memory, memory.id))
        session.commit()
    with Session(engine) as session:
        read: Any = session.get_one(Memory, memory.id)
        assert (read.metadata_, read.tags) == (CHANGED, ["two", "one"])


def test_each_change_alone_is_saved(engine, memory):
    """A second change at a depth that was new in the first one, in an object that was not read again."""
    with Session(engine, expire_on_commit=False) as session:
        read: Any = session.get_one(Memory, memory.id)
        for change in (
            lambda: read.metadata_.update(n={"o": {}}),
            lambda: read.metadata_["n"]["o"].update(p=[]),
            lambda: read.metadata_["n"]["o"]["p"].append({}),
            lambda: read.metadata_["n"]["o"]["p"][0].setdefault("q", 1),
            lambda: read.metadata_["a"].pop("b"),
            lambda: read.tags.extend(["z"]),
        ):
            change()
            session.commit()
            with Session(engine) as other:
                assert (found := other.get_one(Memory, memory.id)).metadata_ == read.metadata_
                assert found.tags == read.tags
    assert read.metadata_ == {"a": {}, "list": [], "n": {"o": {"p": [{"q": 1}]}}}


def test_what_was_given_and_changed_is_saved(engine, memory):
    with Session(engine) as session:
        session.add(memory)
        change_all(memory)
        session.commit()
        assert (memory.metadata_, memory.tags) == (CHANGED, ["two", "one"])


def test_a_default_that_is_changed_is_saved(engine):
    *needed, row = new_row(Memory)
    with Session(engine, expire_on_commit=False) as session:
        store(session, *needed, row)
        row.tags.append("x")
        row.metadata_["y"] = 1
        session.commit()
        session.refresh(row)
        assert (row.tags, row.metadata_) == (["x"], {"y": 1})


def inside(container):
    yield container
    for held in container.values() if isinstance(container, dict) else container:
        if isinstance(held, dict | list):
            yield from inside(held)


PLAIN: dict[str, Any] = {"given": [{}]}
DICTS: dict[str, Any] = {
    "setdefault": lambda d: d.setdefault("l", copy.deepcopy(PLAIN)),
    "setdefault, known": lambda d: d.setdefault("list", copy.deepcopy(PLAIN)),
    "get after update": lambda d: d.update(l=copy.deepcopy(PLAIN)) or d.get("l"),
    "|=": lambda d: d.__ior__({"l": copy.deepcopy(PLAIN)}),
    "values": lambda d: next(iter(d.values())),
    "items": lambda d: next(iter(d.items()))[1],
}
LISTS: dict[str, Any] = {
    "+=": lambda x: x.__iadd__([copy.deepcopy(PLAIN)]),
    "extend": lambda x: x.extend(copy.deepcopy(PLAIN) for _ in "a") or x[-1],
    "insert": lambda x: x.insert(0, copy.deepcopy(PLAIN)) or x[0],
    "a slice": lambda x: x.__setitem__(slice(0, 1), [copy.deepcopy(PLAIN)]) or x[0],
    "copy": lambda x: x.append({}) or x.copy()[-1],
    "reversed": lambda x: x.append({}) or next(reversed(x)),
}


@pytest.mark.parametrize("method", [*DICTS, *LISTS])
@pytest.mark.parametrize("deep", [False, True])
def test_what_a_method_returns_of_a_document_is_tracked(method, deep):
    """Whatever a caller gets hold of through a method, a change in it reaches the row."""
    root = {**DICTS, **LISTS}[method]
    memory: Any = Memory(metadata_={"a": {"list": []}, "list": []} if method in DICTS else [[], 1])
    found: Any = root(memory.metadata_["a" if method in DICTS else 0] if deep else memory.metadata_)
    for container in inside(found):
        before = copy.deepcopy(memory.metadata_)
        container.update(changed=1) if isinstance(container, dict) else container.append("changed")
        assert memory.metadata_ != before


def test_reading_changes_nothing(engine, memory):
    with Session(engine) as session:
        read: Any = session.get_one(Memory, memory.id)
        assert (read.metadata_, read.tags) == (DOCUMENT, ["one"])
        assert not session.dirty


def test_what_was_replaced_belongs_to_nobody(engine, memory):
    with Session(engine) as session:
        read: Any = session.get_one(Memory, memory.id)
        old, read.tags = read.tags, ["new"]
        session.commit()
        old.append("x")
        assert not session.dirty
        assert read.tags == ["new"]


def test_two_rows_share_nothing(engine, memory):
    *needed, other = new_row(Memory)
    with Session(engine) as session:
        session.add(memory)
        other.tags = memory.tags
        store(session, *needed, other)
        other.tags.append("x")
        session.commit()
        assert session.scalars(select(Memory.tags).where(Memory.id == memory.id)).one() == ["one"]


def test_copies_are_plain(memory):
    for made in (copy.deepcopy(memory.metadata_), pickle.loads(pickle.dumps(memory.metadata_))):
        assert made == DOCUMENT
        assert (type(made), type(made["a"]), type(made["a"]["b"])) == (dict, dict, list)


def unpickled(session, memory):
    session.add(row := pickle.loads(pickle.dumps(memory)))
    return row


def merged_beside_a_loaded_one(session, memory):
    session.get_one(Memory, memory.id)
    return session.merge(memory, load=False)


@ONE_DRIVER_EACH
@pytest.mark.parametrize(
    "taken",
    [unpickled, lambda session, memory: session.merge(memory, load=False), merged_beside_a_loaded_one],
    ids=["unpickled", "merged", "merged beside a loaded one"],
)
def test_a_row_that_comes_from_a_cache_is_tracked(engine, memory, taken):
    """Rows in a cache are pickled, or merged without a query, and changed in a later session."""
    with Session(engine) as session:
        memory = session.get_one(Memory, memory.id)
        session.expunge(memory)
        change_all(taken(session, memory))
        session.commit()
        read: Any = session.get_one(Memory, memory.id)
        assert (read.metadata_, read.tags) == (CHANGED, ["two", "one"])


@ONE_DRIVER_EACH
def test_a_changed_number_of_an_embedding_is_saved(engine, memory):
    with Session(engine) as session:
        read: Any = session.get_one(Memory, memory.id)
        read.embedding = list(NUMBERS)
        read.embedding[0] = 0.25
        session.commit()
        read.embedding[1] = 0.125
        session.commit()
        assert read.embedding[:3] == pytest.approx([0.25, 0.125, NUMBERS[2]])


@ONE_DRIVER_EACH
def test_a_text_that_spells_an_id_is_the_id(engine, memory):
    """A session knows a row by its id: of a text, it would make a second object, which it cannot sort either."""
    spelled = str(memory.id).upper()
    with Session(engine) as session:
        read = session.get_one(Memory, memory.id)
        new = Memory(id=str(uuid.uuid4()), context_id=str(memory.context_id).upper(), content="new")
        session.add(new)
        session.flush()
        assert session.get_one(Memory, uuid.UUID(str(new.id))) is new
        assert (new.context_id, new.context) == (memory.context_id, read.context)
        assert session.merge(Memory(id=spelled, content="merged")) is read
        new.content = "changed"
        session.commit()
        assert (read.content, new.content) == ("merged", "changed")
        with pytest.raises(StatementError, match="badly formed"):
            session.add(Memory(id="no id", context_id=memory.context_id, content="new"))
            session.flush()
