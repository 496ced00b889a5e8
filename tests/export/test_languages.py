"""TypeScript, DBML and Mermaid hold all tables and columns, in the form that their readers take."""

from __future__ import annotations

import re
import shutil

import pytest

from diwa_schema.export import export
from diwa_schema.export.description import TIERS, describe
from tests.fixtures_checkout import run

USE = """
import { Json, Memory, NewMemory, NewTask, Tables, Task } from "./schema";
const made: NewMemory = { context_id: "x", content: "y", priority: "high", metadata: { a: [1, null] } };
const read = (task: Task): string => task.status ?? task.title;
const stored: Task["status"] = "anything at all";
const row: Tables["memories"]["embedding"] = [0.5];
// @ts-expect-error A row to be written keeps to the words.
const wrong: NewTask = { context_id: "x", title: "y", status: "someday" };
// @ts-expect-error Content is needed.
const bare: NewMemory = { context_id: "x" };
export { made, read, stored, row, wrong, bare };
export type { Json, Memory };
"""


def test_typescript_accepts_the_types(tmp_path):
    if shutil.which("tsc") is None:
        pytest.skip("tsc is not installed")
    (tmp_path / "schema.ts").write_text(export("typescript")["schema.ts"], encoding="utf-8")
    (tmp_path / "use.ts").write_text(USE, encoding="utf-8")
    run(["tsc", "--strict", "--noEmit", "use.ts"], cwd=tmp_path, check=0)


def test_typescript_has_every_column_twice():
    text = export("typescript")["schema.ts"]
    interfaces = dict(re.findall(r"^export interface (\w+) \{\n(.*?)^\}$", text, re.MULTILINE | re.DOTALL))
    for table in describe():
        read, new = interfaces[table.model], interfaces[f"New{table.model}"]
        names = [column.name for column in table.columns]
        assert re.findall(r"^  (\w+)\??:", read, re.MULTILINE) == names
        assert re.findall(r"^  (\w+)\??:", new, re.MULTILINE) == [n for n in names if n != "tsv_content"]
        needed = re.findall(r"^  (\w+):", new, re.MULTILINE)
        assert needed == [column.name for column in table.columns if column.required]
    assert len(interfaces) == 2 * len(describe()) + 1
    # Every statement of the file is a comment, a brace, a member or a declaration.
    line = r"|\}|//.*|  /\*\* .* \*/|/\*\* .* \*/|  \w+\??: [^;]+;|export (interface \w+ \{|type Json = .*;)"
    assert [each for each in text.splitlines() if not re.fullmatch(line, each)] == []


def test_dbml_has_every_table_column_and_key():
    text = export("dbml")["schema.dbml"]
    tables = dict(re.findall(r"^Table (\w+) \{\n(.*?)^\}$", text, re.MULTILINE | re.DOTALL))
    assert set(tables) == {table.name for table in describe()}
    for table in describe():
        body = tables[table.name].partition("  indexes {")[0].partition("  Note:")[0]
        column = r"  (\w+) \"[^\"]+\" \[(?:[^'`\[\]]|`[^`]*`|'(?:[^'\\]|\\.)*')*\]"
        found = [re.fullmatch(column, line) for line in body.splitlines()]
        assert [each and each[1] for each in found] == [each.name for each in table.columns]
    references = {(table.name, c.name) for table in describe() for c in table.columns if c.refers}
    drawn = set(re.findall(r"^Ref: (\w+)\.(\w+) [->] \w+\.\w+ \[delete: [a-z ]+\]$", text, re.MULTILINE))
    assert drawn == references
    assert len(references) >= 29
    for tier in TIERS:
        assert f"TableGroup {tier} {{" in text


def test_mermaid_draws_every_table_and_key_in_its_tier():
    text = export("mermaid")["entities.md"]
    diagrams = re.findall(r"```mermaid\nerDiagram\n(.*?)```", text, re.DOTALL)
    line = (
        r"    \w+ \{|        \w+ \w+( (PK|FK|UK)(, (PK|FK|UK))*)?|    \}|    \w+ [|}o]{2}--[|{o]{2} \w+ : \w+"
    )
    for tier, diagram in zip(TIERS, diagrams, strict=True):
        assert [each for each in diagram.splitlines() if not re.fullmatch(line, each)] == []
        tables = [table for table in describe() if table.tier == tier]
        assert re.findall(r"^    (\w+) \{$", diagram, re.MULTILINE) == [table.name for table in tables]
        keys = {(table.name, c.name) for table in tables for c in table.columns if c.refers}
        assert set(re.findall(r"-- ?\S* (\w+) : (\w+)$", diagram.replace("--", "-- "), re.MULTILINE)) == keys
