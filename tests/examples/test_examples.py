"""The two shims, run as their own packages without being installed."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from tests.fixtures_checkout import run

EXAMPLES = Path(__file__).parents[2] / "examples"
REPOSITORIES = ("diwa-agent", "diwa-cloud")

Shim = Callable[..., subprocess.CompletedProcess[str]]


def script(name: str) -> tuple[str, str]:
    """Return module and function of the example's only console script."""
    scripts = tomllib.loads((EXAMPLES / name / "pyproject.toml").read_text())["project"]["scripts"]
    module, _, function = scripts.pop(f"{name}-migrate").partition(":")
    assert not scripts
    return module, function


def path_of(name: str) -> dict[str, str]:
    ours = [str(EXAMPLES / name / "src"), str(Path(__file__).parents[2] / "src")]
    return {"PYTHONPATH": os.pathsep.join(ours)}


@pytest.fixture
def shim(tmp_path: Path) -> Shim:
    """Runs an example's console script as an installed one would run, outside of every checkout."""

    def call(name: str, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
        module, function = script(name)
        code = f"import sys; from {module} import {function}; sys.exit({function}())"
        return run([sys.executable, "-c", code, *args], cwd=tmp_path, env=path_of(name) | env)

    return call


def bypasses(url: str) -> set[tuple[str, str]]:
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT DISTINCT bypass, bypass_reason FROM diwa_schema_ledger").fetchall()
    return {(str(bypass), str(reason)) for bypass, reason in rows}


def test_agent_is_blocked(shim: Shim, postgres: str, dump) -> None:
    before = dump(postgres)
    done = shim("diwa-agent", "--url", postgres)
    assert done.returncode == 3
    assert done.stderr.startswith("[SAFETY BLOCK] Database migrations in 'diwa-agent' are restricted")
    assert done.stdout == ""
    assert dump(postgres) == before


def test_cloud_runs(shim: Shim, postgres: str) -> None:
    done = shim("diwa-cloud", DATABASE_URL=postgres)
    assert done.returncode == 0, done.stderr
    assert "SAFETY" not in done.stderr
    assert bypasses(postgres) == {("None", "None")}


def test_agent_with_the_bypass_runs_and_says_so(shim: Shim, postgres: str) -> None:
    done = shim(
        "diwa-agent",
        "--url",
        postgres,
        ALLOW_CORE_MIGRATION="true",
        ALLOW_CORE_MIGRATION_REASON="cloud is down",
    )
    assert done.returncode == 0, done.stderr
    assert "[SAFETY BYPASS]" in done.stderr
    assert "cloud is down" in done.stderr
    assert bypasses(postgres) == {("ALLOW_CORE_MIGRATION=true", "cloud is down")}


def test_agent_stays_blocked_where_the_shell_says_cloud(shim: Shim, sqlite: str, tmp_path: Path) -> None:
    done = shim("diwa-agent", "--url", sqlite, DIWA_REPO="diwa-cloud")
    assert done.returncode == 3
    assert not (tmp_path / "diwa.db").exists()


@pytest.mark.parametrize("name", REPOSITORIES)
def test_glue_has_at_most_ten_lines(name: str) -> None:
    source = (EXAMPLES / name / "src" / f"{script(name)[0].replace('.', '/')}.py").read_text()
    assert len([line for line in source.splitlines() if line.strip()]) <= 10


@pytest.mark.parametrize("name", REPOSITORIES)
def test_example_depends_on_the_package_and_queries_a_model(name: str) -> None:
    project = tomllib.loads((EXAMPLES / name / "pyproject.toml").read_text())["project"]
    assert project["name"] == name
    assert any(dependency.startswith("diwa-schema") for dependency in project["dependencies"])
    sources = [ast.parse(path.read_text()) for path in (EXAMPLES / name / "src").rglob("*.py")]
    imported = {
        node.module for tree in sources for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)
    }
    assert "diwa_schema.models" in imported


@pytest.mark.parametrize("name", REPOSITORIES)
def test_example_passes_its_own_tests(name: str) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    alone = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = run(command, cwd=EXAMPLES / name, env=path_of(name) | alone, check=0)
    assert "1 passed" in done.stdout


@pytest.mark.parametrize("name", REPOSITORIES)
def test_its_own_alembic_takes_no_shared_table_for_one_of_its_own(
    name: str, database: str, tmp_path: Path
) -> None:
    run(
        [sys.executable, "-m", "diwa_schema", "upgrade", "--repo", "diwa-cloud", "--url", database],
        cwd=tmp_path,
        check=0,
    )
    shutil.copytree(EXAMPLES / name, tmp_path / name)
    url = make_url(database)
    driver = {"postgresql": "postgresql+psycopg"}.get(url.drivername, url.drivername)
    spelled = url.set(drivername=driver).render_as_string(hide_password=False)
    alembic = [sys.executable, "-m", "alembic", "revision", "--autogenerate", "-m", "own"]
    run(alembic, cwd=tmp_path / name, env=path_of(name) | {"DATABASE_URL": spelled}, check=0)
    (script,) = (tmp_path / name / "history" / "versions").glob("*_own.py")
    assert "op." not in script.read_text()
