"""The first 32 revisions leave what Ecto's migrations left, but for the differences that are meant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

import diwa_schema
from diwa_schema.database.state import ECTO
from diwa_schema.database.target import Target
from diwa_schema.drift.check import compare
from diwa_schema.drift.model import Catalog, Table
from diwa_schema.drift.read import read
from diwa_schema.migrations.manifest import load
from tests.fixtures_server import Server
from tests.kit import shapes

pytestmark = pytest.mark.usefixtures("owner_directory")

IDS = tuple(name for name in load().ids if int(name) <= shapes.HEAD)
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


def meant(catalog: Catalog) -> tuple[Table, ...]:
    return tuple(ids_made_by_the_server(table) for table in catalog.tables)


def ecto_at(version: int, postgres: str, *, vector: bool) -> Catalog:
    """The catalog that the newest code of Ecto leaves at a version."""
    last = version == shapes.HEAD
    types = {
        "memories": "vector(1536)" if vector and last else "bytea",
        "cache": "vector(1536)" if vector else "bytea",
    }
    shapes.write(postgres, shapes.shared(version, **types), rows=False)
    return catalog_of(postgres)


@pytest.mark.parametrize("revision", IDS)
def test_every_step_on_the_way_is_ectos_shape(
    new_database: Callable[[], str], server: Server, revision: str
) -> None:
    expected = ecto_at(int(revision), new_database(), vector=server.has_vector)

    live = catalog_at(new_database(), int(revision))

    assert live.tables == meant(expected)
    if int(revision) == shapes.HEAD:
        assert len(live.tables) == 30
        assert live.tables != expected.tables
        assert compare(live, expected) == ()


def test_on_sqlite_it_is_ectos_shape(sqlite: str, legacy: Callable[..., str]) -> None:
    expected = catalog_of(legacy("head_fresh", lite=True))

    live = catalog_at(sqlite, shapes.HEAD)

    assert len(live.tables) == 30
    assert live.tables == expected.tables
