"""The doctor: what it finds as the application sees it, what fixes it, and that it leaves nothing behind."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

import diwa_schema
from diwa_schema.errors import DatabaseUnreachable
from diwa_schema.health import contents
from diwa_schema.migrations.manifest import load
from diwa_schema.run import preflight
from tests.findings import found, to_fix
from tests.fixtures_checkout import checkout
from tests.fixtures_roles import name_of

NOTES = {"role", "pgvector-not-installed", "pgvector-absent"}


@pytest.fixture
def agent(tmp_path, monkeypatch):
    """Puts the test into a consumer's checkout, after what an owner had to do."""

    def enter() -> Path:
        monkeypatch.chdir(made := checkout(tmp_path, "diwa-agent"))
        return made

    return enter


def test_an_application_with_the_rights_it_needs_has_nothing_to_fix(migrated, app, agent, dump):
    agent()
    before = dump(migrated.url)
    notes = found(app)
    assert set(notes) <= NOTES
    assert f"Connected as {name_of(app)}, a member of {migrated.names.app};" in notes["role"].reason
    assert "diwa-agent (consumer)" in notes["role"].reason
    assert dump(migrated.url) == before


def test_every_finding_has_a_reason_and_a_command(migrated, agent):
    agent()
    for one in diwa_schema.doctor(migrated.url):
        assert one.reason.endswith(".")
        assert one.command


WAYS = {
    "can-create": "GRANT CREATE ON SCHEMA public TO {login}",
    "can-alter": "ALTER TABLE memories OWNER TO {login}",
    "can-drop": "ALTER SCHEMA public OWNER TO {login}",
    "can-truncate": "GRANT TRUNCATE ON memories TO {login}",
    "can-forge": "GRANT UPDATE ON diwa_schema_version TO {login}",
    "superuser": "ALTER ROLE {login} SUPERUSER",
}


@pytest.mark.parametrize("code", WAYS)
def test_a_consumer_that_can_change_the_schema_is_told(migrated, app, agent, dump, code):
    migrated.run(WAYS[code].format(login=name_of(app)))
    before = dump(migrated.url)
    agent()
    more = {"can-drop": {"can-create"}, "can-alter": {"drift"}}  # a table of another owner's differs as well
    assert to_fix(app) == {code} | more.get(code, set())
    assert found(app)[code].severity == "error"
    assert dump(migrated.url) == before


def test_an_unknown_repository_is_told_as_well(migrated, app, tmp_path, monkeypatch):
    migrated.run(WAYS["can-create"].format(login=name_of(app)))
    monkeypatch.chdir(checkout(tmp_path, "something-else"))
    assert to_fix(app) == {"can-create"}


def test_a_member_that_does_not_inherit_could_still_become_the_owner(migrated, agent):
    login = migrated.login(migrated.names.owner, migrated.names.app, attributes="NOINHERIT")
    agent()
    assert "can-alter" in to_fix(login)


def test_the_owner_is_only_informed(migrated, app):
    migrator = migrated.login(migrated.names.owner, acts_as=migrated.names.owner)
    assert set(found(migrator)) <= NOTES | {"can-create"}
    assert f"acting as {migrated.names.owner}" in found(migrator)["role"].reason
    assert set(found(app)) <= NOTES | {"cannot-change"}


def test_the_owner_hears_when_its_tables_would_belong_to_somebody_else(migrated):
    migrator = migrated.login(migrated.names.owner)
    assert to_fix(migrator) == {"creates-as-itself"}
    command = found(migrator)["creates-as-itself"].command
    option = command.split()[1]
    assert option == f"?options=-crole%3D{migrated.names.owner}"
    assert to_fix(migrator + option) == set()


def test_looking_waits_for_nobody(migrated, app, agent):
    migrated.run(WAYS["can-create"].format(login=name_of(app)))
    agent()
    with psycopg.connect(migrated.url) as busy:
        for table in load().tables:
            busy.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE".encode())
        began = time.monotonic()
        assert to_fix(app) == {"can-create"}
        assert time.monotonic() - began < 5


