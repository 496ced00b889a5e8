"""Many processes start at once: exactly one changes the database, all end well, and nobody deadlocks."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import psycopg
import pytest

from diwa_schema.migrations.manifest import load
from tests.run import seeds
from tests.sampling import sampled

HEAD = load().head
# Where they find the database, and how they start.
EMPTY, REPLAY, MIDWAY, INDEX = "empty", "empty, replayed", "midway", "an index to build"
BEFORE = {MIDWAY: "20251229030729", INDEX: "20260107201000"}


def prepare(launcher, url: str, where: str) -> int:
    """Bring a database to where the processes find it, and return how many revisions are pending then."""
    if where not in BEFORE:
        return len(load().ids)
    assert launcher.run("upgrade", BEFORE[where], "--url", url).code == 0
    if where == INDEX:
        seeds.fill(url, 30)
    return len(load().between(BEFORE[where], HEAD))


def rows(url: str, query: str) -> list[tuple[object, ...]]:
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as lite:
            return lite.execute(query).fetchall()
    with psycopg.connect(url) as connection:
        return connection.execute(query.encode()).fetchall()


@pytest.mark.parametrize(
    ("where", "processes"),
    sampled(
        [
            (EMPTY, 2),
            (EMPTY, 16),
            (REPLAY, 8),
            (MIDWAY, 2),
            (MIDWAY, 16),
            (INDEX, 2),
            (INDEX, 4),
            (INDEX, 16),
        ],
        (EMPTY, 16),
        (REPLAY, 8),
        (MIDWAY, 2),
        (INDEX, 4),
    ),
)
def test_exactly_one_of_many_processes_applies(launcher, database, where, processes, measured):
    pending = prepare(launcher, database, where)
    before = (
        {row[0] for row in rows(database, "SELECT run_id FROM diwa_schema_ledger")}
        if where in BEFORE
        else set()
    )
    more = ["--replay"] if where == REPLAY else []
    children = [launcher.start("upgrade", "--url", database, *more, together=True) for _ in range(processes)]
    for child in children:
        child.pauses()
    for child in children:
        child.go()
    outcomes = [child.wait() for child in children]

    assert {outcome.code for outcome in outcomes} == {0}, [
        outcome.err for outcome in outcomes if outcome.code
    ]
    entries = rows(database, "SELECT run_id, revision, outcome, pid FROM diwa_schema_ledger ORDER BY id")
    new = [entry for entry in entries if entry[0] not in before]
    assert [entry[1] for entry in new] == list(load().ids[-pending:])
    assert {entry[2] for entry in new} == {"applied"}
    assert len({(entry[0], entry[3]) for entry in new}) == 1
    winner = [child.pid for child in children].index(int(str(new[0][3])))
    losers = [outcome for number, outcome in enumerate(outcomes) if number != winner]
    assert "nothing to do" not in outcomes[winner].out
    assert all(f"is at {HEAD}: nothing to do" in outcome.out for outcome in losers)
    waited = sum("waiting for the migration lock, held by pid" in outcome.err for outcome in losers)
    # The snapshot of a small file can be over before anybody else looks; and on a starved machine, one of two runs.
    assert waited or where == EMPTY or processes == 2
    if database.startswith("postgresql"):
        assert rows(
            database, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        ) == [(0,)]
        invalid = "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid"
        assert rows(database, invalid) == []
    longest = max(outcome.seconds for outcome in outcomes)
    measured(f"{processes} processes, {waited} waited, the last ended after {longest:.1f} s")


def test_who_does_not_wait_is_told_who_holds_the_lock(launcher, database):
    first = launcher.start("upgrade", "--url", database, "--replay", how="pause", match="TABLE plans", at=1)
    first.pauses()
    refused = launcher.run("upgrade", "--url", database, "--lock-wait", "0")
    assert refused.code == 5, refused.err
    assert "holds the migration lock" in refused.err
    assert "since 20" in refused.err
    assert "--lock-wait" in refused.err
    assert first.go().wait().code == 0
    assert launcher.run("upgrade", "--url", database, "--lock-wait", "0").code == 0
