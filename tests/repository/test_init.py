from __future__ import annotations

import os
import pty
import subprocess
import sys
import tomllib

import pytest
import yaml

from diwa_schema.errors import UsageError
from diwa_schema.repository.init import HOOKS, MIX, PYPROJECT, WORKFLOW, apply, plan

from .checkouts import Checkout
from .mix import MIX_FILE


def snapshot(checkout):
    return {
        str(path.relative_to(checkout.root)): path.read_bytes()
        for path in checkout.root.rglob("*")
        if path.is_file() and ".git" not in path.parts
    }


@pytest.fixture
def python(tmp_path):
    made = Checkout(tmp_path / "agent")
    made.write(PYPROJECT, '# ours\n[project]\nname = "diwa-agent"\ndependencies = ["diwa-schema[binary]"]\n')
    made.write("src/diwa_agent/__init__.py", "")
    return made


def test_a_python_repository_gets_everything_and_keeps_what_it_had(python, cli):
    done = cli("init", cwd=python.root, check=0)
    assert "+++ b/pyproject.toml" in done.stdout
    assert done.stdout.index("+++ b/src/diwa_agent/migrate.py") < done.stdout.index("Written: ")
    project = (python.root / PYPROJECT).read_text()
    assert project.startswith('# ours\n[project]\nname = "diwa-agent"\n')
    document = tomllib.loads(project)
    assert document["tool"]["diwa-schema"] == {"repo": "diwa-agent"}
    assert document["project"]["scripts"] == {"diwa-agent-migrate": "diwa_agent.migrate:main"}
    (hook,) = yaml.safe_load((python.root / HOOKS).read_text())["repos"][0]["hooks"]
    assert hook["entry"] == "python3 -m diwa_schema repo-check"
    assert "repo-check" in yaml.safe_load((python.root / WORKFLOW).read_text())["jobs"]


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


def test_again_there_is_nothing_to_do(python, cli):
    python.write(MIX, MIX_FILE)
    cli("init", cwd=python.root, check=0)
    before = snapshot(python)
    done = cli("init", cwd=python.root, check=0)
    assert done.stdout == "Nothing is missing.\n"
    assert snapshot(python) == before


def test_a_dry_run_writes_nothing(python, cli):
    before = snapshot(python)
    done = cli("init", "--dry-run", cwd=python.root, check=0)
    assert "+++ b/pyproject.toml" in done.stdout
    assert "Not written" in done.stdout
    assert snapshot(python) == before


@pytest.mark.parametrize(("answer", "written"), [("n", False), ("y", True)])
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
    assert done.stdout.index("+++ b/pyproject.toml") < done.stdout.index("Write this?")
    assert (python.root / WORKFLOW).exists() is written


def test_nothing_that_exists_is_overwritten(python):
    python.write("src/diwa_agent/migrate.py", "theirs\n")
    python.write(WORKFLOW, "theirs\n")
    python.write(PYPROJECT, '[project]\nname = "diwa-agent"\n[tool.diwa-schema]\nrepo = "Diwa_Agent"\n')
    wanted = plan(python.root)
    apply(wanted)
    assert (python.root / "src/diwa_agent/migrate.py").read_text() == "theirs\n"
    assert (python.root / WORKFLOW).read_text() == "theirs\n"
    assert [addition.path for addition in wanted.additions] == [HOOKS]
    notes = "\n".join(wanted.notes)
    for said in (
        "src/diwa_agent/migrate.py exists",
        f"{WORKFLOW} exists",
        "'Diwa_Agent'",
        "to the dependencies",
    ):
        assert said in notes


@pytest.mark.parametrize("path", [WORKFLOW, HOOKS, PYPROJECT])
def test_a_file_that_was_written_after_the_diff_is_left_as_it_is(python, path):
    wanted = plan(python.root)
    python.write(path, "theirs\n")
    with pytest.raises(UsageError, match=f"{path} could not be written"):
        apply(wanted)
    assert (python.root / path).read_text() == "theirs\n"


