"""What the README says is so: its commands and its program run, its numbers were measured, its links lead."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import Session

import diwa_schema
from benchmarks import readme
from diwa_schema.cli.parser import build_parser
from diwa_schema.models import Context, Memory, Organization
from tests.fixtures_checkout import run
from tests.pages import reading as pages

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def steps(block: str) -> list[list[str]]:
    """Return the commands of a block, those that make the environment left out."""
    commands = block.replace("\\\n", " ").split("&&")
    return [shlex.split(command) for command in commands if command.strip().startswith(".venv/bin/")]


INSTALL, TEST, NIGHT = pages.blocks(README, "sh")
(APPLICATION,) = pages.blocks(README, "python")


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
    assert len(named) >= 15
    for link, path in named:
        assert (ROOT / (link or path)).exists(), link or path


def test_what_was_measured_is_what_the_benchmarks_wrote(tmp_path: Path) -> None:
    results = (ROOT / "benchmarks" / "RESULTS.md").read_text()
    page = (ROOT / "docs" / "performance.md").read_text()
    assert readme.few(results) in README
    assert readme.every(results) in page
    assert re.search(r"^Measured on \d{4}-\d\d-\d\d\.$", page, re.MULTILINE)
    written = tmp_path / "README.md", tmp_path / "performance.md"
    for path, text in zip(written, (README, page), strict=True):
        path.write_text(text.replace("| plain Alembic |", "| another |"))
    readme.update(results, *written)
    assert [path.read_text() for path in written] == [README, page]


def test_it_is_one_screen_and_a_half() -> None:
    lines = README.splitlines()
    assert len(lines) <= 90
    assert max(len(line) for line in lines) <= 135


def test_the_commands_of_a_night_are_those_of_the_page() -> None:
    """The page's are run."""
    page = pages.commands(pages.read("operating.md"))
    assert [words for words in pages.commands(NIGHT) if words not in page] == [["upgrade"]]
    assert [words[0] for words in pages.commands(NIGHT)] == ["plan", "upgrade", "check"]


def test_shell_commands_parse() -> None:
    for block in (INSTALL, TEST, NIGHT):
        subprocess.run(["bash", "-n", "-c", block], check=True)
    assert shutil.which("bash")
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
