from __future__ import annotations

import json
import os
import shutil
import sys

import pytest

from diwa_schema.errors import UsageError
from diwa_schema.repository.repo_check import check
from diwa_schema.repository.templates import mix_aliases

from .checkouts import ECTO, NOT_PORTED, Checkout

NEW = f"{ECTO}/{NOT_PORTED}_local.exs"
OLD = f"{ECTO}/20250101000001_old.exs"


@pytest.mark.parametrize(
    "path",
    [
        NEW,
        "apps/core/priv/repo/migrations/20260109204856_local.exs",
        "priv/other_repo/migrations/nested/20260109204856_local.exs",
        "alembic/versions/ab12_local.py",
        "services/api/alembic/versions/ab12_local.py",
        "src/agent/migrations/versions/20260109204856_local.py",
        "app/migrations/0002_local.py",
        "db/migrations/V7__local.sql",
        "alembic/versions/readme_add_t.py",
        "alembic/versions/README.py",
        "alembic/versions/ab12_local.pyc",
        f"{ECTO}/readme_20260109204856.exs",
        "PRIV/Repo/Migrations/20260109204856_local.exs",
    ],
)
def test_a_file_added_to_any_migration_directory_fails(agent, path):
    agent.write(path)
    agent.commit()
    assert agent.errors() == [path]


@pytest.mark.parametrize(
    "path",
    [
        "lib/agent/migrations/runner.ex",
        "tests/migrations/test_it.py",
        "docs/migrations/0001_notes.md",
        f"{ECTO}/README.md",
        f"{ECTO}/README",
        "alembic/versions/README.rst",
        "alembic/versions/__pycache__/ab12_local.cpython-311.pyc",
        f"{ECTO}/.formatter.exs",
        "alembic/env.py",
        "migrations.py",
    ],
)
def test_what_is_no_migration_passes(agent, path):
    agent.write(path)
    agent.commit()
    assert agent.errors() == []


def test_a_file_without_content_passes_until_it_has_some(agent):
    path = agent.write("app/migrations/versions/__init__.py", "")
    agent.commit()
    assert agent.errors() == []
    agent.write(path)
    assert agent.errors() == [path]


def test_a_change_of_an_old_migration_fails(agent):
    agent.write(OLD, "new\n")
    agent.commit()
    assert agent.errors() == [OLD]


def test_a_rename_into_a_migration_directory_fails_and_names_its_origin(agent):
    agent.git("switch", "-q", "main")
    agent.write("lib/step.exs")
    agent.commit()
    agent.git("switch", "-q", "-C", "work")
    agent.git("mv", "lib/step.exs", NEW)
    agent.commit()
    assert agent.errors() == [NEW]
    assert "lib/step.exs" in agent.check().findings[0].what


def test_a_rename_within_and_a_copy_fail(agent):
    agent.git("mv", OLD, NEW)
    agent.commit()
    assert agent.errors() == [NEW]
    agent.write(OLD, "old\n")
    agent.commit()
    assert agent.errors() == [NEW]
    assert f"the content of {OLD}" in agent.check().findings[0].what


def test_a_deletion_and_a_rename_out_pass(agent):
    agent.write(f"{ECTO}/20250101000002_old.exs", "other\n")
    agent.commit()
    agent.git("switch", "-q", "-C", "main")
    agent.branch("more")
    agent.git("mv", OLD, "lib_old.exs")
    agent.git("rm", "-q", f"{ECTO}/20250101000002_old.exs")
    assert agent.errors() == []
    agent.commit()
    assert agent.errors() == []


def test_a_change_of_the_mode_or_the_line_ends_passes(agent):
    (agent.root / OLD).chmod(0o755)
    assert agent.errors() == []
    agent.commit()
    assert agent.errors() == []
    (agent.root / OLD).write_bytes(b"old\r\n")
    agent.commit()
    assert agent.errors() == []


def test_a_touched_file_is_not_a_changed_one(agent):
    os.utime(agent.root / OLD, (1, 1))
    assert agent.errors() == []


@pytest.mark.parametrize("staged", [True, False])
def test_what_is_not_committed_counts_too(agent, staged):
    agent.write(NEW)
    agent.write(OLD, "new\n")
    if staged:
        agent.git("add", ".")
    assert agent.errors() == [OLD, NEW]


