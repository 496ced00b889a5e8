"""An upgrade of a fleet: each target as a single command changes it, and the report tells what became of each."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

import diwa_schema
from diwa_schema import Settings
from diwa_schema.cli import main
from diwa_schema.database.lock import keys
from diwa_schema.errors import Blocked, DatabaseUnreachable, UsageError
from diwa_schema.fleet import Fleet, Interrupted, Member, Schedule, Schemas, crew
from diwa_schema.migrations.manifest import load
from diwa_schema.run.interruption import as_dict
from tests.fixtures_roles import as_user, name_of
from tests.fleet.tenants import BEHIND, HEAD, TENANTS, applied, execute, revisions
from tests.sampling import sampled

STEPS = list(load().ids[-2:])
PACKAGE = Path(str(diwa_schema.__file__)).parent


def results(report):
    return {one.name: str(one.result) for one in report.outcomes}


def error(report):
    """Return the error of the second target."""
    return (report.outcomes[1].error or {}).get("error")


def upgrade(url, **options):
    return Fleet(Schemas(url, "tenant_*")).upgrade(repo="diwa-schema", **options)


@pytest.fixture
def unused(monkeypatch):
    """No process may be started."""

    def started(_):
        raise AssertionError("a process was started")

    monkeypatch.setattr(crew.Crew, "_started", started)


def test_every_target_comes_to_head_and_looks_alike(tenants):
    report = upgrade(tenants)
    assert results(report) == dict.fromkeys(TENANTS, "done")
    assert revisions(tenants) == dict.fromkeys(TENANTS, HEAD)
    assert len({one.digest for one in report.outcomes}) == 1
    assert [one.before for one in report.outcomes] == [BEHIND] * 3
    assert report.exit_code == 0
    for tenant in TENANTS:
        assert applied(tenants, tenant) == STEPS
        assert diwa_schema.check(tenants, schema=tenant) == []


def test_what_has_nothing_to_do_starts_no_process(tenants, owner_directory, unused):
    for tenant in TENANTS:
        diwa_schema.migrate(tenants, schema=tenant)
    report = upgrade(tenants)
    assert results(report) == dict.fromkeys(TENANTS, "nothing to do")


def test_a_tenant_at_head_whose_ledger_was_changed_is_not_taken_for_done(tenants, owner_directory):
    for tenant in TENANTS:
        diwa_schema.migrate(tenants, schema=tenant)
    execute(tenants, f"UPDATE tenant_2.diwa_schema_ledger SET checksum = 'x' WHERE revision = '{STEPS[0]}'")
    report = upgrade(tenants)
    assert results(report) == {"tenant_1": "nothing to do", "tenant_2": "failed", "tenant_3": "nothing to do"}
    assert error(report) == "SchemaTampered"


def test_the_guard_is_asked_before_anything_is_connected_to(consumer_directory, closed):
    for call in (Fleet(closed, Schemas(closed)).upgrade, Fleet(closed).adopt):
        with pytest.raises(Blocked):
            call()


@pytest.mark.usefixtures("consumer_directory")
def test_a_bypass_reaches_all_but_protected_targets(tenants, owner_directory, monkeypatch):
    for tenant in TENANTS[:2]:
        diwa_schema.migrate(tenants, schema=tenant, repo="diwa-schema")
    diwa_schema.protect(tenants, schema="tenant_2", repo="diwa-schema")
    monkeypatch.chdir(owner_directory.parent / "diwa-agent")
    report = Fleet(Schemas(tenants)).upgrade(allow_core_migration=True)
    assert results(report) == {"tenant_1": "nothing to do", "tenant_2": "failed", "tenant_3": "done"}
    assert error(report) == "DatabaseProtected"


@pytest.fixture
def weather(tenants, new_database, tenants_template, closed, site):
    """Targets of two databases of which each has another reason not to be done, and two that have none."""
    other = new_database(tenants_template)
    for name in ("tenant_foreign", "tenant_drifted", "tenant_ahead"):
        execute(tenants, f"CREATE SCHEMA {name}")
    execute(tenants, "CREATE TABLE tenant_foreign.memories (id int)")
    for name in ("tenant_drifted", "tenant_ahead"):
        diwa_schema.migrate(tenants, schema=name, repo="diwa-schema")
    execute(tenants, "DROP TABLE tenant_drifted.idempotency_log")
    execute(tenants, "UPDATE tenant_ahead.diwa_schema_version SET version_num = '29990101000000'")
    login = site.login()
    grants = [f"GRANT USAGE ON SCHEMA tenant_3 TO {name_of(login)}"]
    grants += [f"GRANT SELECT ON ALL TABLES IN SCHEMA tenant_3 TO {name_of(login)}"]
    execute(other, *grants)
    password = login.partition("://")[2].partition("@")[0].partition(":")[2]
    stranger = Member(as_user(other, name_of(login), password), "tenant_3", "rightless")
    found = [Member(closed, name="unreachable"), stranger]
    found += [Member(tenants, one) for one in ("tenant_foreign", "tenant_drifted", "tenant_ahead")]
    found += [
        Member(tenants, "tenant_1", "locked"),
        Member(tenants, "tenant_2"),
        Member(other, "tenant_1", "far"),
    ]
    yield tenants, found
    execute(other, f"DROP OWNED BY {name_of(login)}")


def test_each_that_cannot_be_done_is_told_with_its_code_and_the_others_are_done(weather):
    url, members = weather
    said: list[str] = []
    with psycopg.connect(url, autocommit=True, application_name="me") as holder:
        holder.execute("SELECT pg_advisory_lock(%s)", (keys("tenant_1")[0],))
        fleet = Fleet(*members, said=said.append)
        report = fleet.upgrade(repo="diwa-schema", settings=Settings(lock_wait=0.2))
    assert {one.name: (str(one.result), one.exit_code) for one in report.outcomes} == {
        "unreachable": ("failed", 4),
        "rightless": ("failed", 7),
        "tenant_foreign": ("failed", 7),
        "tenant_drifted": ("failed", 1),
        "tenant_ahead": ("failed", 7),
        "locked": ("failed", 5),
        "tenant_2": ("done", 0),
        "far": ("done", 0),
    }
    assert report.exit_code == 6
    assert any("locked: waiting for the migration lock, held by pid" in line for line in said)
    locked = next(one for one in report.outcomes if one.name == "locked")
    assert "application 'me'" in locked.detail
    shown = json.dumps(report.as_dict()) + repr(report) + "".join(said)
    assert "hunter2" not in shown
    for one in report.outcomes:
        if one.error:
            assert "what" in one.error
            assert one.error["next_step"]
    # Run again, only what is left is touched.
    again = fleet.upgrade(repo="diwa-schema", settings=Settings(lock_wait=0.2))
    assert [str(one.result) for one in again.outcomes[-3:]] == ["done", "nothing to do", "nothing to do"]
    assert applied(url, "tenant_2") == STEPS


def test_a_failure_in_the_first_wave_stops_and_one_in_a_later_wave_does_not(tenants):
    execute(tenants, "UPDATE tenant_1.diwa_schema_version SET version_num = '29990101000000'")
    report = upgrade(tenants, schedule=Schedule(waves=(1, 1)))
    assert results(report) == {"tenant_1": "failed", "tenant_2": "not begun", "tenant_3": "not begun"}
    assert report.exit_code == 6
    report = Fleet(Member(tenants, "tenant_2"), Schemas(tenants)).upgrade(
        repo="diwa-schema", schedule=Schedule(waves=(1, 1))
    )
    assert results(report) == {"tenant_2": "done", "tenant_1": "failed", "tenant_3": "done"}
    assert [one.wave for one in report.outcomes] == [1, 2, 3]


def test_no_further_target_is_begun_after_so_many_failures(tenants):
    execute(tenants, "UPDATE tenant_1.diwa_schema_version SET version_num = '29990101000000'")
    report = upgrade(tenants, schedule=Schedule(jobs=1, stop_after=1))
    assert results(report) == {"tenant_1": "failed", "tenant_2": "not begun", "tenant_3": "not begun"}


def test_a_wave_of_a_row_comes_first(tenants):
    ended = []
    members = [Member(tenants, name, wave=wave) for name, wave in zip(TENANTS, (None, 2, 1), strict=True)]
    fleet = Fleet(*members, ended=lambda outcome, *_: ended.append(outcome.name))
    fleet.upgrade(repo="diwa-schema")
    assert ended == ["tenant_3", "tenant_2", "tenant_1"]


def test_a_tenant_that_is_made_meanwhile_is_at_head_and_counted(tenants):
    def ended(outcome, *_):
        if outcome.name == "tenant_1":
            execute(tenants, "CREATE SCHEMA tenant_4", "CREATE SCHEMA tenant_5")
            diwa_schema.migrate(tenants, schema="tenant_5", repo="diwa-schema")

    report = Fleet(Schemas(tenants, "tenant_*"), ended=ended).upgrade(repo="diwa-schema")
    assert results(report) == {
        **dict.fromkeys(TENANTS, "done"),
        "tenant_4": "done",
        "tenant_5": "nothing to do",
    }
    assert revisions(tenants)["tenant_4"] == HEAD


def test_a_tenant_that_is_dropped_meanwhile_has_not_failed(tenants):
    def ended(outcome, *_):
        if outcome.name == "tenant_1":
            execute(tenants, "DROP SCHEMA tenant_2 CASCADE")

    report = Fleet(Schemas(tenants, "tenant_*"), ended=ended).upgrade(
        repo="diwa-schema", schedule=Schedule(jobs=1)
    )
    assert results(report) == {"tenant_1": "done", "tenant_2": "nothing to do", "tenant_3": "done"}
    assert (report.exit_code, report.outcomes[1].detail) == (0, "It was dropped during the run.")


class Once:
    """The tenants of a database, until it cannot be reached any more."""

    def __init__(self, url):
        self.url = url
        self._asked = False

    def find(self):
        if self._asked:
            raise DatabaseUnreachable("The server is gone.")
        self._asked = True
        return Schemas(self.url, "tenant_*").find()


def test_a_server_that_goes_meanwhile_leaves_the_report(tenants):
    report = Fleet(Once(tenants)).upgrade(repo="diwa-schema")
    assert report.counts == {"done": 3, "failed": 1}
    assert (report.exit_code, report.outcomes[-1].detail) == (6, "The server is gone.")


def test_a_check_below_head_says_so(tenants):
    checked = Fleet(Schemas(tenants, "tenant_1")).check()
    assert checked.exit_code == 0
    assert checked.outcomes[0].detail.endswith("which is behind head")


def test_a_target_that_looks_otherwise_than_the_others_is_named(tenants):
    execute(tenants, "ALTER TABLE tenant_2.tasks ADD COLUMN mine int")
    report = upgrade(tenants)
    assert results(report) == {"tenant_1": "done", "tenant_2": "differs", "tenant_3": "done"}
    assert report.exit_code == 1
    assert "these have another one: tenant_2" in report.notes[0]
    checked = Fleet(Schemas(tenants)).check()
    assert results(checked) == {"tenant_1": "at head", "tenant_2": "differs", "tenant_3": "at head"}
    assert "--schema tenant_2" in checked.outcomes[1].detail
    assert results(Fleet(Schemas(tenants)).digest())["tenant_2"] == "differs"


def test_a_process_that_is_killed_is_told_and_the_others_go_on(tenants, monkeypatch):
    handed = crew.Crew.hand_out

    def killed(self, task):
        handed(self, task)
        if task.known.name == "tenant_1":
            os.kill(
                next(hand.process.pid for hand in self._hands.values() if hand.task is task), signal.SIGKILL
            )

    monkeypatch.setattr(crew.Crew, "hand_out", killed)
    report = upgrade(tenants)
    assert results(report) == {"tenant_1": "failed", "tenant_2": "done", "tenant_3": "done"}
    assert "signal 9" in report.outcomes[0].detail
    monkeypatch.undo()
    assert upgrade(tenants).exit_code == 0
    assert applied(tenants, "tenant_1") == STEPS


@pytest.mark.parametrize("given", ["file", "standard input"])
def test_a_script_runs_once_and_needs_no_guard_for_its_name(given, tenants, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from diwa_schema.fleet import Fleet, Schemas\n"
        "print('begun')\n"
        f"print(Fleet(Schemas({tenants!r})).upgrade(repo='diwa-schema').counts)\n"
    )
    words = [sys.executable, "-" if given == "standard input" else str(script)]
    with script.open() as text:
        done = subprocess.run(words, stdin=text, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.splitlines() == ["begun", "{'done': 3}"], done.stderr


@pytest.mark.parametrize("revision", ["+1", "-1", "nonsense"])
def test_a_revision_that_not_all_can_be_brought_to_is_refused(revision, closed):
    with pytest.raises(UsageError):
        Fleet(closed).upgrade(revision, repo="diwa-schema")


@pytest.mark.parametrize(
    "options",
    [["--jobs", "0"], ["--waves", "1,x"], ["--per-host", "-1"], ["--stop-after", "0"], ["--waves", ""]],
)
def test_a_schedule_that_cannot_be_is_refused_before_anything_is_connected_to(options, closed, capsys):
    assert main(["fleet", "upgrade", "--url", closed, "--repo", "diwa-schema", *options]) == 2
    assert options[0].removeprefix("--") in capsys.readouterr().err


def test_so_many_of_one_server_at_most(tenants, monkeypatch):
    most = []
    handed = crew.Crew.hand_out

    def counted(self, task):
        handed(self, task)
        most.append(len(self.busy))

    monkeypatch.setattr(crew.Crew, "hand_out", counted)
    assert upgrade(tenants, schedule=Schedule(jobs=3, per_host=1)).exit_code == 0
    assert most == [1, 1, 1]


def test_the_extension_of_a_database_is_made_before_its_tenants(server, postgres, monkeypatch):
    if not server.has_vector:
        pytest.skip("this server has no extension to make")
    execute(postgres, *(f"CREATE SCHEMA {name}" for name in TENANTS))
    at_once = []
    handed = crew.Crew.hand_out

    def counted(self, task):
        handed(self, task)
        at_once.append(len(self.busy))

    monkeypatch.setattr(crew.Crew, "hand_out", counted)
    report = upgrade(postgres, schedule=Schedule(jobs=3))
    assert results(report) == dict.fromkeys(TENANTS, "done")
    assert at_once == [1, 1, 2]
    assert len({one.digest for one in report.outcomes}) == 1


def test_every_database_that_ecto_made_is_taken_over(legacy, tenants, postgres, owner_directory):
    made = legacy("both_marked_bytes", rows=False)
    fleet = Fleet(made, Member(tenants, "tenant_1"), Member(postgres, name="empty"))
    report = fleet.adopt()
    assert [str(one.result) for one in report.outcomes] == ["done", "nothing to do", "failed"]
    assert report.outcomes[2].error is not None
    assert report.outcomes[2].error["error"] == "SchemaEmpty"
    assert [str(one.result) for one in fleet.adopt().outcomes][:2] == ["nothing to do"] * 2


def test_sqlite_files_are_brought_up_too(sqlite, tenants):
    fleet = Fleet(sqlite, Member(tenants, "tenant_1"))
    assert [str(one.result) for one in fleet.upgrade(repo="diwa-schema").outcomes] == ["done", "done"]
    assert [str(one.result) for one in fleet.upgrade(repo="diwa-schema").outcomes] == ["nothing to do"] * 2


class Commands:
    """Fleets in processes of their own."""

    def __init__(self, url: str) -> None:
        self.words = [sys.executable, "-m", "diwa_schema", "fleet", "upgrade", "--url", url]
        self.words += ["--schemas", "tenant_*", "--repo", "diwa-schema", "--json", "--jobs", "2"]

    def start(self, *more: str, env=None) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*self.words, *more],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=env,
        )


def lines(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def test_two_fleets_at_once_do_every_target_once(tenants):
    both = [Commands(tenants).start() for _ in range(2)]
    ended = [one.communicate(timeout=60) for one in both]
    assert [one.returncode for one in both] == [0, 0], ended
    assert revisions(tenants) == dict.fromkeys(TENANTS, HEAD)
    for tenant in TENANTS:
        assert applied(tenants, tenant) == STEPS


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_it_like_a_single_run_and_the_report_says_what_was_done(tenants, number, code):
    with psycopg.connect(tenants, autocommit=True) as holder:
        holder.execute("SELECT pg_advisory_lock(%s)", (keys("tenant_2")[0],))
        running = Commands(tenants).start("--waves", "1,1,1")
        assert running.stdout is not None
        assert running.stderr is not None
        first = json.loads(running.stdout.readline())
        # An idle connection of the first target has the same name as one at work.
        while "tenant_2: waiting for the migration lock" not in running.stderr.readline():
            assert running.poll() is None
        if number == signal.SIGINT:
            os.killpg(running.pid, number)  # as a terminal does
        else:
            running.send_signal(number)
        out, err = running.communicate(timeout=30)
    assert running.returncode == code, err
    rest = lines(out)
    assert (first["name"], first["result"]) == ("tenant_1", "done")
    assert [(one["name"], one["result"], one["exit_code"]) for one in rest[:-1]] == [
        ("tenant_2", "interrupted", code),
        ("tenant_3", "not begun", 6),
    ]
    assert "while waiting for the migration lock, held by pid" in rest[0]["detail"]
    assert rest[0]["detail"].endswith("Nothing was changed.")
    assert rest[-1]["counts"] == {"done": 1, "interrupted": 1, "not begun": 1}
    assert rest[-1]["exit_code"] == code
    assert "Traceback" not in err
    assert revisions(tenants) == {"tenant_1": HEAD, "tenant_2": BEHIND, "tenant_3": BEHIND}


def test_nobody_works_on_after_the_fleet_is_killed(tenants):
    sessions = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    with psycopg.connect(tenants, autocommit=True) as holder:
        holder.execute("SELECT pg_advisory_lock(%s)", (keys("tenant_1")[0],))
        running = Commands(tenants).start("--only", "tenant_1")
        assert running.stderr is not None
        while "waiting for the migration lock" not in running.stderr.readline():
            assert running.poll() is None
        running.kill()
        deadline = time.monotonic() + 20
        while (left := holder.execute(sessions).fetchone()) != (0,):
            assert time.monotonic() < deadline, left
    assert "Traceback" not in running.communicate()[1]


@pytest.mark.parametrize(
    ("number", "code", "how"), [(signal.SIGTERM, 143, "SIGTERM"), (signal.SIGINT, 130, "KeyboardInterrupt")]
)
def test_the_report_of_an_interruption_has_the_revisions_that_were_applied(tenants, number, code, how):
    """The first revision is applied, and the second one waits for a table when the signal comes."""
    with psycopg.connect(tenants) as holder:
        holder.execute("LOCK tenant_1.workspaces IN SHARE UPDATE EXCLUSIVE MODE")  # as a comment needs it
        running = Commands(tenants).start("--only", "tenant_1")
        assert running.stdout is not None
        waits = "SELECT FROM pg_locks WHERE NOT granted AND relation = 'tenant_1.workspaces'::regclass"
        with psycopg.connect(tenants, autocommit=True) as looking:
            while looking.execute(waits).fetchone() is None:
                assert running.poll() is None, running.communicate()
        (os.killpg if number == signal.SIGINT else os.kill)(running.pid, number)
        out, err = running.communicate(timeout=30)
    (outcome, summary) = lines(out)
    assert (outcome["result"], outcome["exit_code"], summary["exit_code"]) == ("interrupted", code, code), err
    assert (outcome["before"], outcome["after"], outcome["revisions"]) == (BEHIND, STEPS[0], STEPS[:1])
    with psycopg.connect(tenants) as looking:
        last = looking.execute(
            "SELECT outcome, error_class FROM tenant_1.diwa_schema_ledger ORDER BY id DESC LIMIT 1"
        ).fetchone()
    assert last == ("interrupted", how)


def test_a_second_interruption_ends_the_wait_and_keeps_the_report(tenants, monkeypatch):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(crew.Crew, "ended", interrupted)
    with pytest.raises(Interrupted) as caught:
        upgrade(tenants, schedule=Schedule(jobs=1))
    assert caught.value.report.counts == {"interrupted": 1, "not begun": 2}
    told = as_dict(KeyboardInterrupt(), changing=True)
    assert told["untouched"] == "The finished targets stay as they are."


def test_an_error_of_the_fleet_itself_interrupts_the_others(tenants, monkeypatch):
    """An error has an exit code of its own, which is no signal's; the other process waits for a table."""
    monkeypatch.setattr(crew, "_PATIENCE", 30.0)
    last = "SELECT outcome FROM tenant_1.diwa_schema_ledger ORDER BY id DESC LIMIT 1"

    def ended(*_):
        with psycopg.connect(tenants, autocommit=True) as looking:
            # The other process may have begun later, and is inside the revision only when it waits for the table.
            waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND locktype = 'relation')"
            for _attempt in range(1000):
                if looking.execute(waits).fetchone() == (True,):
                    break
                time.sleep(0.01)
            assert looking.execute(last).fetchone() == ("started",)
        raise UsageError("the report cannot be written")

    fleet = Fleet(Schemas(tenants, "tenant_*"), only=["tenant_[12]"], ended=ended)
    with psycopg.connect(tenants) as holder:
        holder.execute("LOCK tenant_1.workspaces IN SHARE UPDATE EXCLUSIVE MODE")
        began = time.monotonic()
        with pytest.raises(UsageError, match="cannot be written"):
            fleet.upgrade(repo="diwa-schema", schedule=Schedule(jobs=2))
        assert time.monotonic() - began < 25
    with psycopg.connect(tenants) as looking:
        assert looking.execute(last).fetchone() == ("interrupted",)


