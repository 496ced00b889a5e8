"""What Ecto's tasks mean here: each option by its own name, or refused by it."""

from __future__ import annotations

import pytest

from diwa_schema.errors import UnknownRevision, UsageError
from diwa_schema.migrations.manifest import load
from diwa_schema.repository.ecto_tasks import TASKS, translate

FIRST, SECOND = (step.revision for step in tuple(load())[:2])


@pytest.mark.parametrize(
    ("task", "options", "words"),
    [
        ("ecto.migrate", "", "upgrade head"),
        ("ecto.migrate", "--all", "upgrade head"),
        ("ecto.migrate", "--step 2", "upgrade +2"),
        ("ecto.migrate", "-n 1", "upgrade +1"),
        ("ecto.migrate", f"--to {SECOND}", f"upgrade {SECOND}"),
        ("ecto.migrate", f"--to={SECOND}", f"upgrade {SECOND}"),
        ("ecto.migrate", f"--to-exclusive {SECOND}", f"upgrade {FIRST}"),
        ("ecto.migrate", "--prefix tenant --no-compile", "upgrade head --schema tenant"),
        ("ecto.rollback", "", "downgrade -1"),
        ("ecto.rollback", "--step 3", "downgrade -3"),
        ("ecto.rollback", "--all", "downgrade base"),
        ("ecto.rollback", f"--to {SECOND}", f"downgrade {FIRST}"),
        ("ecto.rollback", f"--to {FIRST}", "downgrade base"),
        ("ecto.rollback", f"--to-exclusive {FIRST}", f"downgrade {FIRST}"),
        ("ecto.drop", "--quiet", "drop"),
        ("ecto.migrations", "--prefix tenant", "status --schema tenant"),
    ],
)
def test_an_option_that_has_a_meaning_keeps_it(task, options, words):
    assert translate(task, options.split()).words == tuple(words.split())


def test_what_is_said_is_told_apart_from_what_is_done():
    assert translate("ecto.migrate", ["--quiet"])[1:] == (True, False, False)
    assert translate("ecto.rollback", ["-q", "--log-migrations-sql"])[1:] == (True, True, False)


def test_only_who_uses_a_test_database_is_disconnected():
    assert translate("ecto.drop", ["--force-drop"], testing=True).disconnects
    with pytest.raises(UsageError, match="--force-drop disconnects other sessions"):
        translate("ecto.drop", ["--force-drop"])


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(
    ("option", "why"),
    [
        ("--pool-size", "its own connections"),
        ("--migrations-path", "not from a folder"),
        ("--strict-version-order", ""),
        ("-f", "--confirm"),
        ("-r", "mix.exs"),
        ("--log-migrator-sql", ""),
        ("later", ""),
    ],
)
def test_another_is_refused_by_its_name(task, option, why):
    with pytest.raises(UsageError) as refused:
        translate(task, ["--quiet", option] if task != "ecto.migrations" else [option])
    assert f"mix {task}: diwa-schema has no option {option}" in str(refused.value)
    assert why in str(refused.value)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--step"], "lacks its value"),
        (["--step", "0"], "not a number"),
        (["--step", "²"], "not a number"),
        (["--to", "head"], "not a number"),
        (["--step", "1", "--all"], "contradict"),
        (["--all", "--to", FIRST], "contradict"),
    ],
)
def test_what_cannot_be_meant_is_said(options, says):
    with pytest.raises(UsageError, match=says):
        translate("ecto.migrate", options)


def test_a_version_of_nobody_is_unknown():
    with pytest.raises(UnknownRevision):
        translate("ecto.migrate", ["--to", "19990101000000"])


def test_a_loss_of_rows_can_be_accepted_through_mix():
    """The refusal of a rollback or a drop asks for --confirm, so the alias has to take it."""
    confirm = ["--confirm", "diwa"]
    assert translate("ecto.rollback", ["--step", "2", *confirm]).words == ("downgrade", "-2", *confirm)
    assert translate("ecto.rollback", ["--confirm=diwa"]).words == ("downgrade", "-1", *confirm)
    assert translate("ecto.drop", confirm).words == ("drop", *confirm)
    with pytest.raises(UsageError, match="has no option --confirm"):
        translate("ecto.migrate", confirm)