def test_what_is_staged_counts_even_if_the_working_tree_hides_it(agent):
    agent.write(OLD, "new\n")
    agent.git("add", ".")
    agent.write(OLD, "old\n")
    assert agent.errors() == [OLD]
    agent.git("reset", "-q")
    agent.write(NEW)
    agent.git("add", ".")
    (agent.root / NEW).unlink()
    assert agent.errors() == [NEW]


def test_only_the_branchs_own_changes_count(agent):
    agent.git("switch", "-q", "main")
    agent.write(f"{ECTO}/20260101000000_of_main.exs")
    agent.commit()
    agent.git("switch", "-q", "work")
    agent.write("lib/agent.ex", "defmodule Agent do\nend\n")
    agent.commit()
    assert agent.errors() == []
    agent.git("merge", "-q", "--no-edit", "main")
    assert agent.errors() == []


def test_a_type_change_and_a_submodule_fail(agent, tmp_path):
    other = Checkout(tmp_path / "other", "")
    other.write("x")
    other.commit()
    agent.git("submodule", "--quiet", "add", str(other.root), "alembic/versions")
    assert agent.errors() == ["alembic/versions"]
    agent.git("reset", "-q", "--hard")
    (agent.root / OLD).unlink()
    (agent.root / OLD).symlink_to("elsewhere")
    assert agent.errors() == [OLD]


def test_non_ascii_paths_and_a_name_with_a_newline(agent, cli):
    names = ["é.exs", "日本.exs", "a\nb.exs", 'a"b.exs', " leading.exs", "-dash.exs"]
    for name in names:
        agent.write(f"{ECTO}/{name}", name)
    (agent.root / ECTO / os.fsdecode(b"\xff.exs")).write_bytes(b"latin")
    agent.commit()
    found = agent.errors()
    assert sorted(found) == sorted(f"{ECTO}/{name}" for name in [*names, os.fsdecode(b"\xff.exs")])
    shown = cli("repo-check", cwd=agent.root, check=1).stdout
    assert f"{ECTO}/日本.exs:1: error: " in shown
    assert f"{ECTO}/a\\nb.exs:1: error: " in shown
    assert len(json.loads(cli("repo-check", "--json", cwd=agent.root, check=1).stdout)["findings"]) == 7


def test_the_owner_has_nothing_to_fail(tmp_path, cli):
    cloud = Checkout(tmp_path / "cloud", "diwa-cloud")
    cloud.write(NEW)
    cloud.commit()
    done = cli("repo-check", cwd=cloud.root, check=0)
    assert "owns the schema, so no migration is refused" in done.stdout
    cloud.write("x")
    assert cli("repo-check", "--repo", "diwa-agent", cwd=cloud.root).returncode == 0
    cloud.branch()
    cloud.write(f"{ECTO}/20260201000000_x.exs")
    assert cli("repo-check", "--repo", "diwa-agent", cwd=cloud.root).returncode == 1


def test_what_nothing_runs_any_more_fails_at_the_owner_too(tmp_path):
    cloud = Checkout(tmp_path / "cloud", "diwa-cloud")
    cloud.write(f"{ECTO}/20260101000000_old.exs")
    cloud.commit()
    cloud.branch()
    cloud.write(f"{ECTO}/20260201000000_new.exs")
    cloud.write("priv/own_repo/migrations/20260201000000_own.exs")
    cloud.commit()
    assert cloud.errors("main") == []
    cloud.write("mix.exs", "".join(f'"{task}": {call},\n' for task, call in mix_aliases().items()))
    cloud.write(f"{ECTO}/README.md")
    cloud.write(f"{ECTO}/20260202000000_newer.exs")
    cloud.write(f"{ECTO}/20260101000000_old.exs", "a comment was corrected\n")
    assert cloud.errors("main") == [f"{ECTO}/20260201000000_new.exs", f"{ECTO}/20260202000000_newer.exs"]


