"""The action, the hooks and the workflows, run by what runs them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from diwa_schema.repository import templates

from .checkouts import ECTO, NOT_PORTED, Checkout

ROOT = Path(__file__).parents[2]
HOOKS = ROOT / ".pre-commit-hooks.yaml"
ACTION = ROOT / "action.yml"
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
NEW = f"{ECTO}/{NOT_PORTED}_local.exs"
ZEROS = "0" * 40


@pytest.fixture
def surroundings(tmp_path):
    """The environment of a job: `python3` is the Python that runs the tests."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {
        **os.environ,
        "PATH": path,
        "PRE_COMMIT_HOME": str(tmp_path / "pre-commit"),
        "RUNNER_TEMP": str(tmp_path),
        "GIT_AUTHOR_NAME": "t",
        "GIT_AUTHOR_EMAIL": "t@example.invalid",
        "GIT_COMMITTER_NAME": "t",
        "GIT_COMMITTER_EMAIL": "t@example.invalid",
    }


def start(command, cwd, environment):
    return subprocess.run(
        command,
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def linted(tmp_path: Path) -> Path:
    """Return a folder with every workflow and action of this project, and those that it writes elsewhere."""
    workflows = tmp_path / "linted" / ".github" / "workflows"
    workflows.mkdir(parents=True)
    for workflow in WORKFLOWS:
        shutil.copy(workflow, workflows)
    (workflows / "written.yml").write_text(templates.workflow())
    shutil.copy(ACTION, workflows.parents[1])
    shutil.copy(HOOKS, workflows.parents[1])
    return workflows.parents[1]


def test_zizmor_finds_nothing(tmp_path):
    zizmor = Path(sys.executable).with_name("zizmor")
    done = start([zizmor, "--offline", "--pedantic", "--no-progress", "."], linted(tmp_path), os.environ)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No findings" in done.stdout + done.stderr
    assert len(WORKFLOWS) >= 1


def test_zizmor_would_find_something(tmp_path):
    folder = linted(tmp_path)
    action = folder / "action.yml"
    action.write_text(action.read_text().replace('--base "$BASE"', "--base ${{ inputs.base }}"))
    zizmor = Path(sys.executable).with_name("zizmor")
    assert start([zizmor, "--offline", "--no-progress", "."], folder, os.environ).returncode != 0


@pytest.mark.skipif(not shutil.which("actionlint"), reason="actionlint is not installed")
def test_actionlint_finds_nothing(tmp_path):
    folder = linted(tmp_path)
    done = start(["actionlint", *sorted(folder.glob(".github/workflows/*.yml"))], folder, os.environ)
    assert (done.returncode, done.stdout) == (0, "")


def test_every_action_is_pinned_by_its_whole_commit():
    texts = [*(path.read_text() for path in (*WORKFLOWS, ACTION)), templates.workflow()]
    uses = [used for text in texts for used in re.findall(r"uses: (\S+)", text)]
    assert uses
    assert [used for used in uses if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", used)] == []


class TestTheAction:
    def run(self, checkout, environment, **inputs):
        """Run the action's check as the service does: its script in bash, its inputs in the environment."""
        (check,) = [
            step for step in yaml.safe_load(ACTION.read_text())["runs"]["steps"] if step["name"] == "Check"
        ]
        assert set(check["env"]) == {"BASE", "BEFORE", "REPO", "PYTHON"}
        given = {"BASE": "", "BEFORE": "", "REPO": "", "PYTHON": sys.executable, **inputs}
        command = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", check["run"]]
        return start(command, checkout.root, {**environment, **given})

    def test_it_annotates_the_changed_files(self, agent, surroundings):
        agent.write(NEW)
        agent.commit()
        done = self.run(agent, surroundings)
        assert done.returncode == 1
        assert f"::error file={NEW},line=1,title=" in done.stdout

    def test_it_passes_where_there_is_nothing(self, agent, surroundings):
        done = self.run(agent, surroundings)
        assert (done.returncode, "::" in done.stdout) == (0, False)

    def test_a_push_is_compared_with_the_commit_before_it(self, agent, surroundings):
        agent.write(NEW)
        agent.commit()
        before = agent.git("rev-parse", "HEAD~1")
        agent.git("branch", "-f", "main", "HEAD")
        assert self.run(agent, surroundings).returncode == 0
        assert self.run(agent, surroundings, BEFORE=before).returncode == 1
        assert self.run(agent, surroundings, BEFORE=ZEROS).returncode == 0
        assert self.run(agent, surroundings, BEFORE=before, GITHUB_BASE_REF="main").returncode == 0
        assert self.run(agent, surroundings, BEFORE=before, BASE="main").returncode == 0

    def test_inputs_are_words_not_commands(self, agent, surroundings, tmp_path):
        done = self.run(agent, surroundings, BASE=f"$(touch {tmp_path}/bad); touch {tmp_path}/bad")
        assert done.returncode == 2
        assert not (tmp_path / "bad").exists()

    def test_the_name_is_handed_on(self, tmp_path, surroundings):
        other = Checkout(tmp_path / "other", "")
        other.write("x")
        other.commit()
        assert self.run(other, surroundings).returncode == 2
        assert "diwa-agent (consumer)" in self.run(other, surroundings, REPO="diwa-agent").stdout


class TestTheHook:
    def configured(self, agent, tmp_path, config):
        if config == "written":
            agent.write(".pre-commit-config.yaml", f"repos:\n{templates.hook()}")
        else:
            hooks = Checkout(tmp_path / "hooks", "")
            shutil.copy(HOOKS, hooks.root)
            hooks.commit()
            repo = {
                "repo": str(hooks.root),
                "rev": hooks.git("rev-parse", "HEAD"),
                "hooks": [{"id": "repo-check"}],
            }
            agent.write(".pre-commit-config.yaml", yaml.safe_dump({"repos": [repo]}))
        agent.git("add", ".")

    @pytest.mark.parametrize("config", ["published", "written"])
    def test_pre_commit_refuses_the_commit_and_lets_others_through(
        self, agent, tmp_path, surroundings, config
    ):
        self.configured(agent, tmp_path, config)
        pre_commit = [sys.executable, "-m", "pre_commit"]
        installed = start([*pre_commit, "install"], agent.root, surroundings)
        assert installed.returncode == 0, installed.stdout + installed.stderr

        commit = ["git", "commit", "-q", "-m", "a step"]
        passed = start(commit, agent.root, surroundings)
        assert passed.returncode == 0, passed.stdout + passed.stderr
        assert "no migrations outside of diwa-schema" in passed.stderr

        agent.write(NEW)
        agent.git("add", ".")
        refused = start(commit, agent.root, surroundings)
        assert refused.returncode == 1
        assert f"{NEW}:1: error: " in refused.stderr
        assert "warning" not in refused.stderr.lower().replace("0 warnings", "")

        every = start([*pre_commit, "run", "--all-files"], agent.root, surroundings)
        assert (every.returncode, NEW in every.stdout) == (1, True)


def test_the_snippet_for_gitlab_works_in_a_clone_of_its_kind(agent, tmp_path, surroundings):
    text = (ROOT / "docs" / "ci.md").read_text()
    (snippet,) = re.findall(r"```yaml\n(diwa-schema:.*?)```", text, re.DOTALL)
    job = yaml.safe_load(snippet)["diwa-schema"]
    agent.write(NEW)
    agent.commit()
    clone = Checkout(tmp_path / "clone", "")
    clone.git("remote", "add", "origin", agent.root.as_uri())
    clone.git("fetch", "-q", "origin", "work")
    clone.git("checkout", "-q", "--detach", "FETCH_HEAD")
    environment = {**surroundings, "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main"}
    done = start(["bash", "-e", "-c", "\n".join(job["script"])], clone.root, environment)
    assert done.returncode == 1
    assert f"{NEW}:1: error: " in done.stdout
