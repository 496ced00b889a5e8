from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

import diwa_schema
from diwa_schema.cli import main
from diwa_schema.cli.parser import build_parser
from diwa_schema.errors import Blocked
from diwa_schema.guard import (
    EMBEDDED,
    IN_MEMORY,
    OWN_DATABASE,
    Bypass,
    Evidence,
    Operation,
    OwnDatabase,
    Role,
    ask,
    decide,
)

NEVER = [Operation.DROP, Operation.DROP_ALL, Operation.UNPROTECT]
BYPASS = Bypass("ALLOW_CORE_MIGRATION=true", "the pager rang")

OWNER = Evidence("diwa-cloud", "environment variable DIWA_REPO", Role.OWNER)
CONSUMER = Evidence("diwa-agent", "[project] name in pyproject.toml", Role.CONSUMER)
NEUTRAL = Evidence("monorepo", "remote 'origin'", None)
UNREADABLE = Evidence("", "pyproject.toml (malformed)", Role.UNKNOWN)

any_evidence = st.lists(st.sampled_from([OWNER, CONSUMER, NEUTRAL, UNREADABLE]), max_size=6)
any_operation = st.sampled_from(Operation)
any_bypass = st.sampled_from([None, BYPASS])
any_private = st.sampled_from([None, IN_MEMORY, EMBEDDED, OWN_DATABASE, "said by somebody"])


@given(any_operation, any_evidence, any_bypass, any_private, st.randoms())
def test_the_order_of_the_evidence_does_not_matter(operation, evidence, bypass, private, random):
    shuffled = random.sample(evidence, len(evidence))
    first, second = (decide(operation, found, bypass, private=private) for found in (evidence, shuffled))
    assert {**first.as_dict(), "evidence": None} == {**second.as_dict(), "evidence": None}
    assert first.evidence == tuple(evidence)


@given(any_operation, any_evidence, any_bypass, any_private, st.sampled_from([CONSUMER, UNREADABLE, NEUTRAL]))
def test_more_evidence_that_is_not_the_owner_never_opens(operation, evidence, bypass, private, more):
    before = decide(operation, evidence, bypass, private=private)
    after = decide(operation, [*evidence, more], bypass, private=private)
    assert before.allowed or not after.allowed


@given(any_operation, any_evidence)
def test_a_consumer_is_blocked_whatever_else_speaks(operation, evidence):
    verdict = decide(operation, [*evidence, CONSUMER])
    assert (verdict.role, verdict.allowed) == (Role.CONSUMER, False)
    assert verdict.repository == "diwa-agent"


@given(any_operation, any_evidence)
def test_only_the_owner_alone_is_let_through(operation, evidence):
    verdict = decide(operation, evidence)
    known = {one.role for one in evidence if one.role}
    assert verdict.allowed == (known == {Role.OWNER})


@given(any_operation, st.lists(st.sampled_from([NEUTRAL, UNREADABLE]), max_size=6))
def test_unknown_never_opens(operation, evidence):
    verdict = decide(operation, evidence)
    assert (verdict.role, verdict.allowed) == (Role.UNKNOWN, False)


@given(st.sampled_from(NEVER), any_evidence)
def test_a_bypass_never_covers_a_drop(operation, evidence):
    verdict = decide(operation, evidence, BYPASS)
    assert verdict.bypass is None
    assert verdict.allowed == decide(operation, evidence).allowed


@given(any_operation.filter(lambda operation: operation not in NEVER), any_evidence)
def test_a_bypass_opens_everything_else_and_is_named_only_where_it_was_needed(operation, evidence):
    verdict = decide(operation, evidence, BYPASS)
    assert verdict.allowed
    assert verdict.bypass == (None if decide(operation, evidence).allowed else BYPASS)


@given(any_operation, any_evidence, any_bypass)
def test_memory_and_own_databases_are_nobody_elses(operation, evidence, bypass):
    for private in (IN_MEMORY, OWN_DATABASE):
        verdict = decide(operation, evidence, bypass, private=private)
        assert (verdict.allowed, verdict.bypass) == (True, None)


