"""Rules about rows: rows that break one stop no upgrade and no writer; once they are fixed, the database keeps it."""

from __future__ import annotations

import json
import re
import shlex
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors as refusals

import diwa_schema
from diwa_schema import api
from diwa_schema.cli.parser import build_parser
from diwa_schema.drift.rules import BrokenRule
from diwa_schema.errors import Blocked, DatabaseRefused, UsageError
from diwa_schema.migrations.manifest import load
from diwa_schema.models.rule import Rule
from diwa_schema.models.rules import KEPT, RULES
from tests.fixtures_databases import database_name
from tests.fixtures_server import Server
from tests.kit.postgrex import Repo, ServerError
from tests.kit.rules import BREAKS, BROKEN, FIXES, GROUND
from tests.run.asking import execute, value
from tests.run.histories import extended
from tests.run.launcher import Launcher

pytestmark = pytest.mark.usefixtures("owner_directory")

NAMES = [rule.name for rule in KEPT]
(FIRST,) = [str(one.down_revision) for one in load() if one.slug == "row_checks"]
(LAST,) = [one.revision for one in load() if one.slug == "one_plan_per_context"]
(REPAIRS,) = [str(one.down_revision) for one in load() if one.slug == "numbered_versions"]
# What the database fills in rows that are there.
FILLED = {
    "memories": "organization_id",
    "memory_versions": "version_number",
    "organizations": "slug",
    "usage_records": "organization_id",
}
NOW = datetime.fromisoformat("2026-03-26T09:00:00")
STANDING = (
    "SELECT conname::text, convalidated FROM pg_constraint WHERE conname = ANY(%s)"
    " UNION ALL SELECT relname::text, indisvalid FROM pg_index JOIN pg_class c ON c.oid = indexrelid"
    " WHERE relname = ANY(%s)"
)


def standing(url: str) -> dict[str, bool]:
    """Return which rules the database keeps, and whether for all rows."""
    with psycopg.connect(url) as connection:
        return dict(connection.execute(STANDING, (NAMES, NAMES)).fetchall())


def listed(url: str) -> set[tuple[str, str]]:
    return {(one.rule, row.key) for one in api.violations(url, limit=1000) for row in one.rows}


def content(url: str, *, filled: bool = False) -> dict[str, list[Any]]:
    """Return the rows of every table that has a rule, as text; the buffer's ids become uuids on the way.

    Args:
        url: The database.
        filled: Also the columns that the database fills.
    """

    def passed(table: str) -> str:
        return f",{FILLED[table]}" if table in FILLED and not filled else ""

    tables = sorted({rule.table for rule in RULES} - {"tala_operations"})
    with psycopg.connect(url) as connection:
        return {
            table: connection.execute(
                f"SELECT (to_jsonb(t) - '{{arrived_at{passed(table)}}}'::text[])::text FROM {table} t ORDER BY 1".encode()
            ).fetchall()
            for table in tables
        }


@pytest.fixture(scope="module")
def template(server: Server) -> Iterator[str]:
    """The name of a database just below the rules, with rows that break none."""
    name = database_name()
    url = server.create(name)
    api.migrate(url, FIRST, repo="diwa-cloud")
    execute(url, *GROUND)
    yield name
    server.drop(name)


@pytest.fixture
def below(new_database: Callable[..., str], template: str) -> str:
    """A copy of it."""
    return new_database(template)


@pytest.fixture
def dirty(below: str) -> str:
    """The same at head, with rows that break every rule that is to be kept; they were there before."""
    execute(below, *BREAKS.values())
    api.migrate(below)
    return below


@pytest.fixture
def clean(below: str) -> str:
    """The same at head without such rows."""
    api.migrate(below)
    return below


