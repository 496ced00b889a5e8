"""Every verb is killed at any of its statements and run again: the database is one in which nothing was killed.

What revisions do is killed in `test_kill.py`. Here it is what people ask for beside them. Killed between two reads a
run leaves what it leaves before the first, so the sample takes points after statements that change something; the
whole of them is tried by `nox -s matrix`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg import sql

from tests.fixtures_databases import database_name
from tests.fixtures_server import Server
from tests.kit import shapes
from tests.run.asking import execute
from tests.run.fingerprint import fingerprint
from tests.run.launcher import KILLED, Launcher
from tests.run.test_kill import BOTH, READS, spread

POINTS = 4
LOW = "20260302000300"
ROLES = ("crash_owner", "crash_app", "crash_reader")
NAMED = [f"--{what}={name}" for what, name in zip(("owner", "app", "reader"), ROLES, strict=True)]
INDEX = "memories_content_trgm_idx"

# The verb's words, and those that bring a database at head to where it begins.
VERBS: dict[str, tuple[list[str], list[list[str]]]] = {
    "stamp": (["stamp", LOW, "--force"], []),
    "protect": (["protect", "--reason", "why"], []),
    "unprotect": (["unprotect"], [["protect"]]),
    "drop": (["drop"], []),
    "roles": (["roles", "--apply", "--event-trigger", "--take-ownership", *NAMED], []),
    "downgrade": (["downgrade", LOW], []),
    "disable an index": (["index", "disable", "memories_embedding_hnsw_idx"], []),
    "adopt": (["adopt"], []),
}


@pytest.fixture
def start(launcher: Launcher, server: Server, head_template: str, verb: str) -> Iterator[str]:
    """The name of a database as it is before the verb."""
    name = database_name()
    if verb == "adopt":
        url = server.create(name)
        shapes.write_postgresql(url, "head_fresh")
    else:
        url = server.create(name, head_template)
    for words in VERBS[verb][1]:
        assert launcher.run(*words, "--url", url).code == 0
    yield name
    server.drop(name)
