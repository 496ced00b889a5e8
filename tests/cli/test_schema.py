"""`--schema` of every command: what was said is what is worked on, and the one whose name is told."""

from __future__ import annotations

import inspect
import json
import shlex

import psycopg
import pytest
from psycopg import sql

import diwa_schema
from diwa_schema.cli import main
from diwa_schema.cli.parser import build_parser

pytestmark = pytest.mark.usefixtures("owner_directory")

ODD = 'Ten "ant" \'s é'
TOLD = (ODD, repr(ODD), json.dumps(ODD))
# Those that speak to no database, or to a server for a moment, or to many databases with a `--schemas` of their own, and
# `mix`, which takes the schema as Ecto says it, in `--prefix`.
WITHOUT = {
    "guard",
    "repo-check",
    "init",
    "mix",
    "export",
    "revision",
    "lint",
    "prove",
    "release",
    "fleet",
    "completion",
}
MORE = {
    "stamp": ["head"],
    "history": ["--applied"],
    "index": ["enable", "memories_embedding_idx"],
}
# What each ends with where the schema is not there; `roles` would make it.
ABSENT = {"status": 1, "doctor": 1, "roles": 0}

# One after the other on one schema: the words, the exit code, and whether the name is told.
COURSE = [
    (["plan"], 0, False),
    (["upgrade"], 0, True),
    (["upgrade"], 0, True),
    (["status"], 0, True),
    (["check"], 0, False),
    (["doctor"], None, True),
    (["history", "--applied", "--json"], 0, True),
    (["violations"], 0, False),
    (["validate"], 0, False),
    (["protect"], 0, True),
    (["unprotect"], 0, True),
    (["disable-vector"], 0, True),
    (["index", "disable", "memories_embedding_idx"], 0, True),
    (["roles"], 0, True),
    (["stamp", "head"], 0, True),
    (["adopt"], 7, True),
    (["downgrade"], 0, True),
    (["upgrade"], 0, True),
    (["rollback"], 0, True),
    (["drop"], 2, True),
    (["drop", "--confirm", "public"], 2, True),
    (["drop", "--confirm", ODD], 0, True),
]
REST = (
    "SELECT md5(string_agg(c.oid || c.relname || c.relfilenode, ',' ORDER BY c.oid)) FROM pg_class c"
    " WHERE c.relnamespace = 'public'::regnamespace"
)
LEDGER = "SELECT count(*) FROM public.diwa_schema_ledger"


def commands() -> dict[str, set[str]]:
    choices = next(one.choices for one in build_parser()._actions if isinstance(one.choices, dict))
    return {
        name: {option for action in parser._actions for option in action.option_strings}
        for name, parser in choices.items()
    }


def test_every_command_and_every_function_that_names_a_database_takes_a_schema():
    options = commands()
    assert {name for name, known in options.items() if "--schema" not in known} <= WITHOUT
    assert all("--schema" in known for known in options.values() if "--url" in known)
    for name in diwa_schema.__all__:
        function = getattr(diwa_schema, name)
        if inspect.isfunction(function) and "database" in (given := inspect.signature(function).parameters):
            assert "schema" in given, name


def test_no_command_takes_another_schema_for_one_that_is_not_there(head_template, new_database, capsys):
    """The schema that the search path leads to is at head."""
    url = new_database(head_template)
    with psycopg.connect(url, autocommit=True) as connection:
        before = [connection.execute(query).fetchone() for query in (REST, LEDGER)]
        for name in sorted(commands().keys() - WITHOUT):
            code = main([name, *MORE.get(name, []), "--url", url, "--schema", "absent"])
            told = "".join(capsys.readouterr())
            assert code == ABSENT.get(name, 7), f"{name}: {told}"
            assert "absent" in told, name
        assert [connection.execute(query).fetchone() for query in (REST, LEDGER)] == before


def test_every_command_works_in_a_schema_of_any_name_and_says_it(head_template, new_database, server, capsys):
    if not server.has_vector:
        pytest.skip("needs pgvector")
    url = new_database(head_template)
    assert {words[0] for words, *_ in COURSE} == commands().keys() - WITHOUT - {"enable-vector"}
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(ODD)))
        before = [connection.execute(query).fetchone() for query in (REST, LEDGER)]
        for words, wanted, told in COURSE:
            if words == ["drop"]:
                row = (
                    "INSERT INTO {}.organizations (name, inserted_at, updated_at) VALUES ('o', now(), now())"
                )
                connection.execute(sql.SQL(row).format(sql.Identifier(ODD)))
            code = main([*words, "--url", url, "--schema", ODD])
            said = "".join(capsys.readouterr())
            assert wanted in (None, code), f"{words}: {said}"
            assert not told or any(name in said for name in TOLD), (words, said)
            # What is offered as the next step can be pasted.
            assert "--confirm" not in said or f"--confirm {shlex.quote(ODD)}" in said
        assert [connection.execute(query).fetchone() for query in (REST, LEDGER)] == before
