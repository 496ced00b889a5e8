"""Where every target of a fleet stands, told by a few queries a database."""

from __future__ import annotations

import io
import json
from contextlib import closing
from urllib.parse import urlsplit

import pytest

import diwa_schema
from diwa_schema.cli import main
from diwa_schema.database.target import Target
from diwa_schema.errors import DatabaseUnreachable, UsageError
from diwa_schema.fleet import Databases, Fleet, Member, Schemas, census, listed
from diwa_schema.fleet.report import Result
from diwa_schema.migrations.manifest import load
from diwa_schema.run import integrity
from tests.fixtures_roles import as_user, name_of
from tests.fleet.tenants import BEHIND, HEAD, TENANTS, execute
from tests.run.servers import Clone, OwnServer

MADE = {
    "tenant_empty": (),
    "tenant_foreign": ("CREATE TABLE tenant_foreign.memories (id int)",),
    "tenant_ecto": (
        "CREATE TABLE tenant_ecto.schema_migrations (version bigint PRIMARY KEY, inserted_at timestamp)",
        "INSERT INTO tenant_ecto.schema_migrations VALUES (20251224044223, now())",
        "CREATE TABLE tenant_ecto.memories (id int)",
    ),
}


def by_name(report):
    return {one.name: one for one in report.outcomes}


@pytest.fixture
def weather(tenants, owner_directory):
    """A database with a tenant in every standing."""
    diwa_schema.migrate(tenants, schema="tenant_1")
    for name, statements in MADE.items():
        execute(tenants, f"CREATE SCHEMA {name}", *statements)
    execute(tenants, "UPDATE tenant_3.diwa_schema_version SET version_num = '29990101000000'")
    execute(tenants, "CREATE SCHEMA tenant_lacking")
    diwa_schema.migrate(tenants, schema="tenant_lacking")
    execute(tenants, "DROP TABLE tenant_lacking.idempotency_log")
    return tenants


def test_each_target_stands_where_a_single_status_says(weather):
    report = Fleet(Schemas(weather, "tenant_*")).status()
    found = by_name(report)
    assert {name: one.result for name, one in found.items()} == {
        "tenant_1": Result.CURRENT,
        "tenant_2": Result.BEHIND,
        "tenant_3": Result.DIFFERS,
        "tenant_ecto": Result.DIFFERS,
        "tenant_empty": Result.BEHIND,
        "tenant_foreign": Result.DIFFERS,
        "tenant_lacking": Result.DIFFERS,
    }
    for name, one in found.items():
        alone = diwa_schema.status(weather, schema=name)
        assert (one.exit_code == 0, one.before) == (alone.current, alone.revision)
        if one.result is Result.BEHIND:
            assert one.revisions == alone.pending
        elif one.error and not alone.missing:
            assert one.error["what"] == alone.refused
    assert report.exit_code == 1
    assert "--schema tenant_ecto" in found["tenant_ecto"].error["next_step"]
    assert "idempotency_log" in found["tenant_lacking"].detail


def test_it_asks_a_database_once_however_many_tenants_it_has(tenants, monkeypatch):
    connected = []
    connect = Target.connect

    def counted(*args, **options):
        connected.append(args)
        return connect(*args, **options)

    monkeypatch.setattr(Target, "connect", counted)
    Fleet(Member(tenants, "tenant_1")).status()
    one = len(connected)
    Fleet(*(Member(tenants, name) for name in TENANTS)).status()
    assert len(connected) == 2 * one == 2


def test_many_tenants_are_read_on_a_few_connections_side_by_side(tenants, monkeypatch):
    alone = [(one.member.schema, one.state) for one in census.take(Schemas(tenants, "tenant_*").find())]
    connected = []
    connect = Target.connect

    def counted(*args, **options):
        connected.append(args)
        return connect(*args, **options)

    monkeypatch.setattr(census, "CHUNK", 1)
    monkeypatch.setattr(census, "_EACH", 2)
    members = Schemas(tenants, "tenant_*").find()
    monkeypatch.setattr(Target, "connect", counted)
    found = census.take(members)
    assert [(one.member.schema, one.state) for one in found] == alone
    assert len(connected) == 2


