"""As whom a test connects: a database with its three roles, and logins that have been granted them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

import diwa_schema
from diwa_schema.privileges.difference import Roles
from diwa_schema.privileges.existing import RoleNames
from diwa_schema.testing import embedded
from tests.fixtures_checkout import run

CHANGES = {
    "ALTER": "ALTER TABLE memories ADD COLUMN mood text",
    "CREATE": "CREATE TABLE notes (id int)",
    "DROP": "DROP TABLE idempotency_log",
    "TRUNCATE": "TRUNCATE idempotency_log",
    "CREATE INDEX": "CREATE INDEX ON memories (content)",
    "COMMENT": "COMMENT ON TABLE memories IS 'mine'",
}


@dataclass
class Site:
    """A database and the roles that a test makes on its server, which are dropped afterwards.

    Args:
        url: The database, as a superuser.
        names: How its three roles are called; no other test uses these names.
    """

    url: str
    names: RoleNames
    made: list[str] = field(default_factory=list)

    def roles(self, url: str | None = None, **options: object) -> Roles:
        """Call `diwa_schema.roles` with this site's names."""
        named = {"owner": self.names.owner, "app": self.names.app, "reader": self.names.reader}
        return diwa_schema.roles(url or self.url, **(named | options))  # type: ignore[arg-type]

    def login(self, *granted: str, attributes: str = "", acts_as: str | None = None) -> str:
        """Make a login, and return the database's URL as it.

        Args:
            granted: The roles it is a member of.
            attributes: Further attributes, such as CREATEROLE.
            acts_as: The role that its sessions begin with.
        """
        name, password = f"diwa_test_login_{uuid4().hex[:8]}", uuid4().hex
        self.made.append(name)
        self.run(f"CREATE ROLE {name} LOGIN {attributes} PASSWORD '{password}'")
        for role in granted:
            self.run(sql.SQL("GRANT {} TO {}").format(sql.Identifier(role), sql.Identifier(name)))
        if acts_as:
            self.run(
                sql.SQL("ALTER ROLE {} SET role = {}").format(sql.Identifier(name), sql.Literal(acts_as))
            )
        return as_user(self.url, name, password)

    def run(self, statement: str | sql.Composed, url: str | None = None) -> None:
        """Run statements, as the superuser or as a login."""
        with psycopg.connect(url or self.url, autocommit=True) as connection:
            connection.execute(statement.encode() if isinstance(statement, str) else statement)

    def value(self, query: str, url: str | None = None) -> object:
        """Return the first value of a query, as the superuser or as a login."""
        with psycopg.connect(url or self.url, autocommit=True) as connection:
            row = connection.execute(query.encode()).fetchone()
        return row[0] if row else None

    def forget(self) -> None:
        """Drop the roles with all that is theirs."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            for name in (*self.made, *self.names):
                role = sql.Identifier(name)
                if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,)).fetchone():
                    continue
                connection.execute(sql.SQL("REASSIGN OWNED BY {} TO CURRENT_USER").format(role))
                connection.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(role))
                connection.execute(sql.SQL("DROP ROLE {}").format(role))


def as_user(url: str, name: str, password: str) -> str:
    """Return a URL with another user."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{quote(name)}:{password}@{host}").geturl()


def name_of(url: str) -> str:
    """Return the user that a URL names."""
    return urlsplit(url).username or ""


@pytest.fixture
def site(postgres: str) -> Iterator[Site]:
    """An empty database whose roles do not exist yet."""
    mark = uuid4().hex[:8]
    made = Site(postgres, RoleNames(*(f"diwa_test_{role}_{mark}" for role in ("owner", "app", "reader"))))
    yield made
    made.forget()


@pytest.fixture
def migrated(site: Site, owner_directory: object) -> Site:
    """A database at head whose roles are as they should be, migrated by a login of the owner role."""
    site.roles(apply=True)
    diwa_schema.migrate(site.login(site.names.owner, acts_as=site.names.owner))
    return site


@pytest.fixture
def app(migrated: Site) -> str:
    """The URL of a database at head, as an application's login."""
    return migrated.login(migrated.names.app)


@pytest.fixture
def reader(migrated: Site) -> str:
    """The URL of a database at head, as a login that only reads."""
    return migrated.login(migrated.names.reader)


@pytest.fixture
def old(site: Site, owner_directory: object) -> tuple[Site, str]:
    """A database whose application has made the tables and owns them."""
    login = site.login(attributes="CREATEDB")
    site.run(f"GRANT CREATE ON SCHEMA public TO {name_of(login)}")
    diwa_schema.migrate(login)
    return site, login


@pytest.fixture(scope="session")
def psql() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `psql URL ARGS...` without its start-up file; without a psql the test is skipped."""
    program = next(
        (
            path
            for path in (embedded.programs() / "psql", shutil.which("psql"))
            if path and Path(path).exists()
        ),
        None,
    )
    if program is None:
        pytest.skip("no psql")
    return lambda url, *args: run([str(program), "-X", "-d", url, *args])


@pytest.fixture(scope="session")
def refused() -> Callable[..., None]:
    """Fails unless PostgreSQL refuses each of some statements for want of a right."""

    def refuse(url: str, *statements: str) -> None:
        assert statements
        done = []
        with psycopg.connect(url, autocommit=True) as connection:
            for statement in statements:
                try:
                    connection.execute(statement.encode())
                except psycopg.errors.InsufficientPrivilege:
                    continue
                done.append(statement)
        assert done == []

    return refuse