# So many in the gate; the whole matrix kills twenty.
@pytest.mark.parametrize("seed", sampled(range(1, 21), 1))
def test_killed_at_any_moment_a_rerun_makes_every_target_clean(tenants, seed):
    alone = random.Random(seed)
    for _ in range(2):
        running = Commands(tenants).start()
        time.sleep(alone.uniform(0.3, 2.0))
        (os.killpg if alone.random() < 0.5 else os.kill)(running.pid, signal.SIGKILL)
        running.communicate()
    again = Commands(tenants).start()
    out, err = again.communicate(timeout=90)
    assert again.returncode == 0, out + err
    assert revisions(tenants) == dict.fromkeys(TENANTS, HEAD)
    for tenant in TENANTS:
        assert applied(tenants, tenant) == STEPS
        assert diwa_schema.check(tenants, schema=tenant) == []


@pytest.fixture
def contract(tmp_path):
    """A copy of the package whose history ends with a contract revision, as PYTHONPATH."""
    copy = Path(
        shutil.copytree(PACKAGE, tmp_path / "diwa_schema", ignore=shutil.ignore_patterns("__pycache__"))
    )
    revision, before = "29990101000000", HEAD
    file = copy / "migrations" / "versions" / f"{revision}_break.py"
    file.write_text(
        f'"""Break."""\nfrom alembic import op\nrevision = "{revision}"\ndown_revision = "{before}"\n'
        f'branch_labels = depends_on = None\nphase = "contract"\nfloor = "{revision}"\n'
        "def upgrade():\n    op.execute('SELECT 1')\ndef downgrade():\n    op.execute('SELECT 1')\n"
    )
    manifest = json.loads((copy / "migrations" / "manifest.json").read_text())
    from diwa_schema.migrations.manifest import checksum

    manifest["revisions"].append(
        manifest["revisions"][-1]
        | {
            "revision": revision,
            "down_revision": before,
            "slug": "break",
            "file": file.name,
            "sha256": checksum(file),
            "phase": "contract",
            "transactional": True,
            "floor": revision,
        }
    )
    (copy / "migrations" / "manifest.json").write_text(json.dumps(manifest))
    return {**os.environ, "PYTHONPATH": str(tmp_path)}


