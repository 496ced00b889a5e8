"""What each way in loads, told by the modules that are there afterwards: seconds depend on the machine."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import diwa_schema
from diwa_schema.database.target import Target

LIBRARIES = frozenset({"alembic", "argcomplete", "pgvector", "psycopg", "rich", "sqlalchemy", "sqlite3"})
TELL = "\nimport json, sys\nprint('\\n' + json.dumps(sorted(sys.modules)))"
CLI = "from diwa_schema.cli import main\ntry:\n    main({!r})\nexcept SystemExit:\n    pass"


def modules(code: str) -> list[str]:
    """Return the modules of a new interpreter that has run the code."""
    done = subprocess.run([sys.executable, "-c", code + TELL], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    names: list[str] = json.loads(done.stdout.splitlines()[-1])
    return names


def loaded(code: str) -> set[str]:
    return {name.partition(".")[0] for name in modules(code)}


def commands(*words: str) -> set[str]:
    """Return the modules of the command line that those words load."""
    return {
        name.rpartition(".")[2]
        for name in modules(CLI.format(list(words)))
        if name.startswith("diwa_schema.cli.")
    }


def libraries(code: str) -> set[str]:
    return loaded(code) & LIBRARIES


@pytest.fixture
def current(database: str, owner_directory) -> str:
    """The URL of a database at head."""
    diwa_schema.migrate(database)
    return database


def driver(url: str) -> set[str]:
    return {"psycopg"} if Target.of(url).dialect == "postgresql" else {"sqlite3"}


def test_the_package_loads_nothing_that_python_has_not_loaded_itself():
    own = loaded("import diwa_schema") - loaded("pass")
    assert own <= {"__future__", "diwa_schema"}


def test_models_load_sqlalchemy_and_nothing_of_the_machinery():
    found = libraries("from diwa_schema.models import Memory")
    assert {"sqlalchemy"} <= found <= {"sqlalchemy", "pgvector"}


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_a_word_about_the_program_needs_no_database_library(option):
    assert libraries(CLI.format([option])) == set()


def test_the_help_of_a_command_needs_no_library():
    assert libraries(CLI.format(["upgrade", "--help"])) == set()


def test_a_command_does_not_load_those_after_it():
    after = {"check", "doctor", "guard", "roles"}
    assert after <= commands("--help")
    assert "migrate" in commands("upgrade", "--help")
    assert not after & commands("upgrade", "--help")


@pytest.mark.parametrize("repository", ["diwa-cloud", "diwa-agent"])
def test_the_guard_needs_no_library(repository, owner_directory):
    assert libraries(CLI.format(["guard", "--repo", repository])) == set()


@pytest.mark.parametrize("call", ["ensure_current({!r})", "status({!r})", "migrate({!r})", "plan({!r})"])
def test_where_nothing_is_to_be_done_only_the_driver_is_loaded(call, current):
    assert libraries(f"import diwa_schema\ndiwa_schema.{call.format(current)}") == driver(current)


@pytest.mark.parametrize("command", ["status", "upgrade", "plan"])
def test_a_command_with_nothing_to_do_loads_only_the_driver(command, current):
    assert libraries(CLI.format([command, "--url", current])) == driver(current)


@pytest.mark.usefixtures("owner_directory")
def test_an_empty_database_gets_the_snapshot_without_sqlalchemy(database):
    found = libraries(f"import diwa_schema\nassert diwa_schema.migrate({database!r}).kind == 'snapshot'")
    assert found == driver(database)


@pytest.mark.usefixtures("owner_directory")
def test_a_replay_is_seen_by_these_tests(sqlite):
    """What the other tests look for is there when revisions run."""
    code = f"import diwa_schema as d\nd.migrate({sqlite!r}, settings=d.Settings(replay=True))"
    assert {"alembic", "sqlalchemy"} <= libraries(code)


@pytest.mark.usefixtures("owner_directory")
def test_revisions_load_types_and_no_classes(database):
    found = modules(f"import diwa_schema as d\nd.migrate({database!r}, settings=d.Settings(replay=True))")
    assert "diwa_schema.models.types" in found
    assert not {"diwa_schema.models.core", "sqlalchemy.orm"} & set(found)
