"""What docs/operating.md and the reference say of exit codes and stops is so."""

from __future__ import annotations

import inspect
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import diwa_schema
from diwa_schema import api, cli, errors
from diwa_schema.cli.parser import EXIT_CODES
from diwa_schema.migrations.manifest import load
from diwa_schema.run.interruption import Terminated
from diwa_schema.run.replay import Replay
from diwa_schema.run.settings import bounds
from tests.pages.reading import blocks, commands, read

PAGE, CODES, TROUBLE = (
    read("operating.md"),
    read("reference/exit-codes.md"),
    read("reference/troubleshooting.md"),
)
STOPPED, RESTORED = (text.strip() for text in blocks(PAGE, "text"))


def test_exit_codes_are_those_of_the_parser_and_the_errors() -> None:
    listed = dict(re.findall(r"^\| (\d+) \| ([a-zA-Z][^|]*) \|", CODES, flags=re.MULTILINE))
    assert {int(code): meaning for code, meaning in listed.items()} == EXIT_CODES
    named = {
        name: int(code)
        for code, names in re.findall(r"^\| (\d) \| (`.*) \|$", CODES, flags=re.MULTILINE)
        for name in re.findall(r"`(\w+)`", names)
    }
    classes = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]
    assert named == {
        kind.__name__: kind.exit_code for kind in classes if issubclass(kind, errors.DiwaSchemaError)
    }


def test_what_waits_is_what_the_settings_say() -> None:
    told = re.findall(r"\| (\d+) (ms|s)[^|]* \| `--([\w-]+) ", PAGE)
    assert {(name.replace("-", "_"), float(number), unit) for number, unit, name in told} == {
        (bound.name, bound.default, bound.unit) for bound in bounds()
    }


@pytest.fixture
def behind(owner_directory: Path, head_file: Path) -> str:
    """The URL of a database one revision behind head."""
    shutil.copy(head_file, owner_directory / "app.db")
    api.downgrade("sqlite:///app.db", "-1")
    return "sqlite:///app.db"


def test_the_commands_of_a_night_run(behind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite has no sessions to renew; everything else is run as it stands."""
    monkeypatch.setenv("DATABASE_URL", behind)
    codes = []
    for words in (words for block in blocks(PAGE, "sh")[:2] for words in commands(block)):
        run = [word for word in words if word not in ("--renew", "diwa_app")]
        codes.append((words[0], cli.main(run)))
    assert codes == [("status", 1), ("check", 0), ("plan", 0), ("upgrade", 0), ("status", 0), ("check", 0)]


def test_an_interrupted_command_says_what_is_quoted(
    behind: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(*_: object, **__: object) -> None:
        raise Terminated(15)

    monkeypatch.setattr(Replay, "_function", ended)
    assert cli.main(["upgrade", "--url", behind]) == 143
    step = load().get(load().head)
    assert (
        capsys.readouterr()
        .err.strip()
        .endswith(STOPPED.replace("REVISION (SLUG)", f"{step.revision} ({step.slug})"))
    )


def test_a_schema_out_of_date_is_told_as_quoted(behind: str, capsys: pytest.CaptureFixture[str]) -> None:
    quoted = blocks(TROUBLE, "text")[1].strip()
    with pytest.raises(errors.SchemaOutOfDate) as raised:
        diwa_schema.ensure_current(behind)
    assert str(raised.value).startswith(quoted)
    for told in (load().ids[-2], load().head, "python -m diwa_schema upgrade"):
        assert told in str(raised.value)
    assert cli.main(["status", "--url", behind]) == 1
    assert load().ids[-2] in capsys.readouterr().out
    assert cli.main(["upgrade", "--url", behind]) == 0
    diwa_schema.ensure_current(behind)


def test_an_incomplete_restore_is_told_as_quoted(
    owner_directory: Path, head_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = shutil.copy(head_file, owner_directory / "app.db")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE tasks")
    with pytest.raises(errors.DriftFound) as raised:
        diwa_schema.ensure_current("sqlite:///app.db")
    assert raised.value.what.replace(load().head, "HEAD").startswith(RESTORED)
    for command, told in (("status", "missing   1 table: tasks"), ("check", "table tasks is missing")):
        assert cli.main([command, "--url", "sqlite:///app.db"]) == 1
        assert told in capsys.readouterr().out


def test_other_quotes_of_the_troubleshooting_are_in_the_source() -> None:
    source = "\n".join(path.read_text() for path in Path(diwa_schema.__file__).parent.rglob("*.py"))
    for quoted in blocks(TROUBLE, "text")[2:]:
        assert quoted.strip() in source
