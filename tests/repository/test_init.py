from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import tomllib

import pytest
import yaml

from diwa_schema.errors import UsageError
from diwa_schema.repository.init import HOOKS, PYPROJECT, WORKFLOW, apply, plan

from .checkouts import Checkout
from .mix import MIX_FILE

SHIM = "src/diwa_agent/migrate.py"


def snapshot(checkout):
    """Everything below a checkout, folders and the targets of links included."""
    paths = [path for path in checkout.root.rglob("*") if ".git" not in path.relative_to(checkout.root).parts]
    return {
        path: path.readlink() if path.is_symlink() else path.is_file() and path.read_bytes() for path in paths
    }


def lines_of(wanted, start):
    """Return the lines that the note beginning like that prints for a person to add."""
    (note,) = [note for note in wanted.notes if note.startswith(start)]
    return note.partition(":\n\n")[2]


@pytest.fixture
def python(tmp_path):
    made = Checkout(tmp_path / "agent")
    made.write(PYPROJECT, '# ours\n[project]\nname = "diwa-agent"\ndependencies = ["diwa-schema[binary]"]\n')
    made.write("src/diwa_agent/__init__.py", "")
    return made


def test_files_that_are_not_there_are_made_and_the_rest_is_printed(python, cli):
    before = (python.root / PYPROJECT).read_text()
    done = cli("init", cwd=python.root, check=0)
    assert (
        done.stdout.index(f"+++ b/{SHIM}") < done.stdout.index("Written: ") < done.stdout.index("Add by hand")
    )
    assert (python.root / PYPROJECT).read_text() == before
    (hook,) = yaml.safe_load((python.root / HOOKS).read_text())["repos"][0]["hooks"]
    assert hook["entry"] == "python3 -m diwa_schema repo-check"
    assert "repo-check" in yaml.safe_load((python.root / WORKFLOW).read_text())["jobs"]
    assert f"{PYPROJECT}: add, in the table [tool.diwa-schema]" in done.stdout


def test_what_is_printed_makes_the_project_whole(python):
    wanted = plan(python.root)
    apply(wanted)
    with (python.root / PYPROJECT).open("a") as file:
        file.write(lines_of(wanted, f"{PYPROJECT}: add, in the table [tool.diwa-schema]"))
        file.write(lines_of(wanted, f"{PYPROJECT}: add to the table [project.scripts]"))
    document = tomllib.loads((python.root / PYPROJECT).read_text())
    assert document["tool"]["diwa-schema"] == {"repo": "diwa-agent"}
    assert document["project"]["scripts"] == {"diwa-agent-migrate": "diwa_agent.migrate:main"}
    again = plan(python.root)
    assert (again.files, again.notes) == ({}, ())


