from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from diwa_schema.guard import Role, collect, weigh
from diwa_schema.guard.evidence import app_in, name_of

from .places import checkout, names, project, role


@pytest.mark.parametrize("url", ["https://s3cret@host", "https://joe:s3cret@host/", "joe:s3cret@host:"])
def test_a_url_without_a_path_shows_no_credentials(url):
    assert "s3cret" not in name_of(url)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Diwa_Cloud", "diwa-cloud"),
        (" diwa.agent ", "diwa-agent"),
        ("acme/diwa_agent", "diwa-agent"),
        ("https://host/acme%2Fdiwa-agent%2F", "diwa-agent"),
        ("di\x1b[31mwa", "di?[31mwa"),
        ("x" * 500, "x" * 80),
        ("", ""),
        ("///", ""),
    ],
)
def test_names_are_normalised_and_safe_to_print(text, name):
    assert name_of(text) == name


def test_everything_is_collected_with_its_source(tmp_path, monkeypatch):
    place = checkout(project(tmp_path / "here", "diwa-cloud"), "https://host/acme/diwa-schema.git")
    (place / "mix.exs").write_text("def project do\n [app: :diwa_cloud]\nend\n")
    monkeypatch.setenv("DIWA_REPO", "diwa_agent")
    found = {one.source: (one.name, one.role) for one in collect("Monorepo", place)}
    assert found == {
        "repo= argument or --repo": ("monorepo", None),
        "environment variable DIWA_REPO": ("diwa-agent", Role.CONSUMER),
        f"[project] name in {place / 'pyproject.toml'}": ("diwa-cloud", Role.OWNER),
        f"app in {place / 'mix.exs'}": ("diwa-cloud", Role.OWNER),
        f"remote 'origin' in {place / '.git' / 'config'}": ("diwa-schema", Role.OWNER),
    }


def test_the_tool_table_goes_before_the_project_name(tmp_path):
    project(tmp_path, "diwa-cloud")
    with (tmp_path / "pyproject.toml").open("a") as file:
        file.write('[tool.diwa-schema]\nrepo = "diwa-agent"\n')
    assert names(tmp_path) == ["diwa-agent"]


def test_a_project_that_is_called_the_consumer_is_one_whatever_its_table_says(tmp_path):
    project(tmp_path, "diwa-agent")
    with (tmp_path / "pyproject.toml").open("a") as file:
        file.write('[tool.diwa-schema]\nrepo = "diwa-cloud"\n')
    assert role(tmp_path) is Role.CONSUMER


def test_the_nearest_project_upward_speaks(tmp_path):
    project(tmp_path, "diwa-agent")
    inner = project(tmp_path / "a" / "cloud", "diwa-cloud") / "src" / "deep"
    inner.mkdir(parents=True)
    assert names(inner) == ["diwa-cloud"]
    assert names(tmp_path / "a") == ["diwa-agent"]


def test_a_project_without_a_name_does_not_hide_the_one_above(tmp_path):
    project(tmp_path, "diwa-agent")
    inner = tmp_path / "tool"
    inner.mkdir()
    (inner / "pyproject.toml").write_text("[tool.ruff]\nline-length = 100\n")
    assert role(inner) is Role.CONSUMER


def test_a_neutral_project_does_not_hide_the_consumer_around_it(tmp_path, monkeypatch):
    project(tmp_path, "diwa-agent")
    inner = project(tmp_path / "libs" / "web", "web")
    monkeypatch.setenv("DIWA_REPO", "diwa-cloud")
    assert role(inner) is Role.CONSUMER


def test_a_neutral_project_is_not_opened_by_the_owner_around_it(tmp_path):
    project(tmp_path, "diwa-cloud")
    inner = project(tmp_path / "libs" / "web", "web")
    assert [(one.name, one.role) for one in collect(None, inner)] == [("web", None)]


