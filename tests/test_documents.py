"""Every command prints with `--json` what the reference says, and the reference has every command."""

from __future__ import annotations

import ast
import json
import re

import psycopg
import pytest

from diwa_schema.cli import main
from diwa_schema.cli.parser import build_parser
from diwa_schema.migrations.manifest import load
from tests.documents import judged
from tests.fleet.tenants import execute
from tests.repository.checkouts import Checkout
from website import documents
from website.messages import SOURCE, classes

DONE = "done, or nothing to do"
BEFORE = "20260228000500"  # the revision before embeddings become vectors


@pytest.fixture
def said(capsys):
    """Runs a command and returns the title of its last document in the reference, and the document."""

    def call(*words, code=0):
        assert main([*words, "--json"]) == code, capsys.readouterr()
        return judged(words, capsys.readouterr().out)[-1]

    return call


def test_every_command_that_takes_json_has_a_schema():
    found, pending = set(), [build_parser()]
    while pending:
        parser = pending.pop()
        if "--json" in parser._option_string_actions:
            found.add(parser.prog.partition(" ")[2])
        pending += [
            one
            for action in parser._actions
            if isinstance(action.choices, dict)
            for one in action.choices.values()
            if hasattr(one, "prog")
        ]
    assert found == set(documents.DOCUMENTS)
    made = documents.files()
    assert set(made) == {f"{name.replace(' ', '-')}.json" for name in (*found, "error")}
    page = documents.page()
    assert re.findall(r"^## (.+)$", page, flags=re.MULTILINE)[1:] == documents._ordered()
    assert set(re.findall(r"\]\(json/([\w-]+\.json)\)", page)) == set(made)


def test_every_field_of_a_document_has_a_meaning():
    bare = [
        (command, one.title, name)
        for command, known in documents.DOCUMENTS.items()
        for one in known
        for name, field in one.schema["properties"].items()
        if not field.get("description") and "const" not in field
    ]
    assert bare == []


def test_the_schemas_are_schemas():
    jsonschema = pytest.importorskip("jsonschema", reason="the dependency group `test` has it")
    for schema in documents.files().values():
        jsonschema.Draft202012Validator.check_schema(json.loads(json.dumps(schema)))


@pytest.mark.usefixtures("owner_directory")
def test_what_changes_a_database_and_what_looks_at_it(said, database, tmp_path):
    url = ("--url", database)
    confirm = ("--confirm", database.rpartition("/")[2].removesuffix(".db"))
    assert said("status", *url, code=1)[1]["revision"] is None
    assert said("plan", *url)[1]["snapshot"]
    assert said("plan", "--observe", *url)[0] == "with --observe"
    assert said("upgrade", "--sql", *url)[0] == "with --sql"
    title, report = said("upgrade", *url)
    assert (title, report["kind"], len(report["applied"])) == (DONE, "snapshot", len(load().ids))
    assert said("upgrade", *url)[1]["kind"] == "nothing"
    for look in ("status", "check", "doctor", "plan", "violations"):
        said(look, *url, *(["--repo", "diwa-cloud"] if look == "doctor" else []))
    assert said("history")[0] == "the revisions of this release"
    assert said("history", "--applied", *url)[0] == "with --applied"
    assert said("protect", "--reason", "kept", *url)[1]["protected"] is True
    assert said("unprotect", *url)[1]["protected"] is False
    title, report = said("downgrade", BEFORE, *confirm, *url)
    assert report["after"] == BEFORE
    assert len(said("status", *url, code=1)[1]["pending"]) == len(report["applied"])
    title, plan = said("plan", "--observe", *url)
    assert (title, len(plan["observed"])) == ("with --observe", len(report["applied"]))
    assert said("downgrade", "base", "--sql", *url)[0] == "with --sql"
    title, report = said("upgrade", "--replay", *url)
    assert (report["before"], report["after"]) == (BEFORE, load().head)
    assert said("stamp", load().ids[-2], *url)[1]["after"] == load().ids[-2]
    assert said("drop", *confirm, *url)[1]["kind"] == "drop"