@given(any_operation, any_evidence)
def test_a_private_database_may_be_created_and_upgraded_and_is_guarded_beyond_that(operation, evidence):
    free = {Operation.UPGRADE, Operation.ADOPT, Operation.CREATE_ALL, Operation.CONVERT}
    verdict = decide(operation, evidence, private=EMBEDDED)
    assert verdict.allowed == (operation in free or decide(operation, evidence).allowed)


def test_the_refusal_names_the_evidence_the_right_way_and_the_bypass(consumer_directory, monkeypatch):
    monkeypatch.setenv("DIWA_REPO", "diwa-cloud")
    with pytest.raises(Blocked) as blocked:
        ask(Operation.UPGRADE)
    text = str(blocked.value)
    assert text.startswith("[SAFETY BLOCK] Database migrations in 'diwa-agent' are restricted")
    assert f"[project] name in {consumer_directory / 'pyproject.toml'}" in text
    assert "environment variable DIWA_REPO" in text
    assert "The command connected to nothing and changed nothing." in text
    assert "cd ../diwa-cloud\n  diwa-schema upgrade" in text
    assert "ALLOW_CORE_MIGRATION=true" in text
    assert blocked.value.exit_code == 3
    assert blocked.value.as_dict()["role"] == "consumer"


@pytest.mark.parametrize("path", ["app.db", "/srv/app.db"])
def test_a_relative_path_is_not_the_same_in_another_directory(consumer_directory, path):
    with pytest.raises(Blocked) as blocked:
        diwa_schema.migrate(f"sqlite:///{path}")
    assert f"sqlite:///{consumer_directory / path}\n" in str(blocked.value)


@pytest.mark.usefixtures("consumer_directory")
def test_the_refusal_of_a_drop_offers_no_bypass(monkeypatch):
    monkeypatch.setenv("ALLOW_CORE_MIGRATION", "true")
    for operation in NEVER:
        with pytest.raises(Blocked) as blocked:
            ask(operation, allow_core_migration=True)
        assert f"No bypass covers '{operation}'." in str(blocked.value)
        assert "ALLOW_CORE_MIGRATION" not in str(blocked.value)


def test_an_unknown_repository_is_told_how_to_tell(tmp_path):
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "monorepo"\n')
    with pytest.raises(Blocked) as blocked:
        ask(Operation.UPGRADE, directory=tmp_path)
    text = str(blocked.value)
    assert text.startswith("[SAFETY BLOCK] ")
    assert "'diwa-agent'" not in text
    for way in ("monorepo", "--repo NAME", "DIWA_REPO=NAME", "[tool.diwa-schema]"):
        assert way in text


def test_what_cannot_be_read_is_named_and_to_be_fixed(tmp_path):
    (tmp_path / "pyproject.toml").write_text("[project")
    with pytest.raises(Blocked) as blocked:
        ask(Operation.UPGRADE, repo="diwa-cloud", directory=tmp_path)
    assert "is not readable" in blocked.value.what
    assert f"{tmp_path / 'pyproject.toml'} (" in blocked.value.next_step


@pytest.mark.parametrize("value", ["true", "1"])
@pytest.mark.usefixtures("consumer_directory")
def test_the_bypass_opens_says_so_and_keeps_its_reason(monkeypatch, capsys, value):
    monkeypatch.setenv("ALLOW_CORE_MIGRATION", value)
    monkeypatch.setenv("ALLOW_CORE_MIGRATION_REASON", " the pager rang ")
    verdict = ask(Operation.UPGRADE)
    assert verdict.bypass == Bypass(f"ALLOW_CORE_MIGRATION={value}", "the pager rang")
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("[SAFETY BYPASS] 'upgrade' in 'diwa-agent'")
    assert "the pager rang" in said.err


