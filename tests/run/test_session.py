"""The one template of a change: no verb skips a step of it, and none leaves anything behind when it refuses."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from functools import partial

import psycopg
import pytest
import sqlalchemy as sa

import diwa_schema
from diwa_schema import errors, guard
from diwa_schema.database.target import Target
from diwa_schema.migrations import manifest
from diwa_schema.migrations.ecto import LAST
from tests.fixtures_roles import Site, name_of
from tests.run.asking import execute, value
from tests.run.histories import extended
from tests.sampling import sampled

IDS = manifest.load().ids
HEAD, BELOW = IDS[-1], IDS[-2]

LOOK = r"^SELECT s\.nspname::text, ARRAY"
LOCK = r"^SELECT CASE WHEN pg_try_advisory_lock"
LEDGER = r"^(INSERT INTO|UPDATE) \"public\"\.\"diwa_schema_ledger\""
PROOF = r"^SELECT .* count\(\*\) FROM \"public\"\.\"diwa_schema_ledger\" WHERE run_id"

VERBS = {
    "upgrade from nothing": ("base", ["upgrade"]),
    "upgrade by a revision": (BELOW, ["upgrade"]),
    "downgrade": (HEAD, ["downgrade"]),
    "stamp": (HEAD, ["stamp", BELOW, "--force"]),
    "drop": (HEAD, ["drop"]),
    "protect": (HEAD, ["protect", "--reason", "live"]),
    "unprotect": ("protected", ["unprotect"]),
    "convert": (HEAD, ["enable-vector"]),
    "validate": ("waiting", ["validate"]),
    "roles": (HEAD, ["roles", "--apply"]),
    "adopt": ("ecto", ["adopt"]),
}


def prepare(url: str, where: str) -> None:
    """Bring an empty database to where a verb begins."""
    if where == "base":
        return
    with guard.OwnDatabase(("postgresql", url)):
        diwa_schema.migrate(url, repo="diwa-cloud", revision=IDS[31] if where == "ecto" else "head")
        if where == "protected":
            diwa_schema.protect(url, repo="diwa-cloud")
        elif where == BELOW:
            diwa_schema.downgrade(url, repo="diwa-cloud")
    if where == "waiting":
        execute(url, "ALTER TABLE tasks DROP CONSTRAINT tasks_status_check")
    if where == "ecto":
        rows = ", ".join(f"({name}, now())" for name in IDS[:32])
        execute(url, "CREATE TABLE schema_migrations (version bigint PRIMARY KEY, inserted_at timestamp(0))")
        execute(url, f"INSERT INTO schema_migrations VALUES {rows}")
        execute(url, "DROP TABLE diwa_schema_version")


@pytest.fixture(params=VERBS)
def verb(request, server):
    if request.param == "convert" and not server.has_vector:
        pytest.skip("this server has no pgvector")
    return request.param


def test_no_verb_skips_a_step(launcher, postgres, verb):
    where, words = VERBS[verb]
    prepare(postgres, where)
    done = launcher.run(*words, "--url", postgres)
    assert done.code == 0, done.err
    steps = [
        name
        for _, statement in done.log
        for name, pattern in (("look", LOOK), ("lock", LOCK), ("ledger", LEDGER), ("proof", PROOF))
        if re.search(pattern, statement)
    ]
    seen = [step for number, step in enumerate(steps) if number == 0 or step != steps[number - 1]]
    assert seen == ["look", "lock", "look", "ledger", "proof"]
    locked_by = next(name for name, statement in done.log if re.search(LOCK, statement))
    assert locked_by.startswith("diwa-schema migrate"), "the lock has a connection of its own"


def test_every_verb_is_in_the_ledger_with_who_ran_it(launcher, postgres, verb):
    where, words = VERBS[verb]
    prepare(postgres, where)
    before = value(postgres, "SELECT coalesce(max(id), 0) FROM diwa_schema_ledger") if where != "base" else 0
    assert launcher.run(*words, "--url", postgres).code == 0
    kinds = value(
        postgres,
        f"SELECT string_agg(DISTINCT kind, ' ') FROM diwa_schema_ledger WHERE id > {before}"
        " AND repository = 'diwa-cloud' AND outcome = 'applied'",
    )
    names = {"upgrade from nothing": "snapshot", "upgrade by a revision": "migrate", "downgrade": "migrate"}
    assert kinds == names.get(verb, verb)


class Login:
    """A login that the database's tables belong to."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.name = name_of(url)

    def url(self, _: str) -> str:
        """Return the database's URL as this login."""
        return self._url