@pytest.mark.usefixtures("owner_directory")
def test_what_only_postgresql_has(said, new_database, head_template, server, tmp_path):
    url = new_database(head_template)
    assert said("index", "list")[0] == "list"
    name = said("index", "list")[1]["indexes"][0]["name"]
    if server.has_vector:
        for words in (
            ["index", "enable", name],
            ["index", "disable", name],
            ["disable-vector"],
            ["enable-vector"],
        ):
            assert said(*words, "--url", url)[0] == DONE
    execute(url, "ALTER TABLE tasks DROP CONSTRAINT tasks_priority_check", *WRONG)
    assert said("violations", "--url", url, code=1)[1]["rows"] == 1
    assert said("status", "--url", url)[1]["waiting"][0]["rule"] == "tasks_priority_check"
    assert said("validate", "--url", url, code=1)[1]["waiting"][0]["rows"] == 1
    execute(url, "UPDATE tasks SET priority = 'Low'")
    assert said("validate", "--url", url)[1]["added"] == ["tasks_priority_check"]
    execute(url, "ALTER TABLE tasks DROP COLUMN title", "ALTER TABLE plans ADD COLUMN mine text")
    assert said("check", "--url", url, code=1)[1]["drift"] == 2
    assert said("roles", "--url", url)[1]["applied"] is False


ID = "6c84fb90-12c4-11e1-840d-7b25c5ee775a"
WRONG = [
    f"INSERT INTO {table} ({columns}, inserted_at, updated_at) VALUES ({values}, now(), now())"
    for table, columns, values in (
        ("organizations", "id, name", f"'{ID}', 'o'"),
        ("contexts", "id, name, organization_id", f"'{ID}', 'c', '{ID}'"),
        ("tasks", "id, context_id, title, priority", f"'{ID}', '{ID}', 't', 'Odd'"),
    )
]


@pytest.mark.usefixtures("owner_directory")
def test_a_run_that_changes_types_says_who_has_to_reconnect(said, postgres):
    said("upgrade", "20260302000200", "--replay", "--url", postgres)
    with psycopg.connect(postgres, autocommit=True, application_name="tell"):
        planned = said("plan", "--url", postgres)[1]["connections"]
        found = said("upgrade", "--url", postgres, "--renew", "postgres")[1]["connections"]
    assert planned["clients"][0]["application"] == "tell"
    assert found["retypes"] == planned["retypes"]
    assert found["retypes"][0]["column"].startswith("tala_operations.")
    assert found["renewal"]["ended"] == 1


@pytest.mark.usefixtures("owner_directory")
def test_a_takeover(said, legacy):
    url = legacy("head_fresh", lite=True)
    assert said("adopt", "--plan", "--url", url)[1]["variant"]["name"]
    assert said("adopt", "--url", url)[0] == DONE


@pytest.mark.usefixtures("owner_directory")
def test_a_fleet(said, postgres, capsys):
    tenants = postgres
    for name in ("tenant_1", "tenant_2", "tenant_3"):
        assert said("fleet", "create", name, "--url", tenants, "--no-roles")[0] == DONE
    said("downgrade", "-1", "--url", tenants, "--schema", "tenant_2")
    for verb in ("status", "plan", "digest", "check", "upgrade"):
        words = ["fleet", verb, "--url", tenants, "--schemas", "tenant_*"]
        main([*words, "--json"])
        titles = [title for title, _ in judged(words, capsys.readouterr().out)]
        (title,) = set(titles[:-1])
        assert title.startswith("for each target, a line as soon as it is known")
        # One is behind, so its fingerprint differs from the others: that is known at the end.
        assert (len(titles), titles[-1]) == (5 if verb == "digest" else 4, "the last line")
    words = ["fleet", "adopt", "--url", tenants, "--schemas", "tenant_*"]
    main([*words, "--json"])
    assert judged(words, capsys.readouterr().out)[-1][0] == "the last line"
    assert said("fleet", "create", "t9", "--url", tenants, "--no-roles")[0] == DONE
    done = said(
        "fleet", "copy", tenants, tenants, "--source-schema", "t9", "--target-schema", "t10", "--no-roles"
    )
    assert done[1]["tables"]
    assert said("fleet", "drop", "t9", "--confirm", "t9", "--url", tenants)[0] == DONE


