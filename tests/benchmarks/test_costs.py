"""What a command spends before and beside its work, counted: times depend on the machine, these numbers do not."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from tests.fixtures_checkout import run

_COUNTS = """
import dataclasses, json, sys
made, sent, connections = [], [], set()
process = dataclasses._process_class

def counted(cls, *args, **options):
    if cls.__module__.startswith("diwa_schema"):
        made.append(cls.__qualname__)
    return process(cls, *args, **options)

dataclasses._process_class = counted
import psycopg
execute = psycopg.Cursor.execute

def noted(cursor, query, *args, **options):
    sent.append(query)
    connections.add(cursor.connection.info.backend_pid)
    return execute(cursor, query, *args, **options)

psycopg.Cursor.execute = noted
from diwa_schema.cli import main
code = main(sys.argv[1:])
found = {"code": code, "made": made, "sent": sent, "connections": len(connections), "loaded": list(sys.modules)}
sys.stderr.write("\\n" + json.dumps(found))
"""


def counts(*words: str) -> dict[str, Any]:
    """Run a command in a process of its own and return what it made, sent and loaded."""
    done = run([sys.executable, "-c", _COUNTS, *words], check=0)
    found: dict[str, Any] = json.loads(done.stderr.splitlines()[-1])
    assert found["code"] == 0
    return found


@pytest.mark.usefixtures("owner_directory")
def test_a_run_asks_and_loads_no_more_than_it_needs(postgres):
    fresh = counts("upgrade", "--url", postgres)
    nothing = counts("upgrade", "--url", postgres)
    # The one that works, the lock's, and the one that proves.
    assert fresh["connections"] == 3
    assert len(fresh["sent"]) <= 34, fresh["sent"]
    # Settings, what is there, the revision, the checksums.
    assert len(nothing["sent"]) == 4, nothing["sent"]
    assert nothing["made"] == ["Settings"]
    late = {"uuid", "getpass", "shlex", "platform", "sqlalchemy", "alembic", "rich", "diwa_schema.run.pace"}
    assert not late & set(nothing["loaded"])


def test_the_version_is_told_without_reading_the_command_line():
    found = counts("--version")
    assert not found["sent"]
    assert not {"argparse", "diwa_schema.errors", "diwa_schema.database"} & set(found["loaded"])


def test_a_process_does_not_look_for_cycles_among_what_it_has_loaded():
    code = (
        "import gc, sys\nfrom diwa_schema.__main__ import process\nsys.argv[1:] = ['--version']\n"
        "code = process()\nprint(code, gc.get_freeze_count() > len(gc.get_objects()), gc.get_count()[2])"
    )
    done = run([sys.executable, "-c", code], check=0)
    assert done.stdout.splitlines()[-1] == "0 True 0"