def test_a_check_that_is_not_validated_stops_every_update_of_an_old_row(below):
    """Why a rule waits instead: the writer of another column, or of a soft delete, would get an error."""
    execute(
        below,
        BREAKS["tasks_priority_check"],
        "ALTER TABLE tasks ADD CONSTRAINT measured CHECK (priority IN ('High', 'Low')) NOT VALID",
    )
    with psycopg.connect(below) as connection, pytest.raises(refusals.CheckViolation):
        connection.execute("UPDATE tasks SET updated_at = now()")


def test_where_no_row_breaks_them_every_rule_is_kept(clean):
    assert standing(clean) == dict.fromkeys(NAMES, True)
    assert api.check(clean) == []
    assert api.status(clean).waiting == ()
    assert api.violations(clean) == []
    for name, statement in BREAKS.items():
        kind = refusals.UniqueViolation if name == "plans_context_id_key" else refusals.CheckViolation
        with psycopg.connect(clean) as connection, pytest.raises(kind, match=name):
            connection.execute(statement.encode())
    api.downgrade(clean, FIRST)
    assert standing(clean) == {}
    api.migrate(clean)
    assert standing(clean) == dict.fromkeys(NAMES, True)


def test_counts_whose_sum_is_no_integer_stop_no_upgrade(below):
    execute(
        below,
        BREAKS["usage_records_total_tokens_check"],
        "UPDATE usage_records SET tokens_input = 2147483647, tokens_output = 1",
    )
    assert api.migrate(below).after == load().head
    assert [one.rule for one in api.violations(below)] == ["usage_records_total_tokens_check"]


def test_rows_that_break_them_stop_no_upgrade_and_are_listed_exactly(legacy):
    fresh, dirty = legacy("head_fresh"), legacy("head_dirty")
    for url in (fresh, dirty):
        before = content(url)
        api.adopt(url)
        said = Said()
        assert api.migrate(url, progress=said).after == load().head
        assert content(url) == before
        assert [one.severity for one in api.check(url) if one.severity == "drift"] == []
        assert len(said.lines) == (8 if url == dirty else 0)
    assert listed(fresh) == set()
    assert listed(dirty) == BROKEN
    with psycopg.connect(dirty) as connection:
        refuse_what_they_say(api.violations(dirty), lambda sql: connection.execute(sql.encode()).fetchall())
    assert standing(fresh) == dict.fromkeys(NAMES, True)
    assert standing(dirty) == {}