def test_missing_rights_on_rows_are_told(migrated, app, reader, agent):
    agent()
    assert set(found(reader)) <= NOTES | {"read-only"}
    migrated.run(f"REVOKE DELETE ON memories FROM {migrated.names.app}")
    assert "memories" in found(app)["rows-not-writable"].reason
    migrated.run(f"REVOKE SELECT ON plans FROM {migrated.names.app}")
    assert to_fix(app) == {"rows-not-readable"}


def test_what_the_start_up_check_refuses_is_told(site, migrated, agent):
    app = migrated.login(migrated.names.app)
    diwa_schema.downgrade(migrated.url, confirm=migrated.url.rpartition("/")[2])
    agent()
    behind = found(app)["schema-out-of-date"]
    assert load().head in behind.reason
    assert "upgrade" in behind.command
    assert "permission-missing" in to_fix(migrated.login())


def test_an_empty_database_is_told(database, agent):
    agent()
    assert "schema-empty" in to_fix(database)


def test_a_bypassed_run_is_seen_until_the_next_regular_one(database, owner_directory, tmp_path, cli):
    diwa_schema.migrate(database, load().ids[0])
    bypass = {"ALLOW_CORE_MIGRATION": "true", "ALLOW_CORE_MIGRATION_REASON": "cloud is down"}
    cli("upgrade", "+1", "--url", database, cwd=checkout(tmp_path, "diwa-agent"), env=bypass, check=0)
    finding = found(database)["bypassed-run"]
    assert finding.severity == "warning"
    assert "from diwa-agent" in finding.reason
    assert finding.reason.endswith("because: cloud is down.")
    (run,) = diwa_schema.status(database).bypassed
    assert run["revisions"] == [load().ids[1]]
    shown = cli("status", "--url", database).stdout
    assert "from diwa-agent (ALLOW_CORE_MIGRATION=true, reason: cloud is down)" in shown
    document = json.loads(cli("doctor", "--url", database, "--json", check=1).stdout)
    assert "bypassed-run" in {one["code"] for one in document["findings"]}
    assert found(database, repo="diwa-agent")["bypassed-run"].severity == "note"

    diwa_schema.migrate(database, "+1")
    assert "bypassed-run" not in found(database)
    assert "\nbypassed " not in cli("status", "--url", database).stdout


def test_a_regular_run_that_failed_hides_no_bypass(database, owner_directory, tmp_path, cli):
    diwa_schema.migrate(database, load().ids[0])
    agent = checkout(tmp_path, "diwa-agent")
    cli("upgrade", "+1", "--url", database, cwd=agent, env={"ALLOW_CORE_MIGRATION": "true"}, check=0)
    with diwa_schema.api.target_of(database, None).connect() as link:
        link.execute("CREATE TABLE tasks (in_the_way int)")
    with pytest.raises(diwa_schema.DiwaSchemaError):
        diwa_schema.migrate(database)
    assert diwa_schema.history(database)[-1]["outcome"] == "failed"
    assert len(diwa_schema.status(database).bypassed) == 1


def test_a_server_that_is_too_old_is_told(migrated, app, monkeypatch):
    monkeypatch.setattr(preflight, "OLDEST_SERVER", 99)
    assert to_fix(app) == {"server-too-old"}


def test_pgvector_is_told_as_far_as_it_can_be_used(migrated, app, server):
    if not server.has_vector:
        assert found(app)["pgvector-absent"].severity == "note"
        return
    assert found(app)["pgvector-not-installed"].severity == "note"
    migrated.run("CREATE EXTENSION vector")
    late = found(app)["embeddings-as-bytes"]
    assert "memories" in late.reason
    assert late.command.startswith("diwa-schema enable-vector --url ")
    migrated.run("CREATE SCHEMA tools; ALTER EXTENSION vector SET SCHEMA tools")
    assert to_fix(app) == {"embeddings-as-bytes", "pgvector-not-usable", "pgvector-hidden"}
    migrated.run(found(app)["pgvector-not-usable"].command.replace("diwa_app", migrated.names.app))
    assert to_fix(app) == {"embeddings-as-bytes", "pgvector-hidden"}
    migrated.run(found(app)["pgvector-hidden"].command, app)
    assert to_fix(app) == {"embeddings-as-bytes"}


