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

from diwa_schema.testing import embedded
from tests.fixtures_checkout import VARIABLES, run
from tests.fixtures_server import Server
from tests.kit import shapes

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


def facts() -> Path | None:
    """Return the folder of facts about the databases in the field, which DIWA_SHARED names; None where there is none."""
    folder = Path(os.environ.get("DIWA_SHARED") or Path(__file__).parents[2] / "shared")
    return folder if (folder / "upstream").is_dir() else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the second opinion out where there is none: what the facts say, `tests/kit` says as well."""
    if facts() is not None:
        return
    second = [item for item in items if "shared" in getattr(item, "fixturenames", ())]
    config.hook.pytest_deselected(items=second)
    items[:] = [item for item in items if item not in second]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of facts; without it, no test that asks for it is run."""
    folder = facts()
    assert folder is not None
    return folder


@pytest.fixture(scope="session")
def legacy_templates(server: Server) -> Iterator[dict[str, str]]:
    """The PostgreSQL databases that `legacy` and `legacy_file` made, by what is in them."""
    templates: dict[str, str] = {}
    yield templates
    for name in templates.values():
        server.drop(name)


@pytest.fixture
def legacy(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., str]:
    """Makes a database as Ecto left it (`tests.kit.shapes`, by shape or file name) and returns its URL."""

    def make(name: str, *, lite: bool = False, rows: bool = True) -> str:
        shape = shapes.SHAPES[shapes.FILES.get(name, name)]
        if lite or name == shapes.LITE_FILE:
            url = f"sqlite:///{tmp_path / f'{name}-{uuid4().hex[:8]}.db'}"
            shapes.write(url, shape, rows=rows)
            return url

        def write(url: str) -> None:
            shapes.write(url, shape, rows=rows)

        return _copy(f"{name} {rows}", write, request, needs_vector=shape.needs_vector)

    return make


@pytest.fixture
def legacy_file(request: pytest.FixtureRequest, shared: Path, tmp_path: Path) -> Callable[[str], str]:
    """Loads a file of `upstream/legacy`, named without its ending, and returns the database's URL."""

    def load(name: str) -> str:
        folder = shared / "upstream" / "legacy"
        if name == shapes.LITE_FILE:
            return _load_sqlite(folder / "sqlite" / f"{name}.sql", tmp_path / f"{name}-{uuid4().hex[:8]}.db")
        text = (folder / f"{name}.sql").read_text()

        def write(url: str) -> None:
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(text.encode())

        return _copy(
            f"file {name}", write, request, needs_vector="CREATE EXTENSION IF NOT EXISTS vector" in text
        )

    return load


def _copy(
    key: str, write: Callable[[str], None], request: pytest.FixtureRequest, *, needs_vector: bool
) -> str:
    """Return the URL of a copy of a database that is written once in a run."""
    server: Server = request.getfixturevalue("server")
    templates: dict[str, str] = request.getfixturevalue("legacy_templates")
    if needs_vector and not server.has_vector:
        pytest.skip(f"{key} needs pgvector, which this server does not have")
    if key not in templates:
        templates[key] = database_name()
        write(server.create(templates[key]))
    return str(request.getfixturevalue("new_database")(templates[key]))


def _load_sqlite(script: Path, path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script.read_text())
    return f"sqlite:///{path}"


@pytest.fixture(scope="session")
def dump() -> Callable[[str], str]:
    """Returns a database's schema and rows as text, in their physical order, to compare with `==`."""
    return dump_database


def dump_database(url: str) -> str:
    """Return schema and rows of a database as text; a SQLite file that does not exist yields ''."""
    if url.startswith("sqlite:"):
        return _dump_sqlite(Path(unquote(urlsplit(url).path[1:])))
    written = subprocess.run(
        [embedded.programs() / "pg_dump", url], capture_output=True, text=True, check=False
    )
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