class Said:
    """A progress that remembers what it was told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        if line.startswith("rule "):
            self.lines.append(line)

    def revision(self, *_: object) -> None: ...
    def done(self, *_: object) -> None: ...
    def step(self, *_: object) -> None: ...


KEY = re.compile(r"^(?:INSERT INTO \w+ .*?(?:VALUES|SELECT) \(?'|UPDATE .* WHERE id = ')([0-9a-f-]{36})'")


def test_of_the_facts_every_dirty_row_is_listed_and_no_other(legacy_file, shared):
    folder = Path(shared) / "upstream" / "legacy"
    clean, text = ((folder / f"{name}.sql").read_text() for name in ("ecto_cloud_head", "ecto_dirty_data"))
    keys = {found[1] for line in text.removeprefix(clean).splitlines() if (found := KEY.match(line))}
    keys -= {found[1] for line in clean.splitlines() if (found := KEY.match(line))} - {
        "b8f21d6d-de0c-44ce-bcce-417b2b6cc811"  # the one that is updated
    }
    assert len(keys) == 26
    ends = {}
    for name in ("ecto_cloud_head", "ecto_dirty_data"):
        url = legacy_file(name)
        before, whole = content(url), content(url, filled=True)
        api.adopt(url)
        api.migrate(url)
        assert content(url) == before
        assert value(url, "SELECT count(*) FROM organizations WHERE slug IS NULL") == 0
        assert value(url, "SELECT count(*) FROM usage_records WHERE organization_id IS NULL") == 0
        assert value(
            url, "SELECT count(DISTINCT (memory_id, version_number)) = count(*) FROM memory_versions"
        )
        api.downgrade(url, REPAIRS, confirm=url.rpartition("/")[2])
        assert content(url, filled=True) == whole
        api.migrate(url)
        ends[name] = {row for _, row in listed(url)}
    assert ends == {"ecto_cloud_head": set(), "ecto_dirty_data": keys}


class Writer:
    """A writer like Ecto on connections that it keeps: it touches every row of the tables that have a rule."""

    TABLES = sorted({rule.table for rule in KEPT})
    LOCKED = "55P03"

    def __init__(self, url: str) -> None:
        self.repo = Repo(f"{url}?options=-clock_timeout%3D100ms")
        self.rows = [
            (table, identity)
            for table in self.TABLES
            for (identity,) in self.repo.query(f'SELECT t."id" FROM "{table}" AS t')
        ]
        self.turns = self.waits = 0

    def work(self) -> None:
        self.turns += 1
        for table, identity in self.rows:
            try:
                self.repo.query(f'UPDATE "{table}" SET "updated_at" = $1 WHERE "id" = $2', NOW, identity)
            except ServerError as error:
                # A run that is made to stand still while it has the table; nothing else may fail.
                if error.code != self.LOCKED:
                    raise
                self.waits += 1


def upgrade(launcher: Launcher, url: str, writer: Writer, *to: str) -> None:
    """Upgrade while the writer works before each statement of the run."""
    child = launcher.start("upgrade", *to, "--url", url, how="step")
    for _ in child.steps():
        writer.work()
    assert child.wait().code == 0


@pytest.mark.parametrize("breaking", [True, False])
def test_a_writer_like_ecto_goes_on_before_during_and_after(below, launcher, breaking):
    execute(below, *(BREAKS.values() if breaking else ()))
    writer = Writer(below)
    with writer.repo:
        writer.work()
        upgrade(launcher, below, writer, LAST)
        assert len(standing(below)) == (0 if breaking else len(NAMES))
        # Nothing was locked for a rule that waits.
        assert (writer.waits == 0) == breaking
        assert writer.turns > 20
        api.migrate(below)
        if breaking:
            api.validate(below, repo="diwa-cloud")
        writer.work()


def test_validate_says_what_still_waits_and_keeps_the_rules_once_the_rows_are_fixed(dirty, cli):
    before = content(dirty)
    done = cli("validate", "--url", dirty, check=1)
    for name in NAMES:
        assert f"rule {name} on" in done.stdout
    assert f"Run: diwa-schema violations {' '.join(NAMES)} --url" in done.stdout
    assert len(api.history(dirty)) == len(list(load()))
    assert standing(dirty) == {}
    execute(dirty, *FIXES[3:5])
    done = cli("validate", "plans_completion_pct_check", "--json", "--url", dirty, check=0)
    assert json.loads(done.stdout)["added"] == ["plans_completion_pct_check"]
    assert standing(dirty) == {"plans_completion_pct_check": True}
    again = cli("validate", "plans_completion_pct_check", "--url", dirty, check=0).stdout
    assert "the database enforced rule plans_completion_pct_check before" in again
    assert "every rule" not in again
    assert all(f"rule {name} on" in again for name in NAMES if name != "plans_completion_pct_check")
    document = json.loads(cli("validate", "--json", "--url", dirty, check=1).stdout)
    assert document["added"] == ["tasks_priority_check"]
    assert [one["rule"] for one in document["waiting"]] == [
        name for name in NAMES if name not in ("plans_completion_pct_check", "tasks_priority_check")
    ]
    assert content(dirty)["organizations"] == before["organizations"]
    execute(dirty, *FIXES)
    assert "from now on" in cli("validate", "--url", dirty, check=0).stdout
    assert standing(dirty) == dict.fromkeys(NAMES, True)
    assert api.check(dirty) == []
    assert [entry["kind"] for entry in api.history(dirty)][-3:] == ["validate"] * 3
    assert cli("validate", "--url", dirty, check=0).stdout == "The database enforces every rule.\n"


def test_status_check_and_doctor_say_what_waits(dirty, cli):
    said = cli("status", "--url", dirty, check=0).stdout
    assert "waiting   rule tasks_priority_check on tasks waits: 1 row breaks it" in said
    notes = api.check(dirty)
    assert {(one.kind, one.object, one.severity) for one in notes} == {
        ("rule", name, "note") for name in NAMES
    }
    assert (
        "note: rule plans_context_id_key on plans waits: 1 row breaks it"
        in cli("check", "--url", dirty, check=0).stdout
    )
    found = [one for one in api.doctor(dirty) if one.code == "rule-waits"]
    assert len(found) == len(NAMES)
    assert {one.severity for one in found} == {"note"}
    execute(dirty, *FIXES)
    (one, *_) = api.check(dirty)
    assert one.text.endswith("waits: no row breaks it any more")
    assert "validate context_relationships_ends_check" in one.fix.caution


def test_a_check_that_was_left_unvalidated_is_said_and_finished(dirty):
    condition = "CHECK (priority IN ('High', 'Medium', 'Low')) NOT VALID"
    execute(dirty, f"ALTER TABLE tasks ADD CONSTRAINT tasks_priority_check {condition}")
    assert "rule tasks_priority_check on tasks is not validated: 1 row breaks it" in [
        one.text for one in api.check(dirty)
    ]
    assert not [one for one in api.check(dirty) if one.severity == "drift"]
    assert "constraint-not-validated" in {one.code for one in api.doctor(dirty)}
    # What somebody put there to hold new rows to the rule is neither validated nor dropped while a row breaks it.
    assert api.validate(dirty, rules=["tasks_priority_check"]).added == ()
    assert standing(dirty) == {"tasks_priority_check": False}
    execute(dirty, FIXES[4])
    assert api.validate(dirty, rules=["tasks_priority_check"]).added == ("tasks_priority_check",)
    assert standing(dirty) == {"tasks_priority_check": True}


def test_another_condition_under_the_name_is_drift(clean):
    execute(
        clean,
        "ALTER TABLE tasks DROP CONSTRAINT tasks_priority_check",
        "ALTER TABLE tasks ADD CONSTRAINT tasks_priority_check CHECK (priority <> 'Low')",
    )
    assert [(one.object, one.severity) for one in api.check(clean)] == [("tasks_priority_check", "drift")]


def test_a_check_that_follows_its_column_is_no_difference_of_its_own(clean):
    for change, problem in (
        ("RENAME COLUMN completion_pct TO done", "renamed"),
        ("ALTER COLUMN done TYPE bigint", None),
        ("RENAME COLUMN done TO completion_pct", "changed"),
        ("DROP COLUMN completion_pct", "missing"),
    ):
        execute(clean, f"ALTER TABLE plans {change}")
        if problem:
            found = [(one.problem, one.object) for one in api.check(clean) if one.severity == "drift"]
            assert found == [(problem, "completion_pct")]


def test_what_check_prints_lets_the_database_keep_a_rule(clean):
    execute(
        clean,
        "ALTER TABLE tasks DROP COLUMN priority, DROP CONSTRAINT tasks_status_check",
        "DROP TABLE plans",
    )
    for one in api.check(clean):
        execute(clean, *(one.fix.statements or one.fix.losing))
    assert api.check(clean) == []
    assert standing(clean) == dict.fromkeys(NAMES, True)


def test_violations_show_each_row_and_the_one_that_it_is_like(dirty, cli):
    found = {one.rule: one for one in api.violations(dirty)}
    plan = found["plans_context_id_key"].rows[0]
    with psycopg.connect(dirty) as connection:
        assert len(connection.execute(plan.look.encode()).fetchall()) == 2
        task = found["tasks_priority_check"].rows[0]
        assert task.values == {"priority": "Urgent"}
        assert [row[0] for row in connection.execute(task.look.encode())] == [UUID(task.key)]
        connection.execute(
            "INSERT INTO tasks SELECT gen_random_uuid(), context_id, title, description, 'No', 'pending',"
            " now(), now() FROM tasks, generate_series(1, 40) WHERE priority = 'Urgent'"
        )
    done = cli("violations", "tasks_priority_check", "--limit", "2", "--url", dirty, check=1)
    assert "tasks_priority_check: 41 rows of tasks" in done.stdout
    assert "and 39 more" in done.stdout
    document = json.loads(cli("violations", "--json", "--limit", "1", "--url", dirty, check=1).stdout)
    assert document["rows"] == 48
    assert cli("violations", "no_rule", "--url", dirty).returncode == 2
    assert cli("violations", "--limit", "0", "--url", dirty).returncode == 2
    assert cli("validate", "contexts_name_unique", "--url", dirty).returncode == 2


def refuse_what_they_say(found: list[BrokenRule], ask: Callable[[str], list[Any]]) -> None:
    """Assert that a rule's text shows the condition as the database itself takes it."""
    said = [(one, one.why.partition(" Each row needs: ")[2]) for one in found]
    assert len([one for one, condition in said if condition]) > 10
    for one, condition in said:
        if condition:
            assert len(ask(f"SELECT 1 FROM {one.table} AS t WHERE NOT ({condition})")) == one.total