def test_nothing_is_said_where_embeddings_are_vectors(site, server, owner_directory):
    if not server.has_vector:
        pytest.skip("this server has no pgvector")
    site.run("CREATE EXTENSION vector")
    diwa_schema.migrate(site.url)
    site.roles(apply=True)
    assert {
        code for code in found(site.login(site.names.app)) if "vector" in code or "embed" in code
    } == set()


def test_constraints_left_unvalidated_are_told_with_what_validates_them(migrated, app):
    migrated.run("ALTER TABLE memories ADD CONSTRAINT short CHECK (length(content) < 999) NOT VALID")
    assert to_fix(app) == {"constraint-not-validated"}
    migrated.run(found(app)["constraint-not-validated"].command)
    assert "short" in found(app)["drift"].reason  # it is still one that the schema does not have
    migrated.run("ALTER TABLE memories DROP CONSTRAINT short")
    assert to_fix(app) == set()


def test_invalid_indexes_are_told_with_what_rebuilds_them(migrated, app):
    columns = "(id, name, slug, inserted_at, updated_at)"
    for slug in "ab":
        migrated.run(
            f"INSERT INTO organizations {columns} VALUES (gen_random_uuid(), 'x', '{slug}', now(), now())"
        )
    with pytest.raises(psycopg.errors.UniqueViolation):
        migrated.run("CREATE UNIQUE INDEX CONCURRENTLY half_built ON organizations (name)")
    assert to_fix(app) == {"index-invalid"}
    migrated.run("UPDATE organizations SET name = slug")
    migrated.run(found(app)["index-invalid"].command)
    assert "half_built" in found(app)["drift"].reason  # it is still one that the schema does not have
    migrated.run("DROP INDEX half_built")
    assert to_fix(app) == set()


def test_a_check_that_cannot_be_made_is_told_and_stops_no_other(migrated, app):
    migrated.run("REVOKE SELECT ON pg_constraint FROM PUBLIC; GRANT TRUNCATE ON memories TO PUBLIC")
    unseen = ("unvalidated-constraints", "waiting-rules", "differences")
    assert {f"{name}-not-checked" for name in unseen} == to_fix(app)
    assert "can-truncate" in to_fix(app, repo="diwa-agent")


def test_the_command_says_whether_there_is_something_to_fix(migrated, app, cli, tmp_path):
    agent = checkout(tmp_path, "diwa-agent")
    fit = cli("doctor", "--url", app, cwd=agent, check=0)
    assert "Nothing to fix" in fit.stdout
    migrated.run(WAYS["can-truncate"].format(login=name_of(app)))
    ill = cli("doctor", "--url", app, cwd=agent, check=1)
    assert "error    can-truncate: " in ill.stdout
    assert "next: diwa-schema roles --apply" in ill.stdout
    document = json.loads(cli("doctor", "--url", app, "--json", cwd=agent, check=1).stdout)
    assert document["fit"] is False
    assert {frozenset(one) for one in document["findings"]} == {
        frozenset({"code", "severity", "reason", "command"})
    }
    cli("doctor", "--url", app, "--repo", "diwa-cloud", cwd=tmp_path, check=0)


def test_a_server_that_does_not_answer_ends_the_command_with_its_own_code(cli, owner_directory):
    done = cli("doctor", "--url", "postgresql://nobody:s3cret@127.0.0.1:9/none", check=4)
    assert "s3cret" not in done.stderr
    with pytest.raises(DatabaseUnreachable):
        diwa_schema.doctor("postgresql://nobody@127.0.0.1:9/none")


def test_only_the_driver_is_loaded(migrated, app):
    code = f"import diwa_schema, sys; diwa_schema.doctor({app!r}); print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "'psycopg'" in done.stdout
    assert not [name for name in ("sqlalchemy", "alembic", "rich") if f"'{name}'" in done.stdout]


def test_the_documentation_names_every_finding():
    folder = Path(contents.__file__).parent
    written = "".join(path.read_text() for path in folder.glob("*.py"))
    codes = set(re.findall(r'(?:Finding\(|yield \(?)\s*"([a-z-]+)",', written))
    assert {"role", "superuser", "can-forge", "tls-off", "index-invalid", "can-drop"} <= codes
    page = (Path(__file__).parents[2] / "docs" / "roles.md").read_text()
    assert sorted(code for code in codes if f"`{code}`" not in page) == []
