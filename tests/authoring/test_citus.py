"""What Citus refuses on a tenant is found in a revision before it meets one, and in none of the history."""

from __future__ import annotations

import json

import pytest

from diwa_schema.authoring.lint import ENGINES, lint
from diwa_schema.authoring.rule import NEXT
from diwa_schema.authoring.rules.citus import refused
from diwa_schema.cli import main
from diwa_schema.database.script import statements

from .drafts import rules, up, write


def sql(text: str) -> str:
    return up(f'op.execute("{text}")')


BREAKING = [
    ("citus-check-with-column", sql("ALTER TABLE memories ADD COLUMN mood text CHECK (mood <> ',')")),
    (
        "citus-constraint-beside-another",
        sql("ALTER TABLE memories DROP CONSTRAINT a, ADD CONSTRAINT b UNIQUE (x, y) NOT VALID"),
    ),
    ("citus-alters-constraint", sql("ALTER TABLE ONLY memories RENAME CONSTRAINT a TO b")),
    ("citus-alters-constraint", sql("ALTER TABLE memories ALTER CONSTRAINT a DEFERRABLE")),
    ("citus-column-storage", sql("ALTER TABLE memories ALTER content SET STORAGE external")),
    ("citus-column-storage", sql("ALTER TABLE memories ALTER COLUMN content SET STATISTICS 1000")),
    ("citus-drops-identity", sql("ALTER TABLE memories ALTER COLUMN n DROP IDENTITY IF EXISTS")),
    ("citus-drops-several-indexes", sql("DROP INDEX IF EXISTS a, b")),
    ("citus-sets-schema", sql("ALTER TABLE memories SET SCHEMA elsewhere")),
    ("citus-sets-schema", sql("ALTER FUNCTION f() SET SCHEMA elsewhere")),
    ("citus-constraint-without-name", sql("ALTER TABLE memories ADD CHECK (content <> '') NOT VALID")),
    ("citus-constraint-without-name", sql("ALTER TABLE memories ADD mood uuid REFERENCES contexts")),
    (
        "citus-trigger-reads-table-name",
        sql(
            "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no %', TG_TABLE_NAME; END $$"
        ),
    ),
    (
        "citus-now-in-select",
        sql("INSERT INTO memories (content, inserted_at) SELECT name, now() FROM contexts"),
    ),
]


def asked(path):
    """Return what only the engine's rules find: some of the drafts break others as well."""
    return [one for one in lint([path], engine="citus").findings if one.rule in ENGINES["citus"]]


@pytest.mark.parametrize(("rule", "code"), BREAKING)
def test_what_citus_refuses_is_found_there_alone_and_its_safe_form_passes(tmp_path, rule, code):
    path = write(tmp_path, code)
    (finding,) = asked(path)
    assert finding.rule == rule
    assert rule not in rules(lint([path]))
    for number, safe in enumerate(finding.instead.split(NEXT)):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert [one.rule for one in lint([write(folder, safe)], engine="citus").findings] == []


def test_every_rule_has_a_revision_that_breaks_it():
    assert {rule for rule, _ in BREAKING} == ENGINES["citus"]


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE a ADD CONSTRAINT c CHECK (x IN ('a', 'b, ADD CHECK (y)')) NOT VALID",
        "ALTER TABLE a DROP CONSTRAINT b, ALTER COLUMN c DROP NOT NULL",
        "ALTER TABLE a ADD COLUMN b numeric(10, 6) DEFAULT now(), ADD COLUMN c text",
        "CREATE TABLE a (b int CHECK (b > 0), PRIMARY KEY (b))",
        "INSERT INTO a (t) VALUES (now())",
        "DROP INDEX CONCURRENTLY a",
        "UPDATE a SET b = 'ALTER TABLE a SET SCHEMA b; DROP INDEX a, b'",
    ],
)
def test_what_citus_takes_passes(statement):
    assert list(refused(statement)) == []
    assert statements(f"{statement};\n{statement}") == [statement, statement]


def test_a_reason_holds_where_the_engine_is_not_asked(tmp_path, capsys):
    reason = '\nlint_ignore = {"citus-sets-schema": "this table is on no node"}\n'
    path = write(tmp_path, reason + sql("ALTER TABLE memories SET SCHEMA elsewhere"))
    assert "unused-ignore" not in rules(lint([path]))
    assert asked(path) == []
    assert main(["lint", str(path), "--engine", "citrus"]) == 2
    assert "citus" in capsys.readouterr().err
    path = write(tmp_path, sql("DROP INDEX a, b"))
    assert main(["lint", str(path), "--engine", "citus", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)["findings"]
    assert "citus-drops-several-indexes" in {one["rule"] for one in found}
