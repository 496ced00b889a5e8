from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, delete, event, func, select, text
from sqlalchemy.exc import IntegrityError, InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from diwa_schema.models import (
    Agent,
    Context,
    ContextRelationship,
    Delegation,
    HitlEscalation,
    Memory,
    MemoryVersion,
    Message,
    Organization,
    Panel,
    UsageRecord,
    Workspace,
)
from tests.models.conftest import open_async_engine, sqlalchemy_url


@pytest.fixture
def session(engine):
    with Session(engine) as opened:
        yield opened


@pytest.fixture
def context(session):
    context = Context(name="tidebook", organization=Organization(name="Default", slug="default"))
    session.add(context)
    session.flush()
    return context


def test_parents_and_children(session, context):
    child = Memory(content="child", context=context, parent=Memory(content="parent", context=context))
    session.add(child)
    session.commit()
    assert child.parent is not None
    assert child.parent.children == [child]
    assert {memory.content for memory in context.memories} == {"child", "parent"}


def test_a_parent_goes_and_its_children_stay(session, context):
    child = Memory(content="child", context=context, parent=Memory(content="parent", context=context))
    session.add(child)
    session.commit()
    session.delete(child.parent)
    session.commit()
    session.expire_all()
    assert child.parent is None
    assert context.memories == [child]


def test_both_sides_of_a_link(session, context):
    other = Context(name="relay", organization=context.organization)
    link = ContextRelationship(source_context=context, target_context=other, relationship_type="depends_on")
    session.add(link)
    session.commit()
    assert (context.outgoing_relationships, context.incoming_relationships) == ([link], [])
    assert (other.outgoing_relationships, other.incoming_relationships) == ([], [link])


def test_both_sides_of_a_delegation(session, context):
    ada, bram = Agent(name="Ada", role="planner"), Agent(name="Bram", role="coder")
    work = Delegation(task_definition="x", context=context, from_agent=ada, to_agent=bram)
    session.add(work)
    session.commit()
    assert (ada.sent_delegations, ada.received_delegations) == ([work], [])
    assert (bram.sent_delegations, bram.received_delegations) == ([], [work])


def test_both_memories_of_an_escalation(session, context):
    first, second = Memory(content="1", context=context), Memory(content="2", context=context)
    session.add_all([first, second])
    session.flush()
    row = HitlEscalation(context=context, conflict_id=first.id, memory_a=first, memory_b=second)
    session.add(row)
    session.commit()
    assert (first.escalations_as_a, first.escalations_as_b) == ([row], [])
    assert (second.escalations_as_a, second.escalations_as_b) == ([], [row])


def test_what_belongs_to_a_context_goes_with_it(session, context):
    memory = Memory(content="x", context=context, versions=[MemoryVersion(content="x", operation="create")])
    session.add(memory)
    session.commit()
    assert memory.versions
    session.delete(context)
    session.commit()
    assert session.scalars(select(Memory)).all() == []
    assert session.scalars(select(MemoryVersion)).all() == []
    assert session.scalars(select(Organization)).all()


def test_usage_outlives_its_context(session, context):
    context.usage_records.append(UsageRecord(provider="p", model="m", operation="embed"))
    session.commit()
    organization = context.organization_id
    session.delete(context)
    session.commit()
    (record,) = session.scalars(select(UsageRecord))
    assert (record.context, record.organization_id) == (None, organization)


def test_keys_of_text_are_made_by_the_client(session):
    panel = Panel(provider="p", workspace=Workspace(name="bridge"), messages=[Message(content="hi")])
    session.add(panel)
    session.commit()
    assert len(panel.id) == len(panel.messages[0].id) == 36
    assert panel.workspace is not None
    assert panel.workspace.ide_panel_order == ["explorer", "chat", "code"]


SQLITE = pytest.mark.parametrize("storage", ["sqlite"], indirect=True)


def stored_family(session):
    context = Context(name="x", organization=Organization(name="o"))
    session.add(Memory(content="x", context=context))
    session.commit()
    return context


@SQLITE
def test_sqlite_is_told_to_keep_foreign_keys_when_it_can_be(tables_url):
    engine = create_engine(sqlalchemy_url(tables_url))
    with Session(engine) as session:
        session.delete(stored_family(session))
        session.commit()
        assert session.scalars(select(Memory)).all() == []
    engine.dispose()


@SQLITE
@pytest.mark.parametrize("way", ["core", "orm"])
def test_a_statement_that_deletes_leaves_no_orphans(tables_url, way):
    engine = create_engine(sqlalchemy_url(tables_url))
    with Session(engine) as session:
        stored_family(session)
    engine.dispose()
    wanted: Any = delete(Context.__table__) if way == "core" else delete(Context)  # type: ignore[arg-type]
    with engine.begin() as connection:
        connection.execute(wanted)
    with Session(engine) as session:
        assert session.scalars(select(Memory)).all() == []
    engine.dispose()


@SQLITE
@pytest.mark.parametrize("read", [select(Memory), select(func.count()).where(Memory.id.is_not(None))])
def test_a_text_that_deletes_in_a_session_of_the_models_leaves_no_orphans(tables_url, read):
    """On a connection that nothing else has used."""
    with Session(engine := create_engine(sqlalchemy_url(tables_url))) as session:
        stored_family(session)
    engine.dispose()
    with Session(engine) as session:
        assert session.scalars(read).all()
        session.execute(text("DELETE FROM contexts"))
        session.commit()
        assert session.scalars(select(Memory)).all() == []
    engine.dispose()


@SQLITE
def test_a_memory_of_nothing_is_not_written(tables_url):
    engine = create_engine(sqlalchemy_url(tables_url))
    with Session(engine) as session, pytest.raises(IntegrityError, match="FOREIGN KEY"):
        session.add(Memory(content="x", context_id=uuid4()))
        session.commit()
    engine.dispose()


@SQLITE
@pytest.mark.parametrize("way", ["core", "orm"])
def test_without_foreign_keys_sqlite_deletes_nothing(tables_url, way):
    """Inside a transaction SQLite cannot be told to keep them."""
    engine = create_engine(sqlalchemy_url(tables_url))
    event.listen(engine, "connect", lambda connection, _: setattr(connection, "isolation_level", None))
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN") and None)
    with Session(engine) as session:
        context = stored_family(session)
        with pytest.raises(InvalidRequestError, match="enforce_foreign_keys"):
            if way == "core":
                session.connection().execute(delete(Context))
            else:
                session.delete(context)
                session.flush()
        session.rollback()
        assert session.scalars(select(Memory)).all() != []
    engine.dispose()


def test_relationships_are_awaited_in_asynchronous_code(tables_url):
    async def run():
        engine = open_async_engine(tables_url)
        async with AsyncSession(engine) as session:
            session.add(Memory(content="x", context=Context(name="x", organization=Organization(name="o"))))
            await session.commit()
            memory = (await session.scalars(select(Memory))).one()
            context = await memory.awaitable_attrs.context
            memories = await context.awaitable_attrs.memories
        await engine.dispose()
        return context.name, memories == [memory]

    assert asyncio.run(run()) == ("x", True)