def test_the_shim_that_is_written_is_blocked_as_the_command_is(python, cli):
    cli("init", cwd=python.root, check=0)
    code = "import sys; from diwa_agent.migrate import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, "--url", "postgresql://u@127.0.0.1:1/x"],
        cwd=python.root,
        env={**os.environ, "PYTHONPATH": "src"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert done.stderr.startswith("[SAFETY BLOCK] Database migrations in 'diwa-agent' are restricted")


def test_a_second_time_writes_nothing(python, cli):
    cli("init", cwd=python.root, check=0)
    before = snapshot(python)
    done = cli("init", cwd=python.root, check=0)
    assert "Written" not in done.stdout
    assert "[project.scripts]" in done.stdout
    assert snapshot(python) == before


def test_an_empty_repository_gets_a_project_file_and_is_then_complete(tmp_path, cli):
    made = Checkout(tmp_path / "agent", "")
    cli("init", "--repo", "diwa-agent", cwd=made.root, check=0)
    assert tomllib.loads((made.root / PYPROJECT).read_text()) == {
        "tool": {"diwa-schema": {"repo": "diwa-agent"}}
    }
    assert cli("init", cwd=made.root, check=0).stdout == "Nothing is missing.\n"


def test_a_dry_run_writes_nothing(python, cli):
    before = snapshot(python)
    done = cli("init", "--dry-run", cwd=python.root, check=0)
    assert f"+++ b/{WORKFLOW}" in done.stdout
    assert "Not written" in done.stdout
    assert snapshot(python) == before


@pytest.mark.parametrize(("answer", "written"), [("n", False), ("y", True), ("\x04", False)])
def test_on_a_terminal_it_asks_after_the_diff(python, answer, written):
    parent, child = pty.openpty()
    os.write(parent, f"{answer}\n".encode())
    done = subprocess.run(
        [sys.executable, "-m", "diwa_schema", "init"],
        cwd=python.root,
        stdin=child,
        capture_output=True,
        text=True,
        check=True,
    )
    os.close(parent)
    os.close(child)
    assert done.stdout.index(f"+++ b/{WORKFLOW}") < done.stdout.index("Write this?")
    assert (python.root / WORKFLOW).exists() is written


def test_nothing_that_exists_is_overwritten(python):
    python.write(SHIM, "theirs\n")
    python.write(WORKFLOW, "theirs\n")
    python.write(HOOKS, "repos: [{repo: meta, hooks: []}]\n")
    python.write(PYPROJECT, '[project]\nname = "diwa-agent"\n[tool.diwa-schema]\nrepo = "Diwa_Agent"\n')
    before = snapshot(python)
    wanted = plan(python.root)
    apply(wanted)
    assert wanted.files == {}
    assert snapshot(python) == before
    notes = "\n".join(wanted.notes)
    for said in (
        f"{SHIM} exists and was left unchanged. The new content would be:\n\n",
        f"{WORKFLOW} exists",
        "in place of repo = 'Diwa_Agent'",
        'to the list `dependencies` in the table [project]:\n\n"diwa-schema[binary]",',
        f"{HOOKS}: add to the list under `repos:`",
    ):
        assert said in notes


def test_the_hook_that_is_printed_can_be_added_to_the_ones_that_are_there(python):
    before = "repos:\n  - repo: meta\n    hooks:\n      - id: identity\n"
    python.write(HOOKS, before)
    printed = lines_of(plan(python.root), HOOKS)
    python.write(HOOKS, before + printed)
    document = yaml.safe_load((python.root / HOOKS).read_text())
    assert document["repos"][-1]["hooks"][0]["id"] == "diwa-schema-repo-check"
    assert not [note for note in plan(python.root).notes if note.startswith(HOOKS)]


@pytest.mark.parametrize("path", [WORKFLOW, HOOKS, SHIM])
def test_a_file_that_came_to_be_after_the_diff_is_left_and_nothing_else_is_made(python, path):
    wanted = plan(python.root)
    python.write(path, "theirs\n")
    before = snapshot(python)
    with pytest.raises(UsageError, match=f"{path} could not be written: File exists"):
        apply(wanted)
    assert snapshot(python) == before


def test_a_disk_that_is_full_leaves_nothing_behind(python):
    """The limit of a file's size lies between the smallest of the files and the largest."""
    before = snapshot(python)
    code = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600));"
    code += "from diwa_schema.cli import main; sys.exit(main(['init', '--yes']))"
    done = subprocess.run(
        [sys.executable, "-B", "-c", code], cwd=python.root, capture_output=True, text=True, check=False
    )
    assert (done.returncode, "could not be written: File too large" in done.stderr) == (2, True)
    assert snapshot(python) == before


