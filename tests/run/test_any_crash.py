"""Every verb is killed at any of its statements and run again: the database is one in which nothing was killed.

What revisions do is killed in `test_kill.py`; here it is what people ask for beside them. Killed between two reads a
run leaves what it leaves before the first, so the sample takes points after statements that change something;
`nox -s matrix` tries them all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from uuid import uuid4

import psycopg
import pytest

from tests.fixtures_databases import database_name
from tests.fixtures_server import Server
from tests.kit import shapes
from tests.run.asking import execute
from tests.run.fingerprint import fingerprint
from tests.run.launcher import KILLED, Launcher
from tests.run.test_kill import BOTH, READS, spread

POINTS = 3
LOW = "20260302000300"
INDEX = "memories_embedding_idx"
ROLES = {what: f"diwa_crash_{what}_{uuid4().hex[:8]}" for what in ("owner", "app", "reader")}
NAMED = [f"--{what}={name}" for what, name in ROLES.items()]

# Each verb's words, after those that bring a database at head to where it begins.
VERBS: dict[str, list[list[str]]] = {
    "stamp": [["stamp", LOW, "--force"]],
    "protect": [["protect", "--reason", "why"]],
    "unprotect": [["protect"], ["unprotect"]],
    "drop": [["drop"]],
    "downgrade": [["downgrade", LOW]],
    "roles": [["roles", "--apply", "--event-trigger", "--take-ownership", *NAMED]],
    "enable an index": [["index", "enable", INDEX]],
    "disable an index": [["index", "enable", INDEX], ["index", "disable", INDEX]],
    "adopt": [["adopt"]],
    # The list that Ecto keeps is one of the tables that change hands.
    "roles beside Ecto": [["adopt"], ["roles", "--apply", "--take-ownership", *NAMED]],
}
MADE_BY_ECTO = ("adopt", "roles beside Ecto")
# What was interrupted is said in the ledger, and killed after its commit a run may be recorded twice.
ENTRIES = "SELECT DISTINCT kind, direction, revision, outcome FROM diwa_schema_ledger WHERE outcome <> 'interrupted'"
# A moment is never the same.
MOMENT = re.compile(r'"protected_at": "[^"]*"')


@pytest.fixture(params=VERBS)
def verb(request: pytest.FixtureRequest, server: Server) -> str:
    if "index" in request.param and not server.has_vector:
        pytest.skip("this server has no pgvector")
    return str(request.param)


@pytest.fixture
def begun(launcher: Launcher, server: Server, head_template: str, verb: str) -> Iterator[str]:
    """The name of a database as it is before the verb."""
    name = database_name()
    if verb in MADE_BY_ECTO:
        shapes.write(server.create(name), shapes.SHAPES["head_disabled"])
    else:
        server.create(name, head_template)
    for words in VERBS[verb][:-1]:
        assert launcher.run(*words, "--url", server.url(name)).code == 0
    yield name
    server.drop(name)


class Copies:
    """Copies of a database, one at a time: the roles that a run makes are the whole server's."""

    def __init__(self, server: Server, begun: str) -> None:
        self._server = server
        self._begun = begun
        self._name = ""

    def fresh(self) -> str:
        """Return the URL of a new copy; the last one is gone, and its roles with it."""
        self.forget()
        self._name = database_name()
        return self._server.create(self._name, self._begun)

    def forget(self) -> None:
        """Take the copy away, and the roles."""
        if self._name:
            self._server.drop(self._name)
        for role in ROLES.values():
            with suppress(psycopg.errors.UndefinedObject):
                execute(self._server.url("postgres"), f"DROP ROLE {role}")


@pytest.fixture
def copies(server: Server, begun: str) -> Iterator[Copies]:
    made = Copies(server, begun)
    yield made
    made.forget()


def held(url: str) -> tuple[str, object]:
    """Return what a database holds, and what its ledger says."""
    with psycopg.connect(url) as connection:
        return MOMENT.sub("", fingerprint(url)), sorted(connection.execute(ENTRIES).fetchall(), key=repr)


@pytest.mark.parametrize("whole", BOTH)
def test_any_verb_at_any_statement(launcher, copies, verb, whole, measured):
    words = VERBS[verb][-1]
    url = copies.fresh()
    before = held(url) if verb != "adopt" else None
    calm = launcher.run(*words, "--url", url)
    assert calm.code == 0, calm.err
    expected = held(url)
    assert expected != before

    changed = [at for at in range(2, len(calm.log) + 2) if not READS.match(calm.log[at - 2][1])]
    points = range(1, len(calm.log) + 2) if whole else spread(changed, POINTS)
    ends = []
    for at in points:
        url = copies.fresh()
        about = f"{verb}, killed at {at} of {len(calm.log)}: {calm.log[min(at, len(calm.log)) - 1]}"
        ends.append(launcher.run(*words, "--url", url, at=at).code)
        again = launcher.run(*words, "--url", url)
        # Killed after its commit, an adoption has nothing more to take over, and says so.
        assert again.code == 0 or (verb, again.code) == ("adopt", 7), f"{about}\n{again.err}"
        assert held(url) == expected, about
    # A run that gets by with fewer statements than the undisturbed one can be over before the last points.
    assert set(ends) <= {KILLED, 0}
    assert ends.count(KILLED) > len(ends) / 2
    measured(f"{len(points)} of {len(calm.log) + 1} points tried")