def test_an_agent_checkout_inside_a_cloud_checkout_is_a_consumer(tmp_path):
    outer = checkout(project(tmp_path / "cloud", "diwa-cloud"), "git@host:acme/diwa-cloud.git")
    inner = checkout(outer / "vendor" / "agent", "git@host:acme/diwa-agent.git")
    assert role(inner) is Role.CONSUMER
    assert role(outer / "vendor") is Role.OWNER


def test_a_cloud_checkout_inside_an_agent_checkout_is_told_apart(tmp_path):
    outer = checkout(project(tmp_path / "agent", "diwa-agent"), "git@host:acme/diwa-agent.git")
    inner = checkout(project(outer / "vendor" / "cloud", "diwa-cloud"), "git@host:acme/diwa-cloud.git")
    assert role(inner) is Role.OWNER
    assert role(inner.parent) is Role.CONSUMER


def test_a_checkout_of_something_else_inside_the_owner_is_not_the_owner(tmp_path):
    outer = checkout(project(tmp_path / "cloud", "diwa-cloud"), "git@host:acme/diwa-cloud.git")
    inner = checkout(outer / "ops", "git@host:acme/ops.git")
    assert [(one.name, one.role) for one in collect(None, inner)] == [("ops", None)]


def test_a_checkout_of_something_else_inside_the_consumer_is_a_consumer(tmp_path):
    outer = checkout(project(tmp_path / "agent", "diwa-agent"))
    assert role(checkout(outer / "ops"), "diwa-cloud") is Role.CONSUMER


@pytest.mark.parametrize(
    ("text", "app"),
    [
        ("  def project do\n    [\n      app: :diwa_agent,\n      version: @version\n", "diwa_agent"),
        ("@app :diwa_agent\ndef project do\n [app: @app, deps: deps()]", "diwa_agent"),
        ('def project, do: [app: :"diwa-agent"]', "diwa-agent"),
        ("# app: :diwa_cloud\ndef project do\n  [app: :diwa_agent] # app: :x", "diwa_agent"),
        ("{:credo, app: false}\ndef project do [app: :diwa_agent]", "diwa_agent"),
        ('def project do [apps_path: "apps", deps: [{:x, "1", app: false}]]', None),
        ("def project do [{:app, :diwa_agent}]", "diwa_agent"),
        ("def project, do: %{:app => :diwa_agent}", "diwa_agent"),
        ("def project do [app: :diwa_cloud]\n# app: :x\ndef more do [app: :diwa_agent]", "diwa_agent"),
        ('def project do [name: "a # b", app: :diwa_agent]', "diwa_agent"),
        ("def project do [app: app_name()]", ""),
        ("def project do [app: @nowhere]", ""),
        ("", None),
    ],
)
def test_the_app_of_a_mix_file(text, app):
    assert app_in(text) == app


def test_underscores_of_an_app_are_hyphens(tmp_path):
    (tmp_path / "mix.exs").write_text("def project do\n [app: :diwa_agent]\nend\n")
    assert names(tmp_path) == ["diwa-agent"]
    assert role(tmp_path, "diwa-cloud") is Role.CONSUMER


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("pyproject.toml", b'[project\nname = "diwa-agent"'),
        ("pyproject.toml", b'[project]\nname = "diwa-agent\xff"'),
        ("pyproject.toml", b"[tool.diwa-schema]\nrepo = 3"),
        ("pyproject.toml", b'[tool.diwa-schema]\nrepo = ""'),
        ("pyproject.toml", b"tool = 1"),
        ("pyproject.toml", b"project = []"),
        ("pyproject.toml", b"[project]\nname = ['diwa-agent']"),
        ("pyproject.toml", b"x = " + b"[" * 5000),
        ("mix.exs", b"def project do [app: name()]"),
        ("mix.exs", b"\xff\xfe"),
        (".git", b"gitdir: /nowhere/at/all"),
        (".git", b"nonsense"),
        (".git", b"\xff"),
    ],
)
def test_what_cannot_be_read_never_opens(tmp_path, monkeypatch, file, content):
    (tmp_path / file).write_bytes(content)
    monkeypatch.setenv("DIWA_REPO", "diwa-cloud")
    found = collect("diwa-cloud", tmp_path)
    assert weigh(found) is Role.UNKNOWN
    assert file in next(one.source for one in found if one.role is Role.UNKNOWN)