class TestLinks:
    @pytest.mark.parametrize("link", [".github", ".github/workflows", "src/diwa_agent"])
    def test_a_folder_that_leads_out_is_refused_before_anything_is_written(self, python, cli, tmp_path, link):
        outside = tmp_path / "outside"
        outside.mkdir()
        place = python.root / link
        if link == "src/diwa_agent":
            (place / "__init__.py").rename(outside / "__init__.py")
            place.rmdir()
        place.parent.mkdir(exist_ok=True)
        place.symlink_to(outside)
        before, there = snapshot(python), sorted(outside.iterdir())
        done = cli("init", "--yes", cwd=python.root, check=2)
        assert "lies outside of the repository" in done.stderr
        assert str(outside) in done.stderr
        assert (snapshot(python), sorted(outside.iterdir())) == (before, there)

    def test_one_that_is_made_after_the_diff_is_refused_too(self, python, tmp_path):
        wanted = plan(python.root)
        (tmp_path / "outside").mkdir()
        (python.root / ".github").symlink_to(tmp_path / "outside")
        before = snapshot(python)
        with pytest.raises(UsageError, match="outside of the repository"):
            apply(wanted)
        assert snapshot(python) == before
        assert list((tmp_path / "outside").iterdir()) == []

    def test_a_file_that_leads_out_is_read_and_not_written(self, python, tmp_path):
        outside = tmp_path / "outside.yaml"
        outside.write_text("repos:\n- repo: meta\n")
        (python.root / HOOKS).symlink_to(outside)
        wanted = plan(python.root)
        apply(wanted)
        assert outside.read_text() == "repos:\n- repo: meta\n"
        assert lines_of(wanted, HOOKS)

    @pytest.mark.parametrize("target", ["nowhere", HOOKS, "/tmp/nowhere/at/all"])
    def test_a_link_to_nothing_is_refused(self, python, cli, target):
        (python.root / HOOKS).symlink_to(target)
        before = snapshot(python)
        assert f"Fix {HOOKS}" in cli("init", cwd=python.root, check=2).stderr
        assert snapshot(python) == before

    def test_a_folder_that_is_a_link_within_the_repository_is_used(self, python):
        (python.root / "ci").mkdir()
        (python.root / ".github").symlink_to("ci")
        apply(plan(python.root))
        assert (python.root / "ci/workflows/diwa-schema.yml").is_file()


@pytest.mark.parametrize(
    ("file", "content"),
    [(PYPROJECT, b"[project"), (PYPROJECT, b"\xff"), (HOOKS, b"\xff"), (HOOKS, None), ("mix.exs", b"\xff"), (".github", b"")],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_and_leaves_nothing_behind(python, cli, file, content):
    (python.root / file).unlink(missing_ok=True)
    (python.root / file).mkdir() if content is None else (python.root / file).write_bytes(content)
    before = snapshot(python)
    done = cli("init", "--repo", "diwa-agent", cwd=python.root, check=2)
    assert file in done.stderr
    assert "Traceback" not in done.stderr
    assert snapshot(python) == before


def test_a_project_without_a_package_gets_a_script(tmp_path, cli):
    made = Checkout(tmp_path / "cloud", "diwa-cloud")
    done = cli("init", cwd=made.root, check=0)
    assert "[project.scripts]" not in done.stdout
    run = subprocess.run(
        [sys.executable, "migrate_schema.py", "--embedded", "x.db", "--help"],
        cwd=made.root,
        capture_output=True,
        check=False,
    )
    assert run.returncode == 0


def test_an_alembic_of_its_own_is_told_what_to_include(python):
    python.write("own/env.py", "from alembic import context\ncontext.configure(connection=c)\n")
    printed = lines_of(plan(python.root), "own/env.py: add to the imports")
    assert "from diwa_schema.autogenerate import include_name, include_object" in printed
    python.write("own/env.py", f"from alembic import context\n{printed}")
    assert not [note for note in plan(python.root).notes if note.startswith("own/env.py")]


def test_this_package_itself_and_an_unknown_repository_are_refused(tmp_path, cli):
    own = Checkout(tmp_path / "own", "diwa-schema")
    assert "itself" in cli("init", cwd=own.root, check=2).stderr
    other = Checkout(tmp_path / "other", "other")
    assert "--repo NAME" in cli("init", cwd=other.root, check=2).stderr
    assert 'repo = "diwa-cloud"' in cli("init", "--repo", "diwa-cloud", cwd=other.root, check=0).stdout


def test_as_a_document(python, cli):
    document = json.loads(cli("init", "--json", cwd=python.root, check=0).stdout)
    assert document["written"] is True
    assert WORKFLOW in document["files"]
    assert f"+++ b/{WORKFLOW}" in document["diff"]
    assert any(re.match(rf"{PYPROJECT}: add", note) for note in document["notes"])


def test_the_written_repository_passes_its_own_check(python, cli):
    python.write("mix.exs", MIX_FILE)
    cli("init", cwd=python.root, check=0)
    python.commit()
    report = python.check()
    assert (report.errors, report.findings) == (0, ())