@pytest.fixture
def server_roles(site: Site) -> Callable[..., Login]:
    """Makes logins on the server of the test's database."""
    return lambda _, *, superuser: Login(site.login(attributes="SUPERUSER" if superuser else ""))


REFUSED: dict[str, tuple[Callable[..., object], type[errors.DiwaSchemaError]]] = {
    "adopt": (diwa_schema.adopt, errors.SchemaEmpty),
    "protect": (diwa_schema.protect, errors.SchemaEmpty),
    "unprotect": (diwa_schema.unprotect, errors.SchemaEmpty),
    "downgrade": (lambda url, **more: diwa_schema.downgrade(url, "-1", **more), errors.UsageError),
    "stamp": (diwa_schema.stamp, errors.DatabaseRefused),
    "enable-vector": (diwa_schema.enable_vector, errors.UsageError),
    "validate": (diwa_schema.validate, errors.UsageError),
    "disable-vector": (diwa_schema.disable_vector, errors.UsageError),
}


@pytest.mark.parametrize("verb", REFUSED)
def test_a_refusal_leaves_no_file(tmp_path, verb):
    call, expected = REFUSED[verb]
    with pytest.raises(expected):
        call(f"sqlite:///{tmp_path / 'diwa.db'}", repo="diwa-cloud")
    assert list(tmp_path.iterdir()) == []


def test_dropping_nothing_makes_no_file(tmp_path):
    report = diwa_schema.drop(f"sqlite:///{tmp_path / 'diwa.db'}", repo="diwa-cloud")
    assert report.kind == "nothing"
    assert list(tmp_path.iterdir()) == []


def test_a_decision_is_taken_again_under_the_lock(launcher, postgres):
    """What was true before the lock is not true any more: an earlier run of waited must not record it."""
    assert launcher.run("upgrade", "--url", postgres).code == 0
    execute(postgres, "DELETE FROM diwa_schema_version")
    run = launcher.start("stamp", HEAD, "--url", postgres, how="pause", match=LOCK, at=1).pauses()
    execute(postgres, "DROP TABLE sessions CASCADE")
    stopped = run.go().wait()
    assert stopped.code == 7, stopped.out
    assert "sessions" in stopped.err
    assert value(postgres, "SELECT count(*) FROM diwa_schema_version") == 0


def test_stamping_by_force_makes_no_second_version_table(launcher, postgres):
    assert launcher.run("upgrade", "--url", postgres).code == 0
    execute(postgres, "CREATE SCHEMA other")
    path = f"{postgres}?options=-csearch_path%3Dother%2Cpublic"
    refused = launcher.run("stamp", HEAD, "--force", "--url", path)
    assert refused.code == 7, refused.out
    assert value(postgres, "SELECT to_regclass('other.diwa_schema_version') IS NULL")


