"""A command that a fleet prints can be run: its URL is a URL, and its schema is the target's."""

from __future__ import annotations

import re

import pytest

import diwa_schema
from diwa_schema.cli import main
from diwa_schema.database.url import parse
from tests.fleet.tenants import execute

# The end of a sentence is no part of a command.
_COMMAND = re.compile(r"--url (?P<url>'[^']*'|\S+?)(?P<schema> --schema (?P<name>\S+?))?(?=[.,;)]?(\s|$))")


def test_each_names_the_database_and_the_schema(tenants, new_database, capsys, owner_directory):
    empty = new_database()
    shown = parse(tenants).shown
    diwa_schema.migrate(tenants, schema="tenant_1")
    execute(tenants, "DROP TABLE tenant_1.idempotency_log")
    diwa_schema.protect(tenants, schema="tenant_2")
    execute(tenants, "CREATE SCHEMA tenant_foreign", "CREATE TABLE tenant_foreign.memories (id int)")
    fleet = ("--url", tenants, "--schemas", "tenant_[123f]*")
    copy = ("fleet", "copy", tenants, empty)
    for words, schemas in (
        (("fleet", "create", "tenant_1", "--url", tenants), {"tenant_1"}),
        (("fleet", "drop", "tenant_2", "--url", tenants, "--confirm", "tenant_2"), {"tenant_2"}),
        ((*copy, "--source-schema", "tenant_1", "--target-schema", "copy"), {"tenant_1"}),
        ((*copy, "--source-schema", "tenant_3", "--target-schema", "copy"), {"tenant_3"}),
        (("fleet", "status", *fleet), {"tenant_1"}),
        (("fleet", "check", *fleet), {"tenant_1"}),
        (("fleet", "upgrade", "--only", "tenant_1", *fleet), {"tenant_1"}),
    ):
        assert main([*words]) != 0
        said = "".join(capsys.readouterr())
        found = list(_COMMAND.finditer(said))
        assert {one["name"] for one in found} >= schemas, (words, said)
        assert {one["url"].strip("'") for one in found} == {shown}, (words, said)
        assert "(schema" not in "".join(one["url"] for one in found)


def test_the_report_separates_the_database_from_the_schema(tenants, tmp_path, capsys, owner_directory):
    shown = parse(tenants).shown
    fleet = ("fleet", "status", "--url", tenants, "--schemas", "tenant_*", "--json")
    main(list(fleet))
    report = capsys.readouterr().out
    assert report.count(f'"database": "{shown}"') == 3
    # A report of 0.1.0 has the schema twice.
    old = tmp_path / "report"
    old.write_text(re.sub(rf'({re.escape(shown)})(", "schema": "(\w+)")', r"\1 (schema \3)\2", report))
    assert "(schema tenant_1)" in old.read_text()
    main([*fleet, "--from", str(old)])
    assert '"targets": 3' in capsys.readouterr().out


@pytest.mark.parametrize("schema", [None, "tenant_1", "Ten ant"])
def test_only_a_url_writes_its_options(schema):
    import shlex

    url = parse("postgresql://app:pw@db:5433/fleet?sslmode=require")
    words = shlex.split(url.options(schema))
    assert parse(words[1]).shown == url.shown
    assert words[2:] == ([] if schema is None else ["--schema", schema])