@pytest.mark.parametrize("file", ["pyproject.toml", "mix.exs"])
def test_a_directory_or_a_loop_in_place_of_a_file_never_opens(tmp_path, file):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / file).mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / file).symlink_to(file)
    assert role(tmp_path / "a", "diwa-cloud") is Role.UNKNOWN
    assert role(tmp_path / "b", "diwa-cloud") is Role.UNKNOWN


def test_a_directory_reached_through_a_link_is_where_it_really_is(tmp_path):
    agent = project(tmp_path / "agent", "diwa-agent")
    cloud = project(tmp_path / "cloud", "diwa-cloud")
    (cloud / "link").symlink_to(agent)
    assert names(cloud / "link") == ["diwa-agent"]


def test_a_directory_with_any_name_is_shown_on_one_line(tmp_path, cli):
    place = project(tmp_path / os.fsdecode(b"a\nRole: owner\x1b[2J\xff"), "diwa-agent")
    shown = cli("guard", cwd=place, check=3).stdout
    assert "a\\nRole: owner\\x1b[2J\\udcff" in shown
    assert cli("upgrade", "--url", "sqlite:///x.db", cwd=place, check=3).stderr.startswith("[SAFETY BLOCK]")
    assert [line for line in shown.splitlines() if line.startswith("Role: ")] == [
        "Role: consumer (diwa-agent)"
    ]


def test_a_deleted_working_directory_never_opens(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    found = collect("diwa-cloud")
    assert weigh(found) is Role.UNKNOWN
    assert "working directory" in found[-1].source


def test_an_empty_argument_never_opens_and_an_empty_variable_is_unset(tmp_path, monkeypatch):
    project(tmp_path, "diwa-cloud")
    monkeypatch.setenv("DIWA_REPO", "")
    assert names(tmp_path) == ["diwa-cloud"]
    assert role(tmp_path, "") is Role.UNKNOWN


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Installed distributions as Python sees them: metadata directories on the import path."""

    def install(*wanted: str) -> None:
        for name in wanted:
            folder = tmp_path / "site" / f"{name.replace('-', '_')}-1.0.dist-info"
            folder.mkdir(parents=True)
            (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        monkeypatch.setattr(sys, "path", [str(tmp_path / "site")])

    return install


@pytest.mark.parametrize(
    ("distributions", "expected"),
    [
        (["diwa-agent"], Role.CONSUMER),
        (["diwa-agent", "diwa-cloud"], Role.OWNER),
        (["diwa-cloud"], Role.OWNER),
        ([], Role.UNKNOWN),
    ],
)
def test_installed_distributions_speak_when_nothing_else_does(tmp_path, installed, distributions, expected):
    installed(*distributions)
    assert role(tmp_path) is expected


def test_installed_distributions_are_silent_beside_any_other_evidence(tmp_path, installed):
    installed("diwa-cloud")
    assert names(project(tmp_path / "ops", "ops")) == ["ops"]


def test_collecting_is_light():
    modules = "importlib.metadata", "subprocess", "sqlalchemy", "alembic", "psycopg", "rich"
    code = f"""
import sys
from diwa_schema.guard import collect
assert collect("diwa-cloud")
sys.exit(", ".join(set({modules!r}) & set(sys.modules)) or None)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_unreadable_file_is_not_mistaken_for_a_missing_one(tmp_path, monkeypatch):
    def refuse(self: Path, *_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "read_text", refuse)
    found = collect("diwa-cloud", tmp_path)
    assert weigh(found) is Role.UNKNOWN
    assert "Permission denied" in found[1].source