def test_a_contract_waits_until_the_whole_fleet_has_what_comes_before_it(tenants, contract):
    execute(tenants, "DELETE FROM tenant_3.diwa_schema_version")  # its tables are nobody's now
    first = Commands(tenants).start("--only", "tenant_[12]", env=contract)
    told = lines(first.communicate(timeout=60)[0])
    assert first.returncode == 6
    assert [one["result"] for one in told[:-1]] == ["held back", "held back"]
    assert "waits for tenant_3 to be at" in told[0]["detail"]
    assert revisions(tenants) == {"tenant_1": HEAD, "tenant_2": HEAD, "tenant_3": "base"}

    execute(tenants, f"INSERT INTO tenant_3.diwa_schema_version (version_num) VALUES ('{BEHIND}')")
    name = "app diwa/0.0.1"
    with psycopg.connect(tenants, application_name=name):
        held = Commands(tenants).start(env=contract)
        told = lines(held.communicate(timeout=60)[0])
    assert {one["result"] for one in told[:-1]} == {"held back"}
    assert name in told[0]["detail"]
    assert revisions(tenants) == dict.fromkeys(TENANTS, HEAD)

    last = Commands(tenants).start(env=contract)
    out, err = last.communicate(timeout=60)
    assert last.returncode == 0, out + err
    assert revisions(tenants) == dict.fromkeys(TENANTS, "29990101000000")