def test_sqlite_keeps_no_rule_and_lists_the_rows(legacy):
    url = legacy("head_dirty", lite=True)
    api.adopt(url)
    api.migrate(url)
    assert listed(url) == {one for one in BROKEN if one[0] != "memories_embedding_not_zero"}
    assert api.status(url).waiting == ()
    assert [one for one in api.check(url) if one.kind == "rule"] == []
    for one in api.violations(url):
        execute(url, *(row.look for row in one.rows))
        assert not one.kept  # `validate` adds none
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file:
        refuse_what_they_say(api.violations(url), lambda sql: file.execute(sql).fetchall())
    with pytest.raises(UsageError, match="SQLite"):
        api.validate(url)


def test_printed_sql_lets_a_rule_wait_as_well(below, cli):
    execute(below, BREAKS["tasks_priority_check"], BREAKS["plans_context_id_key"])
    printed = cli("upgrade", f"{FIRST}:head", "--sql", "--url", "postgresql://", check=0).stdout
    with psycopg.connect(below, autocommit=True) as connection:
        connection.execute(printed.encode())
    assert api.status(below).current
    assert set(NAMES) - standing(below).keys() == {"tasks_priority_check", "plans_context_id_key"}
    printed = cli("downgrade", f"head:{FIRST}", "--sql", "--url", "postgresql://", check=0).stdout
    with psycopg.connect(below, autocommit=True) as connection:
        connection.execute(printed.encode())
    assert standing(below) == {}


