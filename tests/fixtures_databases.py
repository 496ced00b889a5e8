"""The database a test works on: empty, or as Ecto left it; and what is in it, to compare."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import psycopg
import pytest

from tests.fixtures_checkout import VARIABLES, run
from tests.fixtures_server import Server, wheel_programs

PREFIX = "diwa_test_"


def database_name() -> str:
    """Return a name that no other test uses."""
    return PREFIX + uuid4().hex[:12]


@pytest.fixture
def new_database(server: Server) -> Iterator[Callable[..., str]]:
    """A function that creates a PostgreSQL database (`template=` of its own) and returns its URL."""
    names: list[str] = []

    def create(template: str = "template0") -> str:
        names.append(database_name())
        return server.create(names[-1], template)

    yield create
    for name in names:
        server.drop(name)


@pytest.fixture
def postgres(new_database: Callable[..., str]) -> str:
    """The URL of a new, empty PostgreSQL database."""
    return new_database()


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    """The URL of a SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'diwa.db'}"


@pytest.fixture(params=["postgresql", "sqlite"])
def database(request: pytest.FixtureRequest) -> str:
    """The URL of a new, empty database: the test runs once on PostgreSQL and once on SQLite."""
    return str(request.getfixturevalue("postgres" if request.param == "postgresql" else "sqlite"))


@pytest.fixture(scope="session")
def head_template(server: Server) -> Iterator[str]:
    """The name of a PostgreSQL database at head, to be copied and not to be changed."""
    name = database_name()
    upgrade(server.create(name))
    yield name
    server.drop(name)


@pytest.fixture(scope="session")
def head_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite database at head, to be copied and not to be changed."""
    path = tmp_path_factory.mktemp("template") / "head.db"
    upgrade(f"sqlite:///{path}")
    return path


def upgrade(url: str) -> None:
    """Bring a database to head as the owner does, whatever the shell around the tests says."""
    command = [sys.executable, "-m", "diwa_schema", "upgrade", "--url", url, "--repo", "diwa-schema"]
    run(command, cwd=Path(__file__).parents[1], env=dict.fromkeys(VARIABLES), check=0)


@pytest.fixture(params=["postgresql", "sqlite"])
def at_head(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database at head: the test runs once on PostgreSQL and once on SQLite."""
    if request.param == "postgresql":
        template = request.getfixturevalue("head_template")
        return str(request.getfixturevalue("new_database")(template))
    return f"sqlite:///{shutil.copy(request.getfixturevalue('head_file'), tmp_path / 'head.db')}"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of facts about the databases in the field; without it a test is skipped."""
    folder = Path(os.environ.get("DIWA_SHARED") or Path(__file__).parents[2] / "shared")
    if not (folder / "upstream").is_dir():
        pytest.skip(f"no facts in {folder}: name their folder in DIWA_SHARED")
    return folder


@pytest.fixture(scope="session")
def legacy_templates(server: Server) -> Iterator[dict[str, str]]:
    """The databases already loaded by `legacy`, by the name of their file."""
    templates: dict[str, str] = {}
    yield templates
    for name in templates.values():
        server.drop(name)


@pytest.fixture
def legacy(
    request: pytest.FixtureRequest, shared: Path, legacy_templates: dict[str, str], tmp_path: Path
) -> Callable[[str], str]:
    """Loads a file of `upstream/legacy`, named without its ending, and returns the database's URL."""

    def load(name: str) -> str:
        folder = shared / "upstream" / "legacy"
        lite = folder / "sqlite" / f"{name}.sql"
        if lite.exists():
            return _load_sqlite(lite, tmp_path / f"{name}-{uuid4().hex[:8]}.db")
        if name not in legacy_templates:
            server: Server = request.getfixturevalue("server")
            legacy_templates[name] = _load_postgres(folder / f"{name}.sql", server)
        return str(request.getfixturevalue("new_database")(legacy_templates[name]))

    return load


def _load_sqlite(script: Path, path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script.read_text())
    return f"sqlite:///{path}"


def _load_postgres(script: Path, server: Server) -> str:
    text = script.read_text()
    if "CREATE EXTENSION IF NOT EXISTS vector" in text and not server.has_vector:
        pytest.skip(f"{script.name} needs pgvector, which this server does not have")
    name = database_name()
    with psycopg.connect(server.create(name), autocommit=True) as connection:
        connection.execute(text.encode())
    return name


@pytest.fixture(scope="session")
def dump() -> Callable[[str], str]:
    """Returns a database's schema and rows as text, in their physical order, to compare with `==`."""
    return dump_database


def dump_database(url: str) -> str:
    """Return schema and rows of a database as text; a SQLite file that does not exist yields ''."""
    if url.startswith("sqlite:"):
        return _dump_sqlite(Path(unquote(urlsplit(url).path[1:])))
    written = subprocess.run([wheel_programs() / "pg_dump", url], capture_output=True, text=True, check=False)
    assert written.returncode == 0, written.stderr
    # These two lines carry a word that is new in every dump.
    return "\n".join(
        line for line in written.stdout.splitlines() if not line.startswith(("\\restrict", "\\unrestrict"))
    )


def _dump_sqlite(path: Path) -> str:
    if not path.exists():
        return ""
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        pragmas = [
            f"PRAGMA {name} = {connection.execute(f'PRAGMA {name}').fetchone()[0]};"
            for name in ("user_version", "application_id", "journal_mode")
        ]
        return "\n".join([*pragmas, *connection.iterdump()])
