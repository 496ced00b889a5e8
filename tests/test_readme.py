"""What the README says is so: its commands run, its messages are those that are printed, its links lead."""

from __future__ import annotations

import argparse
import inspect
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

import diwa_schema
from benchmarks import readme
from diwa_schema import errors
from diwa_schema.cli.parser import build_parser
from diwa_schema.models import Context, Memory, Organization
from tests.fixtures_checkout import VARIABLES, Cli, run

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def blocks(language: str) -> list[str]:
    """Return the fenced blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


def steps(block: str) -> list[list[str]]:
    """Return the commands of a block, those that make the environment left out."""
    commands = block.replace("\\\n", " ").split("&&")
    return [shlex.split(command) for command in commands if command.strip().startswith(".venv/bin/")]


def commands() -> list[list[str]]:
    """Return the words of every `python -m diwa_schema` command that the text names."""
    found = re.findall(r"python -m diwa_schema ([a-z][^`\n]*|--\w+)", README)
    assert len(found) > 5
    return [shlex.split(words) for words in found]


INSTALL, TEST = blocks("sh")
BLOCK, OUT_OF_DATE = (text.strip() for text in blocks("text"))
(APPLICATION,) = blocks("python")


def test_the_first_command_does_the_main_job(tmp_path: Path) -> None:
    _, (program, *arguments) = steps(INSTALL)
    assert program == ".venv/bin/python"
    home = {"XDG_DATA_HOME": None, "HOME": str(tmp_path)}
    run([sys.executable, *arguments], cwd=tmp_path, env=home, check=0)
    named = re.search(r"`~/(\S+\.db)`", README)
    assert named
    assert (tmp_path / named[1]).is_file()
    diwa_schema.ensure_current(f"sqlite:///{tmp_path / named[1]}")


def test_what_the_commands_install_is_declared() -> None:
    (install, _), (upgrade, editable, tests) = steps(INSTALL), steps(TEST)
    assert install == [".venv/bin/pip", "install", ".[binary]"]
    assert "binary" in PROJECT["project"]["optional-dependencies"]
    assert upgrade[1:3] == ["install", "--upgrade"]
    assert editable[-2:] == ["--group", "test"]
    assert "test" in PROJECT["dependency-groups"]
    assert tests[0] == ".venv/bin/pytest"


def test_the_gate_runs_both_commands() -> None:
    """`.ci/run` takes them from the README, so they are run whole, in a new environment."""
    script = (ROOT / ".ci" / "run").read_text()
    words = re.findall(r"^.*run_readme '([^']+)'$", script, flags=re.MULTILINE)
    assert words == ["upgrade --embedded", "bin/pytest", "bin/pytest"]
    lister = script[script.index("readme() {") : script.index("# Runs the README's")]
    for word, block in zip(words, (INSTALL, TEST, TEST), strict=True):
        taken = subprocess.check_output(["bash", "-c", f"{lister}\nreadme '{word}'"], cwd=ROOT, text=True)
        assert taken.strip() == block.strip()


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_named_commands_exist(words: list[str]) -> None:
    """The parser takes every command that the text names, with its arguments."""
    if words[0].startswith("--"):
        with pytest.raises(SystemExit) as ended:
            build_parser().parse_args(words)
        assert ended.value.code == 0
    else:
        assert callable(build_parser().parse_args(words).run)


def test_the_block_is_the_one_that_is_printed(consumer_directory: Path, cli: Cli, sqlite: str) -> None:
    done = cli("upgrade", "--url", sqlite, check=3)
    assert done.stderr.startswith(BLOCK)
    assert "cd ../diwa-cloud" in done.stderr
    for told in ("ALLOW_CORE_MIGRATION=true", "ALLOW_CORE_MIGRATION_REASON="):
        assert told in done.stderr
        assert told in README
    assert list(consumer_directory.parent.glob("*.db")) == []


def test_plain_alembic_is_blocked_as_well(consumer_directory: Path, sqlite: str, tmp_path: Path) -> None:
    settings = f"[alembic]\nscript_location = diwa_schema:migrations\nsqlalchemy.url = {sqlite}\n"
    (consumer_directory / "alembic.ini").write_text(settings)
    done = run([sys.executable, "-m", "alembic", "upgrade", "head"], check=3)
    assert done.stderr.startswith(BLOCK)
    assert not (tmp_path / "diwa.db").exists()


def test_naming_oneself_opens_only_where_nobody_else_speaks(
    consumer_directory: Path, cli: Cli, tmp_path: Path
) -> None:
    for arguments, variables in (([], {"DIWA_REPO": "diwa-cloud"}), (["--repo", "diwa-cloud"], {})):
        cli("guard", *arguments, env=variables, check=3)
    elsewhere = tmp_path / "operations"
    elsewhere.mkdir()
    cli("guard", cwd=elsewhere, check=3)
    cli("guard", "--repo", "diwa-cloud", cwd=elsewhere, check=0)
    cli("guard", cwd=elsewhere, env={"DIWA_REPO": "diwa-cloud"}, check=0)
    (elsewhere / "pyproject.toml").write_text('[tool.diwa-schema]\nrepo = "diwa-cloud"\n')
    cli("guard", cwd=elsewhere, check=0)


@pytest.mark.usefixtures("consumer_directory")
def test_the_bypass_runs_says_so_and_is_kept(cli: Cli, sqlite: str) -> None:
    typed = re.search(r"`(ALLOW_CORE_MIGRATION=\S+ [^`]*) python -m diwa_schema upgrade`", README)
    assert typed
    variables = dict(word.split("=", 1) for word in shlex.split(typed[1]))
    assert set(variables) <= set(VARIABLES)
    done = cli("upgrade", "--url", sqlite, env=variables, check=0)
    assert "BYPASS" in done.stderr
    assert "bypassed" in cli("history", "--applied", "--url", sqlite, check=0).stdout
    assert cli("drop", "--url", sqlite, env=variables).returncode == 3


@pytest.mark.usefixtures("consumer_directory")
def test_the_embedded_database_is_not_blocked(cli: Cli, tmp_path: Path) -> None:
    cli("upgrade", "--embedded", str(tmp_path / "private.db"), check=0)


def test_a_schema_out_of_date_is_told_as_quoted(owner_directory: Path, cli: Cli) -> None:
    older = cli("history", "--json", check=0).stdout
    before_last = re.findall(r'"revision": "(\d{14})"', older)[-2]
    cli("upgrade", before_last, "--url", "sqlite:///app.db", check=0)
    assert (owner_directory / "app.db").is_file()
    with pytest.raises(errors.SchemaOutOfDate) as raised:
        diwa_schema.ensure_current("sqlite:///app.db")
    assert str(raised.value).startswith(OUT_OF_DATE)
    assert before_last in str(raised.value)
    assert "python -m diwa_schema upgrade" in str(raised.value)
    told = cli("status", "--url", "sqlite:///app.db", check=1).stdout
    assert before_last in told
    cli("upgrade", "--url", "sqlite:///app.db", check=0)
    diwa_schema.ensure_current("sqlite:///app.db")


def test_the_application_snippet_runs(database: str) -> None:
    diwa_schema.migrate(database, repo="diwa-schema")
    url = database.replace("postgresql://", "postgresql+psycopg://")
    setup = sa.create_engine(url)
    with Session(setup) as session:
        context = Context(name="home", organization=Organization(name="me", slug="me"))
        session.add(Memory(context=context, content="the snippet finds this"))
        session.commit()
    setup.dispose()
    names: dict[str, object] = {"url": url}
    exec(compile(APPLICATION, "README.md", "exec"), names)
    memories, engine = names["memories"], names["engine"]
    assert isinstance(engine, sa.Engine)
    engine.dispose()
    assert isinstance(memories, list)
    assert [memory.content for memory in memories] == ["the snippet finds this"]


def test_exit_codes_are_those_of_the_errors() -> None:
    listed = {int(code) for code in re.findall(r"^\| (\d) \|", README, flags=re.MULTILINE)}
    classes = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]
    raised = {kind.exit_code for kind in classes if issubclass(kind, errors.DiwaSchemaError)}
    assert listed == raised | {0}


def test_every_command_takes_json() -> None:
    def all_of(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
        below = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
        for action in below:
            for child in dict(action.choices).values():
                yield from all_of(child)
        if not below:
            yield parser

    found = list(all_of(build_parser()))
    assert len(found) > 30
    for parser in found:
        assert "--json" in parser.format_help(), parser.prog


def test_links_and_paths_lead_somewhere() -> None:
    named = re.findall(r"\]\(([^)]+)\)|`((?:examples|docs|\.ci)/[^`]*)`", README)
    assert len(named) >= 4
    for link, path in named:
        assert (ROOT / (link or path)).exists(), link or path


def test_sessions_of_nox_are_there() -> None:
    noxfile = (ROOT / "noxfile.py").read_text()
    for name in ("lint", "types", "build", "tests", "matrix", "bench"):
        assert f"`{name}`" in README or f"nox -s {name}`" in README
        assert f"def {name}(session" in noxfile


def test_what_was_measured_is_what_the_benchmarks_wrote() -> None:
    results = (ROOT / "benchmarks" / "RESULTS.md").read_text()
    assert readme.part(results) in README
    assert re.search(r"^Measured on \d{4}-\d\d-\d\d\.$", README, re.MULTILINE)


def test_shell_commands_parse() -> None:
    for block in (INSTALL, TEST):
        subprocess.run(["bash", "-n", "-c", block], check=True)
    assert shutil.which("bash")
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