def test_a_schema_of_any_name_may_be_said(postgres, cli):
    execute(postgres, 'CREATE SCHEMA "a%sb:c""d"')
    named = ["--url", postgres, "--schema", 'a%sb:c"d']
    cli("upgrade", "--replay", *named, check=0)
    execute(postgres, 'ALTER TABLE "a%sb:c""d".tasks DROP CONSTRAINT tasks_status_check')
    assert "rule tasks_status_check on tasks waits" in cli("status", *named, check=0).stdout
    cli("validate", *named, check=0)
    assert cli("violations", *named, check=0).stdout == "No row breaks a rule.\n"


def test_it_is_refused_below_head_and_in_the_core_repository(below, monkeypatch):
    with pytest.raises(DatabaseRefused, match="not at head"):
        api.validate(below)
    with pytest.raises(Blocked):
        api.validate(below, repo="diwa-agent")
    assert value(below, f"SELECT count(*) FROM pg_constraint WHERE conname = '{NAMES[0]}'") == 0


def test_rows_that_row_security_hides_are_no_clean_table(dirty, server):
    """Whoever may not see all rows is told so, instead of that no row breaks a rule."""
    execute(
        dirty,
        "CREATE ROLE half_blind LOGIN",
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO half_blind",
        "ALTER TABLE tasks ENABLE ROW LEVEL SECURITY",
    )
    try:
        seen = dirty.replace("postgres@", "half_blind@")
        with pytest.raises(diwa_schema.DiwaSchemaError, match="row"):
            api.violations(seen, rules=["tasks_priority_check"])
        waiting = {one["rule"]: one["rows"] for one in api.status(seen).waiting}
        assert waiting["tasks_priority_check"] is None
        assert waiting["plans_completion_pct_check"] == 1
    finally:
        execute(dirty, "DROP OWNED BY half_blind", "DROP ROLE half_blind")