def test_mix_tasks_that_run_this_package_are_no_warning(agent):
    """docs/elixir.md keeps Phoenix's alias of `mix test`."""
    aliases = "".join(f'"{task}": {call},\n' for task, call in mix_aliases().items())
    uses = 'test: ["ecto.create --quiet", "ecto.migrate --quiet", "test"],\n'
    agent.write("ci.sh", "mix ecto.migrate\nmix ecto.load\n")
    agent.write("mix.exs", uses)
    agent.commit()
    assert [(one.path, one.line) for one in check(agent.root).findings] == [
        ("ci.sh", 1),
        ("ci.sh", 2),
        ("mix.exs", 1),
    ]
    agent.write("mix.exs", aliases + uses)
    agent.commit()
    assert [(one.path, one.line) for one in check(agent.root).findings] == [("ci.sh", 2)]


def test_the_command_says_what_to_do_and_ends_with_1(agent, cli):
    agent.write(NEW)
    done = cli("repo-check", cwd=agent.root / "priv", check=1)
    assert f"{NEW}:1: error: a migration was added" in done.stdout
    assert ".diwa-schema/ported.toml" in done.stdout
    assert "1 error," in done.stdout
    assert done.stderr == ""


class TestBadPlaces:
    def test_no_git_repository(self, tmp_path, cli):
        done = cli("repo-check", cwd=tmp_path, check=2)
        assert "not a git repository" in done.stderr
        assert "Traceback" not in done.stderr

    def test_what_git_says_to_do_is_shown(self, agent, cli, tmp_path):
        """A checkout of another user, as git sees it when a container mounts one."""
        real = shutil.which("git")
        folder = tmp_path / "bin"
        folder.mkdir()
        (folder / "git").write_text(f'#!/bin/sh\nGIT_TEST_ASSUME_DIFFERENT_OWNER=1 exec {real} "$@"\n')
        (folder / "git").chmod(0o755)
        path = f"{folder}{os.pathsep}{os.environ['PATH']}"
        done = cli("repo-check", cwd=agent.root, env={"PATH": path}, check=2)
        assert "dubious ownership" in done.stderr
        assert f"git config --global --add safe.directory {agent.root}" in done.stderr
        assert "Run the command inside a checkout" not in done.stderr

    def test_a_bare_repository(self, agent, tmp_path):
        agent.git("clone", "-q", "--bare", str(agent.root), str(tmp_path / "bare"))
        with pytest.raises(UsageError, match="work tree"):
            check(tmp_path / "bare")

    def test_a_directory_that_is_gone(self, tmp_path):
        with pytest.raises(UsageError, match="could not be started"):
            check(tmp_path / "gone")

    def test_an_unknown_repository(self, tmp_path, cli):
        ops = Checkout(tmp_path / "ops", "ops")
        ops.commit()
        done = cli("repo-check", cwd=ops.root, check=2)
        assert "ops" in done.stderr
        assert "--repo NAME" in done.stderr

    def test_a_project_that_cannot_be_read(self, agent, cli):
        agent.write("pyproject.toml", "[project")
        assert "Fix " in cli("repo-check", cwd=agent.root, check=2).stderr

    def test_another_repository_in_the_environment_is_not_the_one_that_is_checked(
        self, agent, tmp_path, monkeypatch
    ):
        agent.write(NEW)
        agent.git("add", ".")
        other = Checkout(tmp_path / "other", "diwa-cloud")
        other.commit()
        monkeypatch.setenv("GIT_DIR", str(other.root / ".git"))
        monkeypatch.setenv("GIT_WORK_TREE", str(other.root))
        monkeypatch.setenv("GIT_INDEX_FILE", str(other.root / ".git" / "index"))
        assert agent.errors() == [NEW]

    def test_inside_a_hook_of_a_partial_commit(self, agent):
        hook = agent.root / ".git" / "hooks" / "pre-commit"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\n{sys.executable} -m diwa_schema repo-check > found\n")
        hook.chmod(0o755)
        agent.write("fine")
        agent.git("add", "fine")
        agent.write(NEW)
        with pytest.raises(AssertionError):
            agent.git("commit", "-q", "-m", "only one", "fine")
        assert NEW in (agent.root / "found").read_text()
        (agent.root / NEW).unlink()
        agent.git("commit", "-q", "-m", "only one", "fine")