def test_a_caller_may_have_set_the_path_itself(postgres):
    """Ledger, proof and lock are in the schema that the caller's connection is in, not in that of new connections."""
    execute(postgres, "CREATE SCHEMA tenant")
    engine = sa.create_engine(postgres.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        connection.exec_driver_sql("SET search_path = tenant, public")
        connection.commit()
        report = diwa_schema.migrate(connection, repo="diwa-cloud")
        path = connection.exec_driver_sql("SHOW search_path").scalar()
    engine.dispose()
    assert report.after == HEAD
    assert path == "tenant, public"
    assert value(postgres, "SELECT version_num FROM tenant.diwa_schema_version") == HEAD
    assert value(postgres, "SELECT count(*) FROM tenant.diwa_schema_ledger WHERE outcome = 'applied'") == len(
        IDS
    )
    assert value(postgres, "SELECT to_regclass('public.diwa_schema_ledger') IS NULL")


EVERY_SIGN = """it's a"b 50%off a%sb :name a\\b Größe"""


@pytest.mark.parametrize(
    "schema",
    sampled(
        [
            "tenant",
            'a"b',
            "50%off",
            "a%sb",
            ":name",
            "it's",
            "a\\b",
            "Größe",
            "select",
            EVERY_SIGN,
            "embedding",
            "x" * 63,
        ],
        EVERY_SIGN,
        "embedding",
        "x" * 63,
    ),
)
def test_a_schema_may_be_said(launcher, postgres, schema):
    execute(postgres, f'CREATE SCHEMA "{schema.replace(chr(34), chr(34) * 2)}"')
    for words in (
        ["upgrade", "--replay"],
        ["downgrade", LAST],
        ["upgrade"],
        ["protect"],
        ["unprotect"],
        ["check"],
    ):
        done = launcher.run(*words, "--url", postgres, "--schema", schema)
        assert done.code == 0, f"{words}: {done.err}{done.out}"
    found = psycopg.sql.SQL("SELECT version_num FROM {}.diwa_schema_version").format(
        psycopg.sql.Identifier(schema)
    )
    with psycopg.connect(postgres) as connection:
        assert connection.execute(found).fetchall() == [(HEAD,)]
        assert connection.execute("SELECT to_regclass('public.diwa_schema_version')").fetchone() == (None,)


def test_a_schema_that_is_not_there_is_refused(launcher, postgres):
    refused = launcher.run("upgrade", "--url", postgres, "--schema", "nowhere")
    assert refused.code == 7, refused.out
    assert "'nowhere'" in refused.err
    assert value(postgres, "SELECT to_regclass('diwa_schema_version') IS NULL")


def test_threads_share_alembics_op_one_after_the_other(new_database):
    urls = [new_database() for _ in range(4)]
    failed: list[BaseException] = []

    def work(url: str) -> None:
        try:
            diwa_schema.migrate(url, repo="diwa-cloud", settings=diwa_schema.Settings(replay=True))
            diwa_schema.downgrade(url, BELOW, repo="diwa-cloud")
            diwa_schema.check(url)
        except BaseException as error:  # noqa: BLE001 - reported by the test
            failed.append(error)

    threads = [threading.Thread(target=work, args=(url,)) for url in urls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert [value(url, "SELECT version_num FROM diwa_schema_version") for url in urls] == [BELOW] * 4


HOLD = "op.execute('LOCK TABLE memories IN ACCESS EXCLUSIVE MODE'); op.execute('SELECT pg_sleep(5)')"


# A batch of a revision can hold what a trigger takes, such as the lock on a group of names.
ADVISORY = "op.execute('SELECT pg_advisory_xact_lock(77)'); op.execute('SELECT pg_sleep(5)')"


@pytest.mark.parametrize(
    ("hold", "statement", "what"),
    [
        pytest.param(HOLD, "DELETE FROM memories", "for memories", id="a table"),
        pytest.param(
            ADVISORY, "SELECT pg_advisory_xact_lock(77)", "for an advisory lock", id="an advisory lock"
        ),
    ],
)
def test_what_keeps_others_waiting_is_stopped_and_named(launcher, postgres, tmp_path, hold, statement, what):
    history = extended(tmp_path / "history", hold)
    assert launcher.run("upgrade", "--url", postgres).code == 0
    run = launcher.start(
        "upgrade", "--url", postgres, history=history, how="pause", match="pg_sleep", at=1
    ).pauses()
    waited: list[float] = []

    def write() -> None:
        with psycopg.connect(postgres, autocommit=True, application_name="a writer") as connection:
            connection.execute("SET lock_timeout = '4s'")
            connection.execute(statement.encode())
            waited.append(1.0)

    writer = threading.Thread(target=write)
    run.go()
    writer.start()
    stopped = run.wait()
    writer.join()
    assert waited, "the writer waited for as long as the revision slept"
    assert stopped.code == 5, stopped.err
    assert "a writer" in stopped.err
    assert what in stopped.err
    assert value(postgres, "SELECT version_num FROM diwa_schema_version") == HEAD
    assert value(postgres, "SELECT outcome FROM diwa_schema_ledger ORDER BY id DESC LIMIT 1") == "failed"


def test_what_keeps_nobody_waiting_may_take_its_time(launcher, postgres, tmp_path):
    history = extended(tmp_path / "history", HOLD.replace("pg_sleep(5)", "pg_sleep(1)"))
    assert launcher.run("upgrade", "--url", postgres).code == 0
    assert launcher.run("upgrade", "--url", postgres, history=history).code == 0


def test_a_run_that_was_killed_is_told_of_by_the_next(launcher, database):
    first = launcher.start("upgrade", "--url", database, "--replay", how="kill", match="TABLE plans", at=1)
    assert first.wait().code == -9
    assert value(database, "SELECT count(*) FROM diwa_schema_ledger WHERE outcome = 'started'") == 1
    second = launcher.run("upgrade", "--url", database)
    assert second.code == 0, second.err
    assert "ended inside revision 20251226000000" in second.err
    assert value(database, "SELECT count(*) FROM diwa_schema_ledger WHERE outcome = 'started'") == 0
    assert value(database, "SELECT revision FROM diwa_schema_ledger WHERE outcome = 'interrupted'") == IDS[2]


def test_tables_of_several_owners_are_refused_before_the_first_revision(server_roles, postgres):
    owner = server_roles("owner", superuser=False)
    other = server_roles("other", superuser=False)
    execute(postgres, f'GRANT CREATE, USAGE ON SCHEMA public TO "{owner.name}"')
    diwa_schema.migrate(postgres, IDS[20], repo="diwa-cloud")
    execute(
        postgres,
        f"""DO $$ DECLARE t text; BEGIN FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'public'
        LOOP EXECUTE format('ALTER TABLE %I OWNER TO "{owner.name}"', t); END LOOP; END $$""",
    )
    execute(postgres, f'ALTER TABLE context_registry OWNER TO "{other.name}"')
    with pytest.raises(errors.PermissionMissing, match="context_registry belongs to"):
        diwa_schema.migrate(owner.url(postgres), repo="diwa-cloud")
    assert value(postgres, "SELECT version_num FROM diwa_schema_version") == IDS[20]


def test_row_security_that_hides_rows_is_refused_not_filtered(server_roles, postgres):
    owner = server_roles("owner", superuser=False)
    execute(postgres, f'GRANT CREATE, USAGE ON SCHEMA public TO "{owner.name}"')
    url = owner.url(postgres)
    diwa_schema.migrate(url, IDS[31], repo="diwa-cloud")
    execute(
        postgres,
        "INSERT INTO organizations (id, name, inserted_at, updated_at) VALUES (gen_random_uuid(), 'o', now(), now())",
    )
    execute(postgres, "ALTER TABLE organizations ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
    with pytest.raises(errors.PermissionMissing, match="row security on organizations"):
        diwa_schema.migrate(url, repo="diwa-cloud")
    losing: list[Callable[..., object]] = [diwa_schema.drop, partial(diwa_schema.downgrade, revision="base")]
    for lose in losing:
        with pytest.raises(errors.PermissionMissing, match="row security on organizations") as caught:
            lose(url, repo="diwa-cloud")
        assert f'ALTER ROLE "{owner.name}" BYPASSRLS' in caught.value.next_step
        assert caught.value.untouched == errors.NOTHING_CHANGED
    assert value(postgres, "SELECT count(*) FROM organizations") == 1
    execute(postgres, "ALTER TABLE organizations NO FORCE ROW LEVEL SECURITY")
    version = "ALTER TABLE diwa_schema_version ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY"
    execute(postgres, version)
    looks: list[Callable[..., object]] = [
        diwa_schema.status,
        diwa_schema.plan,
        diwa_schema.check,
        diwa_schema.history,
        diwa_schema.ensure_current,
    ]
    changes = (diwa_schema.migrate, diwa_schema.drop, diwa_schema.stamp, diwa_schema.protect)
    ways: list[Callable[[str], object]] = [
        *looks,
        *(partial(change, repo="diwa-cloud") for change in changes),
    ]
    for way in ways:
        with pytest.raises(
            errors.PermissionMissing, match="Row security on diwa_schema_version hides"
        ) as caught:
            way(url)
        advice = caught.value.next_step
    execute(url, advice[advice.index("ALTER TABLE") :])
    # A policy would do for who reads; a change has to see all rows, so the ledger's is another one's business.
    execute(postgres, "ALTER TABLE diwa_schema_ledger ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
    with pytest.raises(errors.PermissionMissing, match="Row security on diwa_schema_ledger hides"):
        diwa_schema.status(url)
    with pytest.raises(errors.PermissionMissing, match="Row security hides rows of") as caught:
        diwa_schema.protect(url, repo="diwa-cloud")
    assert "NO FORCE ROW LEVEL SECURITY" in caught.value.next_step


def test_an_edited_row_counts_as_a_loss(tmp_path):
    """A table that was set aside gives back what was copied from it, not what was written since."""
    url = f"sqlite:///{tmp_path / 'diwa.db'}"
    diwa_schema.migrate(url, repo="diwa-cloud")
    with closing(sqlite3.connect(tmp_path / "diwa.db")) as connection, connection:
        connection.execute("CREATE TABLE diwa_schema_kept_tala_operations AS SELECT * FROM tala_operations")
        connection.execute(
            "INSERT INTO tala_operations (id, inserted_at, tool_name) VALUES ('a', '2026-01-01', 'x')"
        )
        connection.execute("INSERT INTO diwa_schema_kept_tala_operations SELECT * FROM tala_operations")
        connection.execute("INSERT INTO diwa_schema_kept_tala_operations (id) VALUES (NULL)")
        connection.execute("UPDATE tala_operations SET tool_name = 'y'")
    with pytest.raises(errors.UsageError, match="1 in tala_operations"):
        diwa_schema.downgrade(url, IDS[20], repo="diwa-cloud")


def test_the_table_of_another_phoenix_application_is_not_taken_over(postgres, cli):
    execute(postgres, "CREATE TABLE sessions (id bigint PRIMARY KEY)")
    execute(postgres, "CREATE TABLE schema_migrations (version bigint PRIMARY KEY, inserted_at timestamp(0))")
    execute(postgres, "INSERT INTO schema_migrations VALUES (20240101000000, now())")
    changes = (
        diwa_schema.adopt,
        diwa_schema.adopt,
        diwa_schema.migrate,
        diwa_schema.drop,
        diwa_schema.protect,
    )
    ways: list[Callable[[str], object]] = [partial(change, repo="diwa-cloud") for change in changes]
    for way in (*ways, diwa_schema.plan, diwa_schema.examine, diwa_schema.ensure_current, diwa_schema.check):
        with pytest.raises(errors.SchemaForeign, match="another application made") as caught:
            way(postgres)
        assert "adopt" not in caught.value.next_step
    said = cli("status", "--url", postgres, check=1).stdout
    assert "another application made" in said
    assert "adopt" not in said
    assert value(postgres, "SELECT to_regclass('diwa_schema_version') IS NULL")


SETTINGS: dict[str, Callable[[str], str]] = {
    "row_security": lambda role: f"ALTER ROLE {role} SET row_security = on",
    "isolation": lambda role: f"ALTER ROLE {role} SET default_transaction_isolation = 'serializable'",
    "float digits": lambda role: f"ALTER ROLE {role} SET extra_float_digits = -15",
    "strings": lambda role: f"ALTER ROLE {role} SET standard_conforming_strings = off",
    "identifiers": lambda role: f"ALTER ROLE {role} SET quote_all_identifiers = on",
    "nulls": lambda role: (
        f"ALTER ROLE {role} SET transform_null_equals = on; ALTER ROLE {role} SET array_nulls = off"
    ),
    "dates": lambda role: (
        f"ALTER ROLE {role} SET DateStyle = 'German'; ALTER ROLE {role} SET TimeZone = 'Asia/Tokyo'"
    ),
    "bytes": lambda role: f"ALTER ROLE {role} SET bytea_output = 'escape'",
    "encoding": lambda role: f"ALTER ROLE {role} SET client_encoding = 'LATIN1'",
    "replica": lambda role: f"ALTER ROLE {role} SET session_replication_role = 'replica'",
}
ALL_AT_ONCE = "all at once"


@pytest.mark.parametrize("setting", sampled([*SETTINGS, ALL_AT_ONCE], ALL_AT_ONCE))
def test_a_setting_of_the_role_changes_nothing(server_roles, postgres, setting):
    role = server_roles("owner", superuser=setting in ("replica", ALL_AT_ONCE))
    execute(postgres, f'GRANT CREATE, USAGE ON SCHEMA public TO "{role.name}"')
    for each in SETTINGS if setting == ALL_AT_ONCE else [setting]:
        for statement in SETTINGS[each](f'"{role.name}"').split("; "):
            execute(postgres, statement)
    url = role.url(postgres)
    diwa_schema.migrate(url, repo="diwa-cloud", settings=diwa_schema.Settings(replay=True))
    assert [one for one in diwa_schema.check(url) if one.severity == "drift"] == []
    diwa_schema.downgrade(url, "base", repo="diwa-cloud")


LIMITS = (
    "statement_timeout",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "transaction_timeout",
)


def test_no_time_limit_of_the_role_ends_a_connection(server_roles, postgres):
    role = server_roles("owner", superuser=False)
    known = value(
        postgres, f"SELECT array_agg(name) FROM pg_settings WHERE name = ANY('{{{','.join(LIMITS)}}}')"
    )
    assert isinstance(known, list)
    for limit in known:
        execute(postgres, f"ALTER ROLE \"{role.name}\" SET {limit} = '1h'")
    with Target.of(role.url(postgres)).connect() as link:
        assert {limit: link.value(f"SHOW {limit}") for limit in known} == dict.fromkeys(known, "0")
    engine = sa.create_engine(role.url(postgres).replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as connection:
        diwa_schema.status(connection)
        assert {limit: connection.scalar(sa.text(f"SHOW {limit}")) for limit in known} == dict.fromkeys(
            known, "1h"
        )
    engine.dispose()


def test_a_role_that_writes_without_its_triggers_is_refused(server_roles, postgres):
    role = server_roles("owner", superuser=False)
    execute(postgres, f'GRANT CREATE, USAGE ON SCHEMA public TO "{role.name}"')
    execute(postgres, f"ALTER ROLE \"{role.name}\" SET session_replication_role = 'replica'")
    with pytest.raises(errors.DatabaseRefused, match="session_replication_role"):
        diwa_schema.migrate(role.url(postgres), repo="diwa-cloud")


def test_a_read_only_role_is_not_told_of_a_replica(server_roles, postgres):
    role = server_roles("owner", superuser=False)
    execute(postgres, f'ALTER ROLE "{role.name}" SET default_transaction_read_only = on')
    with pytest.raises(errors.DatabaseReadOnly, match="default_transaction_read_only") as refused:
        diwa_schema.migrate(role.url(postgres), repo="diwa-cloud")
    assert "primary" not in str(refused.value)


def test_a_table_that_is_missing_at_head_is_not_nothing_to_do(launcher, database):
    assert launcher.run("upgrade", "--url", database).code == 0
    cascade = " CASCADE" if database.startswith("postgresql") else ""
    execute(database, f"DROP TABLE memory_checksums{cascade}")
    refused = launcher.run("upgrade", "--url", database)
    assert refused.code == 1, refused.out
    assert "memory_checksums" in refused.err


@pytest.mark.parametrize(
    ("name", "code", "how"),
    [("TERM", 143, "SIGTERM"), ("HUP", 129, "SIGHUP"), ("INT", 130, "KeyboardInterrupt")],
)
def test_a_signal_ends_a_run_in_order(launcher, postgres, name, code, how):
    run = launcher.start(
        "upgrade", "--url", postgres, "--replay", "--json", how="pause", match="TABLE plans", at=1
    ).pauses()
    os.kill(run.pid, getattr(signal, f"SIG{name}"))
    ended = run.wait()
    assert ended.code == code, ended.err
    document = json.loads(ended.out)
    assert document["exit_code"] == code
    assert f"in revision {IDS[2]} (" in document["what"]
    assert document["untouched"] == "The run rolled the revision back. 2 revisions stay applied."
    assert "again" in document["next_step"]
    last = "SELECT outcome FROM diwa_schema_ledger ORDER BY id DESC LIMIT 1"
    assert value(postgres, last) == "interrupted"

    # A run that ends beside the history does not take the word away.
    diwa_schema.protect(postgres, repo="diwa-cloud")
    found = diwa_schema.status(postgres)
    assert found.unfinished == ()
    assert (found.ended or {})["revision"] == IDS[2]
    for asked in (("status",), ("history", "--applied")):
        told = launcher.run(*asked, "--url", postgres).out
        assert [
            line for line in told.splitlines() if "interrupted" in line and how in line and IDS[2] in line
        ]
    again = launcher.run("upgrade", "--url", postgres)
    assert again.code == 0, again.err
    assert f"was interrupted ({how}) inside revision {IDS[2]}" in again.err
    assert diwa_schema.status(postgres).ended is None
    assert "interrupted" not in launcher.run("status", "--url", postgres).out
    assert "interrupted" not in launcher.run("downgrade", "--url", postgres).err


def test_a_revision_that_failed_is_told_of_by_status_and_the_next_run(launcher, database):
    diwa_schema.migrate(database, IDS[1], repo="diwa-cloud", settings=diwa_schema.Settings(replay=True))
    execute(database, "CREATE TABLE plans (id int)")
    assert launcher.run("upgrade", "--url", database).code == 6
    told = launcher.run("status", "--url", database).out
    assert [line for line in told.splitlines() if line.startswith("stopped") and "failed (" in line], told
    assert "was interrupted" not in told
    execute(database, "DROP TABLE plans")
    again = launcher.run("upgrade", "--url", database)
    assert again.code == 0, again.err
    assert f"inside revision {IDS[2]}" in again.err
    assert " failed (" in again.err
    assert "stopped" not in launcher.run("status", "--url", database).out


# The agent's own migration is recorded as well, once its tables are there.
ECTO_LIST = "SELECT count(*) FROM schema_migrations WHERE version <> 20260109204856"


def test_nobody_but_a_run_changes_ectos_list_after_a_takeover(launcher, postgres):
    prepare(postgres, "ecto")
    assert launcher.run("adopt", "--url", postgres).code == 0
    before = value(postgres, ECTO_LIST)
    for statement in (
        "DELETE FROM schema_migrations",
        "INSERT INTO schema_migrations VALUES (20270101000000, now())",
    ):
        with pytest.raises(psycopg.errors.RaiseException, match="diwa-schema"):
            execute(postgres, statement)
        with pytest.raises(psycopg.errors.RaiseException, match="diwa-schema"):
            execute(postgres, f"SET session_replication_role = replica; {statement}")
    assert launcher.run("upgrade", "--url", postgres).code == 0
    assert value(postgres, ECTO_LIST) == before == 32
    assert launcher.run("downgrade", IDS[30], "--url", postgres).code == 0
    assert value(postgres, ECTO_LIST) == 31


def test_a_list_that_was_changed_all_the_same_is_noticed(launcher, postgres):
    prepare(postgres, "ecto")
    assert launcher.run("adopt", "--url", postgres).code == 0
    assert launcher.run("upgrade", "--url", postgres).code == 0
    execute(postgres, "ALTER TABLE schema_migrations DISABLE TRIGGER diwa_schema_keep_versions")
    execute(postgres, f"DELETE FROM schema_migrations WHERE version = {IDS[31]}")
    refused = launcher.run("upgrade", "--url", postgres)
    assert refused.code == 7, refused.out
    assert f"{IDS[31]} is gone" in refused.err
    assert launcher.run("status", "--url", postgres).code == 1
    checked = launcher.run("check", "--url", postgres)
    assert checked.code == 1
    assert f"{IDS[31]} is gone" in checked.out
    with pytest.raises(errors.DatabaseRefused, match=f"{IDS[31]} is gone"):
        diwa_schema.ensure_current(postgres)


@pytest.mark.parametrize("locked", [True, False])
def test_a_run_waits_for_ectos_migrator_and_reads_what_it_left(launcher, postgres, locked):
    """One that holds an advisory lock instead is seen by what it has written into the list."""
    prepare(postgres, "ecto")
    execute(postgres, f"DELETE FROM schema_migrations WHERE version = {IDS[31]}")
    written = f"INSERT INTO schema_migrations VALUES ({IDS[31]}, now())"
    with psycopg.connect(postgres, application_name="mix") as migrator:
        migrator.execute("LOCK TABLE schema_migrations IN SHARE UPDATE EXCLUSIVE MODE" if locked else written)
        busy = launcher.run("adopt", "--url", postgres, "--lock-wait", "0")
        waiting = launcher.start("adopt", "--url", postgres).says("waiting for a migrator of Ecto")
        if locked:
            execute(postgres, written)
        migrator.commit()
    assert busy.code == 5, busy.err
    assert "application 'mix'" in busy.err
    assert waiting.wait().code == 0
    assert value(postgres, "SELECT version_num FROM diwa_schema_version") == IDS[31]


def test_ectos_list_is_its_own_again_at_base(launcher, postgres):
    prepare(postgres, "ecto")
    for words in (["adopt"], ["upgrade"], ["downgrade", "base"]):
        done = launcher.run(*words, "--url", postgres)
        assert done.code == 0, done.err
    execute(postgres, "INSERT INTO schema_migrations VALUES (20270101000000, now())")
    assert value(postgres, "SELECT count(*) FROM pg_proc WHERE proname = 'diwa_schema_keep_versions'") == 0


def test_status_says_what_did_not_come_to_its_end(launcher, database):
    run = launcher.start(
        "upgrade", "--url", database, "--replay", how="pause", match="TABLE plans", at=1
    ).pauses()
    during = launcher.run("status", "--url", database)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    afterwards = launcher.run("status", "--url", database)
    assert f"revision {IDS[2]}" in during.out
    assert "it runs now" in during.out
    assert "did not finish" in afterwards.out
    assert launcher.run("upgrade", "--url", database).code == 0
    assert "did not come" not in launcher.run("status", "--url", database).out