@pytest.mark.parametrize(
    "before",
    [
        "[project]\nname = 'diwa-agent'\n\n[project.scripts] # ours\nother = 'x:y'\n\n[tool.diwa-schema]",
        "[project]\nname = 'diwa-agent'\nscripts = {other = 'x:y'}\n",
        "[project]\nname = 'diwa-agent'\n[tool]\nother = 1\n[tool.diwa-schema]\nmigration-paths = ['db']\n",
        "project.name = 'diwa-agent'\n",
        "[project]\nname = 'diwa-agent'\n[tool]\ndiwa-schema = {}\n",
        "[project]\r\nname = 'diwa-agent'\r\n",
    ],
)
def test_a_project_keeps_every_line_and_stays_readable(python, before):
    (python.root / PYPROJECT).write_bytes(before.encode())
    apply(plan(python.root))
    after = (python.root / PYPROJECT).read_bytes().decode()
    old, new = tomllib.loads(before), tomllib.loads(after)
    assert set(before.splitlines()) <= set(after.splitlines())
    assert new["project"]["name"] == "diwa-agent"
    for key, value in old["project"].get("scripts", {}).items():
        assert new["project"]["scripts"][key] == value
    assert ("\r\n" in before) == ("\r\n" in after)
    assert after.count("\r\n") in {0, after.count("\n")}


@pytest.mark.parametrize(
    ("before", "repos"),
    [
        ("", 1),
        ("# ours\nfail_fast: true\n", 1),
        ("repos:\n- repo: meta\n  hooks:\n  - id: identity\n", 2),
        ("repos:\n  # ours\n  - repo: meta\n    hooks:\n      - id: identity\n\n\nfail_fast: true\n", 2),
        ("repos: # all\n    - repo: meta\n      hooks: [{id: identity}]\n# the end\n", 2),
    ],
)
def test_the_hook_is_added_to_the_ones_that_are_there(python, before, repos):
    python.write(HOOKS, before)
    apply(plan(python.root))
    text = (python.root / HOOKS).read_text()
    document = yaml.safe_load(text)
    assert len(document["repos"]) == repos
    assert document["repos"][-1]["hooks"][0]["id"] == "diwa-schema-repo-check"
    assert document.get("fail_fast") == (True if "fail_fast" in before else None)
    assert set(before.splitlines()) <= set(text.splitlines())
    assert not plan(python.root).additions


@pytest.mark.parametrize(
    "before", ["repos: []\n", "repos: [{repo: meta, hooks: []}]\n", "'repos':\n- repo: meta\n"]
)
def test_hooks_that_cannot_be_added_to_are_left_to_a_person(python, before):
    python.write(HOOKS, before)
    wanted = plan(python.root)
    assert HOOKS not in [addition.path for addition in wanted.additions]
    assert any(note.startswith(f"{HOOKS}, by hand: ") and "repo-check" in note for note in wanted.notes)


def test_a_project_without_a_package_gets_a_script(tmp_path, cli):
    made = Checkout(tmp_path / "cloud", "diwa-cloud")
    cli("init", cwd=made.root, check=0)
    done = subprocess.run(
        [sys.executable, "migrate_schema.py", "--embedded", "x.db", "--help"],
        cwd=made.root,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0
    assert "scripts" not in tomllib.loads((made.root / PYPROJECT).read_text())["project"]


def test_a_link_out_of_the_repository_is_not_followed(python, tmp_path):
    outside = tmp_path / "outside.yaml"
    outside.write_text("repos:\n- repo: meta\n")
    (python.root / HOOKS).symlink_to(outside)
    apply(plan(python.root))
    assert outside.read_text() == "repos:\n- repo: meta\n"


def test_this_package_itself_and_an_unknown_repository_are_refused(tmp_path, cli):
    own = Checkout(tmp_path / "own", "diwa-schema")
    assert "itself" in cli("init", cwd=own.root, check=2).stderr
    other = Checkout(tmp_path / "other", "other")
    assert "--repo NAME" in cli("init", cwd=other.root, check=2).stderr
    cli("init", "--repo", "diwa-cloud", cwd=other.root, check=0)
    assert tomllib.loads((other.root / PYPROJECT).read_text())["tool"]["diwa-schema"]["repo"] == "diwa-cloud"


def test_as_a_document(python, cli):
    import json

    document = json.loads(cli("init", "--json", cwd=python.root, check=0).stdout)
    assert document["written"] is True
    assert WORKFLOW in document["files"]
    assert "+++ b/pyproject.toml" in document["diff"]


def test_the_written_repository_passes_its_own_check(python, cli):
    cli("init", cwd=python.root, check=0)
    python.commit()
    report = python.check()
    assert (report.errors, report.findings) == (0, ())
