"""Ecto's databases: what the reader finds in those of the kit, in those of the facts, and in the facts, is the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from diwa_schema.database.target import Target
from diwa_schema.drift.model import Catalog
from diwa_schema.drift.read import read
from tests.kit import facts, shapes, upstream

# What a file of `upstream/extra` describes beside the 21 shared versions, or alone on SQLite.
ALONE = {"agent_v1": "agent_v1", "agent_local": "agent_lock", "agent_release": "agent_release"}


def catalog_of(url: str, **options: Any) -> Catalog:
    with Target.of(url).connect() as link:
        return read(link, **options)


def without_versions(catalog: Catalog) -> tuple[Any, ...]:
    """The tables without Ecto's own, and without what only a live database knows."""
    return tuple(table for table in catalog.tables if table.name != "schema_migrations")


def documented(folder: Path) -> dict[str, dict[str, Any]]:
    document = json.loads((folder / "upstream" / "schema.json").read_text())
    return {one["id"]: one for one in document["variants"]}


def expected(shared: Path, name: str) -> Catalog:
    """The catalog that the facts give for a shape on PostgreSQL."""
    one = documented(shared)[name]
    shape = shapes.SHAPES[name]
    catalog = upstream.postgresql(
        shared, max(version for version in shape.versions if version in facts.HISTORY)
    )
    types = {column: one[column] for column in ("memories.embedding", "embedding_cache.embedding")}
    catalog = upstream.with_index(upstream.retyped(catalog, types), "memories", one["memories_embedding_idx"])
    if facts.AGENT not in shape.versions:
        return catalog
    audit = catalog.table("tala_operations")
    catalog = upstream.with_tables(catalog, upstream.extra(shared, "agent_local_20260109204856"))
    if audit is None:
        return catalog
    own = catalog.table("tala_operations")
    assert own is not None
    later = ("capability_token", "phi_flag", "merkle_root", "audit_hash", "degradation_tier")
    columns = [*own.columns, *(one for one in audit.columns if one.name in later)]
    indexes = {one.name: one for one in (*own.indexes, *audit.indexes)}
    both = replace(
        own,
        columns=tuple(sorted(columns, key=lambda one: one.name)),
        indexes=tuple(indexes[each] for each in sorted(indexes)),
    )
    return upstream.with_tables(catalog, replace(catalog, tables=(both,)))


VARIANTS = [
    "head_fresh",
    "head_upgraded",
    "head_disabled",
    "head_skipped",
    "stuck_31",
    "mid_head_code",
    "mid_january_code",
    "agent_local",
    "both_marked",
    "v0_1_0_community",
    "v0_1_0_enterprise",
]


def test_every_variant_of_the_facts_has_a_shape(shared: Path) -> None:
    assert {*documented(shared)} <= {*shapes.SHAPES}
    assert {*documented(shared)} == {*VARIANTS, "agent_v1"}


@pytest.mark.parametrize("name", VARIANTS)
def test_a_shape_is_what_the_facts_say(legacy: Callable[..., str], shared: Path, name: str) -> None:
    assert without_versions(catalog_of(legacy(name))) == expected(shared, name).tables


def test_the_first_lineage_is_what_the_facts_say(legacy: Callable[..., str], shared: Path) -> None:
    live = catalog_of(legacy("agent_v1"))
    assert without_versions(live) == upstream.extra(shared, "agent_v1").tables


def test_head_on_sqlite_is_what_the_facts_say(legacy: Callable[..., str], shared: Path) -> None:
    assert without_versions(catalog_of(legacy("head_fresh", lite=True))) == upstream.sqlite(shared).tables


@pytest.mark.parametrize("name", ALONE)
def test_a_shape_on_sqlite_is_what_the_facts_say(legacy: Callable[..., str], shared: Path, name: str) -> None:
    live = catalog_of(legacy(name, lite=True, rows=False))
    assert without_versions(live) == upstream.extra(shared, f"{ALONE[name]}_sqlite").tables


@pytest.mark.parametrize("file", shapes.FILES)
def test_a_shape_is_that_of_its_file(
    legacy: Callable[..., str], legacy_file: Callable[[str], str], shared: Path, file: str
) -> None:
    ours, theirs = legacy(file), legacy_file(file)
    assert without_versions(catalog_of(ours)) == without_versions(catalog_of(theirs))
    with Target.of(ours).connect() as one, Target.of(theirs).connect() as other:
        query = "SELECT version FROM schema_migrations ORDER BY version"
        assert one.rows(query) == other.rows(query)


def test_only_the_tables_asked_for_are_read(legacy: Callable[..., str]) -> None:
    url = legacy("head_disabled")
    asked = catalog_of(url, tables=["tasks", "plans", "no_such_table"])
    everything = catalog_of(url)
    assert len(everything.tables) == 31
    assert asked.tables == (everything.table("plans"), everything.table("tasks"))