def test_a_repository(said, tmp_path, monkeypatch):
    agent = Checkout(tmp_path / "agent")
    monkeypatch.chdir(agent.root)
    agent.commit()
    assert said("repo-check")[1]["errors"] == 0
    agent.branch()
    agent.write("priv/repo/migrations/20260109204856_local.exs")
    agent.commit()
    assert said("repo-check", "--base", "main", code=1)[1]["findings"][0]["level"] == "error"
    assert said("guard", code=3)[1]["role"] == "consumer"
    monkeypatch.setenv("ALLOW_CORE_MIGRATION", "true")
    assert said("guard")[1]["bypass"]["source"] == "ALLOW_CORE_MIGRATION=true"
    assert said("init", "--dry-run")[1]["written"] is False
    assert said("export", "dbml")[0] == "the files of a format"
    assert said("export", "dbml", "--output", "made")[1]["output"] == "made"
    assert said("completion", "bash")[1]["shell"] == "bash"


@pytest.mark.usefixtures("owner_directory")
def test_mix(capsys, sqlite, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", sqlite)
    tasks = {"ecto.migrate": DONE, "ecto.migrations": "ecto.migrations", "ecto.rollback": DONE}
    for task, title in tasks.items():
        assert main(["mix", "--json", task]) == 0
        assert judged(["mix"], capsys.readouterr().out)[0][0] == title


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (["upgrade"], 2, "NoDatabase"),
        (["upgrade", "--no-such-option"], 2, "UsageError"),
        (["upgrade", "--url", "sqlite:///new.db", "nowhere"], 2, "UnknownRevision"),
        (["status", "--url", "postgresql://nobody@127.0.0.1:9/none"], 4, "DatabaseUnreachable"),
        (["fleet", "status", "--server", "postgresql://nobody@127.0.0.1:9/none"], 2, "UsageError"),
    ],
)
@pytest.mark.usefixtures("owner_directory")
def test_an_error(said, words, code, error):
    title, document = said(*words, code=code)
    assert (title, document["error"], document["exit_code"]) == ("error", error, code)


@pytest.mark.usefixtures("consumer_directory")
def test_the_error_of_the_guard_has_its_verdict(said):
    title, document = said("upgrade", "--url", "sqlite:///shared.db", code=3)
    assert (title, document["error"], document["role"]) == ("error", "Blocked", "consumer")


def test_the_reference_has_every_fact_that_an_error_is_given():
    given: set[str] = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and getattr(node.func, "id", getattr(node.func, "attr", "")) in classes()
            ):
                given |= {
                    one.arg for one in node.keywords if one.arg and one.arg not in ("next_step", "untouched")
                }
    kept = {
        "database",
        "sqlstate",
        "current",
        "head",
        "pending",
    }  # those stand in a dict, or in a class that is chosen
    assert given | kept == set(documents.FACTS)


def test_a_document_that_is_none_of_them_is_found():
    with pytest.raises(AssertionError, match="Additional properties"):
        judged(
            ["guard"],
            json.dumps(
                {"what": "x", "next_step": "", "error": "Blocked", "exit_code": 3, "untouched": "", "odd": 1}
            ),
        )
    with pytest.raises(AssertionError, match="'shell' is a required property"):
        judged(["completion"], json.dumps({"code": "x"}))
