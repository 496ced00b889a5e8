"""What a checkout is compared with."""

from __future__ import annotations

import pytest

from diwa_schema.errors import UsageError

from .checkouts import ECTO, NOT_PORTED, Checkout

NEW = f"{ECTO}/{NOT_PORTED}_local.exs"


def clone_of(source: Checkout, tmp_path, *options: str) -> Checkout:
    source.git("clone", "-q", *options, source.root.as_uri(), str(tmp_path / "clone"))
    clone = Checkout(tmp_path / "clone", "")
    clone.git("remote", "set-url", "origin", "https://example.invalid/acme/diwa-agent.git")
    return clone


def test_the_one_that_is_named(agent):
    agent.write(NEW)
    agent.commit()
    assert agent.errors("main") == [NEW]
    assert agent.errors("HEAD") == []


def test_the_one_of_the_pull_request_is_the_remotes(agent, tmp_path, monkeypatch):
    agent.write(NEW)
    agent.commit()
    clone = clone_of(agent, tmp_path)
    clone.git("switch", "-q", "-c", "more", "origin/work")
    monkeypatch.setenv("GITHUB_BASE_REF", "work")
    assert clone.errors() == []
    monkeypatch.setenv("GITHUB_BASE_REF", "main")
    assert clone.errors() == [NEW]


def test_the_remotes_default_branch(agent, tmp_path):
    agent.git("branch", "-m", "main", "trunk")
    agent.git("switch", "-q", "trunk")
    clone = clone_of(agent, tmp_path)
    clone.write(NEW)
    clone.commit()
    assert clone.check().base == "the merge base with origin/HEAD"
    assert clone.errors() == [NEW]


def test_a_remote_that_is_not_called_origin(agent, tmp_path):
    clone = clone_of(agent, tmp_path)
    clone.git("remote", "rename", "origin", "upstream")
    clone.write(NEW)
    assert clone.errors() == [NEW]


@pytest.mark.parametrize("name", ["nowhere", "--all", "main:x"])
def test_one_that_is_not_there(agent, name):
    with pytest.raises(UsageError, match="no branch or commit") as error:
        agent.check(name)
    assert "git fetch" in error.value.next_step


def test_none_to_be_found(agent, cli):
    agent.git("branch", "-D", "main")
    done = cli("repo-check", cwd=agent.root, check=2)
    assert "--base BRANCH" in done.stderr


def test_a_detached_head(agent):
    agent.write(NEW)
    agent.commit()
    agent.git("switch", "-q", "--detach")
    assert agent.errors() == [NEW]


def test_histories_without_a_common_commit(agent):
    agent.git("switch", "-q", "--orphan", "other")
    agent.write("pyproject.toml", '[project]\nname = "diwa-agent"\n')
    agent.write(NEW)
    agent.commit()
    report = agent.check()
    assert [one.path for one in report.findings] == [NEW]
    assert "have no common history" in report.notes[0]


def test_a_shallow_clone_says_what_to_fetch(agent, tmp_path, cli):
    agent.write(NEW)
    agent.commit()
    agent.git("switch", "-q", "main")
    agent.write("later")
    agent.commit()
    clone = clone_of(agent, tmp_path, "--depth=1", "--branch=work", "--no-single-branch")
    done = cli("repo-check", cwd=clone.root, check=2)
    assert "shallow" in done.stderr
    assert "git fetch --unshallow" in done.stderr
    assert "fetch-depth: 0" in done.stderr
    clone.git("fetch", "-q", "--unshallow", agent.root.as_uri(), "main", "work")
    assert clone.errors() == [NEW]


def test_a_shallow_clone_that_reaches_far_enough_is_checked(agent, tmp_path):
    agent.git("switch", "-q", "main")
    agent.commit()
    agent.git("switch", "-q", "-C", "work")
    agent.write(NEW)
    agent.commit()
    agent.git("switch", "-q", "main")
    clone = clone_of(agent, tmp_path, "--depth=2", "--branch=work", "--no-single-branch")
    report = clone.check()
    assert [one.path for one in report.findings] == [NEW]
    assert "shallow" in report.notes[0]


def test_a_worktree(agent, tmp_path):
    agent.git("worktree", "add", "-q", str(tmp_path / "tree"), "-b", "beside")
    agent.write("lib/a.ex", "1")
    tree = Checkout.__new__(Checkout)
    tree.root = tmp_path / "tree"
    tree.write(NEW)
    tree.commit()
    assert tree.errors() == [NEW]
    assert agent.errors() == []


def test_an_unborn_branch(tmp_path):
    new = Checkout(tmp_path / "new")
    assert new.errors() == []
    new.write(NEW)
    new.git("add", ".")
    assert new.errors() == [NEW]


def test_an_unborn_branch_beside_a_base(agent):
    agent.git("switch", "-q", "--orphan", "other")
    agent.git("checkout", "-q", "main", "--", ".")
    assert agent.errors() == []
    agent.write(NEW)
    agent.git("add", ".")
    assert agent.errors() == [NEW]
