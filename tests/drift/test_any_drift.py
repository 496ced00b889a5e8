"""Whatever is changed in a database at head is reported, with nothing else, and fixed by what is printed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

import diwa_schema
from diwa_schema.database.link import Link
from diwa_schema.database.target import Target
from diwa_schema.drift import check
from diwa_schema.drift.compare import within_capabilities
from diwa_schema.drift.read import at_head, read
from tests.drift.changes import POSTGRESQL, SQLITE, Change, all_changes, plain, said
from tests.fixtures_databases import database_name
from tests.fixtures_server import Server

EXAMPLES = settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    print_blob=True,
)


def by_maker(dialect: str) -> st.SearchStrategy[Change]:
    """First a way of changing something, then a thing: else indexes would be most of what is changed."""
    catalog = at_head(dialect)
    makers = SQLITE if dialect == "sqlite" else POSTGRESQL
    groups = [[one for table in plain(catalog) for one in maker(catalog, table)] for maker in makers]
    assert len(all_changes(catalog)) == sum(map(len, groups))
    return st.one_of(*(st.sampled_from(group) for group in groups if group))


@pytest.fixture(scope="module")
def template(server: Server) -> Iterator[str]:
    name = database_name()
    diwa_schema.migrate(server.create(name), repo="diwa-cloud")
    yield name
    server.drop(name)


@contextmanager
def copy_of(server: Server, template: str) -> Iterator[Link]:
    name = database_name()
    try:
        with Target.of(server.create(name, template)).connect() as link:
            yield link
    finally:
        server.drop(name)


def found_and_fixed(link: Link, change: Change) -> None:
    link.script(change.sql)
    found = check.check(link)
    assert {said(one) for one in found} == change.wrong, change.sql
    assert len(found) == len(change.wrong)
    for one in found:
        statements = one.fix.statements or one.fix.losing
        assert statements, one.text
        for statement in statements:
            link.execute(statement)
    assert [one.text for one in check.check(link)] == []


@EXAMPLES
@given(change=by_maker("postgresql"))
def test_any_drift_of_postgresql(server: Server, template: str, change: Change) -> None:
    with copy_of(server, template) as link:
        assert check.check(link) == []
        found_and_fixed(link, change)


@EXAMPLES
@given(change=by_maker("sqlite"))
def test_any_drift_of_sqlite(tmp_path: Path, change: Change) -> None:
    head = tmp_path / "head.db"
    if not head.exists():
        diwa_schema.migrate(embedded=head)
    path = tmp_path / "drifted.db"
    shutil.copy(head, path)
    with Target.of(f"sqlite:///{path}").connect() as link:
        found_and_fixed(link, change)


def test_the_shipped_catalog_is_that_of_a_migrated_database(database: str) -> None:
    diwa_schema.migrate(database, repo="diwa-cloud")
    with Target.of(database).connect() as link:
        shipped = at_head(link.dialect)
        live = read(link, tables=[table.name for table in shipped.tables])
    assert len(shipped.tables) > 30
    assert live == within_capabilities(shipped, live)
