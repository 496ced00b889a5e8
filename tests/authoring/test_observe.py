"""`plan --observe` says of each revision what a real server then does, and leaves the database as it is."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from diwa_schema.authoring import samples
from diwa_schema.authoring.durations import Duration
from diwa_schema.authoring.marks import LOCKS
from diwa_schema.authoring.observe import Observed
from diwa_schema.cli.observed import text
from diwa_schema.cli.parser import build_parser
from diwa_schema.database.target import Target
from diwa_schema.drift.read import read
from tests.run.asking import execute, until, value
from tests.run.histories import FIRST, extended
from tests.run.launcher import KILLED

PAGE = (Path(__file__).parents[2] / "docs" / "planning.md").read_text()
BEFORE, RETYPES = "20260302000200", "20260302000300"
UPGRADES = (
    "op.add_column('tasks', sa.Column('temper', sa.Text()))",
    "steps.create_index_concurrently('tasks_temper_index', 'tasks', ['temper'])",
    "steps.add_check('tasks_temper_check', 'tasks', \"temper <> ''\")",
    "steps.backfill('tasks', \"temper = 'calm'\", 'temper IS NULL')",
    "op.execute('ALTER TABLE tasks ADD COLUMN at timestamptz DEFAULT clock_timestamp()')",
    "op.execute(\"ALTER TABLE tasks ADD CONSTRAINT tasks_at_check CHECK (at > '2000-01-01') NOT VALID\")",
)
SEEN = "SELECT pg_relation_filenode('tasks'), coalesce(n_tup_upd, 0) FROM pg_stat_user_tables WHERE relname = 'tasks'"
HELD = "SELECT mode FROM pg_locks WHERE pid = pg_backend_pid() AND relation = 'tasks'::regclass ORDER BY 1"


def test_it_says_what_a_real_run_does(launcher, new_database, head_template, tmp_path, dump):
    url = new_database(head_template)
    with Target.of(url).connect() as link:
        samples.fill(link, read(link))
    execute(url, "ANALYZE tasks")
    before, history = dump(url), extended(tmp_path / "history", *UPGRADES)
    planned = launcher.run("plan", "--observe", "--json", "--url", url, history=history)
    assert planned.code == 0, planned.err
    assert dump(url) == before
    assert value(url, "SELECT count(*) FROM pg_class WHERE relpersistence = 't'") == 0
    document = json.loads(planned.out)
    assert document["unobserved"] is None
    assert [one["revision"] for one in document["observed"]] == [str(FIRST + number) for number in range(6)]
    told = [{row["table"]: row for row in one["tables"]}["tasks"] for one in document["observed"]]
    assert {row["rows"] for row in told} == {value(url, "SELECT count(*) FROM tasks")}
    everybody, nobody = "reads and writes", "nobody"
    assert [row["waits"] for row in told] == [everybody, nobody, everybody, nobody, everybody, everybody]
    assert [row["known"] for row in told] == [[], ["concurrent build"], [], ["batches"], [], []]
    # No table here is large, and who waits does so for as long as a run lets it at most.
    assert all(
        one["duration"]["most"] == 1.0 > one["duration"]["expected"] > 0 for one in document["observed"]
    )
    assert [one["longest_wait"] for one in document["observed"]] == [100.0, 0.0, 100.0, 100.0, 100.0, 100.0]
    assert [row["scan_waits"] for row in told] == [None, nobody, nobody, nobody, everybody, None]
    last = None
    for number, row in enumerate(told):
        one = document["observed"][number]
        if one["transactional"]:
            with psycopg.connect(url) as connection:
                for statement in one["sql"]:
                    connection.execute(statement.encode())
                held = {mode for (mode,) in connection.execute(HELD)} - {"AccessShareLock"}
                connection.rollback()
            assert max(held, key=LOCKS.index) == row["lock"]
        assert launcher.run("upgrade", one["revision"], "--url", url, history=history).code == 0
        unvalidated = value(url, "SELECT array_agg(conname::text) FROM pg_constraint WHERE NOT convalidated")
        assert row["unvalidated"] == (unvalidated or [])
        with psycopg.connect(url) as connection:
            seen = connection.execute(SEEN).fetchone()
        assert seen is not None
        if last is not None:
            assert row["rewritten"] == (seen[0] != last[0]), one
            assert row["written"] == seen[1] - last[1], one
        last = seen


def test_nothing_is_left_however_it_ends(launcher, new_database, head_template, tmp_path, dump):
    url, history = new_database(head_template), extended(tmp_path / "history", *UPGRADES[:2])
    before = dump(url)
    killed = launcher.start(
        "plan", "--observe", "--url", url, history=history, how="kill", match="temper", at=3
    )
    assert killed.wait().code == KILLED
    until(url, "SELECT count(*) = 0 FROM pg_class WHERE relpersistence = 't'")
    assert dump(url) == before
    ended = launcher.start(
        "plan", "--observe", "--json", "--url", url,
        history=history, how="diwa-schema plan", url=url, match="temper", at=3,
    ).wait()  # fmt: skip
    assert ended.code == 4, ended.err
    assert json.loads(ended.out)["unobserved"]["error"] == "DatabaseUnreachable"
    until(url, "SELECT count(*) = 0 FROM pg_class WHERE relpersistence = 't'")
    astray = extended(tmp_path / "astray", "op.execute('DELETE FROM public.tasks')")
    refused = launcher.run("plan", "--observe", "--url", url, history=astray)
    assert refused.code == 6, refused.out
    assert "reached tables outside its shadow: tasks (RowExclusiveLock)" in refused.out
    assert dump(url) == before


def test_a_retype_and_what_is_said_to_people(launcher, postgres, server):
    assert launcher.run("upgrade", "20260302000000", "--url", postgres).code == 0
    if server.has_vector:
        # What is there counts, not what the history would have made.
        execute(postgres, "ALTER TABLE memories ALTER embedding TYPE bytea USING NULL")
        other = json.loads(launcher.run("plan", "+1", "--observe", "--json", "--url", postgres).out)
        memories = {row["table"]: row for row in other["observed"][0]["tables"]}["memories"]
        assert (memories["lock"], memories["known"]) == ("AccessExclusiveLock", ["batches"])
    assert launcher.run("upgrade", BEFORE, "--url", postgres).code == 0
    node = "SELECT pg_relation_filenode('tala_operations')"
    before = value(postgres, node)
    document = json.loads(launcher.run("plan", RETYPES, "--observe", "--json", "--url", postgres).out)
    (one,) = document["observed"]
    row = {row["table"]: row for row in one["tables"]}["tala_operations"]
    assert row["rewritten"], row
    assert row["scan_waits"] == "reads and writes"
    assert [each["column"] for each in one["retypes"]] == [
        "tala_operations.session_id",
        "tala_operations.context_id",
    ]
    shown = launcher.run("plan", RETYPES, "--observe", "--url", postgres).out
    blocks = re.findall(r"^```text\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) == 1
    # The page shows a terminal, which wraps what a pipe gets in one line.
    assert " ".join(blocks[0].split()) in " ".join(shown.split())
    table = shown.partition("what happens")[2].partition("tala_operations.session_id:")[0]
    assert max(map(len, table.splitlines())) <= 80
    pull_request = launcher.run("plan", RETYPES, "--observe", "--markdown", "--url", postgres).out
    assert "| tala_operations | ? | 48 kB | ACCESS EXCLUSIVE | reads and writes | rewritten;" in pull_request
    assert "```sql\nDO $do$" in pull_request
    assert launcher.run("upgrade", RETYPES, "--url", postgres).code == 0
    assert value(postgres, node) != before


MANY = """
INSERT INTO organizations (id, name, slug, inserted_at, updated_at)
SELECT md5('o' || n)::uuid, 'o', 'o' || n, now(), now() FROM generate_series(1, 3) n;
INSERT INTO contexts (id, organization_id, name, inserted_at, updated_at)
SELECT md5('c' || n)::uuid, md5('o' || 1 + n % 3)::uuid, 'c', now(), now() FROM generate_series(1, 30) n;
INSERT INTO tasks (id, context_id, title, inserted_at, updated_at)
SELECT md5('t' || n)::uuid, md5('c' || 1 + n % 30)::uuid, 'a secret', now(), now() FROM generate_series(1, 30000) n;
ANALYZE;
"""


def test_a_large_table_is_measured_with_some_of_its_own_rows(
    launcher, new_database, head_template, tmp_path, dump
):
    url = new_database(head_template)
    execute(url, *MANY.split(";")[:-1])
    before = dump(url)
    # The last one is refused by the rows themselves: that is no time to be told.
    history = extended(
        tmp_path / "history", *UPGRADES, "steps.add_check('tasks_t', 'tasks', \"title > 'b'\")"
    )
    planned = launcher.run("plan", "--observe", "--json", "--url", url, history=history)
    assert planned.code == 0, planned.err
    assert dump(url) == before
    added, *busy, unvalidated, refused = json.loads(planned.out)["observed"]
    assert added["duration"]["most"] == unvalidated["duration"]["most"] == 1.0
    assert all(one["unmeasured"] is None for one in busy), busy
    # Six rows take milliseconds: what was measured grows with the table.
    told = [one["duration"] for one in busy]
    assert all(0 < one["least"] < one["expected"] < one["most"] < 60 for one in told), told
    assert told[2]["expected"] > 0.3, told
    assert refused["duration"] is None
    assert refused["unmeasured"] == "tasks: this revision, or one before it, refuses its rows"
    assert "a secret" not in planned.out + planned.err


@pytest.mark.parametrize(
    ("duration", "longest_wait", "said"),
    [
        (
            Duration(0.2, 0.0, 1.0),
            100.0,
            "Takes less than a second. A request waits at most 100 ms.",
        ),
        (Duration(4.06, 2.03, 8.12), 0.0, "Takes about 4.1 s, 2.0 s to 8.1 s."),
        (
            Duration(90, 45, 180),
            None,
            "Takes about 90 s, 45 s to 3.0 min. A session that has to wait waits until the end.",
        ),
        (Duration(5000, 2500, 10_000), 0.0, "Takes about 83 min, 42 min to 2.8 h."),
        (None, 0.0, "The duration was not measured: tasks: why."),
    ],
)
def test_how_long_it_takes_is_said_in_words(duration, longest_wait, said):
    one = Observed("1", "slug", "expand", True, (), ("t",), (), (), longest_wait, duration, "tasks: why")
    assert " ".join(text([replace(one, sql=("SELECT 1",))]).split()).endswith(f"Creates t. {said} SELECT 1;")


def test_without_rights_the_plan_stays(launcher, site):
    assert launcher.run("upgrade", BEFORE, "--url", site.url).code == 0
    url = site.login()
    name, role = value(url, "SELECT current_database()"), value(url, "SELECT current_user")
    execute(
        site.url,
        f'REVOKE TEMPORARY ON DATABASE "{name}" FROM PUBLIC',
        f'GRANT SELECT ON ALL TABLES IN SCHEMA public TO "{role}"',
    )
    plain = launcher.run("plan", "--url", url)
    assert plain.code == 0, plain.err
    refused = launcher.run("plan", "--observe", "--url", url)
    assert refused.code == 7, refused.err
    assert refused.out.startswith(plain.out.rstrip())
    assert "may not create temporary tables" in refused.out
    assert "GRANT TEMPORARY ON DATABASE" in refused.out
    document = json.loads(launcher.run("plan", "--observe", "--json", "--url", url).out)
    assert document["observed"] is None
    assert document["unobserved"]["error"] == "PermissionMissing"
    unknown = launcher.run("plan", "nothing", "--observe", "--url", site.url)
    assert unknown.code == 2
    assert "no revision 'nothing'" in unknown.err


def test_sqlite_says_what_can_be_said(launcher, sqlite):
    assert "one snapshot creates everything" in launcher.run("plan", "--observe", "--url", sqlite).out
    assert launcher.run("upgrade", BEFORE, "--url", sqlite).code == 0
    found = launcher.run("plan", "--observe", "--json", "--url", sqlite)
    assert found.code == 0, found.err
    rows = {row["table"]: row for one in json.loads(found.out)["observed"] for row in one["tables"]}
    assert all(row["lock"] is None and row["waits"] == "writes" for row in rows.values())
    assert rows["context_registry"]["rows"] == 0
    assert all(one["duration"]["most"] == 1.0 for one in json.loads(found.out)["observed"])
    insert = "INSERT INTO organizations (id, name, slug, inserted_at, updated_at) VALUES (?, 'o', ?, '2026', '2026')"
    with closing(sqlite3.connect(sqlite.removeprefix("sqlite:///"))) as connection, connection:
        connection.executemany(insert, ((f"{n:032x}", f"o{n}") for n in range(10_000)))
    said = launcher.run("plan", "--observe", "--url", sqlite).out
    assert "was not measured: rows of SQLite are not measured, and organizations has" in " ".join(
        said.split()
    )


def test_a_revision_that_fails_where_it_is_tried_is_named_and_the_plan_stays(launcher, sqlite, tmp_path):
    assert launcher.run("upgrade", "--url", sqlite).code == 0
    history = extended(tmp_path / "history", "op.execute('SELECT no_such_thing')")
    file = history / "versions" / f"{FIRST}_test.py"
    broken = {
        "no such column: no_such_thing": file.read_text(),
        "ModuleNotFoundError": "import no_such_module\n",
    }
    for said, code in broken.items():
        file.write_text(code)
        found = launcher.run("plan", "--observe", "--url", sqlite, history=history)
        assert found.code == 6, found.err
        assert f"{FIRST}  expand    test" in found.out
        assert f"Revision {FIRST} (test) fails in the trial: {said}" in found.out
        assert f"diwa-schema lint {file}" in found.out


def test_the_page_names_only_commands_that_there_are():
    (block,) = re.findall(r"^```sh\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    lines = [line.partition("#")[0].split() for line in block.splitlines()]
    assert len(lines) == 3
    for line in lines:
        assert callable(build_parser().parse_args(line[3:]).run)
    document = re.search(r"^```json\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    assert document is not None
    assert set(json.loads(document[1])) == {
        "table", "rows", "size", "lock", "waits", "known", "rewritten", "scanned", "scan_waits", "written",
        "sample", "dropped", "unvalidated",
    }  # fmt: skip
