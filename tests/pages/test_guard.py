"""What docs/guard.md and the troubleshooting say of the guard is so."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest

from diwa_schema.guard.evidence import Role
from diwa_schema.guard.verdict import Bypass, Operation, decide
from tests.fixtures_checkout import VARIABLES, Cli, run
from tests.pages.reading import blocks, read

PAGE, TROUBLE = read("guard.md"), read("reference/troubleshooting.md")
(SHOWN,) = blocks(PAGE, "text")
BLOCK = blocks(TROUBLE, "text")[0].strip()


def test_the_verdict_is_the_one_that_is_printed(consumer_directory: Path, cli: Cli) -> None:
    done = cli("guard", env={"DIWA_REPO": "diwa-cloud"}, check=3)
    printed = done.stdout.replace(str(consumer_directory), "/srv/diwa-agent")
    assert printed.startswith(SHOWN)


def test_the_block_is_the_one_that_is_printed(consumer_directory: Path, cli: Cli, sqlite: str) -> None:
    done = cli("upgrade", "--url", sqlite, check=3)
    assert done.stderr.startswith(BLOCK)
    assert "cd ../diwa-cloud" in done.stderr
    for told in ("ALLOW_CORE_MIGRATION=true", "ALLOW_CORE_MIGRATION_REASON="):
        assert told in done.stderr
        assert told in TROUBLE
        assert told in PAGE
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
    (elsewhere / "pyproject.toml").write_text(blocks(PAGE, "toml")[0])
    cli("guard", cwd=elsewhere, check=0)


@pytest.mark.usefixtures("consumer_directory")
@pytest.mark.parametrize("page", [PAGE, TROUBLE], ids=["guard", "troubleshooting"])
def test_the_bypass_runs_says_so_and_is_kept(page: str, cli: Cli, sqlite: str) -> None:
    typed = re.search(r"(ALLOW_CORE_MIGRATION=\S+ .*) python -m diwa_schema upgrade", page)
    assert typed
    variables = dict(word.split("=", 1) for word in shlex.split(typed[1]))
    assert set(variables) <= set(VARIABLES)
    done = cli("upgrade", "--url", sqlite, env=variables, check=0)
    assert "BYPASS" in done.stderr
    assert "bypassed" in cli("history", "--applied", "--url", sqlite, check=0).stdout
    assert "bypassed" in cli("status", "--url", sqlite, check=0).stdout
    assert cli("drop", "--url", sqlite, env=variables).returncode == 3


def test_the_table_of_operations_is_the_rule() -> None:
    """A row's commands run for the owner; the last two cells say what the rule says of a consumer."""
    operations = {
        "enable-vector": "convert",
        "disable-vector": "convert",
        "index": "convert",
        "roles --apply": "roles",
    }
    rows = re.findall(r"^\| (`.*?) \| (runs) \| (\w+) \| (\w+).* \|$", PAGE, flags=re.MULTILINE)
    told: dict[str, tuple[str, str]] = {}
    for named, _, plain, bypassed in rows[:2]:
        for word in re.findall(r"`([^`]+)`", named):
            told[operations.get(word, word)] = (plain, bypassed)
    agent = [_evidence("diwa-agent", Role.CONSUMER)]
    for operation in Operation:
        if operation in (Operation.CREATE_ALL, Operation.DROP_ALL):
            continue
        allowed = tuple(
            "runs" if decide(operation, agent, bypass).allowed else "blocked"
            for bypass in (None, Bypass("ALLOW_CORE_MIGRATION=true", None))
        )
        assert told.pop(operation.value) == allowed, operation
        assert decide(operation, [_evidence("diwa-cloud", Role.OWNER)]).allowed
    assert told == {}


def _evidence(name: str, role: Role):
    from diwa_schema.guard.evidence import Evidence

    return Evidence(name, "test", role)


@pytest.mark.usefixtures("consumer_directory")
def test_the_embedded_database_is_not_blocked(cli: Cli, tmp_path: Path) -> None:
    cli("upgrade", "--embedded", str(tmp_path / "private.db"), check=0)