@pytest.mark.parametrize("connections", [1, 4])
def test_a_changed_ledger_is_found_among_many(tenants, monkeypatch, connections):
    monkeypatch.setattr(census, "CHUNK", 1)
    monkeypatch.setattr(census, "_EACH", connections)
    execute(tenants, "UPDATE tenant_2.diwa_schema_ledger SET checksum = 'another' WHERE id = 7")
    found = census.take(Schemas(tenants, "tenant_*").find())
    named = census.tampered(found, integrity.installed(load()))
    assert {name[-1] for name in named} == {"tenant_2"}


def test_what_cannot_be_reached_or_read_is_told_and_keeps_nobody_from_being_told(tenants, closed, site):
    login = site.login()
    stranger = as_user(tenants, name_of(login), urlsplit(login).password)
    execute(tenants, f"GRANT USAGE ON SCHEMA tenant_3 TO {name_of(login)}")
    report = Fleet(
        Member(closed, name="down"),
        Member(tenants, "tenant_2"),
        Member(stranger, "tenant_1"),
        Member(stranger, "tenant_3", "tenant_3 unread"),
    ).status()
    execute(tenants, f"DROP OWNED BY {name_of(login)}")
    found = by_name(report)
    assert found["down"].exit_code == DatabaseUnreachable.exit_code
    assert found["tenant_2"].result is Result.BEHIND
    assert found["tenant_1"].error["error"] == "PermissionMissing"
    assert found["tenant_3 unread"].exit_code == 7
    assert report.exit_code == 6
    assert "hunter2" not in repr(report) + json.dumps(report.as_dict())


@pytest.mark.parametrize(
    "shape",
    ["{}", '"{}"', '["one", "{}"]', '{{"url": "{}", "name": "one"}}', "one,{},,", '"one" , "{}", "", ""'],
)
def test_a_line_may_be_a_url_or_a_row(shape, tenants):
    (member,) = listed([shape.format(tenants), "", "# nobody"]).find()
    assert member.url == tenants
    assert member.label == ("one" if "one" in shape else tenants)


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        '["a", ',
        '["a"]',
        "a,,b,1",
        '{"url": "postgresql://h/d", "color": 1}',
        "a,postgresql://h/d,s,0",
        "a,postgresql://h/d,with,comma,1",
    ],
)
def test_a_malformed_line_is_named_and_not_shown(line, listing, capsys):
    path = listing("postgresql://postgres:hunter2@127.0.0.1/x", line)
    assert main(["fleet", "status", "--targets", str(path)]) == 2
    said = capsys.readouterr().err
    assert f"{path}, line 2" in said
    assert "hunter2" not in said


def test_targets_are_read_from_standard_input(tenants, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO(f",{tenants},tenant_1,\n"))
    assert main(["fleet", "status", "--targets", "-"]) == 1
    assert "1 target: 1 behind" in capsys.readouterr().out


def test_a_spreadsheet_may_have_written_the_list(tenants, listing, capsys):
    path = listing()
    path.write_text(f'"Acme, Inc.",{tenants},"tenant_1",\r\n', encoding="utf-8-sig")
    assert main(["fleet", "status", "--targets", str(path), "--json"]) == 1
    assert json.loads(capsys.readouterr().out.splitlines()[0])["name"] == "Acme, Inc."


def test_schema_and_wave_of_a_row_are_heard(tenants):
    (member,) = listed([f'["a", "{tenants}", "tenant_1", 3]']).find()
    assert (member.name, member.schema, member.wave) == ("a", "tenant_1", 3)


def test_servers_from_one_image_are_two(owner_directory):
    """A copy of a server's data has the same identifier, and its databases have the same numbers."""
    image = OwnServer()
    with closing(image):
        diwa_schema.migrate(image.create("fleet"))
        with closing(Clone(image)) as clone:
            report = Fleet(image.url("fleet"), clone.url("fleet")).status()
    assert report.counts == {"at head": 2}
    assert report.notes == ()


@pytest.mark.parametrize("address", ["127.0.0.1", "localhost"])
def test_a_row_gives_its_name_and_wave_to_a_target_that_a_pattern_finds(address, tenants):
    row = Member(tenants.replace("127.0.0.1", address), "tenant_3", name="canary", wave=1)
    found, _ = Fleet(Schemas(tenants, "tenant_*"), row).census()
    assert [(one.member.label, one.member.wave) for one in found] == [
        ("tenant_1", None),
        ("tenant_2", None),
        ("canary", 1),
    ]


