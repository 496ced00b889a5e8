"""Lines on a terminal end at words, within its width; a command and a statement stay whole; a pipe gets all as it is."""

from __future__ import annotations

import io
import re

import pytest

from diwa_schema.terminal import fitted, wrapped
from tests.pages.reading import DOCS

WIDTH = 80
URL = "postgresql://app@db.example.com:5432/production_of_the_memories?sslmode=verify-full"
COMMANDS = (
    "diwa-schema status",
    f"diwa-schema upgrade 20260309000000 --allow-stall --url '{URL}'",
    f"diwa-schema fleet upgrade --schemas tenant_a --url {URL}",
    f"diwa-schema violations orphaned_memories expired_memories --url {URL}",
    f"diwa-schema stamp head --repo diwa-cloud --confirm 'a b  c' --url {URL} --schema public",
    f"python -m diwa_schema upgrade --url {URL}",
    "diwa-schema drop --confirm=-odd --embedded '/home/some one/of the/people in a long, long path/memory.db'",
    "MIX_ENV=test mix do ecto.create, ecto.migrate",
    "pip install 'diwa-schema[postgresql]==0.1.0' --upgrade",
    "sqlite3 FILE 'PRAGMA journal_mode = WAL'",
)
STATEMENTS = (
    'ALTER TABLE "public"."memories" ADD CONSTRAINT "memories_a_long_name_check" CHECK (a > \'1; 2\') NOT VALID;',
    "SELECT * FROM memories WHERE content = 'a value; that goes on and on, beyond the width of this terminal';",
    'CREATE INDEX CONCURRENTLY "of; a name" ON memories (context_id, inserted_at DESC) WHERE deleted_at IS NULL;',
)
BEFORE = (
    "The database is behind this package, and the application would meet a column that it does not know: "
)
AFTER = ", which takes a moment, and which may run while the application reads and writes its rows."


@pytest.mark.parametrize("kept", [*COMMANDS, *STATEMENTS])
@pytest.mark.parametrize(
    ("before", "after"), [("", ""), (BEFORE, AFTER), (f"next      {BEFORE}", "."), ("    ", "")]
)
def test_it_wraps_at_words_and_keeps_what_is_copied(kept, before, after):
    line = f"{before}{kept}{after}"
    lines = wrapped(line, WIDTH).splitlines()
    assert any(kept in one for one in lines)
    assert all(len(one) <= WIDTH or kept.split()[0] in one for one in lines)
    assert [word for one in lines for word in one.split()] == line.split()
    assert len(lines) > 1 or not before.strip()


@pytest.mark.parametrize(
    ("line", "hanging"),
    [
        ("note     owner_differs: " + BEFORE, 9),
        ("- " + BEFORE, 2),
        ("    " + BEFORE, 6),
        (BEFORE, 2),
        ("20260309000000  expand    descriptions  " + BEFORE, 16),
        (f"{'a_long_name_of_a_table_in_a_tenant':40}  {BEFORE}", 2),
    ],
)
def test_the_rest_of_a_line_hangs_below_its_text(line, hanging):
    first, *rest = wrapped(line, WIDTH).splitlines()
    assert len(first) <= WIDTH
    assert rest
    assert {len(one) - len(one.lstrip()) for one in rest} == {hanging}


def test_a_statement_of_several_lines_stays_as_it_is():
    function = (
        "    CREATE OR REPLACE FUNCTION diwa_schema_fill() RETURNS trigger LANGUAGE plpgsql AS $do$\n"
        "    BEGIN\n"
        f"      RAISE NOTICE 'the value % was not there before this long long long long statement', {'x' * 40};\n"
        "      RETURN NEW;\n"
        "    END $do$;"
    )
    text = f"{function}\n{BEFORE}{AFTER}"
    found = wrapped(text, WIDTH)
    assert found.startswith(f"{function}\n")
    assert all(len(line) <= WIDTH for line in found.removeprefix(function).splitlines())


def test_every_message_of_the_docs_stays_readable():
    """Of each message of the package, the words stay in order, and nothing but commands and statements is wider."""
    for block in re.findall(r"```\w*\n(.*?)```", (DOCS / "messages.md").read_text(), re.DOTALL):
        found = wrapped(block, WIDTH)
        assert found.split() == block.split()
        wide = [line.strip() for line in found.splitlines() if len(line) > WIDTH]
        assert [
            line for line in wide if not re.search(r"diwa-schema |diwa_schema |[A-Z]{3,} |\S{70}", line)
        ] == []


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_only_a_terminal_has_a_width(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    assert fitted(BEFORE, io.StringIO()) == BEFORE
    assert max(map(len, fitted(BEFORE, Terminal()).splitlines())) <= 60
    monkeypatch.delenv("COLUMNS")
    assert fitted(BEFORE, Terminal()) == BEFORE  # it does not tell its width
