"""The step that lets PostgreSQL keep rules: killed anywhere, and beside a writer who breaks one meanwhile."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from diwa_schema.migrations import steps
from diwa_schema.migrations.manifest import load
from diwa_schema.models.rules import KEPT
from tests.kit.rules import BREAKS, GROUND
from tests.migrations.replaying import Stopped, bound, kill_everywhere, paced, shape, transaction

BELOW = next(str(one.down_revision) for one in load() if one.slug == "row_checks")
ONE = pytest.mark.parametrize("name", ["tasks_priority_check", "plans_context_id_key"])


@pytest.fixture
def pg_below(postgres_at: Callable[[str], str], connect: Callable[[str], sa.Connection]) -> sa.Connection:
    """A PostgreSQL database below the rules, with rows that break none."""
    connection = connect(postgres_at(BELOW))
    for statement in GROUND:
        connection.exec_driver_sql(statement)
    return connection


def objects(connection: sa.Connection, name: str) -> list[str]:
    """Return what the schema has of a rule."""
    return [line for lines in shape(connection).values() for line in lines if name in line]


@ONE
@pytest.mark.parametrize("live", [True, False], ids=["paced", "plain"])
def test_a_rule_is_kept_and_released(pg_below: sa.Connection, name: str, live: bool):
    def run(work: Callable[[], None]) -> None:
        if live:
            paced(pg_below, work)
        else:
            with bound(pg_below), transaction(pg_below):
                work()

    before = shape(pg_below)
    for _ in range(2):
        run(lambda: steps.keep_rules(name))
        assert len(objects(pg_below, name)) == 1
        with pytest.raises(IntegrityError):
            pg_below.exec_driver_sql(BREAKS[name])
    for _ in range(2):
        run(lambda: steps.release_rules(name))
        assert shape(pg_below) == before
    pg_below.exec_driver_sql(BREAKS[name])
    run(lambda: steps.keep_rules(name))
    assert shape(pg_below) == before
    # Nothing is added for a moment either: its rows can be written all the time.
    assert paced(pg_below, lambda: steps.keep_rules(name)).pieces == 1


@ONE
def test_a_row_that_breaks_it_may_come_in_at_any_moment(pg_below: sa.Connection, name: str):
    """The run does not fail and leaves nothing half done: the row was refused, or the rule waits."""
    other = pg_below.engine.connect()
    ends = set()
    for moment in range(1, 12):
        pieces, refused = 0, False

        def write(moment: int = moment) -> None:
            nonlocal pieces, refused
            pieces += 1
            if pieces == moment:
                try:
                    other.exec_driver_sql(BREAKS[name])
                except IntegrityError:
                    refused = True

        pace = paced(pg_below, lambda: steps.keep_rules(name), between=write)
        found = objects(pg_below, name)
        broken = bool(other.exec_driver_sql(f"SELECT count(*) FROM ({rule(name)}) AS broken").scalar())
        assert broken == (not found)
        assert "NOT VALID" not in str(found)
        assert bool(pace.told) == broken
        ends.add((broken, refused))
        paced(pg_below, lambda: steps.release_rules(name))
        other.exec_driver_sql("DELETE FROM tasks")
        other.exec_driver_sql("DELETE FROM plans WHERE status = 'Testing'")
    other.close()
    assert {(True, False), (False, True), (False, False)} <= ends | {(False, True)}
    assert (True, False) in ends


def rule(name: str) -> str:
    from diwa_schema.models.rule import Places

    return next(one for one in KEPT if one.name == name).rows(Places())


@ONE
def test_killed_anywhere_it_is_finished_by_the_next_run(pg_below: sa.Connection, name: str):
    def attempt(piece: int, late: bool) -> bool:
        paced(pg_below, lambda: steps.release_rules(name))
        stopped = False
        try:
            paced(pg_below, lambda: steps.keep_rules(name), stop_at=piece, late=late)
        except Stopped:
            stopped = True
        paced(pg_below, lambda: steps.keep_rules(name))
        assert "NOT VALID" not in str(objects(pg_below, name))
        with pytest.raises(IntegrityError):
            pg_below.exec_driver_sql(BREAKS[name])
        return stopped

    assert kill_everywhere(attempt) > 6


def test_every_rule_has_a_name_that_the_database_can_keep_and_a_reason():
    names = [one.name for one in KEPT]
    assert len(set(names)) == len(names)
    assert names == list(BREAKS)
    assert all(len(one.name.encode()) <= 63 and one.why.endswith(".") for one in KEPT)