RENAME = "op.alter_column('plans', 'completion_pct', new_column_name='done')"


def test_a_rule_on_a_renamed_column_is_found_under_the_new_name(
    new_database: Callable[[str], str], head_template: str, launcher: Launcher, tmp_path: Path
):
    """Whether it waits or not: revisions add it under the old name, and every question is about the new one."""
    url = new_database(head_template)
    execute(url, "ALTER TABLE plans DROP CONSTRAINT plans_completion_pct_check", *GROUND)
    execute(url, BREAKS["plans_completion_pct_check"])
    history = extended(tmp_path / "history", RENAME)
    assert launcher.run("upgrade", "--url", url, history=history).code == 0

    def asked(*words: str, code: int) -> str:
        done = launcher.run(*words, "--url", url, history=history)
        assert done.code == code, done.err
        return done.out

    broken = asked("violations", code=1)
    assert "plans_completion_pct_check: 1 row of plans" in broken
    assert "Each row needs: done >= 0 AND done <= 100" in broken
    assert "done 101" in broken
    assert "rule plans_completion_pct_check on plans waits: 1 row breaks it" in asked("status", code=0)
    asked("validate", "plans_completion_pct_check", code=1)
    execute(url, "UPDATE plans SET done = 1")
    asked("validate", "plans_completion_pct_check", code=0)
    assert standing(url)["plans_completion_pct_check"]
    assert asked("violations", code=0) == "No row breaks a rule.\n"
    with pytest.raises(refusals.CheckViolation):
        execute(url, "UPDATE plans SET done = 101")


def test_the_words_of_a_rule_stay_where_its_column_has_their_name():
    rule = Rule("r", "t", ("status",), "Why.", "status IN ('status', 'open') AND lower(status_code) <> ''")
    assert (
        rule.with_names({"status": "state"}).condition
        == "state IN ('status', 'open') AND lower(status_code) <> ''"
    )


PAGE = (Path(__file__).parents[2] / "docs" / "rules.md").read_text()


def test_the_page_names_every_rule_and_only_commands_that_there_are():
    kept, looked_at = PAGE.split("## What is checked only")
    assert re.findall(r"^\| `(\w+)` \|", kept, flags=re.MULTILINE) == NAMES
    tables = "".join(line for line in looked_at.splitlines() if line.startswith("| `"))
    named = re.findall(r"`(\w+)`", tables)
    assert sorted(named) == sorted(rule.name for rule in RULES if not rule.kept)
    blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    lines = [line.partition("#")[0] for block in blocks for line in block.splitlines()]
    assert len(lines) == 4
    for line in lines:
        assert callable(build_parser().parse_args(shlex.split(line)[3:]).run)


def test_the_page_shows_what_is_printed(dirty, cli):
    (shown,) = re.findall(r"^```text\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    printed = cli("violations", "tasks_priority_check", "--url", dirty, check=1).stdout
    identity = re.compile(r"[0-9a-f-]{36}")
    assert identity.sub("ID", printed).startswith(identity.sub("ID", shown))
