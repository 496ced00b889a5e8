"""The first 32 revisions leave what Ecto's migrations left, but for the differences that are meant."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import diwa_schema
from diwa_schema.database.target import Target
from diwa_schema.database.version import ECTO
from diwa_schema.drift.check import compare
from diwa_schema.drift.model import Catalog, Table
from diwa_schema.drift.read import read
from diwa_schema.migrations.manifest import load
from tests.drift import upstream
from tests.fixtures_server import Server

pytestmark = pytest.mark.usefixtures("owner_directory")

LAST = upstream.HEAD
IDS = tuple(name for name in load().ids if int(name) <= LAST)
# What a run keeps for itself, and what a step keeps instead of destroying it.
OURS = ("diwa_schema_", ECTO)


def catalog_at(url: str, revision: int) -> Catalog:
    diwa_schema.migrate(url, str(revision))
    return catalog_of(url)


def catalog_of(url: str) -> Catalog:
    with Target.of(url).connect() as link:
        catalog = read(link)
    return replace(catalog, tables=tuple(one for one in catalog.tables if not one.name.startswith(OURS)))


def ids_made_by_the_server(table: Table) -> Table:
    """The table with the default that the history has for ids: it needs no extension."""
    return replace(
        table,
        columns=tuple(
            replace(one, default="gen_random_uuid()") if one.default == "uuid_generate_v4()" else one
            for one in table.columns
        ),
    )


def without_vector(catalog: Catalog) -> Catalog:
    bytes_ = dict.fromkeys(("memories.embedding", "embedding_cache.embedding"), "bytea")
    return upstream.retyped(catalog, bytes_)


def meant(catalog: Catalog) -> tuple[Table, ...]:
    return tuple(ids_made_by_the_server(table) for table in catalog.tables)


def test_on_postgresql_it_is_ectos_shape(postgres: str, shared: Path, server: Server) -> None:
    expected = upstream.postgresql(shared)
    assert len(expected.tables) == 30
    if not server.has_vector:
        expected = without_vector(expected)

    live = catalog_at(postgres, LAST)

    assert live.tables == meant(expected)
    assert live.tables != expected.tables
    assert compare(live, expected) == ()


def test_on_sqlite_it_is_ectos_shape(sqlite: str, shared: Path) -> None:
    expected = upstream.sqlite(shared)
    assert len(expected.tables) == 30

    live = catalog_at(sqlite, LAST)

    assert live.tables == expected.tables


@pytest.mark.parametrize("revision", IDS[:-1])
def test_every_step_on_the_way_is_ectos_shape(
    postgres: str, shared: Path, server: Server, revision: str
) -> None:
    expected = upstream.postgresql(shared, int(revision))
    if not server.has_vector:
        expected = without_vector(expected)

    live = catalog_at(postgres, int(revision))

    assert live.tables == meant(expected)