@pytest.mark.usefixtures("consumer_directory")
def test_a_reason_can_be_written_down_whatever_it_holds(monkeypatch, capsys):
    monkeypatch.setenv("ALLOW_CORE_MIGRATION_REASON", os.fsdecode(b"caf\xc3\xa9\n[SAFETY BLOCK]\xff"))
    verdict = ask(Operation.UPGRADE, allow_core_migration=True)
    assert verdict.bypass == Bypass("allow_core_migration=True", "caf\xe9\\n[SAFETY BLOCK]\\udcff")
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("value", ["True", "TRUE", "yes", "0", "false", " true", "true ", "11"])
@pytest.mark.usefixtures("consumer_directory")
def test_any_other_value_is_named_and_ignored(monkeypatch, value):
    monkeypatch.setenv("ALLOW_CORE_MIGRATION", value)
    with pytest.raises(Blocked, match="is ignored: only 'true' or '1' opens") as blocked:
        ask(Operation.UPGRADE)
    assert repr(value) in str(blocked.value)


@pytest.mark.parametrize("value", ["true", 1, "1", [True]])
@pytest.mark.usefixtures("consumer_directory")
def test_only_true_itself_opens_in_code(value):
    with pytest.raises(Blocked, match="is ignored: only True opens"):
        ask(Operation.UPGRADE, allow_core_migration=value)
    assert ask(Operation.UPGRADE, allow_core_migration=True).bypass == Bypass("allow_core_migration=True")


@pytest.mark.usefixtures("consumer_directory")
def test_false_in_code_goes_before_the_environment(monkeypatch):
    monkeypatch.setenv("ALLOW_CORE_MIGRATION", "true")
    with pytest.raises(Blocked):
        ask(Operation.UPGRADE, allow_core_migration=False)


@pytest.mark.usefixtures("owner_directory")
def test_the_owner_needs_no_bypass_and_nothing_is_said(monkeypatch, capsys):
    monkeypatch.setenv("ALLOW_CORE_MIGRATION", "true")
    verdict = ask(Operation.DROP)
    assert (verdict.allowed, verdict.bypass) == (True, None)
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("consumer_directory")
def test_a_token_opens_its_own_database_while_it_is_entered_and_no_other():
    with OwnDatabase(("localhost", 5432, "made_here")):
        assert ask(Operation.DROP, database=("localhost", 5432, "made_here")).private == OWN_DATABASE
        for other in (("localhost", 5432, "shared"), None):
            with pytest.raises(Blocked):
                ask(Operation.UPGRADE, database=other)
    with pytest.raises(Blocked):
        ask(Operation.UPGRADE, database=("localhost", 5432, "made_here"))


@pytest.mark.usefixtures("consumer_directory")
def test_no_word_opens_what_only_a_token_may():
    with pytest.raises(Blocked):
        ask(Operation.UPGRADE, private=OWN_DATABASE)
    with pytest.raises(Blocked):
        ask(Operation.UPGRADE, private=OWN_DATABASE, database="shared")
    with OwnDatabase(None), pytest.raises(Blocked):
        ask(Operation.UPGRADE)


def test_the_command_shows_role_evidence_and_verdict(cli, consumer_directory):
    done = cli("guard", check=3)
    assert "Role: consumer (diwa-agent)" in done.stdout
    assert f"[project] name in {consumer_directory / 'pyproject.toml'}" in done.stdout
    assert "is blocked" in done.stdout
    assert done.stderr == ""


@pytest.mark.usefixtures("owner_directory")
def test_the_command_as_a_document(cli):
    document = json.loads(cli("guard", "--json", check=0).stdout)
    assert (document["role"], document["allowed"]) == ("owner", True)
    assert [one["role"] for one in document["evidence"]] == ["owner"]
    blocked = json.loads(cli("guard", "--json", "--repo", "diwa-agent", check=3).stdout)
    assert (blocked["role"], blocked["allowed"]) == ("consumer", False)
    assert [one["name"] for one in blocked["evidence"]] == ["diwa-agent", "diwa-cloud"]


