"""The models leave a memory's organization to the database and read it from there."""

from __future__ import annotations

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from diwa_schema.models import Context, Memory, Organization
from tests.models.rows import new_row, store


def test_a_memory_is_given_the_organization_of_its_context(engine):
    *needed, memory = new_row(Memory)
    *others, elsewhere = new_row(Context)
    with Session(engine) as session:
        store(session, *needed, memory)
        first = memory.organization_id
        assert first == memory.context.organization_id
        assert memory.organization.memories == [memory]
        store(session, *others, elsewhere)
        memory.context_id = elsewhere.id
        session.flush()
        assert memory.organization_id == elsewhere.organization_id != first
        elsewhere.organization_id = first
        session.commit()
        assert memory.organization_id == first
        found = select(Memory).join(Memory.organization).where(Organization.id == first)
        assert session.scalars(found).all() == [memory]


def test_another_organization_is_refused(engine):
    *needed, memory = new_row(Memory)
    *others, elsewhere = new_row(Context)
    with Session(engine) as session:
        store(session, *needed, memory)
        store(session, *others, elsewhere)
        memory.organization_id = elsewhere.organization_id
        with pytest.raises(IntegrityError):
            session.flush()


def test_no_other_statement_follows_a_change_of_something_else(engine):
    *needed, memory = new_row(Memory)
    with Session(engine, expire_on_commit=False) as session:
        store(session, *needed, memory)
        session.refresh(memory)
        memory.content = "changed"
        session.commit()
    assert memory.organization_id is not None
