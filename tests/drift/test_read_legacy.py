"""The reader against databases that Ecto left behind: what it reads is what the facts say."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from diwa_schema.database.target import Target
from diwa_schema.drift.model import Catalog
from diwa_schema.drift.read import read
from tests.drift import upstream


def catalog_of(url: str, **options: Any) -> Catalog:
    with Target.of(url).connect() as link:
        return read(link, **options)


def without_versions(catalog: Catalog) -> tuple[Any, ...]:
    return tuple(table for table in catalog.tables if table.name != "schema_migrations")


def variant(shared: Path, name: str) -> Catalog:
    import json

    facts = json.loads((shared / "upstream" / "schema.json").read_text())
    one = next(variant for variant in facts["variants"] if variant["id"] == name)
    base = upstream.postgresql(shared, 20260107203000 if name.startswith(("mid", "agent")) else upstream.HEAD)
    types = {column: one[column] for column in ("memories.embedding", "embedding_cache.embedding")}
    return upstream.with_index(upstream.retyped(base, types), "memories", one["memories_embedding_idx"])


def test_head_is_read_as_the_facts_say(legacy: Callable[[str], str], shared: Path) -> None:
    read_back = catalog_of(legacy("ecto_cloud_head"))
    expected = upstream.postgresql(shared)
    assert len(expected.tables) == 30
    assert without_versions(read_back) == expected.tables


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("ecto_no_vector", "head_disabled"),
        ("ecto_mid_v384", "mid_january_code"),
        ("ecto_dirty_data", "head_fresh"),
    ],
)
def test_a_variant_is_read_as_the_facts_say(
    legacy: Callable[[str], str], shared: Path, file: str, name: str
) -> None:
    assert without_versions(catalog_of(legacy(file))) == variant(shared, name).tables


def test_the_agents_own_tables_are_read_as_the_facts_say(legacy: Callable[[str], str], shared: Path) -> None:
    expected = upstream.with_tables(
        variant(shared, "agent_local"), upstream.extra(shared, "agent_local_20260109204856")
    )
    assert without_versions(catalog_of(legacy("ecto_agent_local_tala"))) == expected.tables


def test_head_on_sqlite_is_read_as_the_facts_say(legacy: Callable[[str], str], shared: Path) -> None:
    expected = upstream.sqlite(shared)
    assert len(expected.tables) == 30
    assert without_versions(catalog_of(legacy("sqlite_head"))) == expected.tables


def test_only_the_tables_asked_for_are_read(legacy: Callable[[str], str], shared: Path) -> None:
    asked = catalog_of(legacy("ecto_no_vector"), tables=["tasks", "plans", "no_such_table"])
    expected = upstream.postgresql(shared)
    assert asked.tables == (expected.table("plans"), expected.table("tasks"))