def test_a_pattern_that_matches_nothing_is_refused_and_says_what_there_is(tenants, capsys):
    assert main(["fleet", "status", "--url", tenants, "--schemas", "nobody_*"]) == 2
    said = capsys.readouterr().err
    assert "nobody_*" in said
    assert "tenant_1, tenant_2, tenant_3" in said
    with pytest.raises(UsageError, match="no_such_\\*"):
        Databases(tenants, "no_such_*").find()
    with pytest.raises(UsageError, match="None of 3 targets"):
        Fleet(Schemas(tenants), only=["x*"]).status()


def test_without_a_pattern_the_schemas_with_a_version_table_are_meant(tenants):
    execute(tenants, "CREATE SCHEMA tenant_4")
    assert [one.schema for one in Schemas(tenants).find()] == list(TENANTS)
    assert "public" not in [one.schema for one in Schemas(tenants, "*").find()]
    assert "tenant_4" in [one.schema for one in Schemas(tenants, "*").find()]


def test_a_pattern_for_all_leaves_the_shared_schemas_alone(tenants):
    execute(tenants, "CREATE SCHEMA extensions")
    assert [one.schema for one in Schemas(tenants, "*").find()] == list(TENANTS)
    assert [one.schema for one in Schemas(tenants, "extensions").find()] == ["extensions"]


def test_databases_of_a_server_are_found_by_a_pattern(tenants):
    name = tenants.rpartition("/")[2]
    report = Fleet(Databases(tenants, name[:-1] + "?", "tenant_[12]")).status()
    assert [one.name for one in report.outcomes] == [f"{name}.tenant_1", f"{name}.tenant_2"]


def test_the_same_target_by_two_names_is_one_target(tenants):
    other = tenants.replace("127.0.0.1", "localhost")
    assert other != tenants
    execute(tenants, "ALTER DATABASE " + tenants.rpartition("/")[2] + " SET search_path = tenant_2")
    report = Fleet(Member(tenants, "tenant_2"), Member(other, "tenant_2"), Member(other), tenants).status()
    assert [one.name for one in report.outcomes] == ["tenant_2"]
    assert len(report.notes) == 3
    assert "the same target" in report.notes[0]


def test_the_report_is_one_line_a_target_and_leads_to_those_that_are_not_done(
    tenants, tmp_path, capsys, owner_directory
):
    diwa_schema.migrate(tenants, schema="tenant_1")
    assert main(["fleet", "status", "--url", tenants, "--schemas", "tenant_*", "--json"]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["schema"] for one in lines[:-1]] == list(TENANTS)
    assert [one["before"] for one in lines[:-1]] == [HEAD, BEHIND, BEHIND]
    assert lines[-1]["counts"] == {"at head": 1, "behind": 2}
    report = tmp_path / "report"
    report.write_text("\n".join(map(json.dumps, lines)))
    assert main(["fleet", "status", "--url", tenants, "--from", str(report), "--json"]) == 1
    again = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["schema"] for one in again[:-1]] == ["tenant_2", "tenant_3"]
    report.write_text("what is this")
    assert main(["fleet", "status", "--url", tenants, "--from", str(report)]) == 2


def test_the_table_names_each(weather, capsys):
    assert main(["fleet", "status", "--url", weather, "--schemas", "tenant_*"]) == 1
    shown = capsys.readouterr().out
    assert "tenant_2" in shown
    assert "7 targets: 1 at head, 2 behind, 4 differs" in shown
    assert "diwa-schema adopt --plan --url" in shown


def test_a_schema_with_any_name_is_a_target(tenants, owner_directory):
    execute(tenants, 'CREATE SCHEMA "Te nant\'s%s"')
    diwa_schema.migrate(tenants, schema="Te nant's%s")
    (one,) = Fleet(Schemas(tenants, "Te*")).status().outcomes
    assert one.result is Result.CURRENT


def test_a_name_writes_no_lines_of_its_own(tenants, capsys):
    name = "tenant_4\ntenant_1  at head\x1b[2J"
    execute(tenants, f'CREATE SCHEMA "{name}"')
    assert main(["fleet", "check", "--url", tenants, "--schemas", "tenant_*"]) == 0
    shown = capsys.readouterr()
    for text in (shown.out, shown.err):
        assert "tenant_4?tenant_1  at head?[2J" in text
        assert "\x1b" not in text


def test_sqlite_files_are_targets_too(sqlite, tenants, owner_directory):
    diwa_schema.migrate(sqlite)
    report = Fleet(sqlite, Member(tenants, "tenant_1")).status()
    assert [one.result for one in report.outcomes] == [Result.CURRENT, Result.BEHIND]
