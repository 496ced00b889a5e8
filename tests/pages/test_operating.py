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
from diwa_schema import errors
from diwa_schema.cli.parser import EXIT_CODES
from diwa_schema.migrations.manifest import load
from diwa_schema.run.settings import bounds
from tests.fixtures_checkout import Cli
from tests.pages.reading import blocks, read

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


def test_the_commands_of_a_night_run(owner_directory: Path, cli: Cli, sqlite: str) -> None:
    """SQLite has no sessions to renew; everything else is run as it stands."""
    cli("upgrade", load().ids[-2], "--url", sqlite, check=0)
    lines = [line for block in blocks(PAGE, "sh")[:2] for line in block.splitlines()]
    codes = []
    for line in lines:
        words = (
            line.removeprefix("python -m diwa_schema ").partition(" 2>")[0].replace(" --renew diwa_app", "")
        )
        codes.append((words.split()[0], cli(*words.split(), env={"DATABASE_URL": sqlite}).returncode))
    assert codes == [("status", 1), ("check", 0), ("plan", 0), ("upgrade", 0), ("status", 0), ("check", 0)]


def test_an_interrupted_command_says_what_is_quoted(capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    from diwa_schema import api, cli
    from diwa_schema.cli.signals import Terminated

    def ended(**_: object) -> None:
        raise Terminated(15)

    monkeypatch.setattr(api, "status", ended)
    assert cli.main(["status", "--url", "sqlite:///app.db"]) == 143
    assert capsys.readouterr().err.strip() == STOPPED


def test_a_schema_out_of_date_is_told_as_quoted(owner_directory: Path, cli: Cli) -> None:
    quoted = blocks(TROUBLE, "text")[1].strip()
    before_last = load().ids[-2]
    cli("upgrade", before_last, "--url", "sqlite:///app.db", check=0)
    assert (owner_directory / "app.db").is_file()
    with pytest.raises(errors.SchemaOutOfDate) as raised:
        diwa_schema.ensure_current("sqlite:///app.db")
    assert str(raised.value).startswith(quoted)
    assert before_last in str(raised.value)
    assert "python -m diwa_schema upgrade" in str(raised.value)
    told = cli("status", "--url", "sqlite:///app.db", check=1).stdout
    assert before_last in told
    cli("upgrade", "--url", "sqlite:///app.db", check=0)
    diwa_schema.ensure_current("sqlite:///app.db")


def test_an_incomplete_restore_is_told_as_quoted(owner_directory: Path, head_file: Path, cli: Cli) -> None:
    path = shutil.copy(head_file, owner_directory / "app.db")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE tasks")
    with pytest.raises(errors.DriftFound) as raised:
        diwa_schema.ensure_current("sqlite:///app.db")
    assert raised.value.what.replace(load().head, "HEAD").startswith(RESTORED)
    assert "missing   1 table: tasks" in cli("status", "--url", "sqlite:///app.db", check=1).stdout
    assert "table tasks is missing" in cli("check", "--url", "sqlite:///app.db", check=1).stdout


def test_other_quotes_of_the_troubleshooting_are_in_the_source() -> None:
    source = "\n".join(path.read_text() for path in Path(diwa_schema.__file__).parent.rglob("*.py"))
    for quoted in blocks(TROUBLE, "text")[2:]:
        assert quoted.strip() in source
