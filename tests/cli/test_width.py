"""Every command keeps to the width of its terminal, and gives a pipe its lines as they are."""

from __future__ import annotations

import io
import re
import sqlite3
from contextlib import closing

import pytest

from diwa_schema.cli import main

WIDTH = 80
COPIED = "diwa-schema [a-z]|ALTER |CREATE |SELECT |sqlite:|sqlite3 "


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(scope="module")
def broken(tmp_path_factory) -> str:
    """Return the URL of a database with every kind of finding: drift, a row that breaks a rule, and notes."""
    path = tmp_path_factory.mktemp("width") / "people.db"
    url = f"sqlite:///{path}"
    assert main(["upgrade", "--url", url, "--repo", "diwa-cloud"]) == 0
    with closing(sqlite3.connect(path)) as database, database:
        for number in range(2):
            database.execute(
                "INSERT INTO organizations (id, name, inserted_at, updated_at) VALUES (?, ?, ?, ?)",
                (bytes([number] * 16), "a name " * 20, "2026-01-01 00:00:00", "2026-01-01 00:00:00"),
            )
        database.execute("DROP INDEX memories_context_id_index")
        database.execute("ALTER TABLE plans DROP COLUMN completion_pct")
    return url


@pytest.mark.parametrize(
    "words",
    [["status"], ["check"], ["doctor"], ["violations"], ["history", "--applied"], ["plan"], ["upgrade", "1"]],
    ids=lambda words: words[0],
)
def test_a_terminal_gets_lines_of_its_width(broken, owner_directory, monkeypatch, words, capsys):
    code = main([*words, "--url", broken])
    piped = capsys.readouterr()
    out, err = Terminal(), Terminal()
    monkeypatch.setattr("sys.stdout", out)
    monkeypatch.setattr("sys.stderr", err)
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    assert main([*words, "--url", broken]) == code
    text = out.getvalue() + err.getvalue()
    assert [line for line in text.splitlines() if len(line) > WIDTH and not re.search(COPIED, line)] == []
    assert text.split() == (piped.out + piped.err).split()
    assert all(
        line.strip() in text
        for line in (piped.out + piped.err).splitlines()
        if re.match(COPIED, line.strip())
    )


def test_a_document_and_a_script_stay_as_they_are(broken, monkeypatch, capsys):
    for words in (["status", "--json", "--url", broken], ["upgrade", "--sql"], ["export", "dbml"]):
        main(words)
        piped = capsys.readouterr().out
        out = Terminal()
        with monkeypatch.context() as patch:
            patch.setattr("sys.stdout", out)
            patch.setenv("COLUMNS", "40")
            main(words)
        # A script has a new id in each line of the ledger.
        assert list(map(len, out.getvalue().splitlines())) == list(map(len, piped.splitlines()))
        assert max(map(len, piped.splitlines())) > 40
