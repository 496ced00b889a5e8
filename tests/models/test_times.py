from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, strategies as st
from sqlalchemy import Engine, case, func, insert, literal, null, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, CompileError, StatementError
from sqlalchemy.orm import Session

from diwa_schema.models import Context, Memory, MemoryVersion, Organization, Plan, SyncQueue
from diwa_schema.models.types.times import Timestamp, spell
from tests.models.conftest import ONE_DRIVER_EACH
from tests.models.rows import MOMENT, new_row, store

TOKYO = timezone(timedelta(hours=9))


@pytest.fixture
def memory(engine: Engine):
    *needed, memory = new_row(Memory)
    memory.deleted_at = MOMENT
    memory.inserted_at = MOMENT
    with Session(engine, expire_on_commit=False) as session:
        store(session, *needed, memory)
    return memory


def test_a_time_comes_back_aware_in_utc(engine, memory, storage):
    with Session(engine) as session:
        read = session.get_one(Memory, memory.id)
        assert read.deleted_at == MOMENT
        assert read.deleted_at.tzinfo is UTC
        # The fraction is cut off, not rounded into the future; SQLite keeps it, as the Elixir model does.
        assert read.inserted_at == (MOMENT if storage == "sqlite" else MOMENT.replace(microsecond=0))


def test_a_fraction_is_never_rounded_into_the_future(engine, memory):
    late = MOMENT.replace(microsecond=999_999)
    with Session(engine) as session:
        session.get_one(Memory, memory.id).inserted_at = late
        session.commit()
        assert session.get_one(Memory, memory.id).inserted_at <= late


def test_another_zone_is_converted(engine, memory):
    with Session(engine) as session:
        session.get_one(Memory, memory.id).deleted_at = datetime(2026, 3, 1, 21, 0, tzinfo=TOKYO)
        session.commit()
        assert session.get_one(Memory, memory.id).deleted_at == datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "message"),
    [(MOMENT.replace(tzinfo=None), "has no zone"), (date(2026, 3, 1), "not date"), ("2026-03-01", "not str")],
)
def test_what_names_no_point_in_time_is_refused(engine, memory, value, message):
    with Session(engine) as session:
        session.get_one(Memory, memory.id).deleted_at = value
        with pytest.raises(StatementError, match=message):
            session.commit()


def test_times_are_compared_as_given(engine, memory):
    before, after = MOMENT - timedelta(microseconds=1), MOMENT + timedelta(microseconds=1)
    with Session(engine) as session:
        assert session.scalars(select(Memory.id).where(Memory.deleted_at.between(before, after))).all()
        assert session.scalars(select(Memory.id).where(Memory.inserted_at <= MOMENT)).all()
        assert session.scalars(select(Memory.id).where(Memory.inserted_at < after)).all()
        assert not session.scalars(select(Memory.id).where(Memory.deleted_at > MOMENT)).all()


@pytest.mark.parametrize("model", [Context, Organization, MemoryVersion], ids=lambda model: model.__name__)
def test_a_comparison_within_a_second_is_right_whatever_the_column_keeps(engine, model):
    *needed, row = new_row(model)
    row.inserted_at = MOMENT.replace(microsecond=0)
    with Session(engine) as session:
        store(session, *needed, row)
        half = MOMENT.replace(microsecond=500_000)
        column, whole, later = model.inserted_at, MOMENT.replace(microsecond=0), half + timedelta(seconds=1)

        def found(condition):
            return bool(session.scalars(select(model.id).where(model.id == row.id, condition)).all())

        assert found(column < half)
        assert found(column <= half)
        assert found(column != half)
        assert found(column == whole)
        assert found(column.between(whole, half))
        assert found(column.in_([whole, later]))
        assert found(half > column)
        assert not found(column > half)
        assert not found(column >= half)
        assert not found(column == half)
        assert not found(column.in_([half]))
        assert not found(column.between(half, later))
        assert not found(column > whole)


@pytest.mark.parametrize("model", [Context, Organization, MemoryVersion], ids=lambda model: model.__name__)
def test_the_servers_time_is_compared_in_utc(engine, storage, model):
    *needed, row = new_row(model)
    with Session(engine) as session:
        if storage != "sqlite":
            session.execute(text("SET TIME ZONE 'Asia/Tokyo'"))
        for minutes, expected in ((-2, (True, False)), (2, (False, True))):
            row.inserted_at = datetime.now(UTC) + timedelta(minutes=minutes)
            session.add_all([*needed, row])
            session.flush()
            found = session.execute(
                select(model.inserted_at < func.now(), model.inserted_at >= func.current_timestamp())
            )
            assert tuple(map(bool, found.one())) == expected
    with pytest.raises(ArgumentError, match="Compute it in Python"):
        _ = model.inserted_at < func.now() - timedelta(days=1)