@pytest.mark.usefixtures("consumer_directory")
def test_the_command_shows_a_bypass_and_that_it_covers_no_drop(cli):
    bypass = {"ALLOW_CORE_MIGRATION": "true"}
    assert "is allowed by ALLOW_CORE_MIGRATION=true" in cli("guard", env=bypass, check=0).stdout
    assert "No bypass covers" in cli("guard", "--operation", "drop", env=bypass, check=3).stdout


@pytest.mark.usefixtures("owner_directory")
def test_the_command_with_an_operation_that_does_not_exist(cli):
    assert "conquer" in cli("guard", "--operation", "conquer", check=2).stderr


def test_asking_is_light():
    modules = "sqlalchemy", "alembic", "psycopg", "rich", "subprocess", "importlib.metadata", "argparse"
    code = f"""
import sys
from diwa_schema.guard import Operation, ask
ask(Operation.UPGRADE, repo="diwa-cloud")
assert "diwa_schema.guard" in sys.modules
sys.exit(", ".join(set({modules!r}) & set(sys.modules)) or None)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.usefixtures("consumer_directory")
@pytest.mark.parametrize(
    "words",
    [
        "downgrade 20260228010000 --confirm diwa",
        "stamp 20260228010000",
        "index enable memories_content_trgm_idx",
        "disable-vector",
        "validate tasks_priority_check",
        "roles --apply --app app",
        "fleet upgrade --schemas 'tenant_*' --waves 1,rest",
        "drop --embedded=home.db",
        "fleet copy sqlite:///home.db postgresql://owner:***@db/diwa --target-schema tenant_9",
    ],
)
def test_the_refusal_offers_the_command_as_it_was_typed(capsys, words):
    url = "postgresql://owner:secret@db/diwa"
    typed = shlex.split(words.replace("***", "secret"))
    if "copy" not in typed and "home.db" not in words:
        typed += ["--url", url]
        words += " --url 'postgresql://owner:***@db/diwa'"
    assert main([*typed, "--repo", "diwa-agent"]) == 3
    said = capsys.readouterr().err
    assert "secret" not in said
    (offered,) = re.findall(r"^  cd \.\./diwa-cloud\n  (diwa-schema .*)$", said, re.MULTILINE)
    # It runs in another directory.
    words = words.replace("sqlite:///", f"sqlite:///{Path.cwd()}/").replace(
        "embedded=", f"embedded={Path.cwd()}/"
    )
    assert shlex.split(offered) == ["diwa-schema", *shlex.split(words)]


@pytest.mark.usefixtures("consumer_directory")
@pytest.mark.parametrize(
    ("call", "words"),
    [
        (partial(diwa_schema.enable_vector), "enable-vector"),
        (partial(diwa_schema.disable_vector), "disable-vector"),
        (partial(diwa_schema.enable_index, "memories_embedding_idx"), "index enable memories_embedding_idx"),
        (
            partial(diwa_schema.disable_index, "memories_embedding_idx"),
            "index disable memories_embedding_idx",
        ),
        (partial(diwa_schema.roles, apply=True), "roles --apply"),
        (partial(diwa_schema.migrate), "upgrade"),
        (partial(diwa_schema.migrate, revision="+1"), "upgrade +1"),
        (partial(diwa_schema.downgrade, revision="20260228010000"), "downgrade 20260228010000"),
        (partial(diwa_schema.stamp, revision="20260228010000"), "stamp 20260228010000"),
    ],
)
def test_a_refused_function_offers_a_command_that_exists(call, words):
    with pytest.raises(Blocked) as blocked:
        call(database="postgresql://owner@127.0.0.1:1/diwa")
    assert (
        f"diwa-schema {words} --url postgresql://owner@127.0.0.1:1/diwa\n" in f"{blocked.value.next_step}\n"
    )
    assert callable(build_parser().parse_args(words.split()).run)
