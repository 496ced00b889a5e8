"""A message names only what the caller can do: its own options on the command line, arguments in Python."""

from __future__ import annotations

import json

import pytest

import diwa_schema
from diwa_schema.cli import main
from diwa_schema.database.url import parse
from diwa_schema.errors import InvalidDatabase, NoDatabase, UsageError
from diwa_schema.fleet import create

VARIABLES = ("DATABASE_URL", "DIWA_MIGRATION_DATABASE_URL")


@pytest.fixture(autouse=True)
def _no_database_in_the_environment(owner_directory, monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def said(capsys, *words: str) -> str:
    assert main(words) not in (0, 1)
    return str(capsys.readouterr().err)


def test_who_names_no_database_is_told_how(capsys):
    told = said(capsys, "status")
    assert "--url URL" in told
    assert "--embedded [PATH]" in told
    assert "argument" not in told
    told = said(capsys, "fleet", "status")
    assert "--url URL" in told
    assert "--embedded" not in told
    with pytest.raises(NoDatabase) as refused:
        diwa_schema.status()
    assert "embedded=True" in refused.value.next_step
    assert "--" not in refused.value.next_step


@pytest.mark.parametrize("name", ["pg_foo", "", "x" * 64])
def test_a_tenant_is_not_named_with_an_option(capsys, name):
    told = said(capsys, "fleet", "create", name, "--url", "postgresql://127.0.0.1:1/x")
    assert "Name another one.\n" in told
    assert "--schema NAME" in said(capsys, "status", "--schema", name, "--url", "postgresql://127.0.0.1:1/x")
    with pytest.raises(UsageError, match="schema") as refused:
        create("postgresql://127.0.0.1:1/x", name)
    assert "--" not in refused.value.next_step


def test_a_tenant_that_is_not_there_is_not_to_be_made(capsys, postgres):
    diwa_schema.migrate(postgres, repo="diwa-schema")
    told = said(capsys, "fleet", "drop", "gone", "--url", postgres, "--confirm", "gone")
    assert "Schema 'gone' of" in told
    assert "CREATE SCHEMA" not in told
    assert "--schema" not in told


@pytest.mark.parametrize("variable", VARIABLES)
@pytest.mark.parametrize("command", [["status"], ["fleet", "status"], ["fleet", "create", "t"]])
def test_a_variable_that_holds_no_url_is_named(capsys, monkeypatch, variable, command):
    monkeypatch.setenv(variable, "foo")
    told = said(capsys, *command)
    assert f"{variable}: 'foo' is not a database URL" in told


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "--url: The database URL is empty"),
        ("/tmp/foo.db", "For a file of SQLite, write sqlite:////tmp/foo.db"),
        ("foo.db", "For a file of SQLite, write sqlite:///foo.db"),
        ("mysql://db/x", "'mysql://...' is not a URL of PostgreSQL or SQLite"),
        ("postgresql://h:abc/x", "The port in the URL 'postgresql://...' is not a number"),
        ("postgresql://h/x?port=abc", "The port in the URL 'postgresql://...' is not a number"),
        ("postgresql://[::1/x", "A bracket in the host of the URL 'postgresql://...'"),
        ("host=h password=secret", "'...' is not a database URL"),
        ("u:secret@h", "'...' is not a database URL"),
    ],
)
def test_what_is_wrong_with_a_url_is_said(capsys, monkeypatch, url, words):
    monkeypatch.setenv("DATABASE_URL", "sqlite:///never.db")
    told = said(capsys, "status", "--url", url)
    assert words in told
    assert told.startswith("--url: ")
    assert "secret" not in told
    assert "of the password" not in told
    assert main(["fleet", "status", "--url", url]) == 2
    with pytest.raises(InvalidDatabase):
        parse(url)


def test_a_password_that_is_left_out_of_a_command_is_mentioned(capsys):
    hint = "write the password instead of ***, or leave :*** out and set PGPASSWORD"
    told = said(capsys, "upgrade", "99", "--url", "postgresql://u:pw@127.0.0.1:1/x")
    assert "password" in told
    main(["status", "--url", "postgresql://u:pw@127.0.0.1:1/x", "--schema", "x", "--json"])
    assert "password" in json.loads(capsys.readouterr().out)["next_step"]
    from diwa_schema.errors import with_hint

    command = "Run: diwa-schema upgrade --url 'postgresql://u:***@h/x'"
    assert with_hint(command).endswith(f"In the command, {hint}.")
    assert with_hint(with_hint(command)).count(hint) == 1
    assert with_hint("Run: diwa-schema upgrade") == "Run: diwa-schema upgrade"
    assert with_hint("postgresql://u:***@h/x is at head.") == "postgresql://u:***@h/x is at head."


def test_an_unknown_command_is_answered_with_those_like_it(capsys):
    told = said(capsys, "upgrad")
    assert "there is no command 'upgrad'. Did you mean upgrade?" in told
    assert "enable-vector" not in told
    assert "there is no verb 'statsu'. Did you mean status?" in said(capsys, "fleet", "statsu")
    assert "Did you mean" not in said(capsys, "xyzzy")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["guard", "--operation", "dance"], "invalid choice: 'dance'"),
        (["plan", "--seen-within", "200d"], "seen_within is '200 days, 0:00:00'"),
    ],
)
def test_a_value_is_refused_in_words(capsys, words, expected):
    assert expected in said(capsys, *words)


def test_one_is_said_in_the_singular():
    from diwa_schema.names import amount

    assert [amount(number, "row") for number in (0, 1, 2, 1200)] == [
        "0 rows",
        "1 row",
        "2 rows",
        "1,200 rows",
    ]