ASSIGNED: dict[str, Any] = {
    "now": lambda _: func.now(),
    "current_timestamp": lambda _: func.current_timestamp(),
    "coalesce": lambda _: func.coalesce(null(), func.now()),
    "case": lambda column: case((column.is_not(None), func.now()), else_=func.now()),
}


@ONE_DRIVER_EACH
@pytest.mark.parametrize(
    "condition",
    [
        Memory.deleted_at - timedelta(hours=1) < MOMENT,
        Memory.deleted_at + timedelta(hours=1) > MOMENT,
        Memory.updated_at - Memory.deleted_at > timedelta(hours=1),
        literal(MOMENT, Memory.deleted_at.type) - Memory.deleted_at < timedelta(hours=1),
    ],
    ids=str,
)
def test_a_time_that_is_computed_is_right_or_refused(engine, storage, memory, condition):
    """SQLite would compute with the first number of the text, and find nothing."""
    with Session(engine) as session:
        if storage == "sqlite":
            with pytest.raises(CompileError, match="Compute in Python"):
                session.scalars(select(Memory.id).where(condition))
        else:
            assert session.scalars(select(Memory.id).where(condition)).all() == [memory.id]


@ONE_DRIVER_EACH
@pytest.mark.parametrize("name", ["deleted_at", "inserted_at", "updated_at"])
def test_the_servers_time_is_assigned_in_utc_and_never_in_the_future(engine, storage, memory, name):
    """Whole seconds and microseconds, text with Z on SQLite, and a session in another zone."""
    column: Any = getattr(Memory, name)
    with Session(engine) as session:
        for said, made in ASSIGNED.items():
            if storage != "sqlite":
                session.execute(text("SET TIME ZONE 'Asia/Tokyo'"))
            read = session.get_one(Memory, memory.id)
            setattr(read, name, made(column))
            session.flush()
            now = datetime.now(UTC)
            assert now - timedelta(seconds=20) < getattr(read, name) <= now + timedelta(milliseconds=1), said
            if storage == "sqlite":
                text_of = session.scalar(text(f"SELECT {name} FROM memories"))
                assert text_of == spell(getattr(read, name), column.type.kind), said
            session.rollback()
    with pytest.raises(ArgumentError, match="Compute it in Python"):
        Memory(expires_at=func.now() + timedelta(days=1))


@ONE_DRIVER_EACH
def test_an_object_can_be_made_with_the_servers_time(engine):
    *needed, row = new_row(Organization)
    row.inserted_at = func.now()
    with Session(engine) as session:
        store(session, *needed, row)
        assert abs(row.inserted_at - datetime.now(UTC)) < timedelta(seconds=20)


@ONE_DRIVER_EACH
def test_where_the_servers_time_cannot_be_converted_it_is_refused(engine, storage, memory):
    dialect: Any = sqlite if storage == "sqlite" else postgresql
    table: Any = Memory.__table__
    row = {"id": memory.id, "name": "a", "slug": "a", "updated_at": MOMENT}
    organization = dialect.insert(Organization).values(inserted_at=MOMENT, **row)
    with Session(engine) as session:
        for statement in (
            update(Memory).values(expires_at=func.now()),
            update(Memory).values({Memory.expires_at: func.coalesce(Memory.expires_at, func.now())}),
            update(table).values(deleted_at=func.now() + timedelta(days=1)),
            insert(Organization).values(inserted_at=func.now(), **row),
            insert(Organization).values([{"inserted_at": func.now(), **row}]),
            organization.on_conflict_do_update(index_elements=["id"], set_={"inserted_at": func.now()}),
            select(Memory.id).where(func.now() > Memory.expires_at),
        ):
            for _ in range(2):
                if storage != "sqlite":
                    session.execute(text("SET LOCAL TIME ZONE 'Asia/Tokyo'"))
                with pytest.raises(ArgumentError, match=r"datetime\.now\(UTC\)"):
                    session.execute(statement)
                session.rollback()
        assert session.get_one(Memory, memory.id).expires_at is None


@pytest.mark.parametrize("storage", ["bytea"], indirect=True)
def test_on_a_session_in_utc_the_servers_time_is_right_as_it_is(engine, memory):
    with Session(engine) as session:
        session.execute(text("SET LOCAL TIME ZONE 'UTC'"))
        session.execute(update(Memory).values(expires_at=func.now() + timedelta(0)))
        assert session.scalars(
            select(Memory.id).where(func.now() >= Memory.expires_at - timedelta(seconds=1))
        ).all()
        session.rollback()


