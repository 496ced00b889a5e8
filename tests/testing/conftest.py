"""A consumer's checkout, whose tests run with the plugin in a process of their own."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from tests.fixtures_roles import as_user
from tests.fixtures_server import Server

PROJECT = """\
[project]
name = "diwa-agent"
version = "1.0"

[tool.pytest.ini_options]
addopts = ["-p", "no:cacheprovider", "--strict-markers", "--strict-config"]
filterwarnings = ["error"]
"""
# The folder of the user who runs these tests is not theirs to fill.
ELSEWHERE = """\
from pathlib import Path
from diwa_schema.testing import place
place.MEMORY, place.ROOM = Path({memory!r}), 0
"""
PASSWORD = "not-to-be-shown"

Query = Callable[[str], list[tuple[object, ...]]]


@dataclass
class Checkout:
    """The checkout of diwa-agent.

    Args:
        pytester: Where it is.
        memory: What stands for the folder in memory.
    """

    pytester: pytest.Pytester
    memory: Path

    def write(self, tests: str, conftest: str = "") -> None:
        """Write its tests, and what its conftest does beside keeping away from the user's folder."""
        self.pytester.makepyfile(test_it=tests)
        self.pytester.makeconftest(ELSEWHERE.format(memory=str(self.memory)) + conftest)

    def run(self, *args: str | Path, dsn: str | None = None) -> pytest.RunResult:
        """Run its tests; only the plugin itself and pytest-xdist are loaded."""
        named = ["--diwa-dsn", dsn] if dsn else []
        return self.pytester.runpytest_subprocess(
            "-pxdist", "-pdiwa_schema.testing", *named, *args, timeout=120
        )

    def passes(self, count: int, *args: str | Path, dsn: str | None = None) -> str:
        """Run its tests, all of which are to pass, and return what was printed."""
        result = self.run(*args, dsn=dsn)
        result.assert_outcomes(passed=count)
        assert result.ret == 0
        printed = result.stdout.str() + result.stderr.str()
        assert PASSWORD not in printed
        return printed


@pytest.fixture
def checkout(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Iterator[Checkout]:
    """The checkout; what it does happens in a short-lived folder with a short path, as sockets need one."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("DIWA_TEST_DATABASE_URL", raising=False)
    pytester.makepyprojecttoml(PROJECT)
    memory = Path(tempfile.mkdtemp(prefix="diwa-"))
    memory.chmod(0o755)
    yield Checkout(pytester, memory)
    shutil.rmtree(memory)


@pytest.fixture
def new_role(server: Server) -> Iterator[Callable[..., str]]:
    """Creates a role and returns its URL; in the end it is dropped with all that it owns.

    A template belongs to one role, and a role that is no superuser cleans up after no other: tests that run at
    the same time do not meet.
    """
    roles: list[str] = []

    def create(rights: str = "CREATEDB", database: str | None = None) -> str:
        roles.append(f"diwa_test_{uuid4().hex[:12]}")
        statement = f"CREATE ROLE {roles[-1]} LOGIN {rights} PASSWORD '{PASSWORD}'"
        with psycopg.connect(server.admin_url, autocommit=True) as connection:
            connection.execute(statement.encode())
        return as_user(server.url(database) if database else server.admin_url, roles[-1], PASSWORD)

    yield create
    for role in roles:
        _drop_role(server, role)


def _drop_role(server: Server, role: str) -> None:
    with psycopg.connect(server.admin_url, autocommit=True) as connection:
        owned = connection.execute(
            "SELECT datname::text FROM pg_database WHERE pg_get_userbyid(datdba) = %s", (role,)
        ).fetchall()
        for (name,) in owned:
            connection.execute(sql.SQL("ALTER DATABASE {} IS_TEMPLATE false").format(sql.Identifier(name)))
            server.drop(name)
        connection.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(role)))
        connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


@pytest.fixture
def dsn(new_role: Callable[..., str]) -> str:
    """The URL of a role that may create databases."""
    return new_role()


@pytest.fixture
def query(dsn: str) -> Query:
    """Runs one statement as that role in the maintenance database."""

    def run(statement: str) -> list[tuple[object, ...]]:
        with psycopg.connect(dsn, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    return run


@pytest.fixture
def databases(query: Query) -> Callable[[str], list[str]]:
    """The role's databases whose name begins so."""

    def named(prefix: str) -> list[str]:
        found = query(
            "SELECT datname::text FROM pg_database WHERE pg_get_userbyid(datdba) = current_user"
            f" AND starts_with(datname, '{prefix}') ORDER BY 1"
        )
        return [str(row[0]) for row in found]

    return named


@pytest.fixture(params=["postgresql", "sqlite"])
def place(request: pytest.FixtureRequest) -> str:
    """Where the checkout's tests make their databases: once on PostgreSQL and once on SQLite."""
    return str(request.getfixturevalue("dsn")) if request.param == "postgresql" else "sqlite://"
