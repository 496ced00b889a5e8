"""A plain `alembic` command that only looks leaves a database, and the folder of a file that is not there, as it was."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import diwa_schema
from tests.fixtures_databases import dump_database
from tests.sampling import sampled

LOOKING = ("current", "check", "history --indicate-current", "revision -m new")


@pytest.fixture(params=["owner_directory", "consumer_directory"])
def anybody(request: pytest.FixtureRequest) -> None:
    """The working directory of the owner, and of a consumer."""
    request.getfixturevalue(request.param)


def alembic(folder: Path, url: str, words: str) -> subprocess.CompletedProcess[str]:
    """Run `alembic` on a copy of the package's migrations, so that a new revision gets into no source."""
    migrations = folder / "migrations"
    if not migrations.exists():
        shutil.copytree(Path(diwa_schema.__file__).parent / "migrations", migrations)
    ini = folder / "alembic.ini"
    ini.write_text(
        f"[alembic]\nscript_location = {migrations}\nrevision_environment = true\n"
        f"sqlalchemy.url = {url.replace('%', '%%')}\n"
    )
    command = [sys.executable, "-m", "alembic", "-c", str(ini), *words.split()]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.usefixtures("anybody")
@pytest.mark.parametrize("words", sampled(LOOKING, "check", "revision -m new"))
def test_on_an_empty_database_nothing_is_made(database: str, tmp_path: Path, words: str) -> None:
    before = dump_database(database)
    done = alembic(tmp_path, database, words)
    assert "Traceback" not in done.stderr
    assert dump_database(database) == before
    if database.startswith("sqlite"):
        assert not Path(database.removeprefix("sqlite:///")).exists()
    assert diwa_schema.status(database).revision is None


def test_after_a_look_the_owner_migrates_as_before(
    database: str, owner_directory: Path, tmp_path: Path
) -> None:
    for words in LOOKING[:-1]:
        alembic(tmp_path, database, words)
    assert diwa_schema.migrate(database).after is not None
    assert diwa_schema.check(database) == []


@pytest.mark.parametrize("words", ["stamp head --sql", "revision --sql -m new"])
def test_sql_of_what_has_none_is_refused_in_words(
    sqlite: str, consumer_directory: Path, tmp_path: Path, words: str
) -> None:
    done = alembic(tmp_path, sqlite, words)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert "Run: diwa-schema upgrade --sql" in done.stderr
