"""The remote of a checkout, in every form in which git keeps it."""

from __future__ import annotations

import pytest

from diwa_schema.guard import Role, collect

from .places import checkout, git, names, role


@pytest.mark.parametrize(
    "url",
    [
        "https://github.com/acme/diwa-agent.git",
        "https://github.com/acme/diwa-agent",
        "https://github.com/acme/Diwa_Agent.git/",
        "https://joe:s3cret@github.com/acme/diwa-agent.git",
        "https://host/acme/diwa-agent.git?token=s3cret#frag",
        "https://host/acme/_git/diwa%2Dagent",
        "ssh://git@host:2222/acme/diwa-agent.git",
        "git@github.com:acme/diwa-agent.git",
        "s3cret@host:diwa-agent",
        "host:diwa-agent.git",
        "/srv/git/diwa-agent.git",
        "/home/joe/diwa-agent/.git",
        "/home/joe/diwa-agent/.",
        "file:///srv/git/diwa-agent.GIT",
        "../diwa-agent",
        r"C:\work\diwa-agent.git",
    ],
)
def test_every_form_of_a_remote_gives_the_name_and_no_credentials(tmp_path, url):
    place = checkout(tmp_path / "here", url)
    found = collect(None, place)
    assert [(one.name, one.role) for one in found] == [("diwa-agent", Role.CONSUMER)]
    assert "s3cret" not in repr(found)


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ('[remote "origin"]\n\turl = a/diwa-agent\n', ["diwa-agent"]),
        ('[Remote "origin"] URL = "a/diwa-agent" ; note\n', ["diwa-agent"]),
        ("[remote.origin]\nurl=a/diwa-agent # note\n", ["diwa-agent"]),
        ('[remote "origin"]\nurl = a/diwa-\\\nagent\n', ["diwa-agent"]),
        ('\ufeff[remote "origin"]\nurl = a/diwa-cloud\nurl = a/diwa-agent\n', ["diwa-cloud", "diwa-agent"]),
        ('[remote "fork"]\nurl = a/diwa-agent\n[core]\nbare\n', []),
        ('[remote "Origin"]\nurl = a/diwa-agent\n', []),
        ('[remote "origin"]\n; url = a/diwa-agent\n', []),
        ('[remote "origin"]\nthis is no entry\n', [""]),
        # A comment does not go on after a backslash, and only a line feed ends a line.
        ('# one \\\n[remote "origin"]\nurl = a/diwa-agent\n', ["diwa-agent"]),
        ('[remote "origin"]\nfetch = x # y \\\nurl = a/diwa-agent\n', ["diwa-agent"]),
        ('[remote "origin"]\nfetch = x\x0c[core]\nurl = a/diwa-agent\n', ["diwa-agent"]),
        ('[remote "origin"]\nfetch = "x\nurl = a/diwa-agent\n', [""]),
    ],
)
def test_a_git_configuration_is_read_as_git_reads_it(tmp_path, config, found):
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_text(config, encoding="utf-8")
    assert names(tmp_path, "x")[1:] == found


def test_an_included_configuration_is_followed(tmp_path, monkeypatch):
    place = checkout(tmp_path / "here")
    (tmp_path / "more").write_text('[remote "origin"]\nurl = a/diwa-agent\n')
    git("config", "include.path", str(tmp_path / "more"), cwd=place)
    other = checkout(tmp_path / "other", "a/diwa-cloud")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    assert names(place) == ["diwa-agent"]


def test_a_worktree_and_a_submodule_know_their_origin(tmp_path):
    agent = checkout(tmp_path / "diwa-agent", "git@host:acme/diwa-agent.git")
    git("commit", "-q", "--allow-empty", "-m", "first", cwd=agent)
    git("worktree", "add", "-q", str(tmp_path / "tree"), cwd=agent)
    assert names(tmp_path / "tree") == ["diwa-agent"]

    cloud = checkout(tmp_path / "cloud", "git@host:acme/diwa-cloud.git")
    git("submodule", "--quiet", "add", str(agent), "vendor/agent", cwd=cloud)
    assert (cloud / "vendor" / "agent" / ".git").is_file()
    assert role(cloud / "vendor" / "agent") is Role.CONSUMER
    assert role(cloud) is Role.OWNER
