"""An agent works with its own buffer at every moment between a takeover and head, and a killed run loses nothing.

The agent is played by what Ecto's client sends: uuids as 16 bytes, binary, prepared by name and kept prepared.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from uuid import uuid4

import psycopg
import pytest

from diwa_schema import api
from tests.fixtures_databases import database_name
from tests.fixtures_server import Server
from tests.kit.postgrex import Repo, ServerError
from tests.run.fingerprint import fingerprint
from tests.run.launcher import KILLED, Launcher
from tests.sampling import sampled

INSERT = (
    'INSERT INTO "tala_operations" ("actor","params","session_id","status","tool_name","context_id","inserted_at","id")'
    " VALUES ($1,$2,$3,$4,$5,$6,$7,$8)"
)
READ = (
    'SELECT t0."id", t0."session_id", t0."context_id", t0."tool_name", t0."params", t0."actor", t0."status",'
    ' t0."inserted_at" FROM "tala_operations" AS t0 WHERE (t0."session_id" = $1)'
)
UPDATE = 'UPDATE "tala_operations" SET "status" = $1 WHERE "id" = $2'
# The last revision that changes the buffer: what comes after it has nothing to do with the agent.
COMMANDS = {"adopt": ["adopt"], "upgrade": ["upgrade", "20260303000200"]}
LOCKED = "55P03"
NOW = datetime.fromisoformat("2026-03-26T09:00:00")


class Agent:
    """Writes an operation, changes it and reads all of its session, each time it is asked."""

    def __init__(self, url: str) -> None:
        self.repo = Repo(f"{url}?options=-clock_timeout%3D100ms")
        self.context = self.repo.query('SELECT c0."id" FROM "contexts" AS c0 LIMIT 1')[0][0]
        self.session = uuid4().bytes
        self.written: set[bytes] = set()
        self.failures: list[str] = []
        self.turns = self.waits = 0

    def work(self) -> None:
        self.turns += 1
        row = uuid4().bytes
        try:
            values = (None, {"n": [1]}, self.session, "pending", "store", self.context, NOW, row)
            self.repo.query(INSERT, *values)
            self.written.add(row)
            self.repo.query(UPDATE, "committed", row)
            found = {one[0] for one in self.repo.query(READ, self.session)}
        except ServerError as error:
            # The run is inside a transaction that has the table, and is made to stand still there.
            if error.code == LOCKED:
                self.waits += 1
            else:
                self.failures.append(str(error))
            return
        if found != self.written:
            self.failures.append(f"{len(found)} of {len(self.written)} rows are there")


@pytest.mark.parametrize("shape", sampled(["agent_local", "both_marked_bytes"], "agent_local"))
def test_it_reads_and_writes_all_of_its_rows_at_every_statement(legacy, launcher: Launcher, shape, measured):
    url = legacy(shape)
    agent = Agent(url)
    with agent.repo:
        for command in COMMANDS.values():
            child = launcher.start(*command, "--url", url, how="step")
            for _ in child.steps():
                agent.work()
            outcome = child.wait()
            assert outcome.code == 0, outcome.err
            agent.work()
        measured(f"{agent.turns} turns of the agent, {agent.waits} of them waited")
        assert agent.failures == []
        assert agent.turns > 100
        assert agent.waits < agent.turns / 4
    with psycopg.connect(url) as connection:
        kept = connection.execute(
            "SELECT count(*) FROM tala_operations WHERE session_id = %s AND status = 'committed'",
            (agent.session.hex(),),
        ).fetchone()
    assert kept is not None
    assert kept[0] >= agent.turns - agent.waits


@pytest.mark.matrix
@pytest.mark.parametrize(("shape", "command"), [("agent_local", "upgrade"), ("both_marked_bytes", "adopt")])
def test_killed_at_a_statement_it_ends_as_undisturbed(
    legacy: Callable[..., str], launcher: Launcher, server: Server, owner_directory, shape, command
):
    template = legacy(shape)
    if command == "upgrade":
        api.adopt(template)

    def fresh() -> str:
        return server.create(database_name(), template.rpartition("/")[2].partition("?")[0])

    whole = fresh()
    done = launcher.run(*COMMANDS[command], "--url", whole)
    assert done.code == 0, done.err
    changing = [
        number
        for number, (_, statement) in enumerate(done.log, 1)
        if not statement.lstrip().upper().startswith(("SELECT", "SHOW"))
    ]
    # Before and after statements on the agent's tables, and at some of the others.
    about = [number for number in changing if "tala_operations" in done.log[number - 1][1]]
    points = sorted({*about[:: max(1, len(about) // 3)], *changing[:: max(1, len(changing) // 2)]})
    # What a run does last, after its commit, the next one does in its place.
    assert launcher.run(*COMMANDS["upgrade"], "--url", whole).code == 0
    expected = fingerprint(whole)
    for at in points:
        url = fresh()
        assert launcher.run(*COMMANDS[command], "--url", url, at=at).code in (KILLED, 0)
        again = launcher.run(*COMMANDS[command], "--url", url)
        assert again.code == 0 or "already" in again.err, again.err
        assert launcher.run(*COMMANDS["upgrade"], "--url", url).code == 0
        assert fingerprint(url) == expected, done.log[at - 1]
        server.drop(url.rpartition("/")[2].partition("?")[0])
    server.drop(whole.rpartition("/")[2].partition("?")[0])
