"""What somebody who installs the package gets: version, extras, types, and a changelog in the usual form."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from zipfile import ZipFile

import pytest

import diwa_schema
from diwa_schema.cli.parser import build_parser
from tests.fixtures_checkout import Cli, run

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SECTIONS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_version_stands_in_one_place(cli: Cli) -> None:
    assert diwa_schema.__version__ == version("diwa-schema")
    assert "version" in PROJECT["dynamic"]
    assert diwa_schema.__version__ in cli("--version", check=0).stdout
    sources = [path for path in (ROOT / "src").rglob("*.py") if diwa_schema.__version__ in path.read_text()]
    assert sources == [ROOT / "src/diwa_schema/__init__.py"]


def test_types_are_shipped() -> None:
    assert files("diwa_schema").joinpath("py.typed").is_file()


def test_both_ways_to_start_it_are_one(cli: Cli) -> None:
    assert PROJECT["scripts"] == {"diwa-schema": "diwa_schema.__main__:process"}
    assert cli("--help", check=0).stdout.startswith("usage: diwa-schema")


@pytest.mark.parametrize("arguments", [("status",), ("upgrade",), ("drop",)])
def test_without_libpq_the_error_names_the_extra(cli: Cli, arguments: tuple[str, ...]) -> None:
    # psycopg ships no implementation of that name without its own package, so it finds none at all.
    absent = {"PSYCOPG_IMPL": "c"}
    done = cli(*arguments, "--url", "postgresql://nobody@127.0.0.1:1/none", env=absent, check=2)
    assert "pip install 'diwa-schema[binary]'" in done.stderr
    assert "Traceback" not in done.stderr
    assert PROJECT["optional-dependencies"]["binary"][0].startswith("psycopg[binary]")


def test_without_libpq_sqlite_works(cli: Cli, tmp_path: Path) -> None:
    cli("upgrade", "--embedded", str(tmp_path / "diwa.db"), env={"PSYCOPG_IMPL": "c"}, check=0)


def test_the_changelog_keeps_its_form() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    releases = re.findall(r"^## (.*)$", text, flags=re.MULTILINE)
    assert releases[0] == "[Unreleased]"
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d{2}-\d{2}", release) for release in releases[1:])
    assert set(re.findall(r"^### (.*)$", text, flags=re.MULTILINE)) <= SECTIONS
    if ".dev" not in diwa_schema.__version__:
        assert f"[{diwa_schema.__version__}] - " in text


def test_the_changelog_names_every_command() -> None:
    (commands,) = (action.choices for action in build_parser()._actions if action.choices)
    named = re.findall(r"`([a-z-]+)`", (ROOT / "CHANGELOG.md").read_text())
    assert sorted(set(dict(commands)) - set(named)) == []


def test_it_runs_from_an_archive_and_says_what_needs_files(tmp_path: Path, owner_directory: Path) -> None:
    """A zipapp holds its packages in one file; only single revisions have to be files of their own."""
    archive, url = tmp_path / "app.pyz", f"sqlite:///{tmp_path}/diwa.db"
    with ZipFile(archive, "w") as packed:
        for path in (ROOT / "src").rglob("*"):
            if "__pycache__" not in path.parts:
                packed.write(path, path.relative_to(ROOT / "src"))
    code = (
        f"import sys; sys.path.insert(0, {str(archive)!r}); from diwa_schema.cli import main; import diwa_schema;"
        f" assert diwa_schema.__file__.startswith({str(archive)!r}); sys.exit(main(sys.argv[1:]))"
    )
    for words in (["upgrade"], ["upgrade"], ["status"], ["check"]):
        run([sys.executable, "-c", code, *words, "--url", url], check=0)
    done = run([sys.executable, "-c", code, "downgrade", "--url", url], check=2)
    assert "archive" in done.stderr
    assert "pip install diwa-schema" in done.stderr