@pytest.mark.parametrize("storage", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2026-03-01T12:30:15.123456Z", MOMENT),
        ("2026-03-01T12:30:15Z", MOMENT.replace(microsecond=0)),
        ("2026-03-01T12:30:15", MOMENT.replace(microsecond=0)),
        ("2026-03-01 12:30:15", MOMENT.replace(microsecond=0)),
        ("2026-03-01T12:30:15.123Z", MOMENT.replace(microsecond=123_000)),
        ("2026-03-01T21:30:15+09:00", MOMENT.replace(microsecond=0)),
        ("2026-03-01", datetime(2026, 3, 1, tzinfo=UTC)),
    ],
)
def test_every_spelling_on_sqlite_is_read(engine, memory, written, expected):
    with Session(engine) as session:
        session.execute(text("UPDATE memories SET deleted_at = :written"), {"written": written})
        assert session.get_one(Memory, memory.id).deleted_at == expected


@pytest.mark.parametrize("storage", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("model", "spelling"),
    [
        (Context, "2026-03-01T12:30:15.123456Z"),
        (Plan, "2026-03-01T12:30:15.123456Z"),
        (SyncQueue, "2026-03-01T12:30:15.123456Z"),
        (Organization, "2026-03-01T12:30:15Z"),
        (MemoryVersion, "2026-03-01T12:30:15"),
    ],
)
def test_sqlite_gets_the_spelling_of_the_elixir_model(engine, model, spelling):
    *needed, row = new_row(model)
    row.inserted_at = MOMENT
    with Session(engine) as session:
        store(session, *needed, row)
        table = model.__tablename__
        written = session.execute(text(f"SELECT inserted_at FROM {table} ORDER BY rowid DESC LIMIT 1"))
        assert written.scalar_one() == spelling


def test_the_first_and_the_last_time_are_no_infinity(engine, storage, memory):
    """What one driver writes, the others must be able to read."""
    first, last = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    with Session(engine) as session:
        row = session.get_one(Memory, memory.id)
        row.last_accessed_at, row.expires_at = first, last
        session.commit()
        if storage != "sqlite":
            finite = text("SELECT isfinite(last_accessed_at) AND isfinite(expires_at) FROM memories")
            assert session.scalar(finite)
        assert row.last_accessed_at - first <= datetime.resolution
        assert last - row.expires_at <= datetime.resolution


@ONE_DRIVER_EACH
def test_the_time_of_arrival_is_never_emptied(engine, memory):
    """A memory without it would have no place among the newest ones, and no page would follow it."""
    values = {"context_id": memory.context_id, "content": "new", "arrived_at": None}
    with Session(engine) as session:
        for statement in (insert(Memory).values(values), update(Memory).values(arrived_at=None)):
            with pytest.raises(StatementError, match="leave it out"):
                session.execute(statement)
        session.add(new := Memory(**values))
        session.execute(insert(Memory), [values])
        session.commit()
        assert None not in session.scalars(select(Memory.arrived_at)).all()
        new.arrived_at = None
        with pytest.raises(StatementError, match="leave it out"):
            session.flush()


def test_a_change_moves_updated_at_and_nothing_else(engine, memory):
    with Session(engine) as session:
        read = session.get_one(Memory, memory.id)
        read.updated_at = MOMENT
        session.commit()
        read.content = "changed"
        session.commit()
        assert read.updated_at > MOMENT
        assert read.deleted_at == MOMENT


def test_a_new_row_and_a_changed_one_show_the_times_that_are_stored(engine):
    with Session(engine, expire_on_commit=False) as session:
        store(session, *new_row(MemoryVersion))  # each of its parents keeps another kind of time
        models: tuple[Any, ...] = (MemoryVersion, Memory, Organization)
        for row in [session.scalars(select(model)).one() for model in models]:
            for name in ("content", "name"):
                if hasattr(row, name):
                    setattr(row, name, "changed")
            session.commit()
            shown = row.inserted_at, row.updated_at
            session.refresh(row)
            assert (row.inserted_at, row.updated_at) == shown


@given(st.datetimes(timezones=st.timezones()).filter(lambda moment: 1 < moment.year < 9999))
def test_microseconds_survive_the_text_of_sqlite(moment):
    moment = moment.astimezone(UTC)
    read = Timestamp().process_result_value(spell(moment, "utc_datetime_usec"), None)  # type: ignore[arg-type]
    assert read == moment
